"""`zsr_sim/Recommendation-v0`: one simulated user who is shown page after page. A thin adapter over the world."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from zsr_sim.config import WorldSettings
from zsr_sim.envs.stage import Arrays, Audience, Served, Stage, make_stage
from zsr_sim.errors import InputError
from zsr_sim.generation.gan import SequenceGan

_ONLY = np.zeros(1, dtype=np.int64)  # the one row of an audience of one


class RecommendationEnv(gymnasium.Env[Arrays, np.int64]):
    """A user comes, sees one page after another, clicks, changes, and leaves at some time; an agent chooses the pages.

    At each step several candidate pages stand side by side, each with its source: written by the sequence generator
    and accepted by its discriminator, or retrieved by similarity, by popularity, at random. So the agent also learns
    whether to generate or to retrieve.

    **Observation** (`Dict` of float32; d is the dimension of the item space, item vectors have length 1):

    - `history` (d,), -1 .. 1: recency-decayed mean of the items consumed so far (weight 0.95 per item), of length 1;
      zeros for a user without history.
    - `candidates` (n_candidates * d,), -1 .. 1: mean vector of each page, one after the other.
    - `relations` (n_candidates * 12,): of each page the mean cosine of its items with `history` and the best one, both
      again with a history of fast decay (0.6), the squared length of its mean vector, each -1 .. 1; the discriminator's
      plausibility (0.5 where it was not asked), mean popularity, and a one for its source, each 0 .. 1.
    - `context` (3,), 0 .. 1: share of the last page that was consumed, pages so far in units of 20, at most 1, share
      of the history's places that are used.

    All are flat, as stable-baselines3 wants them; `candidates.reshape(n_candidates, -1)` has a page in each row.
    What the user likes, is bored with and feels is hidden.

    **Action** (`Discrete(n_candidates)`): show this candidate.

    **Transition**, one page: position j is looked at with probability (1 + j) ** -decay and clicked, if so, with
    sigmoid(relevance) (`envs/choice.py`: `examination`, `relevance`). A clicked item enters the history, pulls the
    nearest interest towards it and adds to the boredom with its topic; boredom recovers, satisfaction follows the
    page's success (`envs/dynamics.py`: `drift`, `satisfied`). Draws are functions of (seed, user, step, purpose)
    (`envs/noise.py`); user and seed of a visit are drawn at `reset` from the generator that `reset(seed=...)` makes, so
    the same seed and actions give the same visits, to the bit.

    **Reward**: clicks on the page, 0 .. slate_size.

    **Termination**: the user leaves, with probability sigmoid(leave_bias - leave_slope * satisfaction) after each page
    (`envs/dynamics.py`: `leave_hazard`). **Truncation**: never here; `gymnasium.make` limits visits to 20 pages, or to
    its `max_episode_steps`.

    **Info** of a step: `clicks` bool (slate_size,), `items` int32 (slate_size,), the rows of the items shown, which
    `env.unwrapped.stage.item_ids` names, `source` of the page, `reward_parts` {`click`: clicks}.

    Args:
        data: a built-in data set or a folder (see `zsr_sim.datasets.load`).
        encoder: a hub id or a folder of a language model; None for the built-in one.
        settings: of the world; None for the defaults. `horizon` does not limit visits here: `max_episode_steps` does.
        n_candidates: pages to choose from.
        generator: a trained sequence GAN, for half of the candidates; None for retrieved candidates alone.
        population: "train", or "test": the users that are kept for evaluation, none of whom is among the former.

    Raises:
        InputError: an argument of the wrong kind, data or encoder that cannot be read, an action that is no candidate.

    Versions: v0 first release.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # Gymnasium's own annotation

    def __init__(
        self,
        data: str = "films",
        encoder: str | None = None,
        settings: WorldSettings | None = None,
        n_candidates: int = 8,
        generator: SequenceGan | None = None,
        population: str = "train",
    ) -> None:
        self._begin(make_stage(data, encoder, settings, n_candidates, generator, population))

    @classmethod
    def on(cls, stage: Stage) -> RecommendationEnv:
        """An environment of one's own parts: `RecommendationEnv.on(Stage.of(world, population, source))`."""
        env = cls.__new__(cls)
        env._begin(stage)
        return env

    def _begin(self, stage: Stage) -> None:
        self.stage = stage
        self._audience = Audience(stage, 1)
        self._waiting = False  # for a page: between reset and leaving
        self.observation_space = cast("spaces.Space[Arrays]", self._audience.space)
        self.action_space = spaces.Discrete(stage.source.n_candidates)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        """A new visit by a user drawn from the population; there are no options, and info is empty."""
        super().reset(seed=seed)
        self._audience.admit(_ONLY, [self.np_random])
        self._waiting = True
        return self._look(), {}

    def step(self, action: np.int64 | int) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Show the user the candidate page `action`."""
        if not self._waiting:
            raise ResetNeeded("no user is waiting for a page: call reset() first, and again after `terminated`")
        if not self.action_space.contains(action):
            last = self.stage.source.n_candidates - 1
            raise InputError(f"action is {action!r}; an integer 0 to {last} expected: the candidate page to show")
        served = self._audience.show(np.array([action], dtype=np.int64), np.ones(1, dtype=np.bool_))
        left = bool(served.feedback.left[0])
        self._waiting = not left
        return self._look(), float(served.feedback.reward[0]), left, False, self._info(served)

    def _look(self) -> Arrays:
        return {name: values[0] for name, values in self._audience.look(_ONLY).items()}

    def _info(self, served: Served) -> dict[str, Any]:
        return {
            "clicks": served.feedback.clicks[0],
            "items": served.slates[0],
            "source": served.source(0),
            "reward_parts": {"click": float(served.feedback.reward[0])},
        }
