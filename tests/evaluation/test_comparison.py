"""Comparisons: closed forms, properties, and the shape of the results."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from tests.evaluation.hand_made import BASE, GOOD, T3, Array, compare, visits
from zsr_sim.errors import InputError
from zsr_sim.evaluation.comparison import compare_strategies
from zsr_sim.evaluation.estimates import estimate_mean


def test_comparison_by_hand() -> None:
    # Differences 1, 1, 2, 4: mean 2, sum of squared deviations 6, se sqrt(6 / 3 / 4).
    found = compare(visits([1, 2, 3, 2]), visits([2, 3, 5, 6]))
    se = math.sqrt(0.5)
    assert found["difference"] == 2.0
    assert found["ci95"] == pytest.approx([2 - T3 * se, 2 + T3 * se], rel=1e-12)
    assert found["relative"] == 1.0
    assert found["minimum_detectable_effect"] == pytest.approx(2.8015852 * se, rel=1e-7)
    # a: squared deviations 2; b: mean 4, squared deviations 10. Both over 3 * 4, against 6 over 3 * 4.
    assert found["pairing_factor"] == pytest.approx(math.sqrt((2 + 10) / 6), rel=1e-14)


def test_p_value_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 30))
    expected = stats.ttest_rel(b, a)
    found = compare(visits(a), visits(b))
    assert found["p_value"] == pytest.approx(expected.pvalue, rel=1e-12)
    assert found["ci95"] == pytest.approx(list(expected.confidence_interval(0.95)), rel=1e-12)


def test_a_certain_difference_has_no_width() -> None:
    found = compare(visits([1, 2, 3, 2]), visits([2, 3, 4, 3]))
    assert (found["difference"], found["ci95"], found["p_value"]) == (1.0, [1.0, 1.0], 0.0)
    assert found["pairing_factor"] is None
    assert found["verdict"] == "ship"


def test_relative_interval_is_fiellers() -> None:
    """At each bound r, the t test of mean(difference - r * baseline) = 0 is exactly at 5 %."""
    rng = np.random.default_rng(5)
    a = rng.gamma(4.0, 2.0, 50)
    b = 1.2 * a + rng.normal(0, 2, 50)
    people = rng.integers(0, 20, 50)
    found = compare(visits(a, people.tolist()), visits(b, people.tolist()))
    assert found["relative"] == pytest.approx(b.mean() / a.mean() - 1, rel=1e-12)
    for bound in found["relative_ci95"]:
        assert estimate_mean(b - a - bound * a, people).p_value == pytest.approx(0.05, rel=1e-9)


def test_relative_interval_nears_the_delta_method() -> None:
    rng = np.random.default_rng(6)
    a = rng.gamma(4.0, 2.0, 20_000)
    b = 1.2 * a + rng.normal(0, 2, 20_000)
    found = compare(visits(a), visits(b))
    delta = estimate_mean((b - a - found["relative"] * a) / a.mean(), np.arange(20_000))
    low, high = (found["relative"] + sign * 1.96 * delta.standard_error for sign in (-1, 1))
    assert found["relative_ci95"] == pytest.approx([low, high], rel=1e-3)


def test_no_relative_interval_without_a_baseline_above_zero() -> None:
    nothing = compare(visits([0, 0, 0, 0]), visits([1, 2, 3, 2]))
    assert (nothing["relative"], nothing["relative_ci95"]) == (None, None)
    assert "it earns 2.00 per visit more than a (95 % interval 0.70 to 3.30, paired)" in nothing["reason"]
    vague = compare(visits([-2, -1, 2, 3]), visits([-1, 0, 4, 5]))  # the baseline's interval holds zero
    assert (vague["relative"], vague["relative_ci95"]) == (3.0, None)


numbers = st.floats(-1e3, 1e3)
triples = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        arrays(float, n, elements=numbers),
        arrays(float, n, elements=numbers),
        arrays(np.int64, n, elements=st.integers(0, 5)).map(lambda p: np.concatenate([[0, 1], p[2:]])),
    )
)


@given(triples)
def test_swapping_the_arms_negates_difference_and_interval(data: tuple[Array, Array, NDArray[np.int64]]) -> None:
    a, b, people = data
    there = compare(visits(a, people.tolist()), visits(b, people.tolist()))
    back = compare(visits(b, people.tolist()), visits(a, people.tolist()))
    low, high = there["ci95"]
    assert (back["difference"], back["ci95"]) == (-there["difference"], [-high, -low])
    assert back["p_value"] == there["p_value"]
    assert back["pairing_factor"] == there["pairing_factor"]


@given(triples, st.floats(-1e3, 1e3))
def test_a_constant_added_to_both_arms_changes_nothing(
    data: tuple[Array, Array, NDArray[np.int64]], constant: float
) -> None:
    a, b, people = data
    before = compare(visits(a, people.tolist()), visits(b, people.tolist()))
    after = compare(visits(a + constant, people.tolist()), visits(b + constant, people.tolist()))
    for key in ("difference", "ci95", "minimum_detectable_effect"):
        assert after[key] == pytest.approx(before[key], rel=1e-9, abs=1e-9)


@given(triples, st.randoms(use_true_random=False))
def test_the_order_of_users_changes_nothing(data: tuple[Array, Array, NDArray[np.int64]], random: Any) -> None:
    a, b, people = data
    order = list(range(len(a)))
    random.shuffle(order)
    scale = 1 + np.abs(b - a).max()
    straight, shuffled = estimate_mean(b - a, people), estimate_mean((b - a)[order], people[order])
    assert shuffled.mean == pytest.approx(straight.mean, abs=1e-12 * scale)
    assert shuffled.ci95 == pytest.approx(straight.ci95, abs=1e-11 * scale)  # t is 12.7 with two people


@given(triples)
def test_relative_and_absolute_interval_agree_about_zero(data: tuple[Array, Array, NDArray[np.int64]]) -> None:
    a, b, people = data
    a, b = a + 2e3, b + 2e3
    found = compare(visits(a, people.tolist()), visits(b, people.tolist()))
    if found["relative_ci95"] is not None and min(map(abs, found["ci95"])) > 1e-6:
        low, high = found["ci95"]
        relative_low, relative_high = found["relative_ci95"]
        assert (relative_low > 0, relative_high < 0) == (low > 0, high < 0)


def test_results_json() -> None:
    a = replace(BASE, generated=np.array([0.0, 0.5, 1.0, 0.5]))
    results = compare_strategies({"a": a, "b": GOOD, "c": BASE}, seed=7, world={"slate_size": 10})
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert (results["world"], results["seed"], results["users"]) == ({"slate_size": 10}, 7, 4)
    assert list(results) == ["world", "seed", "users", "strategies", "comparisons"]
    assert [(c["baseline"], c["candidate"], c["metric"]) for c in results["comparisons"]] == [
        ("a", "b", "return"),
        ("a", "c", "return"),
    ]
    metrics = ["return", "click_rate", "visit_length", "satisfaction", "diversity", "generated_share"]
    assert [list(s) for s in results["strategies"].values()] == [metrics] * 3
    assert results["strategies"]["a"]["generated_share"]["mean"] == 0.5
    assert results["strategies"]["b"]["generated_share"] is None
    half = T3 * math.sqrt(1 / 3 / 4)  # 12, 12, 13, 13
    assert results["strategies"]["b"]["return"] == {
        "mean": 12.5,
        "ci95": pytest.approx([12.5 - half, 12.5 + half], rel=1e-12),
    }
    assert list(results["comparisons"][0]) == [
        *("baseline", "candidate", "metric", "difference", "ci95", "relative", "relative_ci95", "p_value"),
        *("p_value_holm", "plain", "minimum_detectable_effect", "pairing_factor", "adjusted_factor", "luck"),
        *("guardrails", "verdict", "reason", "users_needed"),
    ]
    rails = results["comparisons"][0]["guardrails"]
    assert [g["metric"] for g in rails] == ["click_rate", "visit_length", "satisfaction", "diversity"]
    assert {tuple(g) for g in rails} == {
        ("metric", "difference", "ci95", "p_value", "margin", "less_is_better", "fails", "worse")
    }


def test_one_strategy_is_described_without_a_comparison() -> None:
    assert compare_strategies({"a": BASE}, seed=0, world={})["comparisons"] == []


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="no strategies"):
        compare_strategies({}, seed=0, world={})
    with pytest.raises(ValueError, match="b and a were not shown to the same users"):
        compare(BASE, replace(GOOD, people=GOOD.people[::-1]))
    with pytest.raises(InputError, match="baseline 'A' is not among a, b; did you mean 'a'"):
        compare_strategies({"a": BASE, "b": GOOD}, seed=0, world={}, baseline="A")
    with pytest.raises(InputError, match="at least 2 different people, found 1; simulate more users"):
        compare(visits([1, 2], [3, 3]), visits([2, 3], [3, 3]))
    with pytest.raises(ValueError, match="finite values expected, found nan in row 2"):
        compare(BASE, replace(GOOD, satisfaction=np.array([0.5, 0.5, np.nan, 0.5])))
