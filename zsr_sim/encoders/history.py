"""History encoders: what a user consumed so far, as one vector in the item space.

All have one interface. `pooled` stands here, the mean of the items' vectors; `attention.py` learns what counts;
`written.py` and `causal.py` let the language model read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law


@law
def pool(history: NDArray[np.int32], vectors: NDArray[np.float32], decay: float, out: NDArray[np.float32]) -> None:
    """`pooled` of one history, into `out` (d,)."""
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
def _pool(
    begin: int,
    end: int,
    histories: NDArray[np.int32],
    vectors: NDArray[np.float32],
    decay: float,
    out: NDArray[np.float32],
) -> None:
    for i in range(begin, end):
        pool(histories[i], vectors, decay, out[i])


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


@batched
def _pool_twice(
    begin: int,
    end: int,
    histories: NDArray[np.int32],
    vectors: NDArray[np.float32],
    slow: float,
    fast: float,
    lasting: NDArray[np.float32],
    recent: NDArray[np.float32],
) -> None:
    for i in range(begin, end):
        pool(histories[i], vectors, slow, lasting[i])
        pool(histories[i], vectors, fast, recent[i])


def pooled_twice(
    histories: NDArray[np.int32], vectors: NDArray[np.float32], slow: float, fast: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`pooled` under two decays, float32 (n, d) each, in one call: for one user that is most of the time."""
    lasting = np.empty((len(histories), vectors.shape[1]), dtype=np.float32)
    recent = np.empty_like(lasting)
    _pool_twice(histories, vectors, slow, fast, lasting, recent)
    return lasting, recent


class HistoryEncoder(Protocol):
    """What reads histories; a pure function of each user's own history, whatever was read before and beside it."""

    @property
    def reads(self) -> Reads:
        """What it had to do so far."""

    def encode(self, histories: NDArray[np.int32]) -> NDArray[np.float32]:
        """Points of the item space, unit length, float32 (n, d); zeros for a user without history.

        histories: int32 (n, length), rows of the catalogue, most recent last, padded with -1 on the left.
        """


@dataclass
class Reads:
    """Work of a history encoder: histories asked for, and those answered without reading anything.

    kept: bytes that it remembers now. forgotten: histories that it had read, dropped for lack of memory.
    """

    asked: int = 0
    known: int = 0
    kept: int = 0
    forgotten: int = 0

    @property
    def hit_share(self) -> float:
        """Share of the histories that were known, 0..1; 1 where nothing was asked."""
        return self.known / self.asked if self.asked else 1.0


class Pooled:
    """The recency-decayed mean with a decay of a person's own (`history.decay`), instead of each strategy's."""

    def __init__(self, vectors: NDArray[np.float32], decay: float) -> None:
        self.vectors, self.decay = vectors, decay
        self.reads = Reads()

    def encode(self, histories: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `pooled`."""
        return pooled(histories, self.vectors, self.decay)
