"""History encoders: what a user consumed so far, as one vector in the item space."""

import numba
import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law


@law
def _pool_one(history: NDArray[np.int32], vectors: NDArray[np.float32], decay: float, out: NDArray[np.float32]) -> None:
    d = vectors.shape[1]
    weight, total = 1.0, np.zeros(d)
    for j in range(history.shape[0] - 1, -1, -1):
        item = history[j]
        if item < 0:
            break
        for k in range(d):
            total[k] += weight * vectors[item, k]
        weight *= decay
    length = 0.0
    for k in range(d):
        length += total[k] * total[k]
    length = max(np.sqrt(length), 1e-12)
    for k in range(d):
        out[k] = total[k] / length


@batched
def _pool(histories: NDArray[np.int32], vectors: NDArray[np.float32], decay: float, out: NDArray[np.float32]) -> None:
    for i in numba.prange(histories.shape[0]):
        _pool_one(histories[i], vectors, decay, out[i])


def pooled(histories: NDArray[np.int32], vectors: NDArray[np.float32], decay: float = 0.9) -> NDArray[np.float32]:
    """Recency-decayed mean of the consumed items' vectors, scaled to unit length, float32 (n, d).

    histories: int32 (n, length), rows of `vectors`, most recent last, padded with -1 on the left.
    vectors: float32 (n_items, d). decay: weight of an item relative to the one consumed after it, 0..1.
    A user without history gets the zero vector. Each user is summed alone, so the result does not depend on the batch.

    >>> pooled(np.array([[-1, 0, 1]], dtype=np.int32), np.eye(2, dtype=np.float32), decay=0.75)
    array([[0.6, 0.8]], dtype=float32)
    """
    out = np.empty((len(histories), vectors.shape[1]), dtype=np.float32)
    _pool(histories, vectors, decay, out)
    return out
