"""Intervals as rows of a forest plot: a bar beside each number, drawn by the page itself and in its colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zsr_sim.reporting.numbers import against, decimals, relative_to, signed

WIDEST = 60.0  # per cent of the baseline; what reaches further is cut there and told in numbers
SIDE = 100.0  # half the width of a bar's drawing, in its own units


class Effect(NamedTuple):
    """A difference with its interval. tone: yes, no or open. margin: how far it may go the wrong way, with its sign."""

    label: str
    words: str
    mean: float
    low: float
    high: float
    tone: str
    margin: float | None = None


class Bar(NamedTuple):
    """An effect, placed: positions run from 0 to 200, zero lies at 100. cut: an end is out of sight."""

    label: str
    words: str
    mean: str
    low: str
    high: str
    tone: str
    margin: str
    cut: bool


def bars(effects: Sequence[Effect], widest: float = WIDEST) -> list[Bar]:
    """The effects on one scale, which holds all of them or reaches `widest` to either side."""
    ends = [abs(end) for e in effects for end in (e.low, e.high, *([] if e.margin is None else [e.margin]))]
    reach = min(max(ends, default=0.0), widest) * 1.05 or 1.0

    def place(value: float) -> str:
        return f"{SIDE + SIDE * max(-1.0, min(1.0, value / reach)):.1f}"

    return [
        Bar(
            e.label, e.words, place(e.mean), place(e.low), place(e.high), e.tone,
            "" if e.margin is None else place(e.margin), max(abs(e.low), abs(e.high)) > reach,
        )
        for e in effects
    ]  # fmt: skip


def metric_bars(results: Mapping[str, Any]) -> list[tuple[str, list[Bar]]]:
    """For each candidate: the return and every guardrail, in per cent of the baseline's mean."""
    return [
        (c["candidate"], bars(list(_metrics(c, results["strategies"][c["baseline"]])))) for c in results["comparisons"]
    ]


def _metrics(comparison: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[Effect]:
    if comparison["relative_ci95"] is not None:
        low, high = (100 * bound for bound in comparison["relative_ci95"])
        tone = "yes" if low > 0 else "no" if high < 0 else "open"
        yield Effect("return", against(dict(comparison)), 100 * comparison["relative"], low, high, tone)
    for rail in comparison["guardrails"]:
        mean = baseline[rail["metric"]]["mean"]
        if mean:
            scale = 100 / abs(mean)
            low, high = (scale * bound for bound in rail["ci95"])
            words = relative_to(mean, rail["difference"], rail["ci95"])
            tone = "no" if rail["worse"] else "open" if rail["fails"] else "yes"
            margin = scale * rail["margin"] * (1 if rail["less_is_better"] else -1)
            yield Effect(rail["metric"].replace("_", " "), words, scale * rail["difference"], low, high, tone, margin)


def world_bars(results: Mapping[str, Any]) -> list[tuple[str, str, list[Bar]]]:
    """For each candidate a sentence, and its effect in each world in return per visit: this one first."""
    found = []
    for across in (results.get("worlds") or {}).get("candidates", []):
        here = next(c for c in results["comparisons"] if c["candidate"] == across["candidate"])
        rows = [("this world", here), *((f"world {n}", effect) for n, effect in enumerate(across["effects"], 1))]
        n = len(across["effects"])
        words = (
            f"It earns more in {round(n * across['wins'])} of {n} other worlds and ships in "
            f"{round(n * across['ships'])}. Mean difference {across['mean']:+.2f}, spread between worlds "
            f"{across['spread']:.2f}, worst {across['worst']:+.2f} per visit."
        )
        effects = [_return(f"{label}: {row['verdict']}", row) for label, row in rows]
        found.append((across["candidate"], words, bars(effects, float("inf"))))
    return found


def segment_bars(results: Mapping[str, Any], most: int = 8) -> list[tuple[str, list[Bar]]]:
    """For each candidate its worst segments, in return per visit."""
    found = []
    for comparison in results["comparisons"]:
        name = comparison["candidate"]
        rows = [row for row in results.get("segments", []) if row["candidate"] == name][:most]
        effects = [_return(f"{row['kind']}: {row['segment']} ({row['users']:,} users)", row) for row in rows]
        if effects:
            found.append((name, bars(effects, float("inf"))))
    return found


def _return(label: str, row: Mapping[str, Any]) -> Effect:
    low, high = row["ci95"]
    d = decimals(low, high, 2)
    tone = "yes" if low > 0 else "no" if high < 0 else "open"
    words = f"{signed(row['difference'], d)} [{signed(low, d)}, {signed(high, d)}]"
    return Effect(label, words, row["difference"], low, high, tone)
