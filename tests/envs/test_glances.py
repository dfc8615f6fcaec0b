"""Planted position bias and click level come back from logged pages, whoever filled the pages."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.envs.glances import learn_glances
from zsr_sim.evaluation.clicks import click_realism
from zsr_sim.impressions import Impressions

N_ITEMS, SLATE, DECAY = 30, 6, 0.7
ATTRACTIONS = np.random.default_rng(0).uniform(0.05, 0.5, N_ITEMS)


def logged(order: NDArray[np.int64], decay: float = DECAY, seed: int = 1) -> Impressions:
    """Pages (n, slate), two of each user: position j is looked at with probability j ** -decay, and then clicked."""
    n, s = order.shape
    p = ATTRACTIONS[order] * np.arange(1, s + 1) ** -decay
    clicks = np.random.default_rng(seed).random((n, s)) < p
    nothing = np.full((n, s), np.nan)
    return Impressions(
        tuple(map(str, range(n // 2))), np.repeat(np.arange(n // 2), 2).astype(np.int32), np.arange(n).astype(float),
        order.astype(np.int32), ("click",), np.where(clicks, 0, -1).astype(np.int8), nothing, nothing, nothing[:, 0],
    )  # fmt: skip


def at_random(n: int = 20_000) -> NDArray[np.int64]:
    return np.random.default_rng(2).random((n, N_ITEMS)).argsort(axis=1)[:, :SLATE]


def best_first(n: int = 20_000) -> NDArray[np.int64]:
    """Pages of random items, sorted by a noisy guess of what is liked: what stands on top is more attractive."""
    pages = at_random(n)
    guess = ATTRACTIONS[pages] + 0.15 * np.random.default_rng(3).normal(size=pages.shape)
    return np.take_along_axis(pages, np.argsort(-guess, axis=1), axis=1)


@pytest.mark.parametrize("pages", [at_random, best_first])
def test_planted_glances_come_back(pages: Callable[[], NDArray[np.int64]]) -> None:
    found = learn_glances(logged(pages()), N_ITEMS)
    assert found is not None
    assert found.decay_error < 0.02
    assert abs(found.decay - DECAY) < 3 * found.decay_error
    assert found.rate_error < 0.005
    assert abs(found.rate - ATTRACTIONS.mean()) < 3 * found.rate_error
    assert np.corrcoef(found.attractions, ATTRACTIONS)[0, 1] > 0.98


def test_the_standard_error_is_that_of_repetitions() -> None:
    pages = at_random(1000)
    found = [learn_glances(logged(pages, seed=seed), N_ITEMS) for seed in range(60)]
    decays = [one.decay for one in found if one is not None]
    errors = [one.decay_error for one in found if one is not None]
    assert np.std(decays) == pytest.approx(np.mean(errors), rel=0.3)
    assert np.mean(decays) == pytest.approx(DECAY, abs=4 * np.mean(errors) / np.sqrt(60))


def test_without_position_bias_there_is_none() -> None:
    found = learn_glances(logged(at_random(), decay=0.0), N_ITEMS)
    assert found is not None
    assert 0 <= found.decay < 3 * found.decay_error


def test_a_fixed_page_tells_nothing_of_positions() -> None:
    """Every item always at its own position: bias and attraction cannot be told apart."""
    assert learn_glances(logged(np.tile(np.arange(SLATE), (200, 1))), N_ITEMS) is None
    never = logged(at_random(50))
    always = Impressions(**(vars(never) | {"feedback_codes": np.zeros((50, SLATE), np.int8)}))
    assert learn_glances(always, N_ITEMS) is None
    assert (
        learn_glances(Impressions(**(vars(never) | {"feedback_codes": np.full((50, SLATE), -1, np.int8)})), 30) is None
    )


def test_click_rates_by_position_lie_inside_where_the_model_holds() -> None:
    """In 95 % of cases; positions of one log go together, so that eight logs may well miss one in eight."""
    lines = []
    for seed in range(8):
        found = click_realism(logged(best_first(2000), seed=seed), N_ITEMS, 0, 12)
        assert found is not None
        assert found["earlier"]["pages"] == 1400
        lines += found["statistics"]
    assert len(lines) == 8 * SLATE
    assert np.mean([line["inside"] for line in lines]) > 0.85
    top = [line for line in lines if line["statistic"] == "click rate at position 1"]
    assert np.mean([line["simulated"] for line in top]) == pytest.approx(
        np.mean([line["real"] for line in top]), rel=0.03
    )
