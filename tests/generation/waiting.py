"""Users who wait for a page, made by hand."""

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.retrieval import Retrieval


def waiting(
    histories: list[list[int]] | NDArray[np.int32],
    shown: list[list[int]] | None = None,
    steps: list[int] | None = None,
    seed: int = 0,
) -> Observation:
    """Users 0, 1, ... with these histories; nothing shown to them yet unless said."""
    n = len(histories)
    return Observation(
        seeds=np.full(n, seed, dtype=np.uint64),
        users=np.arange(n, dtype=np.int64),
        steps=np.array(steps or [0] * n, dtype=np.int64),
        histories=np.array(histories, dtype=np.int32),
        shown=np.array(shown or [[-1]] * n, dtype=np.int32),
    )


def random_waiting(n: int, n_items: int, length: int = 30, capacity: int = 12, seed: int = 0) -> Observation:
    """Users in the middle of a visit: histories of 0 to `length` items, up to `capacity` items shown."""
    rng = np.random.default_rng(seed)

    def padded(width: int) -> NDArray[np.int32]:
        items = rng.permuted(np.tile(np.arange(n_items), (n, 1)), axis=1)[:, :width]
        return np.where(np.arange(width) < rng.integers(0, width + 1, (n, 1)), -1, items).astype(np.int32)

    return Observation(
        seeds=np.full(n, 7, dtype=np.uint64),
        users=2**40 + 3 * np.arange(n, dtype=np.int64),
        steps=rng.integers(0, 20, n).astype(np.int64),
        histories=padded(length),
        shown=padded(capacity),
    )


def random_retrieval(n_items: int = 60, d: int = 8, twins: int = 0, seed: int = 0) -> Retrieval:
    """Items in all directions, no two equally popular; the last `twins` have the vectors of the first ones."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(n_items, d))).astype(np.float32)
    vectors[n_items - twins :] = vectors[:twins]
    return Retrieval(vectors, rng.permutation(n_items).astype(np.float32))


def unseen(observation: Observation, row: int, n_items: int) -> set[int]:
    """Items that this user has neither consumed nor been shown."""
    return set(range(n_items)) - set(observation.histories[row].tolist()) - set(observation.shown[row].tolist())
