"""The same question in several worlds: what a verdict owes to the one world that it was found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau


def across_worlds(worlds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the comparisons of several worlds say together, for each candidate; JSON-ready.

    worlds: for each, what `compare_strategies` found; a strategy that failed in one of them is not counted there.

    Each entry: candidate, effects (one for each world: difference, ci95, relative, verdict), wins (share of worlds
    whose mean difference lies above zero), shown (share whose interval does), ships (share with that verdict), and of
    the differences mean, spread (standard deviation between worlds, which the sampling error within each is part of)
    and worst.
    """
    found = []
    for first in worlds[0]["comparisons"]:
        entries = [c for world in worlds for c in world["comparisons"] if c["candidate"] == first["candidate"]]
        differences = np.array([entry["difference"] for entry in entries])
        found.append(
            {
                "baseline": first["baseline"],
                "candidate": first["candidate"],
                "effects": [
                    {key: entry[key] for key in ("difference", "ci95", "relative", "relative_ci95", "verdict")}
                    for entry in entries
                ],
                "wins": float((differences > 0).mean()),
                "shown": float(np.mean([entry["ci95"][0] > 0 for entry in entries])),
                "ships": float(np.mean([entry["verdict"] == "ship" for entry in entries])),
                "mean": float(differences.mean()),
                "spread": float(differences.std(ddof=1)) if len(differences) > 1 else 0.0,
                "worst": float(differences.min()),
            }
        )
    return found


def order_agreement(here: Mapping[str, Any], worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Does this world order the strategies as others do? None for fewer than three strategies; JSON-ready.

    here, worlds: what `compare_strategies` found in this world and in each other one. Each other world takes the part
    of a reality that the simulator does not know: Kendall's tau-b (Kendall 1945) between the mean returns here and
    there, -1..1, over the strategies that both have; its mean over worlds, and the range that 95 % of worlds lie in.
    """
    taus = []
    for world in worlds:
        common = [name for name in here["strategies"] if name in world["strategies"]]
        if len(common) >= 3:
            both = ([results["strategies"][name]["return"]["mean"] for name in common] for results in (here, world))
            taus.append(float(kendalltau(*both).statistic))
    finite = np.array([tau for tau in taus if np.isfinite(tau)])  # all strategies alike: there is no order
    if not len(finite):
        return None
    low, high = np.quantile(finite, [0.025, 0.975])
    return {
        "strategies": len(here["strategies"]),
        "kendall": finite.tolist(),
        "mean": float(finite.mean()),
        "range95": [float(low), float(high)],
    }
