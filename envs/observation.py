"""What a strategy sees of its users, and what it answers: the border between users and agents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.columns import Columns


@dataclass(frozen=True)
class Observation(Columns):
    """A batch of users who wait for a page.

    seeds: uint64 (n,), users: int64 (n,), steps: int64 (n,): the key of every random draw that a strategy makes for
    this user now (`envs/noise.py`), so that its choice does not depend on the batch. histories: int32 (n, length), rows
    of the catalogue consumed so far, most recent last, padded left with -1. shown: int32 (n, capacity), items shown in
    this visit, padded likewise. profiles: float32 (n, d), what a text about the user is in the item space, zeros for a
    user without one; None where nobody has one.
    """

    seeds: NDArray[np.uint64]
    users: NDArray[np.int64]
    steps: NDArray[np.int64]
    histories: NDArray[np.int32]
    shown: NDArray[np.int32]
    profiles: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of_histories(cls, histories: NDArray[np.int32], seed: int = 0) -> Observation:
        """Users of whom nothing but a history, int32 (n, length), is known; row i is user i."""
        n = len(histories)
        return cls(
            seeds=np.full(n, seed, dtype=np.uint64),
            users=np.arange(n, dtype=np.int64),
            steps=np.zeros(n, dtype=np.int64),
            histories=np.ascontiguousarray(histories, dtype=np.int32),
            shown=np.full((n, 1), -1, dtype=np.int32),
        )


@dataclass(frozen=True)
class Decision:
    """What a strategy shows.

    slates: int32 (n, slate_size), different items on each. sources: the proposer of each slate, or None for strategies
    that compose slates themselves. accepted: share of generated sequences that the discriminator let pass, 0..1, or
    None.
    """

    slates: NDArray[np.int32]
    sources: tuple[str, ...] | None = None
    accepted: float | None = None
