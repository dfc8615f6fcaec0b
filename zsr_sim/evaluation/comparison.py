"""Paired comparison: the same simulated users under every strategy, and a verdict on each against a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.visits import Visits
from zsr_sim.errors import InputError, nearest
from zsr_sim.evaluation.estimates import Estimate, estimate_mean, relative_effect
from zsr_sim.evaluation.verdict import GUARDRAILS, Effect, GuardrailFinding, decide, explain, users_needed

PRIMARY = "return"
"""The metric that decides, unless a guardrail forbids."""

_FIELDS = {
    "return": "returns",
    "click_rate": "click_rate",
    "visit_length": "pages",
    "satisfaction": "satisfaction",
    "diversity": "diversity",
}
"""Metric in results.json: column of `Visits`. Each is a mean over users of one number per visit."""


def compare_strategies(
    visits: Mapping[str, Visits],
    *,
    seed: int,
    world: dict[str, object],
    baseline: str | None = None,
    independent: bool = False,
) -> dict[str, Any]:
    """What results.json holds of a comparison (DESIGN section 5): every strategy's means, every candidate against one.

    visits: what the same users, in the same order, did under each strategy. seed, world: what they were simulated
    with, passed on as they are. baseline: the strategy that the others are held against, the first by default.
    independent: the users met other luck under each strategy. The difference is still taken user by user and the
    formulas are the same: they estimate its variance from the differences themselves, whatever pairing saved.

    Each comparison holds the mean difference in return (candidate minus baseline) with its 95 % interval and p-value
    (`estimate_mean`), the relative difference with Fieller's interval (`relative_effect`; null where there is none),
    the minimum detectable effect (clicks per visit; 80 % power, two-sided 5 %), and `pairing_factor`: how many times
    wider the interval would be with other users for each strategy,

        sqrt((v_a + v_b) / v_d),   v: squared standard errors of both means and of their difference; null where v_d = 0.

    The verdict follows `VERDICT_RULE`; `users_needed` is null unless it is inconclusive and nobody visits twice. All
    numbers are finite.

    Raises ValueError where the strategies met different users or a figure is not finite, InputError for an unknown
    baseline or fewer than two people.
    """
    if not visits:
        raise ValueError("no strategies to compare")
    first, *_ = visits
    baseline = first if baseline is None else baseline
    if baseline not in visits:
        raise InputError(f"baseline {baseline!r} is not among {', '.join(visits)}{nearest(baseline, visits)}")
    people = visits[baseline].people
    for name, other in visits.items():
        if not np.array_equal(other.people, people):
            raise ValueError(f"{name} and {baseline} were not shown to the same users in the same order")
    summaries = {name: {m: estimate_mean(_column(v, m), people) for m in _FIELDS} for name, v in visits.items()}
    return {
        "world": world,
        "seed": seed,
        "users": len(people),
        "strategies": {name: _strategy(summaries[name], visits[name]) for name in visits},
        "comparisons": [
            _compare((baseline, candidate), visits, summaries, independent)
            for candidate in visits
            if candidate != baseline
        ],
    }


def _column(visits: Visits, metric: str) -> NDArray[np.float64]:
    column: NDArray[np.float64] = getattr(visits, _FIELDS[metric])
    return column


def _strategy(summary: dict[str, Estimate], visits: Visits) -> dict[str, Any]:
    entries: dict[str, Any] = {name: _entry(estimate) for name, estimate in summary.items()}
    known = not np.isnan(visits.generated).any()
    return entries | {"generated_share": _entry(estimate_mean(visits.generated, visits.people)) if known else None}


def _entry(estimate: Estimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "ci95": list(estimate.ci95)}


def _compare(
    names: tuple[str, str],
    visits: Mapping[str, Visits],
    summaries: dict[str, dict[str, Estimate]],
    independent: bool,
) -> dict[str, Any]:
    a, b = (visits[name] for name in names)
    mean_a, mean_b = (summaries[name] for name in names)
    differences = {m: estimate_mean(_column(b, m) - _column(a, m), a.people) for m in _FIELDS}
    guardrails = [GuardrailFinding.of(g, differences[g.metric], mean_a[g.metric].mean) for g in GUARDRAILS]
    difference = differences[PRIMARY]
    relative, relative_ci95 = relative_effect(mean_a[PRIMARY], mean_b[PRIMARY], difference)
    effect = Effect(
        baseline=names[0],
        difference=difference,
        relative=None if relative is None or relative_ci95 is None else (relative, relative_ci95),
        identical=np.array_equal(_column(a, PRIMARY), _column(b, PRIMARY)),
        users=len(a.people),
        luck="independent luck" if independent else "paired",
    )
    verdict = decide(difference, guardrails)
    repeated = len(np.unique(a.people)) < len(a.people)  # then more visits of the same people would not settle it
    needed = users_needed(effect, guardrails) if verdict == "inconclusive" and not repeated else None
    return {
        "baseline": names[0],
        "candidate": names[1],
        "metric": PRIMARY,
        "difference": difference.mean,
        "ci95": list(difference.ci95),
        "relative": relative,
        "relative_ci95": None if relative_ci95 is None else list(relative_ci95),
        "p_value": difference.p_value,
        "minimum_detectable_effect": difference.minimum_detectable_effect,
        "pairing_factor": _pairing_factor(mean_a[PRIMARY], mean_b[PRIMARY], difference),
        "luck": "independent" if independent else "same",
        "guardrails": [g.to_json() for g in guardrails],
        "verdict": verdict,
        "reason": explain(effect, guardrails, needed),
        "users_needed": needed,
    }


def _pairing_factor(baseline: Estimate, candidate: Estimate, difference: Estimate) -> float | None:
    if difference.standard_error == 0:
        return None
    return math.hypot(baseline.standard_error, candidate.standard_error) / difference.standard_error
