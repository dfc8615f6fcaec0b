"""The common core of the environments: visits under way, what their users may be shown, and what showing it brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.choices import Choices, Chosen
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.stage import Arrays
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import WorldState

_VISITORS = 2**39  # ids of visits are drawn below this: above it a population keeps ids for other ends
_SEEDS = 2**64 - 1


@dataclass(frozen=True)
class Served:
    """A page for each user, and the feedback. Users who were not there get one too, but have not seen it."""

    chosen: Chosen
    feedback: Feedback

    def told(self) -> dict[str, NDArray[Any]]:
        """What `info` says of the page, arrays with a row per user."""
        return {"clicks": self.feedback.clicks, "items": self.chosen.slates, **self.chosen.facts}

    def parts(self) -> dict[str, NDArray[np.float64]]:
        """The reward by kind of feedback, (n,) each."""
        return {"click": self.feedback.reward.astype(np.float64)}


class Audience:
    """Visits under way, one in each of `n` rows, and what their users may be shown next."""

    def __init__(self, choices: Choices, n: int) -> None:
        self.choices = choices
        self.stage = choices.stage
        self.n = n
        self.space = choices.observed
        self._state: WorldState | None = None

    @property
    def state(self) -> WorldState:
        """The world's state; not before `admit`."""
        if self._state is None:
            raise RuntimeError("nobody has been admitted yet")
        return self._state

    def admit(self, rows: NDArray[np.int64], generators: Sequence[np.random.Generator]) -> None:
        """Begin a new visit at each of these rows: who comes, and with what luck, is drawn from the row's generator.

        The first time all rows must be admitted.
        """
        ids = np.array([generator.integers(_VISITORS) for generator in generators], dtype=np.int64)
        seeds = [generator.integers(_SEEDS, dtype=np.uint64, endpoint=True) for generator in generators]
        fresh = self.stage.world.start(self.stage.population.visit(ids), np.array(seeds, dtype=np.uint64))
        if self._state is None or len(rows) == self.n:
            self._state = fresh
        else:
            self._state.put(rows, fresh)

    def look(self) -> Arrays:
        """Find out what the users may be shown; the observation, in arrays of its own.

        A function of the state: a user who was looked at before is found the same.
        """
        return self.choices.offer(observe(self.state))

    def show(self, actions: NDArray[Any], there: NDArray[np.bool_]) -> Served:
        """Show the users who are `there` (n,) what `actions` (n, ...) name; other users' visits are over."""
        self.state.present &= there
        if not there.all():
            actions = actions.copy()
            actions[~there] = 0
        chosen = self.choices.chosen(actions)
        return Served(chosen, self.stage.world.step(self.state, chosen.slates))
