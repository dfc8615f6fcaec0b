"""Peeking: boundaries by hand, and few false alarms however often one looks."""

import doctest
import math

import numpy as np
import pytest

from tests.evaluation.hand_made import visits
from zsr_sim.evaluation import multiplicity, sequential
from zsr_sim.evaluation.comparison import Looks, compare_strategies
from zsr_sim.evaluation.estimates import Estimate, estimate_mean
from zsr_sim.evaluation.multiplicity import holm
from zsr_sim.evaluation.sequential import anytime_p, boundary, tuned


def test_doctests() -> None:
    assert doctest.testmod(sequential) == (0, 1)
    assert doctest.testmod(multiplicity) == (0, 1)


@pytest.mark.parametrize("n", [10, 1_000, 100_000])
def test_boundary_is_the_papers(n: int) -> None:
    """With r = n rho^2, se = sigma / sqrt(n): sigma sqrt(2 (n rho^2 + 1) / (n^2 rho^2) log(sqrt(n rho^2 + 1) / a))."""
    rho, sigma, alpha = 0.1, 3.0, 0.05
    theirs = sigma * math.sqrt(2 * (n * rho**2 + 1) / (n**2 * rho**2) * math.log(math.sqrt(n * rho**2 + 1) / alpha))
    assert boundary(n * rho**2, alpha) * sigma / math.sqrt(n) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("information", [0.3, 1.0, 8.0, 200.0])
def test_p_value_and_interval_agree(information: float) -> None:
    assert anytime_p(boundary(information, 0.05), information) == pytest.approx(0.05, rel=1e-9)
    assert anytime_p(0.0, information) == 1.0
    estimate = Estimate(boundary(information, 0.05), 1.0, 50, information)
    assert estimate.p_value == pytest.approx(0.05, rel=1e-9)
    assert estimate.ci95[0] == pytest.approx(0.0, abs=1e-12)


def test_tuned_is_where_the_boundary_is_low() -> None:
    lowest = min(boundary(r, 0.05) for r in np.geomspace(0.1, 1000, 2000))
    assert boundary(tuned(), 0.05) < 1.001 * lowest


def test_information_counts_what_the_data_tell() -> None:
    """Half the standard error is four times the information; without spread there is nothing to widen."""
    assert Estimate(1.0, 0.5, 9).at_look(1.0, 0.25).information == pytest.approx(tuned())
    assert Estimate(1.0, 0.0, 9).at_look(1.0, 0.25).information is None


def test_holm_by_hand() -> None:
    assert holm([0.001, 0.02, 0.03, 0.6]) == pytest.approx([0.004, 0.06, 0.06, 0.6])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def false_alarms(looks: bool, repetitions: int = 400, block: int = 1_000, most: int = 8_000) -> float:
    """Share of comparisons without any difference that were significant at some look, one every `block` users."""
    rng = np.random.default_rng(7)
    people = np.arange(most)
    alarms = 0
    for _ in range(repetitions):
        difference = rng.exponential(1.0, most) - 1.0
        found = [estimate_mean(difference[:n], people[:n]) for n in range(block, most + 1, block)]
        if looks:
            found = [one.at_look(found[0].standard_error, 2 * block / most) for one in found]
        alarms += min(one.p_value for one in found) < 0.05
    return alarms / repetitions


def test_peeking_gives_few_false_alarms() -> None:
    assert false_alarms(looks=True) <= 0.05


def test_peeking_at_an_interval_for_one_look_gives_many() -> None:
    """The negative control: eight looks at a fixed test."""
    assert false_alarms(looks=False) > 0.10


def test_a_comparison_under_way_widens_its_intervals() -> None:
    rng = np.random.default_rng(8)
    a, b = (visits(rng.normal(10, 1, 3000)) for _ in range(2))
    once = compare_strategies({"a": a, "b": b}, seed=0, world={})["comparisons"][0]
    looks = compare_strategies({"a": a, "b": b}, seed=0, world={}, looks=Looks(1000, 2500))["comparisons"][0]
    first = estimate_mean((b.returns - a.returns)[:1000], np.arange(1000))
    now = estimate_mean(b.returns - a.returns, np.arange(3000))
    widened = boundary(tuned() * 0.4 * (first.standard_error / now.standard_error) ** 2, 0.05) * now.standard_error
    assert looks["ci95"] == pytest.approx([now.mean - widened, now.mean + widened], rel=1e-12)
    assert once["ci95"] == list(now.ci95)
    assert looks["p_value"] > once["p_value"]
