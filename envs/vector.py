"""The Gymnasium environments natively batched: many users in one call, each as `SyncVectorEnv` would step it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from zsr_sim.envs.audience import Audience, Served, checked_options, checked_render_mode
from zsr_sim.envs.choices import Choices, Meaning, Pages, Point, Pool
from zsr_sim.envs.registration import MAX_EPISODE_STEPS
from zsr_sim.envs.stage import Arrays, Stage
from zsr_sim.errors import InputError

Bools = NDArray[np.bool_]


class VisitVectorEnv(VectorEnv[Arrays, NDArray[Any], NDArray[Any]]):
    """An environment for `num_envs` users at once; all that it returns equals what single ones return, to the bit.

    Autoreset is next-step: the step after a visit's end ignores that row's action, gives reward 0 and the first
    observation of a new visit. `reset(seed=s)` seeds row i with s + i; a list seeds each row;
    `options={"reset_mask": bool (num_envs,)}` resets these rows only.

    Args:
        num_envs: users at once.
        max_episode_steps: pages after which a visit is truncated; None or -1 for no limit.
        render_mode: "ansi", or None.
        options: as for the single environment.

    Raises:
        InputError: as the single environment.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # Gymnasium's own annotation
        "render_modes": ["ansi"],
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    meaning: ClassVar[Meaning]

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = MAX_EPISODE_STEPS,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self._begin(self.meaning.made(**options), num_envs, max_episode_steps, render_mode)

    @classmethod
    def on(
        cls,
        stage: Stage,
        num_envs: int,
        max_episode_steps: int | None = MAX_EPISODE_STEPS,
        render_mode: str | None = None,
        **options: Any,
    ) -> Self:
        """An environment of one's own parts, such as `Stage.of(world, population, source)`."""
        env = cls.__new__(cls)
        env._begin(cls.meaning(stage, **options), num_envs, max_episode_steps, render_mode)
        return env

    def _begin(self, choices: Choices, num_envs: int, max_episode_steps: int | None, render_mode: str | None) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs is {num_envs}; at least 1 expected")
        if max_episode_steps is not None and max_episode_steps != -1 and max_episode_steps < 1:
            raise InputError(f"max_episode_steps is {max_episode_steps}; at least 1 expected, or None for no limit")
        self.render_mode = checked_render_mode(render_mode)
        self.stage, self.num_envs, self._choices = choices.stage, num_envs, choices
        self.max_episode_steps = None if max_episode_steps == -1 else max_episode_steps
        self._audience = Audience(choices, num_envs)
        self._generators: list[np.random.Generator] = []  # one for each row; none before the first reset
        self._over = np.zeros(num_envs, dtype=np.bool_)  # visits that ended with the last step
        self._served: list[Served | None] = [None] * num_envs  # the last page of each visit
        self.single_observation_space = self._audience.space
        self.single_action_space = choices.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """New visits in all rows, or in those of `options["reset_mask"]`; unseeded rows go on with their generators."""
        rows = np.flatnonzero(self._reset_mask(options))
        seeds = self._seeds(seed)
        if not self._generators:
            if len(rows) < self.num_envs:
                raise ResetNeeded("the first reset must reset all rows: call reset() without reset_mask")
            self._generators = [seeding.np_random(s)[0] for s in seeds]
        else:
            for row in rows.tolist():
                if seeds[row] is not None:
                    self._generators[row] = seeding.np_random(seeds[row])[0]
        self._over[rows] = False
        for row in rows.tolist():
            self._served[row] = None
        self._admit(rows)
        observation = self._audience.look()
        anew = np.zeros(self.num_envs, dtype=np.bool_)
        anew[rows] = True
        return observation, self._masked({}, anew)

    def step(self, actions: NDArray[Any]) -> tuple[Arrays, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Show each user the page that `actions` (num_envs, ...) means; begin new visits where one was over."""
        if not self._generators:
            raise ResetNeeded("call reset() before step()")
        there = ~self._over
        served = self._audience.show(self._checked(actions, there), there)
        terminated = served.feedback.left
        truncated = np.zeros_like(terminated)
        if self.max_episode_steps is not None:
            truncated = there & (self._audience.state.steps >= self.max_episode_steps)
        self._admit(np.flatnonzero(self._over))
        self._over = terminated | truncated
        self._served = [served if seen else None for seen in there.tolist()]
        observation, info = self._audience.look(), self._masked(self._info(served, there), np.ones_like(there))
        return observation, served.feedback.reward.astype(np.float64), terminated, truncated, info

    def _admit(self, rows: NDArray[np.int64]) -> None:
        if len(rows):
            self._audience.admit(rows, [self._generators[row] for row in rows])

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + row for row in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InputError(
                f"{len(seed)} seeds for {self.num_envs} environments; give one for each, or a single integer"
            )
        return seed

    def _reset_mask(self, options: dict[str, Any] | None) -> Bools:
        mask = checked_options(options, "reset_mask")
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        if (
            not isinstance(mask, np.ndarray)
            or mask.dtype != np.bool_
            or mask.shape != (self.num_envs,)
            or not mask.any()
        ):
            raise InputError(
                f"reset_mask is {mask!r}; a boolean array ({self.num_envs},) with at least one True expected"
            )
        return mask

    def _checked(self, actions: NDArray[Any], there: Bools) -> NDArray[Any]:
        actions, expected = np.asarray(actions), (self.num_envs, *(self._choices.space.shape or ()))
        if len(actions.shape) == 0 or len(actions) != self.num_envs or not self._choices.fit(actions):
            raise InputError(
                f"actions have shape {actions.shape} and type {actions.dtype}; {expected} expected, in each row "
                f"{self._choices.meaning}"
            )
        wrong = [row for row in self._choices.wrong(actions).tolist() if there[row]]
        if wrong:
            raise InputError(f"the action of row {wrong[0]} is {actions[wrong[0]]}; {self._choices.meaning}")
        return actions

    @property
    def state_columns(self) -> dict[str, slice]:
        """Which numbers of an observed `state` are what; empty unless it is observed."""
        return self._audience.state_columns

    def render(self) -> tuple[str, ...] | None:
        """Of each user the page just seen as text; after a reset, who has come. None unless `render_mode` is "ansi"."""
        if self.render_mode != "ansi":
            return None
        return tuple(self._audience.text(row, served) for row, served in enumerate(self._served))

    def _info(self, served: Served, there: Bools) -> dict[str, Any]:
        """What is said of the users who were there; a row that was reset has nothing to say."""
        if not there.any():
            return {}
        parts = _rows(dict(served.parts(self.stage.world.rewards)), there)
        return _rows(served.told() | {"reward_parts": parts}, there)

    def _masked(self, info: dict[str, Any], rows: Bools) -> dict[str, Any]:
        mask = self._choices.mask
        return info if mask is None else info | _rows({"action_mask": mask}, rows)


def _rows(info: dict[str, Any], rows: Bools) -> dict[str, Any]:
    """Infos in Gymnasium's vector format: `key`, empty in other rows than these, and `_key`, which rows have it."""
    told: dict[str, Any] = {}
    for name, values in info.items():
        told[name], told[f"_{name}"] = values, rows.copy()
        if isinstance(values, np.ndarray) and not rows.all():
            told[name] = values.copy()
            told[name][~rows] = None if values.dtype == np.object_ else 0
    return told


class RecommendationVectorEnv(VisitVectorEnv):
    """`RecommendationEnv` for many users."""

    meaning = Pages


class SlateRecommendationVectorEnv(VisitVectorEnv):
    """`SlateRecommendationEnv` for many users."""

    meaning = Pool


class ProtoRecommendationVectorEnv(VisitVectorEnv):
    """`ProtoRecommendationEnv` for many users."""

    meaning = Point
