"""What a comparison found beside its verdict, in sentences: the same on the screen and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zsr_sim.evaluation.learnable import learnable_words
from zsr_sim.evaluation.reliability import reliability_words


def findings(results: Mapping[str, Any], candidate: str) -> list[str]:
    """Sentences about one candidate: precision, other worlds, the worst segment, and alarms."""
    comparison = next(c for c in results["comparisons"] if c["candidate"] == candidate)
    return [
        *_precision(comparison),
        *_worlds(results.get("worlds"), candidate),
        *_segments(results.get("segments", []), candidate),
        *_support(results.get("support", {}).get(candidate)),
    ]


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Sentences about the comparison as a whole: who failed, and how often was looked."""
    said = [f"Failed and left out: {failure['error']}" for failure in results.get("failed", {}).values()]
    if results.get("learnable"):
        said.append(learnable_words(results["learnable"]))
    order = (results.get("worlds") or {}).get("order")
    if order:
        low, high = order["range95"]
        said.append(
            f"Order of the {order['strategies']} strategies here and in {len(order['kendall'])} other worlds: "
            f"Kendall's tau {order['mean']:.2f} on average, {low:.2f} to {high:.2f} in 95 % of them"
        )
    said += reliability_words(results.get("reality"))
    looks = results.get("looks")
    if looks:
        end = "decided" if looks["decided"] else "not decided"
        said.append(
            f"Looked {looks['count']} times, every {looks['every']:,} users, {end} after {results['users']:,} of at "
            f"most {looks['most']:,}; intervals hold for all looks together"
        )
    return said


def _precision(comparison: Mapping[str, Any]) -> Iterator[str]:
    pairing, adjusted = comparison.get("pairing_factor"), comparison.get("adjusted_factor")
    if pairing is None or adjusted is None:
        return
    said = f"Pairing makes the interval {pairing:.1f} times narrower than other users for each strategy would"
    yield said + (f"; with known luck taken out as well, {adjusted:.1f} times" if adjusted != pairing else "")


def _worlds(worlds: Mapping[str, Any] | None, candidate: str) -> Iterator[str]:
    for found in (worlds or {}).get("candidates", []):
        if found["candidate"] == candidate:
            n = len(found["effects"])
            yield (
                f"In {n} other worlds it earns more in {round(n * found['wins'])} and ships in "
                f"{round(n * found['ships'])}: {found['mean']:+.2f} per visit on average, spread "
                f"{found['spread']:.2f}, worst {found['worst']:+.2f}"
            )


def _segments(segments: list[dict[str, Any]], candidate: str) -> Iterator[str]:
    rows = [row for row in segments if row["candidate"] == candidate]
    if rows:
        worst, harmed = rows[0], sum(row["harmed"] for row in rows)
        low, high = worst["ci95"]
        yield (
            f"Worst of {len(rows)} segments, {worst['kind']}, {worst['segment']}: {worst['difference']:+.2f} per "
            f"visit (95 % interval {low:+.2f} to {high:+.2f}); {harmed or 'none'} lose after correction"
        )


def _support(support: Mapping[str, Any] | None) -> Iterator[str]:
    if support and support["alarm"]:
        yield (
            f"ALARM: {100 * support['gain_outside']:.0f} % of the gain is on items that nobody in the log has met; "
            "there the users' behaviour is guessed, not fitted"
        )
    states = (support or {}).get("states")
    if states and states["alarm"]:
        yield (
            f"ALARM: {100 * states['gain_outside']:.0f} % of the gain is earned from users in states that nobody in "
            "the log was in (their histories lie far from everybody's); there their behaviour is guessed, not fitted"
        )
