"""What tells a healthy generator from a collapsed one: figures of written sequences beside real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def health(real: NDArray[np.int64], written: NDArray[np.int64], vectors: NDArray[np.float32]) -> dict[str, float]:
    """Figures of written sequences, rows of the catalogue, (n, length), beside as many real ones.

    coverage: share of the catalogue that was written at all. distinct_items: different items written, as a multiple of
    the different items in as many real sequences. self_overlap: share of a sequence's items that also stand in the
    next user's. frechet: `frechet_distance` of the sequences' `features`.
    """
    different = len(np.unique(written))
    neighbours = np.roll(written, 1, axis=0)
    shared = (written[:, :, None] == neighbours[:, None, :]).any(axis=2)
    return {
        "coverage": different / len(vectors),
        "distinct_items": different / max(len(np.unique(real)), 1),
        "self_overlap": float(shared.mean()),
        "frechet": frechet_distance(features(vectors[real]), features(vectors[written])),
    }


def features(sequences: NDArray[np.float32]) -> F64:
    """What a sequence of item vectors (n, length, d) is about and how it moves, (n, 2 d).

    Its mean vector, and the mean product of neighbours (whose sum is the cosine of one item with the next).
    """
    sequences = sequences.astype(np.float64)
    steps = sequences[:, 1:] * sequences[:, :-1] if sequences.shape[1] > 1 else np.zeros_like(sequences)
    return np.concatenate([sequences.mean(axis=1), steps.mean(axis=1)], axis=1)


def frechet_distance(one: F64, two: F64) -> float:
    """Fréchet distance between Gaussians fitted to two samples (n, k), (m, k), each of at least 2 rows.

    |mean difference|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982), as in the FID of Heusel et al. 2017.

    >>> frechet_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]]))
    18.0
    """
    s1, s2 = (np.atleast_2d(np.cov(sample, rowvar=False)) for sample in (one, two))
    values, axes = np.linalg.eigh(s1)
    root = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T
    # tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2).
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ s2 @ root), 0)).sum()
    gap = one.mean(axis=0) - two.mean(axis=0)
    return float(gap @ gap + np.trace(s1) + np.trace(s2) - 2 * cross)
