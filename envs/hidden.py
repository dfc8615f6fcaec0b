"""What a user is like inside, as an observation: with `observe="state"` an agent sees what no recommender can."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from zsr_sim.envs.population import Population
from zsr_sim.envs.step import MAX_DELAY
from zsr_sim.envs.traits import N_TRAITS, Trait
from zsr_sim.envs.world import World, WorldState

_LARGEST = float(np.finfo(np.float32).max)  # the bound of what has none


class Part(NamedTuple):
    """Some numbers of the state, which lie in low .. high."""

    size: int
    low: float
    high: float


class HiddenState:
    """The state of users in numbers: `parts` in their order, which `columns` finds in an observation.

    tastes: interests one after the other, each a unit vector. boredom: with each topic, in clicks. satisfaction.
    patience: pages left of it. sessions: begun so far. mood: logits that leaving, and coming back after it, gain
    in this session. arriving: purchases that reach the reward on the next page, the one after, ... traits: the user's
    own parameter of each law, in the order of `Trait`. likings: as in `Users`; nothing where no log told them.
    """

    def __init__(self, world: World, population: Population) -> None:
        _, interests, d = population.visit(np.zeros(1, dtype=np.int64)).tastes.shape
        self.parts = {
            "tastes": Part(interests * d, -1, 1),
            "boredom": Part(world.items.n_topics, 0, _LARGEST),
            "satisfaction": Part(1, 0, 1),
            "patience": Part(1, -1, _LARGEST),
            "sessions": Part(1, 0, _LARGEST),
            "mood": Part(2, -_LARGEST, _LARGEST),
            "arriving": Part(MAX_DELAY, 0, 255),
            "traits": Part(N_TRAITS, -_LARGEST, _LARGEST),
            "likings": Part(world.items.pleasures.shape[1], -_LARGEST, _LARGEST),
        }
        ends = np.cumsum([part.size for part in self.parts.values()]).tolist()
        self.columns = {
            name: slice(end - part.size, end) for (name, part), end in zip(self.parts.items(), ends, strict=True)
        }
        self._low, self._high = (
            np.repeat(
                np.array([getattr(part, bound) for part in self.parts.values()], dtype=np.float32),
                [part.size for part in self.parts.values()],
            )
            for bound in ("low", "high")
        )

    @property
    def space(self) -> spaces.Box:
        """The space of one user's state."""
        return spaces.Box(self._low, self._high, dtype=np.float32)

    def observe(self, state: WorldState) -> NDArray[np.float32]:
        """Float32 (n, numbers), in an array of its own."""
        n = len(state.steps)
        pages = (state.steps[:, None] + np.arange(MAX_DELAY)) % MAX_DELAY
        parts: list[NDArray[Any]] = [
            state.tastes.reshape(n, -1),
            state.boredom,
            state.satisfaction[:, None],
            state.patience[:, None],
            state.sessions[:, None],
            state.users.traits[:, [Trait.LEAVE_MOOD, Trait.RETURN_MOOD]] * state.moods,
            np.take_along_axis(state.pending, pages, axis=1),
            state.users.traits,
            state.users.likings,
        ]
        together = np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")
        return np.asarray(np.clip(together, self._low, self._high))  # rounding takes unit vectors past 1
