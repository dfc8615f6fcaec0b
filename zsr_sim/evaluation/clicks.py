"""Click rates by position: a position-based model of the earlier pages of a log against what the later ones brought."""

from __future__ import annotations

from typing import Any

import numpy as np

from zsr_sim.envs.glances import clicked, learn_glances
from zsr_sim.evaluation.lines import EARLIER, Key, compare_statistic
from zsr_sim.evaluation.statistics import Statistic
from zsr_sim.impressions import Impressions


def click_realism(log: Impressions, n_items: int, seed: int, replications: int) -> dict[str, Any] | None:
    """Click rate at each position of the later pages, and simulated; ready for JSON. None where the log cannot tell.

    Each replication fits the earlier pages of a bootstrap sample of their users, and draws clicks on the later pages.
    """
    cut = np.quantile(log.timestamps, EARLIER)
    early, late = (log.take(np.flatnonzero(part)) for part in (log.timestamps < cut, log.timestamps >= cut))
    found = learn_glances(early, n_items) if len(early) and len(late) else None
    if found is None:
        return None
    pages, places = np.nonzero(late.shown)
    items, real = late.items[pages, places], clicked(late)[pages, places]
    runs = []
    for replication in range(replications):
        rng = np.random.default_rng([seed, 9, replication])
        model = learn_glances(early, n_items, rng.poisson(1.0, early.n_users).astype(np.float64)) or found
        runs.append(_rates(rng.random(len(items)) < model.probabilities(items, places), places))
    lines = [compare_statistic(key, value, runs, None) for key, value in _rates(real, places).items()]
    lines.sort(key=lambda line: bool(line["inside"]))
    return {
        "earlier": {"pages": len(early), "until": float(cut)},
        "later": {"pages": len(late), "until": float(log.timestamps.max())},
        "fit": [estimate.to_json() for estimate in found.estimates.values()],
        "statistics": lines,
    }


def _rates(clicks: np.ndarray[Any, np.dtype[np.bool_]], places: np.ndarray[Any, Any]) -> dict[Key, Statistic]:
    counts, sums = np.bincount(places), np.bincount(places, clicks)
    return {
        (f"click rate at position {place + 1}", "all"): Statistic(float(sums[place] / counts[place]), None)
        for place in np.flatnonzero(counts)
    }
