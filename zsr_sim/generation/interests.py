"""A user's interests: points in the item space around which what they consumed lies densest.

People who like westerns and cooking are near neither of them on average. So the densest spot is found first, what lies
there is taken away, and the next one is found among the rest.
"""

from __future__ import annotations

import math

import numpy as np

from zsr_sim.compiled import law
from zsr_sim.envs.tables import F32, I32

N_INTERESTS = 3
_SHARPNESS = 3.0  # exp(sharpness * (cosine - 1)) is how much of an item lies at a point
_SHIFTS = 2  # means that an interest moves to, one after the other
_NOTHING = 1e-3  # mass that is but rounding
_SOUGHT = 3.0  # what was consumed without having been shown says as much as so many clicks on pages


@law
def find_interests(vectors: F32, history: I32, page: I32, points: F32, mass: F32) -> None:
    """Fill points (k, d), unit vectors, and mass (k,), how much was consumed near each; zeros where nothing is left.

    A point begins at the consumed item with the most around it and moves to the weighted mean of what lies near, twice
    (mean shift: Cheng 1995, "Mean shift, mode seeking, and clustering"). vectors: (n, d). history: items consumed, -1
    before the first. page: (n,), -1 for an item that was consumed before the visit.
    """
    points[:], mass[:] = 0.0, 0.0
    first = 0
    while first < history.shape[0] and history[first] < 0:
        first += 1
    own = vectors[history[first:]]  # (m, d)
    m = own.shape[0]
    weight, near = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    kernel = np.empty((m, m), dtype=np.float32)
    for a in range(m):
        weight[a] = _SOUGHT if page[history[first + a]] < 0 else 1.0
        for b in range(a + 1):
            kernel[a, b] = _overlap(own[a], own[b])
            kernel[b, a] = kernel[a, b]
    for k in range(points.shape[0]):
        best = 0
        for a in range(m):
            density = np.float32(0.0)
            for b in range(m):
                density += weight[b] * kernel[a, b]
            if density > mass[k]:
                best, mass[k] = a, density
        if mass[k] < _NOTHING:
            mass[k] = 0.0
            break
        point = points[k]
        point[:] = own[best]
        for _ in range(_SHIFTS):
            for a in range(m):
                near[a] = weight[a] * _overlap(own[a], point)
            _mean(own, near, point)
        for a in range(m):
            weight[a] *= max(1.0 - _overlap(own[a], point), 0.0)


@law
def _cosine(a: F32, b: F32) -> float:
    total = np.float32(0.0)
    for j in range(a.shape[0]):
        total += a[j] * b[j]
    return float(total)


@law
def _overlap(a: F32, b: F32) -> float:
    return math.exp(_SHARPNESS * (_cosine(a, b) - 1.0))


@law
def _mean(vectors: F32, weights: F32, out: F32) -> None:
    """The direction of the weighted mean of vectors (m, d), into `out` (d,)."""
    out[:] = 0.0
    for a in range(vectors.shape[0]):
        for j in range(out.shape[0]):
            out[j] += weights[a] * vectors[a, j]
    length = math.sqrt(_cosine(out, out))
    for j in range(out.shape[0]):
        out[j] /= max(length, 1e-12)


@law
def nearest_interest(vector: F32, points: F32) -> tuple[float, int]:
    """The cosine of an item (d,) with the nearest of the interests, and which one that is."""
    best, which = -2.0, 0
    for k in range(points.shape[0]):
        cosine = _cosine(vector, points[k])
        if cosine > best:
            best, which = cosine, k
    return best, which
