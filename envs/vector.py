"""`zsr_sim/Recommendation-v0` natively batched: many users in one call, each as `SyncVectorEnv` would step it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from zsr_sim.config import WorldSettings
from zsr_sim.envs.registration import MAX_EPISODE_STEPS
from zsr_sim.envs.stage import Arrays, Audience, Served, Stage, make_stage
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import SOURCES
from zsr_sim.generation.gan import SequenceGan

Bools = NDArray[np.bool_]


class RecommendationVectorEnv(VectorEnv[Arrays, NDArray[np.int64], NDArray[Any]]):
    """`RecommendationEnv` for `num_envs` users at once; all that it returns equals what single ones return, to the bit.

    Autoreset is next-step: the step after a visit's end ignores that row's action, gives reward 0 and the first
    observation of a new visit. `reset(seed=s)` seeds row i with s + i; a list seeds each row;
    `options={"reset_mask": bool (num_envs,)}` resets these rows only.

    Args:
        num_envs: users at once.
        max_episode_steps: pages after which a visit is truncated; None or -1 for no limit.
        data, encoder, settings, n_candidates, generator, population: as for `RecommendationEnv`.

    Raises:
        InputError: as `RecommendationEnv`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # Gymnasium's own annotation
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = MAX_EPISODE_STEPS,
        data: str = "films",
        encoder: str | None = None,
        settings: WorldSettings | None = None,
        n_candidates: int = 8,
        generator: SequenceGan | None = None,
        population: str = "train",
    ) -> None:
        stage = make_stage(data, encoder, settings, n_candidates, generator, population)
        self._begin(stage, num_envs, max_episode_steps)

    @classmethod
    def on(
        cls, stage: Stage, num_envs: int, max_episode_steps: int | None = MAX_EPISODE_STEPS
    ) -> RecommendationVectorEnv:
        """An environment of one's own parts, such as `Stage.of(world, population, source)`."""
        env = cls.__new__(cls)
        env._begin(stage, num_envs, max_episode_steps)
        return env

    def _begin(self, stage: Stage, num_envs: int, max_episode_steps: int | None) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs is {num_envs}; at least 1 expected")
        if max_episode_steps is not None and max_episode_steps != -1 and max_episode_steps < 1:
            raise InputError(f"max_episode_steps is {max_episode_steps}; at least 1 expected, or None for no limit")
        self.stage, self.num_envs = stage, num_envs
        self.max_episode_steps = None if max_episode_steps == -1 else max_episode_steps
        self._audience = Audience(stage, num_envs)
        self._generators: list[np.random.Generator] = []  # one for each row; none before the first reset
        self._over = np.zeros(num_envs, dtype=np.bool_)  # visits that ended with the last step
        self.single_observation_space = self._audience.space
        self.single_action_space = spaces.Discrete(stage.source.n_candidates)
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
        self._admit(rows)
        return self._audience.look(rows), {}

    def step(self, actions: NDArray[np.int64]) -> tuple[Arrays, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Show each user the candidate page that `actions` (num_envs,) names; begin new visits where one was over."""
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
        observation = self._audience.look(np.arange(self.num_envs))
        return observation, served.feedback.reward.astype(np.float64), terminated, truncated, self._info(served, there)

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
        mask = (options or {}).get("reset_mask")
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

    def _checked(self, actions: NDArray[np.int64], there: Bools) -> NDArray[np.int64]:
        actions, n = np.asarray(actions), self.stage.source.n_candidates
        if actions.shape != (self.num_envs,) or not np.issubdtype(actions.dtype, np.integer):
            raise InputError(
                f"actions have shape {actions.shape} and type {actions.dtype}; integers ({self.num_envs},) expected"
            )
        wrong = np.flatnonzero(there & ((actions < 0) | (actions >= n)))
        if len(wrong):
            raise InputError(
                f"the action of row {wrong[0]} is {actions[wrong[0]]}; an integer 0 to {n - 1} expected: "
                "the candidate page to show"
            )
        return actions.astype(np.int64)

    def _info(self, served: Served, there: Bools) -> dict[str, Any]:
        """Infos in Gymnasium's vector format: `key`, and `_key`, which rows have it; a row that was reset has none."""
        if not there.any():
            return {}
        sources = np.array(SOURCES, dtype=object)[served.sources]
        sources[~there] = None
        parts = {"click": served.feedback.reward.astype(np.float64), "_click": there.copy()}
        info = {
            "clicks": served.feedback.clicks,
            "items": np.where(there[:, None], served.slates, 0),
            "source": sources,
            "reward_parts": parts,
        }
        return info | {f"_{name}": there.copy() for name in info}
