"""Rank correlations between two sources: known answers, and intervals from resampled users."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from zsr_sim.evaluation.order import Ordered, agreement, kendall, spearman


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=9))
def test_both_coefficients_are_scipy_s(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=np.float64).T
    if len(set(first)) > 1 and len(set(second)) > 1:
        assert float(kendall(first, second)) == pytest.approx(kendalltau(first, second).statistic, abs=1e-12)
        assert float(spearman(first, second)) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    else:
        assert np.isnan(kendall(first, second))


def sure(values: list[float], draws: int = 200) -> Ordered:
    """A source without any noise."""
    return Ordered(np.array(values), np.tile(values, (draws, 1)))


def test_agreement_by_hand() -> None:
    """One of six pairs is turned; nothing is uncertain, so intervals have no width and every pair is clear."""
    found = agreement(sure([1, 2, 3, 4]), sure([10, 30, 20, 40]))
    assert found is not None
    assert found["kendall"] == {"value": pytest.approx(4 / 6), "ci95": [pytest.approx(4 / 6)] * 2}
    assert found["spearman"] == {"value": pytest.approx(0.8), "ci95": [pytest.approx(0.8)] * 2}
    assert (found["pairs"], found["same"], found["clear"], found["clear_same"]) == (6, 5, 6, 5)
    turned = agreement(sure([1, 2, 3]), sure([3, 2, 1]))
    assert turned is not None
    assert (turned["kendall"]["value"], turned["spearman"]["value"], turned["same"]) == (-1.0, -1.0, 0)


def test_there_is_no_order_of_two_or_of_equals() -> None:
    assert agreement(sure([1, 2]), sure([1, 2])) is None
    assert agreement(sure([1, 1, 1]), sure([1, 2, 3])) is None


def test_strategies_that_lie_close_are_no_clear_pair_and_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    values, far = np.array([0.0, 0.01, 5.0, 9.0]), np.array([0.01, 0.0, 5.0, 9.0])
    first, second = (Ordered(v, v + rng.normal(0, 0.1, (2000, 4))) for v in (values, far))
    found = agreement(first, second)
    assert found is not None
    assert (found["pairs"], found["same"], found["clear"], found["clear_same"]) == (6, 5, 5, 5)
    assert found["kendall"]["ci95"] == [pytest.approx(4 / 6), pytest.approx(1.0)]


def test_the_interval_holds_what_endless_users_would_say() -> None:
    """Two sources that order six strategies a little differently; of 200 samples of users, 95 % hold the truth."""
    rng = np.random.default_rng(3)
    means = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 0.0, 2.0, 3.0, 5.0, 4.0])
    truth = float(spearman(*means))
    held = 0
    for _ in range(200):
        sources = []
        for mean in means:
            users = mean + rng.normal(0, 3, (120, 6))  # standard error 0.27: neighbours are told apart, mostly
            rows = rng.integers(0, 120, (400, 120))
            sources.append(Ordered(users.mean(axis=0), users[rows].mean(axis=1)))
        found = agreement(*sources)
        assert found is not None
        low, high = found["spearman"]["ci95"]
        held += low <= truth <= high
    assert 0.91 <= held / 200 <= 1.0
