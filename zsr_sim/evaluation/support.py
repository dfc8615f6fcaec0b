"""Does a gain live where the log has been? A world is fitted to what people met; elsewhere it only extrapolates.

Outside lie items that nobody met, and states (what a user's history says) that nobody was in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.history import pooled
from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.evaluation.replay import LASTING, Replay
from zsr_sim.interactions import Interactions

MOST_FROM_OUTSIDE = 0.5  # of a gain; more, and it rests on items or states that nobody is known to have met
LOG_STATES = 4000  # of the log at most: half of them measure how far the other half reaches
REACH = 0.99  # share of the log's own states that count as inside
LEAST_ITEMS = 5  # in the history of a state of the log: shorter ones lie far from each other, and nobody visits so new


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


def log_states(
    log: Interactions, vectors: NDArray[np.float32], seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """History vectors that people of the log went through, float32 (m, d) each: of one half of them, and of the other.

    A state is what a user's history said after one of the interactions, from the fifth on where there are such, drawn
    evenly; at most LOG_STATES in all.
    """
    place = np.arange(len(log)) - log.starts[log.users]
    rows = np.flatnonzero(place + 1 >= min(LEAST_ITEMS, int(place.max(initial=0)) + 1))
    rows = np.sort(np.random.default_rng(seed).choice(rows, min(len(rows), LOG_STATES), replace=False))
    histories = np.column_stack([log.items_before(rows, HISTORY_LENGTH - 1), log.items[rows]])
    states, second = pooled(histories, vectors, LASTING), log.users[rows] % 2 == 1
    return states[~second], states[second]


def state_support(
    baseline: Replay, candidate: Replay, known: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> dict[str, Any] | None:
    """How much of what a candidate earns is earned in states that the log never saw; JSON-ready.

    known: `log_states`. A state lies outside where 1 minus its cosine with the nearest known state is more than
    `reach`: that within which 99 % of the states of one half of the log's people lie of the other half's. Nobody's
    empty history lies outside.

    visited_outside: share of pages that were shown to users in such a state. return_outside: share of the return earned
    there. distance: mean over pages. gain_outside: return per visit gained there, as a share of all gained; null unless
    there is a gain. alarm: more than half of the gain is from there. None for a log of fewer than two people.
    """
    if not all(len(half) for half in known):
        return None
    reach = float(np.quantile(_from_nearest(known[1], known[0]), REACH))
    everything = np.concatenate(known)
    sides = {"baseline": baseline, "candidate": candidate}
    there = {name: side.slates[:, :, 0] >= 0 for name, side in sides.items()}  # (n, pages)
    distance = {name: _from_nearest(side.states[there[name]], everything) for name, side in sides.items()}
    total = {name: float(side.rewards.sum(dtype=np.float64)) / len(side.rewards) for name, side in sides.items()}
    outside = {
        name: float(side.rewards[there[name]][distance[name] > reach].sum(dtype=np.float64)) / len(side.rewards)
        for name, side in sides.items()
    }
    gain = total["candidate"] - total["baseline"]
    share = (outside["candidate"] - outside["baseline"]) / gain if gain > 0 else None
    return {
        "reach": reach,
        "visited_outside": {name: float((found > reach).mean()) for name, found in distance.items()},
        "return_outside": {name: outside[name] / total[name] if total[name] else 0.0 for name in sides},
        "distance": {name: float(found.mean()) for name, found in distance.items()},
        "gain_outside": share,
        "alarm": share is not None and share > MOST_FROM_OUTSIDE,
    }


def _from_nearest(states: NDArray[np.float32], known: NDArray[np.float32], chunk: int = 4096) -> NDArray[np.float64]:
    """1 minus the cosine with the nearest known state, (n,); 0 for an empty history."""
    parts = np.array_split(states, max(1, -(-len(states) // chunk)))
    nearest = np.concatenate([(part @ known.T).max(axis=1) for part in parts])
    return np.where(states.any(axis=1), 1.0 - nearest, 0.0).astype(np.float64)


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
