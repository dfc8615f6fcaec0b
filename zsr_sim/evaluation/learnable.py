"""Is there anything to learn here? What a strategy that sees everything would earn, beside what the baseline earns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zsr_sim.envs.visits import Visits
from zsr_sim.evaluation.estimates import estimate_mean

MYOPIC, PLANNER = "oracle-myopic", "oracle-planner"


def learnable(baseline: str, visits: Mapping[str, Visits]) -> dict[str, Any]:
    """How far the baseline is from the upper references, in expected return per visit; JSON-ready.

    visits: of the same users under the baseline and both oracles. knowing: what the best page now, chosen by the true
    probabilities, earns beyond the baseline. ahead: what planning earns beyond that; where the interval holds 0, no
    far-sighted strategy is shown to pay.
    """

    def beyond(better: str, worse: str) -> dict[str, Any]:
        gap = visits[better].expected_returns - visits[worse].expected_returns
        return estimate_mean(gap, visits[worse].people).figures()

    returns = {name: estimate_mean(v.expected_returns, v.people).figures() for name, v in visits.items()}
    return {
        "users": len(visits[baseline].people),
        "baseline": baseline,
        "returns": returns,
        "knowing": beyond(MYOPIC, baseline),
        "ahead": beyond(PLANNER, MYOPIC),
    }


def learnable_words(found: Mapping[str, Any]) -> str:
    """One sentence."""
    means = {name: entry["mean"] for name, entry in found["returns"].items()}
    knowing, ahead = (
        f"{found[key]['mean']:+.2f} ({found[key]['ci95'][0]:+.2f} to {found[key]['ci95'][1]:+.2f})"
        for key in ("knowing", "ahead")
    )
    return (
        f"Is there anything to learn here? On {found['users']} users {found['baseline']} is expected to earn "
        f"{means[found['baseline']]:.2f} per visit, an oracle that knows the users {means[MYOPIC]:.2f}, one that also "
        f"plans ahead {means[PLANNER]:.2f}: knowing is worth {knowing}, looking ahead {ahead}"
    )
