"""Taking luck out: what it leaves alone, what it saves, and that intervals keep their promise."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.hand_made import Array, compare, visits
from zsr_sim.envs.visits import Visits
from zsr_sim.evaluation.adjustment import adjust
from zsr_sim.evaluation.estimates import estimate_mean

REPETITIONS, USERS = 2000, 500


def test_what_luck_explains_wholly_is_a_constant() -> None:
    luck = np.random.default_rng(1).normal(size=(200, 3))
    values = 4.0 + luck @ np.array([2.0, -1.0, 0.5])
    assert adjust(values, luck, np.arange(200)) == pytest.approx(np.full(200, 4.0), abs=1e-12)


def test_values_are_the_pseudo_values_of_leaving_out_one_row_after_the_other() -> None:
    rng = np.random.default_rng(2)
    luck = rng.normal(size=(100, 2))
    values = luck @ np.array([1.0, 3.0]) + rng.normal(size=100) * np.exp(luck[:, 0])

    def intercept(rows: NDArray[np.int64]) -> float:
        return float(np.linalg.lstsq(np.column_stack([np.ones(len(rows)), luck[rows]]), values[rows], rcond=None)[0][0])

    every = np.arange(100)
    expected = [100 * intercept(every) - 99 * intercept(np.delete(every, row)) for row in every]
    assert adjust(values, luck, every) == pytest.approx(np.array(expected), rel=1e-9)


def test_a_row_that_alone_tells_a_slope_is_no_accident() -> None:
    values, luck = np.random.default_rng(6).normal(size=100), np.zeros((100, 1))
    luck[7] = 5.0
    others = np.delete(values, 7)
    assert adjust(values, luck, np.arange(100)).mean() == pytest.approx(others.mean(), rel=1e-3)


def test_few_people_no_luck_and_useless_luck_change_nothing() -> None:
    values, people = np.random.default_rng(3).normal(size=100), np.arange(100)
    assert adjust(values, np.zeros((100, 0)), people) is values
    assert adjust(values, np.ones((100, 3)), people) is values  # 150 people are needed
    assert adjust(values, np.zeros((100, 1)), people).mean() == pytest.approx(values.mean(), abs=1e-15)


def test_identical_arms_stay_identical() -> None:
    one = lucky(np.random.default_rng(4), 0.0)
    found = compare(one, replace(one))
    assert (found["difference"], found["ci95"], found["verdict"]) == (0.0, [0.0, 0.0], "inconclusive")
    assert found["reason"] == "identical on every user"


def test_adjusted_and_plain_stand_side_by_side() -> None:
    rng = np.random.default_rng(5)
    base, better = (lucky(rng, gain, 4000) for gain in (0.0, 1.0))
    found = compare(base, better)
    assert found["plain"]["difference"] == pytest.approx(better.returns.mean() - base.returns.mean(), rel=1e-12)
    assert abs(found["difference"] - 1.0) < 0.1
    # Each return has variance 5 (taste) + 4 (luck) + 1; other people here, so pairing saves nothing.
    assert found["pairing_factor"] == pytest.approx(1.0, abs=0.05)
    assert found["adjusted_factor"] == pytest.approx(np.sqrt(10 / 6), abs=0.06)
    plain = estimate_mean(better.returns - base.returns, base.people)
    assert found["plain"]["ci95"] == list(plain.ci95)


def lucky(rng: np.random.Generator, gain: float, n: int = USERS, taste: Array | None = None) -> Visits:
    """Visits whose return is 10 + gain + skewed taste + luck + a rest; luck has two columns, skewed and of mean 0."""
    luck = np.asarray(rng.binomial(1, 0.1, (n, 2)) - 0.1, dtype=np.float64)  # variance 0.09
    taste = rng.gamma(5.0, 1.0, n) - 5.0 if taste is None else taste
    returns = 10 + gain + taste + luck @ np.full(2, np.sqrt(2 / 0.09)) + rng.normal(0, 1, n)
    return replace(visits(returns), luck=luck)


def rejections(gain: float, repetitions: int, n: int = USERS) -> float:
    """Share of comparisons, same users and independent luck, whose p-value is below 5 %."""
    rng = np.random.default_rng(2026)
    found = 0
    for _ in range(repetitions):
        taste = rng.gamma(5.0, 1.0, n) - 5.0
        pair = [lucky(rng, g, n, taste) for g in (0.0, gain)]
        values = [adjust(v.returns, v.luck, v.people) for v in pair]
        found += estimate_mean(values[1] - values[0], pair[0].people).p_value < 0.05
    return found / repetitions


def test_a_strategy_against_itself_under_independent_luck_is_a_false_alarm_in_one_of_twenty() -> None:
    assert 0.04 <= rejections(0.0, REPETITIONS) <= 0.06


def test_power_at_the_minimum_detectable_effect() -> None:
    """The residual difference has variance 2: the effect of 80 % power is 2.80 * sqrt(2 / n)."""
    assert 0.78 <= rejections(2.8016 * np.sqrt(2 / USERS), REPETITIONS) <= 0.85
