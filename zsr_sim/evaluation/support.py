"""Does a gain live where the log has been? A world is fitted to what people met; elsewhere it only extrapolates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.evaluation.replay import Replay

MOST_FROM_OUTSIDE = 0.5  # of a gain; more, and it rests on items that nobody is known to have met


def support_of(
    baseline: Replay, candidate: Replay, popularity: NDArray[np.float32], vectors: NDArray[np.float32]
) -> dict[str, Any]:
    """How much of what a candidate shows and earns is outside the log; JSON-ready.

    popularity: float32 (n_items,), interactions of each item in the log. vectors: float32 (n_items, d), unit.

    shown_outside: share of the items shown without any interaction, under baseline and candidate. return_outside: share
    of all clicks that such items got. distance: mean over the items shown of 1 minus the cosine with the nearest item
    that has interactions (0 for those themselves). gain_outside: clicks per visit gained on items without interactions,
    as a share of all gained; null unless clicks were gained. alarm: more than half of the gain is from there.
    """
    known = popularity > 0
    distance = _distance(vectors, known)
    sides = {"baseline": baseline, "candidate": candidate}
    outside = {name: _clicks(side, ~known) for name, side in sides.items()}
    clicks = {name: float(side.clicks.sum() / len(side.clicks)) for name, side in sides.items()}
    gain = clicks["candidate"] - clicks["baseline"]
    share = (outside["candidate"] - outside["baseline"]) / gain if gain > 0 else None
    return {
        "users": len(baseline.slates),
        "items_outside": float((~known).mean()),
        "shown_outside": {name: _shown(side, (~known).astype(np.float64)) for name, side in sides.items()},
        "return_outside": {name: outside[name] / clicks[name] if clicks[name] else 0.0 for name in sides},
        "distance": {name: _shown(side, distance) for name, side in sides.items()},
        "gain_outside": share,
        "alarm": share is not None and share > MOST_FROM_OUTSIDE,
    }


def _shown(side: Replay, values: NDArray[np.float64]) -> float:
    return float(values[side.slates[side.slates >= 0]].mean())


def _clicks(side: Replay, items: NDArray[np.bool_]) -> float:
    """Clicks a visit on some of the items."""
    return float(items[side.slates[side.clicks]].sum() / len(side.slates))


def _distance(vectors: NDArray[np.float32], known: NDArray[np.bool_], chunk: int = 1024) -> NDArray[np.float64]:
    distance = np.zeros(len(vectors))
    unknown = np.flatnonzero(~known)
    if not known.any():
        return np.ones(len(vectors))
    for rows in np.array_split(unknown, max(1, -(-len(unknown) // chunk))):
        distance[rows] = 1.0 - (vectors[rows] @ vectors[known].T).max(axis=1, initial=-1.0)
    return distance
