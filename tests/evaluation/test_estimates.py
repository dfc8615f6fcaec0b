"""Intervals: known answers, and what they promise in repetition."""

import doctest
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.hand_made import T3
from zsr_sim.evaluation import estimates
from zsr_sim.evaluation.estimates import POWER_FACTOR, Estimate, estimate_mean, relative_effect


def test_mean_of_different_people_is_the_classical_interval() -> None:
    found = estimate_mean(np.array([1.0, 2.0, 3.0, 6.0]), np.array([4, 0, 9, 2]))
    assert found.mean == 3.0  # deviations -2, -1, 0, 3: sum of squares 14, variance 14/3
    assert found.standard_error == pytest.approx(math.sqrt(14 / 3 / 4), rel=1e-15)
    assert found.freedom == 3
    half = T3 * math.sqrt(14 / 12)
    assert found.ci95 == pytest.approx((3 - half, 3 + half), rel=1e-12)


def test_mean_of_repeated_people_by_hand() -> None:
    # Mean 3; deviations -2, 0 (person 7), -1 (person 8), 3 (person 9): sums -2, -1, 3, squares 14.
    found = estimate_mean(np.array([1.0, 3.0, 2.0, 6.0]), np.array([7, 7, 8, 9]))
    assert (found.mean, found.freedom) == (3.0, 2)
    assert found.standard_error == pytest.approx(math.sqrt(3 / 2 * 14) / 4, rel=1e-15)


def test_doubling_every_visit_of_a_person_tells_nothing_new() -> None:
    values = np.array([1.0, 4.0, 2.0, 7.0, 7.5])
    once, twice = estimate_mean(values, np.arange(5)), estimate_mean(np.tile(values, 2), np.tile(np.arange(5), 2))
    assert twice.standard_error == pytest.approx(once.standard_error, rel=1e-14)
    assert twice.freedom == once.freedom == 4


def test_doctests_of_estimates() -> None:
    assert doctest.testmod(estimates) == (0, 1)


def test_power_factor() -> None:
    assert pytest.approx(1.959963984540054 + 0.8416212335729143, rel=1e-14) == POWER_FACTOR


def test_relative_effect_of_nothing_is_exactly_zero() -> None:
    one = Estimate(0.1, 0.03, 9)
    assert relative_effect(one, one, Estimate(0.0, 0.0, 9)) == (0.0, (0.0, 0.0))


def coverage(people: NDArray[np.int64], person_sd: float, repetitions: int = 2000) -> float:
    """Share of repetitions whose interval for the difference (a skewed one, as clicks are) holds the true one, 0.3."""
    rng = np.random.default_rng(2024)
    n, groups = len(people), int(people.max()) + 1
    held = 0
    for _ in range(repetitions):
        difference = 0.3 + person_sd * rng.normal(size=groups)[people] + rng.gamma(4.0, 0.5, n) - 2.0
        low, high = estimate_mean(difference, people).ci95
        held += low <= 0.3 <= high
    return held / repetitions


def test_coverage_of_different_people() -> None:
    assert 0.935 <= coverage(np.arange(200), person_sd=0.0) <= 0.965


def test_coverage_where_people_visit_several_times() -> None:
    people = np.repeat(np.arange(50), 4)
    assert 0.935 <= coverage(people, person_sd=1.0) <= 0.965


def test_taking_visits_for_people_would_cover_far_too_little() -> None:
    """The negative control of the test above: the same data, with every visit taken for a person of its own."""
    rng = np.random.default_rng(2024)
    held = 0
    for _ in range(500):
        values = np.repeat(rng.normal(size=50), 4) + rng.normal(size=200)
        low, high = estimate_mean(values, np.arange(200)).ci95
        held += low <= 0 <= high
    assert held / 500 < 0.85


def test_power_at_the_minimum_detectable_effect() -> None:
    rng = np.random.default_rng(11)
    n, people = 200, np.arange(200)
    effect = Estimate(0.0, 1 / math.sqrt(n), n - 1).minimum_detectable_effect
    detected = [estimate_mean(rng.normal(effect, 1, n), people).p_value < 0.05 for _ in range(2000)]
    assert 0.78 <= np.mean(detected) <= 0.82
