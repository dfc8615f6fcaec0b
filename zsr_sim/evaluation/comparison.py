"""Paired comparison: the same simulated users under every strategy, and a verdict on each against a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.visits import Visits
from zsr_sim.errors import InputError, nearest
from zsr_sim.evaluation.adjustment import adjust
from zsr_sim.evaluation.estimates import Estimate, estimate_mean, relative_effect
from zsr_sim.evaluation.following import Followed
from zsr_sim.evaluation.metrics import PRIMARY, metrics_of
from zsr_sim.evaluation.multiplicity import holm
from zsr_sim.evaluation.verdict import GUARDRAILS, Effect, GuardrailFinding, decide, explain, users_needed

Columns = Mapping[str, NDArray[np.float64]]


class Looks(NamedTuple):
    """How often the data are looked at before the verdict: first after `first` users, tightest about `planned`."""

    first: int
    planned: float


def compare_strategies(
    visits: Mapping[str, Visits],
    *,
    seed: int,
    world: dict[str, object],
    baseline: str | None = None,
    independent: bool = False,
    extra: Mapping[str, Columns] | None = None,
    looks: Looks | None = None,
    followed: Mapping[str, Followed] | None = None,
) -> dict[str, Any]:
    """What results.json holds of a comparison (DESIGN section 5): every strategy's means, every candidate against one.

    visits: what the same users, in the same order, did under each strategy. seed, world: what they were simulated
    with, passed on as they are. baseline: the strategy that the others are held against, the first by default.
    independent: the users met other luck under each strategy. The difference is still taken user by user and the
    formulas are the same: they estimate its variance from the differences themselves, whatever pairing saved. extra:
    further metrics of each strategy, float64 (m,), of the first m users. looks: None, or the visits are those so far of
    a comparison that is looked at again and again: intervals and p-values of differences are then a confidence
    sequence's (`zsr_sim.evaluation.sequential`). followed: the returns of the same users when they are followed to the
    horizon (`zsr_sim.evaluation.following`); they stand in for the adjusted returns.

    Where the visits know their luck it is regressed out of every metric, strategy by strategy (`adjust`): means,
    differences, intervals and p-values are then adjusted ones, and "plain" beside them holds what they were before.

    Each comparison holds the mean difference in return (candidate minus baseline) with its 95 % interval and p-value
    (`estimate_mean`), that p-value after Holm's correction for all candidates, the relative difference with Fieller's
    interval (`relative_effect`; null where there is none), the minimum detectable effect (of one look; return per
    visit; 80 % power, two-sided 5 %), and how many times wider the interval would be with other users for each strategy
    and no adjustment,

        sqrt((v_a + v_b) / v_d),   v: squared standard errors of both means and of their difference; null where v_d = 0,

    as `pairing_factor` with v_d of the plain difference, and as `adjusted_factor` with that of the adjusted one.

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
    arms = {name: Arm.of(name, v, (extra or {}).get(name), (followed or {}).get(name)) for name, v in visits.items()}
    pairs = [Pair(arms[baseline], arms[name], looks) for name in visits if name != baseline]
    corrected = holm([pair.difference(PRIMARY).p_value for pair in pairs])
    return {
        "world": world,
        "seed": seed,
        "users": len(people),
        "strategies": {name: _strategy(arms[name], visits[name]) for name in visits},
        "comparisons": [_compare(pair, p, len(pairs), independent) for pair, p in zip(pairs, corrected, strict=True)],
    }


@dataclass(frozen=True)
class Arm:
    """One strategy: every metric of every user, as it came (plain) and without known luck (adjusted).

    people: int64 (n,). plain, adjusted: float64 (m,) each, of the first m of them.
    """

    name: str
    people: NDArray[np.int64]
    plain: Columns
    adjusted: Columns

    @classmethod
    def of(cls, name: str, visits: Visits, extra: Columns | None = None, followed: Followed | None = None) -> Arm:
        """The strategy's visits, adjusted where they know their luck; extra, followed: see `compare_strategies`."""
        plain = metrics_of(visits) | dict(extra or {})
        for metric, values in plain.items():
            if not np.isfinite(values).all():  # before least squares meets it
                row = int(np.argmin(np.isfinite(values)))
                raise ValueError(f"finite values expected, found {values[row]} in row {row} of {metric} of {name}")
        luck = visits.luck
        adjusted = {m: adjust(v, luck[: len(v)], visits.people[: len(v)]) for m, v in plain.items()}
        if followed is not None:
            adjusted[PRIMARY] = adjust(followed.returns, followed.luck, visits.people)
        return cls(name, visits.people, plain, adjusted)

    def take(self, rows: NDArray[np.int64]) -> Arm:
        """Some of the users; metrics that not all users have are left out."""
        n = len(self.people)
        whole = [{m: v[rows] for m, v in kind.items() if len(v) == n} for kind in (self.plain, self.adjusted)]
        return Arm(self.name, self.people[rows], *whole)

    def mean(self, metric: str) -> Estimate:
        """The adjusted mean."""
        return self._estimate(self.adjusted[metric])

    def plain_mean(self, metric: str) -> Estimate:
        """The mean as it came."""
        return self._estimate(self.plain[metric])

    def _estimate(self, values: NDArray[np.float64]) -> Estimate:
        return estimate_mean(values, self.people[: len(values)])


class Pair(NamedTuple):
    """A candidate against a baseline, user by user."""

    baseline: Arm
    candidate: Arm
    looks: Looks | None = None

    def difference(self, metric: str) -> Estimate:
        """Candidate minus baseline, adjusted."""
        return self._estimate(self.candidate.adjusted[metric] - self.baseline.adjusted[metric])

    def plain_difference(self, metric: str) -> Estimate:
        """Candidate minus baseline, as it came."""
        return self._estimate(self.candidate.plain[metric] - self.baseline.plain[metric])

    def _estimate(self, values: NDArray[np.float64]) -> Estimate:
        people = self.baseline.people[: len(values)]
        found = estimate_mean(values, people)
        if self.looks is None:
            return found
        early = min(self.looks.first, len(values))
        first = estimate_mean(values[:early], people[:early])
        return found.at_look(first.standard_error, early / self.looks.planned)


def _strategy(arm: Arm, visits: Visits) -> dict[str, Any]:
    entries: dict[str, Any] = {metric: _entry(arm, metric) for metric in arm.plain}
    known = not np.isnan(visits.generated).any()
    generated = estimate_mean(visits.generated, visits.people) if known else None
    return entries | {"generated_share": None if generated is None else generated.figures()}


def _entry(arm: Arm, metric: str) -> dict[str, Any]:
    if arm.adjusted[metric] is arm.plain[metric]:
        return arm.mean(metric).figures()
    return arm.mean(metric).figures() | {"plain": arm.plain_mean(metric).figures()}


def _compare(pair: Pair, p_holm: float, candidates: int, independent: bool) -> dict[str, Any]:
    a, b = pair.baseline, pair.candidate
    guarded = [g for g in GUARDRAILS if g.metric in a.plain and g.metric in b.plain]
    guardrails = [GuardrailFinding.of(g, pair.difference(g.metric), a.mean(g.metric).mean) for g in guarded]
    difference, plain = pair.difference(PRIMARY), pair.plain_difference(PRIMARY)
    relative, relative_ci95 = relative_effect(a.mean(PRIMARY), b.mean(PRIMARY), difference)
    effect = Effect(
        baseline=a.name,
        difference=difference,
        relative=None if relative is None or relative_ci95 is None else (relative, relative_ci95),
        identical=np.array_equal(a.plain[PRIMARY], b.plain[PRIMARY]),
        users=len(a.people),
        luck="independent luck" if independent else "paired",
        p_holm=p_holm,
        candidates=candidates,
    )
    verdict = decide(effect, guardrails)
    repeated = len(np.unique(a.people)) < len(a.people)  # then more visits of the same people would not settle it
    needed = users_needed(effect, guardrails) if verdict == "inconclusive" and not repeated else None
    unpaired = math.hypot(a.plain_mean(PRIMARY).standard_error, b.plain_mean(PRIMARY).standard_error)
    return {
        "baseline": a.name,
        "candidate": b.name,
        "metric": PRIMARY,
        "difference": difference.mean,
        "ci95": list(difference.ci95),
        "relative": relative,
        "relative_ci95": None if relative_ci95 is None else list(relative_ci95),
        "p_value": difference.p_value,
        "p_value_holm": p_holm,
        "plain": {"difference": plain.mean, "ci95": list(plain.ci95), "p_value": plain.p_value},
        "minimum_detectable_effect": difference.minimum_detectable_effect,
        "pairing_factor": unpaired / plain.standard_error if plain.standard_error else None,
        "adjusted_factor": unpaired / difference.standard_error if difference.standard_error else None,
        "luck": "independent" if independent else "same",
        "guardrails": [g.to_json() for g in guardrails],
        "verdict": verdict,
        "reason": explain(effect, guardrails, needed),
        "users_needed": needed,
    }
