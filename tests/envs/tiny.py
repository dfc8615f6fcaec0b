"""Worlds made by hand: arrays with the right shapes, drawn with NumPy's own generator."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.traits import Trait, Traits, draw_traits
from zsr_sim.envs.world import Users

USUAL = Traits()


def random_items(n: int = 40, d: int = 6, n_topics: int = 5, seed: int = 0) -> WorldItems:
    """Items in all directions; every topic occurs."""
    rng = np.random.default_rng(seed)
    return WorldItems(
        vectors=unit(rng.normal(size=(n, d))).astype(np.float32),
        appeal=rng.normal(size=n).astype(np.float32),
        topics=rng.permutation(np.arange(n) % n_topics).astype(np.int32),
        n_topics=n_topics,
    )


def random_users(
    n: int, items: WorldItems, interests: int = 3, history: int = 6, seed: int = 1, traits: Traits = USUAL
) -> Users:
    """Users who differ in everything; their ids are neither consecutive nor small, and people visit twice."""
    rng = np.random.default_rng(seed)
    histories = rng.integers(0, len(items), (n, history))
    padding = np.arange(history)[None, :] < rng.integers(0, history + 1, (n, 1))
    ids = 2**40 + 3 * np.arange(n)
    tastes = unit(rng.normal(size=(n, interests, items.vectors.shape[1]))).astype(np.float32)
    rows = draw_traits(traits, seed, ids, 0.0)
    rows[:, Trait.CLICK_BIAS] = rng.normal(-0.5, 0.5, n)
    rows[:, Trait.BOREDOM] = rng.lognormal(-0.5, 0.5, n)
    rows[:, Trait.LEAVE_BIAS] = rng.normal(0, 0.5, n)
    return Users(
        ids=ids,
        people=ids // 2,
        tastes=tastes,
        traits=rows,
        histories=np.where(padding, -1, histories).astype(np.int32),
    )


def same_users(
    ids: NDArray[np.int64],
    taste: list[float],
    click_bias: float,
    boredom: float,
    leave_bias: float,
    traits: Traits = USUAL,
    consumed: tuple[int, ...] = (),
) -> Users:
    """Users of one interest who differ in their luck alone; at most 4 items remembered, these ones to begin with."""
    n = len(ids)
    alike = {name: 0.0 for name in Traits.model_fields if name.endswith("_sd")}
    row = draw_traits(traits.replace(**alike, boredom=boredom, leave_bias=leave_bias), 0, ids, click_bias)
    tastes = np.tile(np.array(taste, dtype=np.float32), (n, 1, 1))  # (n, 1, d)
    histories = np.full((n, 4), -1, dtype=np.int32)
    histories[:, 4 - len(consumed) :] = consumed
    return Users(ids, ids, tastes, row, histories)


def with_trait(users: Users, trait: int, value: float | NDArray[np.float32]) -> Users:
    """The same users, but for one trait."""
    traits = users.traits.copy()
    traits[:, trait] = value
    return replace(users, traits=traits)


@dataclass(frozen=True)
class SameUsers:
    """A population of `same_users`."""

    taste: list[float]
    click_bias: float
    boredom: float
    leave_bias: float
    traits: Traits = USUAL
    people: int | None = None
    consumed: tuple[int, ...] = ()

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """One user for each id."""
        return same_users(ids, self.taste, self.click_bias, self.boredom, self.leave_bias, self.traits, self.consumed)

    def split(self, share: float, seed: int) -> tuple["SameUsers", "SameUsers"]:
        """These users have no parts."""
        raise NotImplementedError
