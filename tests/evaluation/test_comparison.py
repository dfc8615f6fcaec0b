"""Comparisons: intervals with known answers, what they promise in repetition, and every branch of the verdict."""

import doctest
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

from zsr_sim.envs.dynamics import DynamicsLaw, leave_hazard
from zsr_sim.envs.visits import Visits, page_diversity
from zsr_sim.errors import InputError
from zsr_sim.evaluation import estimates
from zsr_sim.evaluation.comparison import compare_strategies
from zsr_sim.evaluation.estimates import POWER_FACTOR, Estimate, estimate_mean, relative_effect
from zsr_sim.evaluation.verdict import GUARDRAILS, VERDICT_RULE, verdict_sentence

Array = NDArray[np.float64]
T3 = 3.182446305284263  # Student's t, 3 degrees of freedom, 97.5 % quantile (any printed table: 3.182)


def visits(returns: list[float] | Array, people: list[int] | None = None, **columns: float | Array) -> Visits:
    """Visits with these returns; other columns are the same for every user unless given."""
    n = len(returns)
    usual: dict[str, float | Array] = {"pages": 8.0, "click_rate": 0.25, "satisfaction": 0.5, "diversity": 0.8}
    filled = {name: np.broadcast_to(np.asarray(v, dtype=float), n) for name, v in (usual | columns).items()}
    filled.setdefault("generated", np.full(n, np.nan))
    return Visits(
        people=np.arange(n) if people is None else np.array(people), returns=np.array(returns, dtype=float), **filled
    )


def compare(a: Visits, b: Visits, independent: bool = False) -> dict[str, Any]:
    """The one comparison of two strategies, a and b."""
    results = compare_strategies({"a": a, "b": b}, seed=0, world={}, independent=independent)
    only: dict[str, Any] = results["comparisons"][0]
    return only


def spread(mean: float, half_width: float, n: int = 4) -> Array:
    """n values, half of them above the mean and half below, whose 95 % interval is mean -+ half_width exactly."""
    step = half_width / float(stats.t.ppf(0.975, n - 1)) * math.sqrt(n - 1)  # the se of -+step is step / sqrt(n - 1)
    return np.asarray(mean + step * np.tile([1.0, -1.0], n // 2))


# --- closed forms


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


def test_power_factor() -> None:
    assert pytest.approx(1.959963984540054 + 0.8416212335729143, rel=1e-14) == POWER_FACTOR


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
    assert "it earns 2.0 clicks per visit more than a (95 % interval 0.7 to 3.3, paired)" in nothing["reason"]
    vague = compare(visits([-2, -1, 2, 3]), visits([-1, 0, 4, 5]))  # the baseline's interval holds zero
    assert (vague["relative"], vague["relative_ci95"]) == (3.0, None)


def test_relative_effect_of_nothing_is_exactly_zero() -> None:
    one = Estimate(0.1, 0.03, 9)
    assert relative_effect(one, one, Estimate(0.0, 0.0, 9)) == (0.0, (0.0, 0.0))


# --- what the intervals promise


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


# --- properties

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


# --- the verdict

GOOD = visits([12.0, 12.0, 13.0, 13.0])
BASE = visits([10.0, 11.0, 10.0, 11.0])


def guardrail(found: dict[str, Any], metric: str) -> dict[str, Any]:
    """The entry of one guardrail."""
    return next(g for g in found["guardrails"] if g["metric"] == metric)


def test_ship() -> None:
    found = compare(BASE, GOOD)
    assert found["verdict"] == "ship"
    assert found["users_needed"] is None
    assert found["reason"].endswith("and no guardrail is worse")


def test_do_not_ship_what_earns_less() -> None:
    found = compare(GOOD, BASE)
    assert found["verdict"] == "do not ship"
    assert found["reason"].startswith("it earns 16.0 % less than a (95 % interval ")
    assert found["users_needed"] is None


def test_inconclusive_where_the_interval_holds_zero() -> None:
    found = compare(visits(np.full(4, 10.0)), visits(spread(10.5, 1.0)))
    assert found["verdict"] == "inconclusive"
    assert found["ci95"] == pytest.approx([-0.5, 1.5])
    se = 1.0 / T3
    needed = math.ceil(4 * (POWER_FACTOR * se / 0.5) ** 2)
    assert found["users_needed"] == needed == 13
    assert found["reason"] == (
        "its return differs from that of a by +5.0 % (95 % interval -5.0 to +15.0, paired), which may be chance; "
        "about 13 users would settle it if it is as large as it looks"
    )


def test_a_strategy_against_itself_is_identical() -> None:
    found = compare(BASE, replace(BASE))
    assert (found["difference"], found["ci95"], found["p_value"]) == (0.0, [0.0, 0.0], 1.0)
    assert (found["relative"], found["relative_ci95"]) == (0.0, [0.0, 0.0])
    assert (found["verdict"], found["reason"]) == ("inconclusive", "identical on every user")
    assert (found["users_needed"], found["pairing_factor"]) == (None, None)
    assert not any(g["fails"] or g["worse"] for g in found["guardrails"])


def test_identical_returns_do_not_hide_a_harmed_guardrail() -> None:
    found = compare(BASE, replace(BASE, satisfaction=np.full(4, 0.4)))
    assert found["verdict"] == "do not ship"
    assert found["reason"] == (
        "its return is identical on every user, and satisfaction has fallen by more than the 2 % allowed "
        "(-20.0 %, 95 % interval -20.0 to -20.0)"
    )


@pytest.mark.parametrize("rail", GUARDRAILS, ids=lambda rail: str(rail.metric))
def test_each_guardrail_forbids_and_doubts(rail: Any) -> None:
    """Around the margin: wholly above passes, across it fails, wholly below is worse."""
    column = {"visit_length": "pages"}.get(rail.metric, rail.metric)
    mean = float(getattr(BASE, column)[0])
    margin = rail.margin * mean
    for centre, fails, worse, verdict in (
        (-0.8, False, False, "ship"),
        (-0.95, True, False, "inconclusive"),
        (-1.05, True, False, "inconclusive"),
        (-1.2, True, True, "do not ship"),
    ):
        changed: dict[str, Any] = {column: mean + spread(centre * margin, 0.1 * margin)}
        found = compare(BASE, replace(GOOD, **changed))
        entry = guardrail(found, rail.metric)
        assert entry["margin"] == pytest.approx(margin)
        assert entry["ci95"] == pytest.approx([(centre - 0.1) * margin, (centre + 0.1) * margin])
        assert (entry["fails"], entry["worse"], found["verdict"]) == (fails, worse, verdict)
        assert (rail.metric.replace("_", " ") in found["reason"]) == fails


def test_a_doubted_guardrail_says_so_and_what_would_settle_it() -> None:
    found = compare(BASE, replace(GOOD, diversity=0.8 + spread(-0.076, 0.008)))  # margin 0.08
    assert found["reason"].endswith(
        "but diversity may have fallen by more than the 10 % allowed (-9.5 %, 95 % interval -10.5 to -8.5); "
        "about 13 users would settle it if it is as large as it looks"
    )
    assert found["users_needed"] == math.ceil(4 * (POWER_FACTOR * 0.008 / T3 / 0.004) ** 2) == 13


def test_more_return_does_not_pay_for_a_harmed_guardrail() -> None:
    found = compare(BASE, replace(GOOD, diversity=np.full(4, 0.6)))
    assert found["verdict"] == "do not ship"
    assert ", but diversity has fallen by more than the 10 % allowed (-25.0 %" in found["reason"]


def test_margin_of_a_metric_that_is_zero() -> None:
    """Nothing to lose: equal is no failure, less is."""
    flat = replace(BASE, diversity=np.zeros(4))
    assert compare(flat, replace(GOOD, diversity=np.zeros(4)))["verdict"] == "ship"
    lower = compare(flat, replace(GOOD, diversity=np.full(4, -0.1)))
    assert lower["verdict"] == "do not ship"
    assert "diversity has fallen (-0.1, 95 % interval -0.1 to -0.1)" in lower["reason"]


def test_users_needed_is_none_where_no_number_would_settle_it() -> None:
    exactly_zero = compare(visits(np.full(4, 10.0)), visits(spread(10.0, 1.0)))
    assert (exactly_zero["verdict"], exactly_zero["users_needed"]) == ("inconclusive", None)
    next_to_zero = compare(visits(np.full(4, 10.0)), visits(spread(10.0 + 1e-5, 1.0)))
    assert next_to_zero["users_needed"] is None


def test_independent_luck_is_said() -> None:
    found = compare(BASE, GOOD, independent=True)
    assert found["luck"] == "independent"
    assert "independent luck)" in found["reason"]
    same = compare(BASE, GOOD)
    assert same["luck"] == "same"
    assert {k: v for k, v in same.items() if k not in ("luck", "reason")} == {
        k: v for k, v in found.items() if k not in ("luck", "reason")
    }


def test_the_rule_names_every_margin() -> None:
    for words in ("click rate 2 %", "visit length 2 %", "satisfaction 2 %", "diversity 10 %"):
        assert words in VERDICT_RULE


def test_the_reasons_for_the_margins_are_true() -> None:
    def page_with_alike(k: int) -> float:
        items = np.eye(10, dtype=np.float32)
        items[:k] = items[0]
        return float(page_diversity(items[None])[0])

    assert 1 - page_with_alike(3) == pytest.approx(0.0667, abs=1e-4)
    assert 1 - page_with_alike(4) == pytest.approx(0.1333, abs=1e-4)
    slope = DynamicsLaw().leave_slope
    before, after = (leave_hazard(satisfaction, 0.0, slope) for satisfaction in (0.5, 0.49))
    assert after / (1 - after) / (before / (1 - before)) == pytest.approx(1.05, abs=0.002)


# --- the sentence


def test_sentence_of_the_demo() -> None:
    rng = np.random.default_rng(1)
    base = rng.gamma(4.0, 2.0, 4000)
    results = compare_strategies(
        {
            "random": visits(base * 0.5 + rng.normal(0, 1, 4000)),
            "similarity": visits(base),
            "policy-gradient": visits(base * 1.185 + rng.normal(0, 1, 4000)),
        },
        seed=0,
        world={},
        baseline="similarity",
    )
    assert [c["candidate"] for c in results["comparisons"]] == ["random", "policy-gradient"]
    last = results["comparisons"][1]
    low, high = (100 * x for x in last["relative_ci95"])
    assert verdict_sentence(results) == (
        f"Verdict: ship policy-gradient. It earns {100 * last['relative']:.1f} % more than similarity "
        f"(95 % interval {low:.1f} to {high:.1f}, paired), and no guardrail is worse."
    )
    assert verdict_sentence(results, "random").startswith("Verdict: do not ship random. It earns ")
    assert verdict_sentence(json.loads(json.dumps(results))) == verdict_sentence(results)
    with pytest.raises(ValueError, match="no comparison of popularity; the strategies are "):
        verdict_sentence(results, "popularity")


def test_sentence_of_an_inconclusive_comparison() -> None:
    results = compare_strategies({"a": BASE, "a-again": BASE}, seed=0, world={})
    assert verdict_sentence(results) == "Verdict: inconclusive for a-again. Identical on every user."


def test_small_effects_are_not_written_as_zero() -> None:
    found = compare(visits(np.full(4, 100.0)), visits(spread(100.05, 0.03)))
    assert "it earns 0.05 % more than a (95 % interval 0.02 to 0.08, paired)" in found["reason"]


# --- the shape of the results


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
        *("minimum_detectable_effect", "pairing_factor", "luck", "guardrails", "verdict", "reason", "users_needed"),
    ]
    rails = results["comparisons"][0]["guardrails"]
    assert [g["metric"] for g in rails] == ["click_rate", "visit_length", "satisfaction", "diversity"]
    assert {tuple(g) for g in rails} == {("metric", "difference", "ci95", "margin", "fails", "worse")}


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
