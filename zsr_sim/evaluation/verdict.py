"""The verdict: ship, do not ship or inconclusive, by one written rule, with the reason in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from zsr_sim.evaluation.estimates import POWER_FACTOR, Estimate, power_factor

Interval = tuple[float, float]


class Guardrail(NamedTuple):
    """A metric that a candidate may not harm: how far it may fall at most, as a share of the baseline's mean.

    Where less is better it is how far it may rise.
    """

    metric: str
    margin: float
    reason: str
    less_is_better: bool = False


GUARDRAILS = (
    Guardrail(
        "click_rate",
        0.02,
        "Clicks must not come from longer visits to worse pages. At a click rate of 0.2 and ten items a page, 2 % is "
        "one click in 25 pages.",
    ),
    Guardrail(
        "visit_length",
        0.02,
        "Clicks must not be bought with visits that end sooner. Of visits of ten pages, 2 % is one page in five.",
    ),
    Guardrail(
        "satisfaction",
        0.02,
        "Whoever is less satisfied leaves and does not come back, later than a comparison looks. At a satisfaction of "
        "0.5, 2 % raises the odds of leaving after a page by 5 % (with the default leave slope).",
    ),
    Guardrail(
        "diversity",
        0.20,
        "A page that fits a person better is narrower (among the built-in films, pages by similarity are about 15 % "
        "less diverse than random ones), so this margin is wider. On a page of ten equally different items, four that "
        "become alike cost 13 % and pass, five cost 22 % and fail: a page may focus, but half of it may not become the "
        "same.",
    ),
    Guardrail(
        "return_rate",
        0.02,
        "Who does not come back is lost. Where users come back after 90 sessions in 100, 2 % makes that 88, and the "
        "sessions until they are lost fall from ten to eight and a half. Only in worlds with several sessions.",
    ),
    Guardrail(
        "concentration",
        0.50,
        "The chance that two users are shown the same item. Where it rises by half, it is as if every third item were "
        "gone: with n items shown evenly it is 1 / n, and half as much again with two thirds of them.",
        less_is_better=True,
    ),
)
"""Margins are choices, not estimates: what a product could give up unnoticed for a higher return."""

VERDICT_RULE = (
    "Ship only if the 95 % interval of the difference in return lies above zero and no guardrail fails. Do not ship if "
    "it lies below zero, or if a guardrail is worse. Anything else is inconclusive. With several candidates the "
    "difference in return must also hold at 5 % after Holm's correction. A guardrail fails where its 95 % interval "
    "does not exclude harm beyond its margin (not shown to be harmless), and is worse where the whole interval lies in "
    "harm beyond its margin (shown to be harmful). Margins, as shares of the baseline's mean: "
    + ", ".join(
        f"{g.metric.replace('_', ' ')} {'may rise by ' if g.less_is_better else ''}{100 * g.margin:g} %"
        for g in GUARDRAILS
    )
    + "."
)


@dataclass(frozen=True)
class GuardrailFinding:
    """How a candidate did on one guardrail; `margin` in the metric's unit."""

    guardrail: Guardrail
    difference: Estimate
    margin: float

    @classmethod
    def of(cls, guardrail: Guardrail, difference: Estimate, baseline_mean: float) -> GuardrailFinding:
        """The margin is taken at the baseline's mean as observed; its own error, a small share of it, is left out."""
        return cls(guardrail, difference, guardrail.margin * abs(baseline_mean))

    @property
    def metric(self) -> str:
        """What is guarded."""
        return self.guardrail.metric

    @property
    def benefit(self) -> Estimate:
        """The difference, turned so that more is better."""
        if not self.guardrail.less_is_better:
            return self.difference
        return replace(self.difference, mean=0.0 - self.difference.mean)

    @property
    def fails(self) -> bool:
        """Non-inferiority is not shown."""
        return self.benefit.ci95[0] < -self.margin

    @property
    def worse(self) -> bool:
        """Shown to be worse by more than the margin."""
        return self.benefit.ci95[1] < -self.margin

    def to_json(self) -> dict[str, Any]:
        """The entry in results.json."""
        return {
            "metric": self.metric,
            "difference": self.difference.mean,
            "ci95": list(self.difference.ci95),
            "p_value": self.benefit.p_above(-self.margin),
            "margin": self.margin,
            "less_is_better": self.guardrail.less_is_better,
            "fails": self.fails,
            "worse": self.worse,
        }

    def words(self) -> str:
        """Such as: diversity may have fallen by more than the 20 % allowed (-19.0 %, 95 % interval -21.0 to -17.0)."""
        moved = "risen" if self.guardrail.less_is_better else "fallen"
        happened = f"{self.metric.replace('_', ' ')} {'has' if self.worse else 'may have'} {moved}"
        allowed = self.guardrail.margin
        if self.margin == 0:  # the baseline's mean is 0: nothing to take shares of
            mean, bounds = _written(self.difference.mean, self.difference.ci95, sign="+")
            return f"{happened} ({mean}, 95 % interval {bounds})"
        percent = 100 * allowed / self.margin
        low, high = self.difference.ci95
        mean, bounds = _written(percent * self.difference.mean, (percent * low, percent * high), sign="+")
        return f"{happened} by more than the {100 * allowed:g} % allowed ({mean} %, 95 % interval {bounds})"


@dataclass(frozen=True)
class Effect:
    """The difference in return, as what the words of a verdict need.

    identical: every user got exactly the same return. relative: share and interval, None where there is none. users:
    how many took part. luck: how the strategies were paired, as printed. p_holm: the p-value after Holm's correction
    for all `candidates`.
    """

    baseline: str
    difference: Estimate
    relative: tuple[float, Interval] | None
    identical: bool
    users: int
    luck: str
    p_holm: float
    candidates: int

    @property
    def sign(self) -> int:
        """1 where more is earned, -1 where less, 0 where neither is shown: by interval, and after the correction."""
        low, high = self.difference.ci95
        return 0 if self.p_holm >= 0.05 else 1 if low > 0 else -1 if high < 0 else 0


def decide(effect: Effect, guardrails: Sequence[GuardrailFinding]) -> str:
    """One of "ship", "do not ship" and "inconclusive", by VERDICT_RULE."""
    if effect.sign < 0 or any(g.worse for g in guardrails):
        return "do not ship"
    if effect.sign > 0 and not any(g.fails for g in guardrails):
        return "ship"
    return "inconclusive"


def users_needed(effect: Effect, guardrails: Sequence[GuardrailFinding]) -> int | None:
    """How many users would settle an inconclusive comparison in 80 % of repetitions, were the observed sizes the truth.

    A question is open while its interval holds its threshold (zero for the return, minus the margin for a guardrail),
    that of the return also while Holm's correction forbids to believe it; n * (2.80 * se / distance from it)^2 users
    would close it (of several candidates, the return at the level of Holm's first step). One answer that forbids is
    enough, so where any observed mean lies below its threshold the easiest of those counts, otherwise the hardest of
    all. Visits are taken to be as dependent as in this comparison. None where nothing is open, or where more than 10^9
    users would be needed.
    """
    questions = [
        (effect.difference, 0.0, power_factor(0.05 / effect.candidates), effect.sign == 0),
        *((g.benefit, -g.margin, POWER_FACTOR, g.fails and not g.worse) for g in guardrails),
    ]
    harmful: list[float] = []
    harmless: list[float] = []
    for estimate, threshold, factor, open_ in questions:
        if open_ and estimate.standard_error > 0:
            distance = estimate.mean - threshold
            ratio = factor * estimate.standard_error / abs(distance) if distance else math.inf
            (harmful if distance < 0 else harmless).append(effect.users * ratio**2)
    needed = min(harmful) if harmful else max(harmless, default=math.inf)
    return math.ceil(needed) if needed <= 1e9 else None


def explain(effect: Effect, guardrails: Sequence[GuardrailFinding], needed: int | None) -> str:
    """Why the verdict is what it is: one clause, without capital or full stop."""
    low, _ = effect.difference.ci95
    worse = [g.words() for g in guardrails if g.worse]
    unsure = [g.words() for g in guardrails if g.fails and not g.worse]
    if effect.identical and all(g.difference.ci95 == (0.0, 0.0) for g in guardrails):
        return "identical on every user"
    reason = _effect_words(effect)
    if effect.sign < 0:
        return reason  # what the guardrails say changes nothing
    if effect.difference.p_value < 0.05 <= effect.p_holm:
        reason += f", which does not hold after Holm's correction for {effect.candidates} candidates"
    if worse:
        return f"{reason}, {'but' if low > 0 else 'and'} {'; '.join(worse)}"
    if effect.sign > 0 and not unsure:
        return f"{reason}, and no guardrail is worse"
    link = "" if not unsure else ", but " if low > 0 else "; "
    return f"{reason}{link}{'; '.join(unsure)}{_needed_words(needed)}"


def verdict_sentence(results: Mapping[str, Any], candidate: str | None = None) -> str:
    """The verdict on one candidate, the last by default, from what `compare_strategies` found (or results.json).

    Such as: Verdict: ship policy-gradient. It earns 18.5 % more than similarity (95 % interval 17.9 to 19.1, paired),
    and no guardrail is worse.

    Raises ValueError where nothing was compared, or not this candidate.
    """
    comparisons = [c for c in results["comparisons"] if candidate in (None, c["candidate"])]
    if not comparisons:
        raise ValueError(
            f"no comparison of {candidate or 'any candidate'}; the strategies are {list(results['strategies'])}"
        )
    last = comparisons[-1]
    verdict = f"{last['verdict']}{' for' if last['verdict'] == 'inconclusive' else ''} {last['candidate']}"
    return f"Verdict: {verdict}. {last['reason'][0].upper()}{last['reason'][1:]}."


def _effect_words(effect: Effect) -> str:
    if effect.identical:
        return "its return is identical on every user"
    share, scale, unit, least = effect.relative, 100.0, " %", 1
    if share is None:
        share, scale, unit, least = (effect.difference.mean, effect.difference.ci95), 1.0, " per visit", 2
    mean, low, high = scale * share[0], scale * share[1][0], scale * share[1][1]
    if low > 0:
        value, bounds = _written(mean, (low, high), least)
        return f"it earns {value}{unit} more than {effect.baseline} (95 % interval {bounds}, {effect.luck})"
    if high < 0:
        value, bounds = _written(-mean, (-high, -low), least)
        return f"it earns {value}{unit} less than {effect.baseline} (95 % interval {bounds}, {effect.luck})"
    value, bounds = _written(mean, (low, high), least, "+")
    effect_words = f"its return differs from that of {effect.baseline} by {value}{unit}"
    return f"{effect_words} (95 % interval {bounds}, {effect.luck}), which may be chance"


def _needed_words(needed: int | None) -> str:
    if needed is None:
        return ""
    unit = 10 ** max(len(str(needed)) - 2, 0)  # two digits are enough to plan with
    return f"; about {-(-needed // unit) * unit:,} users would settle it if it is as large as it looks"


def _written(mean: float, bounds: Interval, least: int = 1, sign: str = "") -> tuple[str, str]:
    """("18.5", "17.9 to 19.1"): `least` decimals, or as many as it takes, at most six, to round no bound to zero."""
    decimals = next((d for d in range(least, 6) if all(x == 0 or round(x, d) != 0 for x in bounds)), 6)
    mean_text, low, high = (f"{x:{sign}z.{decimals}f}" for x in (mean, *bounds))
    return mean_text, f"{low} to {high}"
