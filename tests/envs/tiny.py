"""Worlds made by hand: arrays with the right shapes, drawn with NumPy's own generator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.choice import ChoiceLaw
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.world import Users


def random_items(n: int = 40, d: int = 6, n_topics: int = 5, seed: int = 0) -> WorldItems:
    """Items in all directions; every topic occurs."""
    rng = np.random.default_rng(seed)
    return WorldItems(
        vectors=unit(rng.normal(size=(n, d))).astype(np.float32),
        quality=rng.normal(size=n).astype(np.float32),
        topics=rng.permutation(np.arange(n) % n_topics).astype(np.int32),
        n_topics=n_topics,
    )


def random_users(n: int, items: WorldItems, interests: int = 3, history: int = 6, seed: int = 1) -> Users:
    """Users who differ in everything; their ids are neither consecutive nor small, and people visit twice."""
    rng = np.random.default_rng(seed)
    histories = rng.integers(0, len(items), (n, history))
    padding = np.arange(history)[None, :] < rng.integers(0, history + 1, (n, 1))
    ids = 2**40 + 3 * np.arange(n)
    return Users(
        ids=ids,
        people=ids // 2,
        tastes=unit(rng.normal(size=(n, interests, items.vectors.shape[1]))).astype(np.float32),
        click_bias=rng.normal(-0.5, 0.5, n).astype(np.float32),
        boredom=rng.lognormal(-0.5, 0.5, n).astype(np.float32),
        leave_bias=rng.normal(0, 0.5, n).astype(np.float32),
        histories=np.where(padding, -1, histories).astype(np.int32),
    )


def same_users(
    ids: NDArray[np.int64], taste: list[float], click_bias: float, boredom: float, leave_bias: float
) -> Users:
    """Users of one interest who differ in their luck alone; nothing consumed, at most 4 items remembered."""
    n = len(ids)

    def column(value: float) -> NDArray[np.float32]:
        return np.full(n, value, dtype=np.float32)

    tastes = np.tile(np.array(taste, dtype=np.float32), (n, 1, 1))  # (n, 1, d)
    histories = np.full((n, 4), -1, dtype=np.int32)
    return Users(ids, ids, tastes, column(click_bias), column(boredom), column(leave_bias), histories)


@dataclass(frozen=True)
class SameUsers:
    """A population of `same_users`."""

    taste: list[float]
    click_bias: float
    boredom: float
    leave_bias: float
    choice: ChoiceLaw
    people: int | None = None

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """One user for each id."""
        return same_users(ids, self.taste, self.click_bias, self.boredom, self.leave_bias)

    def split(self, share: float, seed: int) -> tuple["SameUsers", "SameUsers"]:
        """These users have no parts."""
        raise NotImplementedError
