"""A user's interests: at which of the items that they consumed these lie, and how likely.

People who like westerns and cooking are near neither of them on average, and which of the items consumed stand for an
interest, and which were come across, nobody says. So all triples of the likeliest are weighed by how well they explain
everything that was consumed.
"""

from __future__ import annotations

import math

import numpy as np

from zsr_sim.compiled import law
from zsr_sim.envs.tables import F32, I32
from zsr_sim.generation.index import dot

SPOTS = 8
"""Items among which a user's three interests are looked for."""
SHARPNESS = 16.0
"""Log-odds to consume an item, per unit of cosine with the nearest interest."""
_AROUND = 3.0  # exp(3 * (cosine - 1)) is how much of an item counts for where exactly an interest lies
_CHANCE = 1e-4  # that something else made a user consume an item, against consuming it for a sharp interest
_CLICKED = 1 / 3  # what was clicked on a page, among little else, says that much of what was sought out says


@law
def find_interests(vectors: F32, crowd: F32, history: I32, page: I32, points: F32, chances: F32) -> None:
    """Fill points (SPOTS, d), unit vectors, and chances (SPOTS,), the probability that an interest lies there.

    A user consumes item i for an interest a with probability exp(16 cos(a, i)) / crowd(a); each triple of interests
    among the items around which most was consumed is as likely as the product over all that was consumed of the sum
    over its three (Bayes, all triples alike before). A point is the mean of what was consumed near its item. Where less
    than three were consumed all are interests; where fewer than SPOTS, the others are zero. vectors: (n, d). crowd:
    (n,), sum of exp(16 (cos(a, i) - 1)) over the item and its known neighbours, by the share that each has of what
    anybody consumes. history: items consumed, -1 before the first. page: (n,), -1 for an item that was consumed before
    the visit.
    """
    points[:], chances[:] = 0.0, 0.0
    items, weights = np.empty(history.shape[0], dtype=np.int32), np.zeros(history.shape[0], dtype=np.float32)
    m = _count(history, page, items, weights)
    weights, own = weights[:m], vectors[items[:m]]  # (m, d)
    cosines, density = np.empty((m, m), dtype=np.float32), np.zeros(m, dtype=np.float32)
    for a in range(m):
        cosines[a, a] = 1.0
        for b in range(a):
            cosines[a, b] = dot(own[a], own[b])
            cosines[b, a] = cosines[a, b]
    for a in range(m):
        for b in range(m):
            density[a] += weights[b] * math.exp(SHARPNESS * (cosines[a, b] - 1.0))
    spots = np.argsort(-density, kind="mergesort")[: points.shape[0]]
    likely = np.empty((spots.shape[0], m), dtype=np.float32)
    for s in range(spots.shape[0]):
        for b in range(m):
            likely[s, b] = math.exp(SHARPNESS * (cosines[spots[s], b] - 1.0)) / crowd[items[spots[s]]] + _CHANCE
        _mean(own, weights, cosines[spots[s]], points[s])
    _weigh_triples(likely, weights, chances)


@law
def _count(history: I32, page: I32, items: I32, weights: F32) -> int:
    """Put each item of the history once, and how much it was consumed, into items and weights; how many."""
    m = 0
    for item in history:
        if item >= 0:
            at = 0
            while at < m and items[at] != item:
                at += 1
            items[at] = item
            m = max(m, at + 1)
            weights[at] += 1.0 if page[item] < 0 else _CLICKED
    return m


@law
def _weigh_triples(likely: F32, weights: F32, chances: F32) -> None:
    """How probable it is that each spot is one of three, likely (spots, m), into chances (spots,) or longer."""
    count, m = likely.shape
    if count <= 3:
        chances[:count] = 1.0
        return
    logs = np.empty(count * (count - 1) * (count - 2) // 6)
    at = 0
    for a in range(count):
        for b in range(a):
            for c in range(b):
                total = 0.0
                for k in range(m):
                    total += weights[k] * math.log(likely[a, k] + likely[b, k] + likely[c, k])
                logs[at] = total
                at += 1
    logs = np.exp(logs - logs.max())
    logs /= logs.sum()
    at = 0
    for a in range(count):
        for b in range(a):
            for c in range(b):
                chances[a] += logs[at]
                chances[b] += logs[at]
                chances[c] += logs[at]
                at += 1


@law
def _mean(vectors: F32, weights: F32, cosines: F32, out: F32) -> None:
    """The direction of the mean of vectors (m, d) by their weights and how near they are, into `out` (d,)."""
    for a in range(vectors.shape[0]):
        weight = np.float32(weights[a] * math.exp(_AROUND * (cosines[a] - 1.0)))
        for j in range(out.shape[0]):
            out[j] += weight * vectors[a, j]
    length = np.float32(max(math.sqrt(dot(out, out)), 1e-12))
    for j in range(out.shape[0]):
        out[j] /= length
