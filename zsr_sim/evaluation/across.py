"""The same question in several worlds: what a verdict owes to the one world that it was found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


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
