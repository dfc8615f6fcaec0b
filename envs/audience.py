"""The common core of the environments: visits under way, what their users may be shown, and what showing it brought."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from zsr_sim.envs.choices import Choices, Chosen
from zsr_sim.envs.feedback import KINDS, Feedback, RewardWeights
from zsr_sim.envs.hidden import HiddenState
from zsr_sim.envs.rendering import arrival_text, page_text
from zsr_sim.envs.stage import Arrays
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import WorldState
from zsr_sim.errors import InputError, nearest

_VISITORS = 2**39  # ids of visits are drawn below this: above it a population keeps ids for other ends
_SEEDS = 2**64 - 1


@dataclass(frozen=True)
class Served:
    """A page for each user, and the feedback. Users who were not there get one too, but have not seen it."""

    chosen: Chosen
    feedback: Feedback

    def told(self) -> dict[str, NDArray[Any]]:
        """What `info` says of the page, arrays with a row per user."""
        seen = self.feedback
        return {
            "items": self.chosen.slates, "clicks": seen.clicks, "likes": seen.likes, "purchases": seen.purchases,
            "skips": seen.skips, "dwell": seen.dwell, **self.chosen.facts,
        }  # fmt: skip

    def parts_of(self, row: int, rewards: RewardWeights) -> dict[str, float]:
        """The reward of one user by kind of feedback."""
        return dict(zip(KINDS, map(operator.mul, self.feedback.amounts[row].tolist(), rewards), strict=True))

    def parts(self, rewards: RewardWeights) -> dict[str, NDArray[np.float64]]:
        """The reward by kind of feedback, float64 (n,) each; its sum is the reward."""
        amounts = self.feedback.amounts.astype(np.float64) * rewards
        return {kind: amounts[:, k] for k, kind in enumerate(KINDS)}


def checked_render_mode(mode: str | None) -> str | None:
    """The render mode, if there is such a one."""
    if mode not in (None, "ansi"):
        raise InputError(f"render_mode is {mode!r}; 'ansi' expected, or None")
    return mode


def checked_options(options: dict[str, Any] | None, known: str) -> Any:
    """The value of the one option that a reset knows, None where it is not given; raises InputError for any other."""
    for name in options or {}:
        if name != known:
            raise InputError(f"reset has no option {name!r}; it knows {known}{nearest(str(name), [known])}")
    return (options or {}).get(known)


def checked_user(user: Any) -> int:
    """The id of a user who can be asked for."""
    if isinstance(user, bool) or not isinstance(user, int | np.integer) or not 0 <= user < _VISITORS:
        raise InputError(f"user is {user!r}; the id of a user expected, an integer 0 to {_VISITORS - 1}")
    return int(user)


class Audience:
    """Visits under way, one in each of `n` rows, and what their users may be shown next."""

    def __init__(self, choices: Choices, n: int) -> None:
        self.choices = choices
        self.stage = choices.stage
        self.n = n
        self.hidden = HiddenState(self.stage.world, self.stage.population) if self.stage.observe == "state" else None
        extra = {} if self.hidden is None else {"state": self.hidden.space}
        self.space = spaces.Dict({**choices.observed, **extra})
        self._state: WorldState | None = None

    @property
    def state_columns(self) -> dict[str, slice]:
        """Which numbers of an observed `state` are what; empty unless it is observed."""
        return {} if self.hidden is None else self.hidden.columns

    @property
    def state(self) -> WorldState:
        """The world's state; not before `admit`."""
        if self._state is None:
            raise RuntimeError("nobody has been admitted yet")
        return self._state

    def admit(
        self, rows: NDArray[np.int64], generators: Sequence[np.random.Generator], user: int | None = None
    ) -> None:
        """Begin a new visit at each of these rows: who comes, and with what luck, is drawn from the row's generator.

        The first time all rows must be admitted. user: who comes to all of them instead, with the luck that is drawn.
        """
        ids = np.array([generator.integers(_VISITORS) for generator in generators], dtype=np.int64)
        if user is not None:
            ids[:] = user
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
        seen = self.choices.offer(observe(self.state))
        if self.hidden is not None:
            seen["state"] = self.hidden.observe(self.state)
        return seen

    def text(self, row: int, served: Served | None) -> str:
        """The page that the user at this row has just seen, for a person to read; None: a visit that has just begun."""
        if self._state is None:
            raise ResetNeeded("there is nothing to render yet: call reset() first")
        if served is None:
            return arrival_text(self.stage, self._state, row)
        return page_text(self.stage, self._state, row, served)

    def show(self, actions: NDArray[Any], there: NDArray[np.bool_] | None = None) -> Served:
        """Show users what `actions` (n, ...) name; the visits of those who are not `there` (n,) are over."""
        if there is not None and not there.all():
            self.state.present &= there
            actions = actions.copy()
            actions[~there] = 0
        chosen = self.choices.chosen(actions)
        return Served(chosen, self.stage.world.step(self.state, chosen.slates))
