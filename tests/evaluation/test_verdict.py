"""The verdict: every branch of the rule, the users it needs, and its words."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluation.hand_made import BASE, GOOD, T3, compare, spread, visits
from zsr_sim.envs.dynamics import leave_hazard
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.visits import page_diversity
from zsr_sim.evaluation.comparison import compare_strategies
from zsr_sim.evaluation.estimates import POWER_FACTOR
from zsr_sim.evaluation.verdict import GUARDRAILS, VERDICT_RULE, verdict_sentence
from zsr_sim.reporting.numbers import against


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


@pytest.mark.parametrize("rail", GUARDRAILS[:4], ids=lambda rail: str(rail.metric))
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
    found = compare(BASE, replace(GOOD, diversity=0.8 + spread(-0.156, 0.008)))  # margin 0.16
    assert found["reason"].endswith(
        "but diversity may have fallen by more than the 20 % allowed (-19.5 %, 95 % interval -20.5 to -18.5); "
        "about 13 users would settle it if it is as large as it looks"
    )
    assert found["users_needed"] == math.ceil(4 * (POWER_FACTOR * 0.008 / T3 / 0.004) ** 2) == 13


def test_more_return_does_not_pay_for_a_harmed_guardrail() -> None:
    found = compare(BASE, replace(GOOD, diversity=np.full(4, 0.6)))
    assert found["verdict"] == "do not ship"
    assert ", but diversity has fallen by more than the 20 % allowed (-25.0 %" in found["reason"]


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


def test_users_needed_for_the_verdict_that_is_coming() -> None:
    """Among open questions: all must be closed to ship, one that forbids is enough not to."""

    def users(distance: float, half_width: float) -> int:
        return math.ceil(round(4 * (POWER_FACTOR * half_width / T3 / distance) ** 2, 9))

    base = visits(np.full(4, 10.0))
    gains = visits(spread(10.5, 1.0))
    to_ship = compare(base, replace(gains, diversity=0.8 + spread(-0.15, 0.04)))  # 0.01 above minus the margin
    assert to_ship["users_needed"] == users(0.01, 0.04) > users(0.5, 1.0)
    not_to = compare(base, replace(gains, diversity=0.8 + spread(-0.162, 0.004), satisfaction=spread(0.489, 0.01)))
    assert not_to["users_needed"] == users(0.002, 0.004) < users(0.001, 0.01)
    loses = compare(base, replace(visits(spread(9.5, 1.0)), diversity=0.8 + spread(-0.15, 0.04)))
    assert loses["users_needed"] == users(0.5, 1.0)


def test_a_harmed_guardrail_decides_even_where_the_return_is_open() -> None:
    found = compare(visits(np.full(4, 10.0)), visits(spread(10.5, 1.0), diversity=0.6))
    assert (found["verdict"], found["users_needed"]) == ("do not ship", None)
    assert "which may be chance, and diversity has fallen by more than the 20 % allowed" in found["reason"]


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
    for words in ("click rate 2 %", "visit length 2 %", "satisfaction 2 %", "diversity 20 %"):
        assert words in VERDICT_RULE


def test_the_reasons_for_the_margins_are_true() -> None:
    def page_with_alike(k: int) -> float:
        items = np.eye(10, dtype=np.float32)
        items[:k] = items[0]
        return float(page_diversity(items[None])[0])

    assert 1 - page_with_alike(4) == pytest.approx(6 / 45)  # pairs without a difference
    assert 1 - page_with_alike(5) == pytest.approx(10 / 45)
    slope = Traits().leave_slope
    before, after = (leave_hazard(satisfaction, 0.0, slope) for satisfaction in (0.5, 0.49))
    assert after / (1 - after) / (before / (1 - before)) == pytest.approx(1.05, abs=0.002)


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


def test_amounts_per_visit_are_written_as_in_the_table() -> None:
    """Two decimals, as `against` has: mean .04, standard error .193, and t with 7 degrees of freedom 2.365."""
    found = compare(visits(np.zeros(8)), visits(np.array([1.0, 0, 0, -1, 0, 0, 0, 0.32])))
    assert against(found) == "+0.04 [-0.42, 0.50] per visit"
    assert "differs from that of a by +0.04 per visit (95 % interval -0.42 to +0.50, paired)" in found["reason"]


@pytest.mark.parametrize(
    ("people", "half_width", "end"),
    [
        (None, 0.10, r"; about [\d,]+ users would settle it if it is as large as it looks"),
        ([0, 1, 2, 3] * 2, 0.0426, ""),  # each comes twice: nobody can say how many users would do
    ],
)
def test_a_gain_that_holm_takes_away_is_told_in_a_whole_sentence(
    people: list[int] | None, half_width: float, end: str
) -> None:
    """0.11 more with p between .05 / 3 and .05, one of three candidates of which no other is better, no guardrail."""
    base = np.full(8, 10.0)
    arms = {
        "a": base,
        "b": base + spread(0.11, half_width, 8),
        "c": base + spread(0, 1, 8),
        "d": base - spread(0, 1, 8),
    }
    results = compare_strategies({name: visits(own, people) for name, own in arms.items()}, seed=0, world={})
    found = results["comparisons"][0]
    assert (found["verdict"], found["candidate"]) == ("inconclusive", "b")
    told = r"it earns 1\.1 % more than a \(.*\), which does not hold after Holm's correction for 3 candidates"
    assert re.fullmatch(told + end, found["reason"])


def test_small_effects_are_not_written_as_zero() -> None:
    found = compare(visits(np.full(4, 100.0)), visits(spread(100.05, 0.03)))
    assert "it earns 0.05 % more than a (95 % interval 0.02 to 0.08, paired)" in found["reason"]
