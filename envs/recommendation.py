"""The Gymnasium environments: one simulated user who is shown page after page. Thin adapters over the world."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from zsr_sim.envs.audience import Audience, Served, checked_options, checked_render_mode, checked_user
from zsr_sim.envs.choices import Choices, Meaning, Pages, Point, Pool
from zsr_sim.envs.stage import Arrays, Stage
from zsr_sim.errors import InputError

Action = TypeVar("Action")

_ONLY = np.zeros(1, dtype=np.int64)  # the one row of an audience of one


class VisitEnv(gymnasium.Env[Arrays, Action], Generic[Action]):
    """What the environments share; they differ in what an action means and in what is observed of the choices."""

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  # Gymnasium's own annotation
    meaning: ClassVar[Meaning]

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        self._begin(self.meaning.made(**options), render_mode)

    @classmethod
    def on(cls, stage: Stage, render_mode: str | None = None, **options: Any) -> Self:
        """An environment of one's own parts: `RecommendationEnv.on(Stage.of(world, population, source))`."""
        env = cls.__new__(cls)
        env._begin(cls.meaning(stage, **options), render_mode)
        return env

    def _begin(self, choices: Choices, render_mode: str | None) -> None:
        self.render_mode = checked_render_mode(render_mode)
        self.stage = choices.stage
        self._choices = choices
        self._audience = Audience(choices, 1)
        self._waiting = False  # for a page: between reset and leaving
        self._served: Served | None = None  # the last page of the visit
        self.observation_space = cast("spaces.Space[Arrays]", self._audience.space)
        self.action_space = choices.space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        """A new visit by a user drawn from the population, or by the one whose id `options["user"]` is."""
        user = checked_options(options, "user")
        user = None if user is None else checked_user(user)
        super().reset(seed=seed)
        self._audience.admit(_ONLY, [self.np_random], user)
        self._waiting, self._served = True, None
        return self._look(), self._masked({})

    def step(self, action: Action) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Show the user the page that the action means."""
        if not self._waiting:
            raise ResetNeeded("no user is waiting for a page: call reset() first, and again after `terminated`")
        served = self._audience.show(self._checked(action))
        left = bool(served.feedback.left[0])
        self._waiting, self._served = not left, served
        return self._look(), float(served.feedback.reward[0]), left, False, self._masked(self._info(served))

    @property
    def state_columns(self) -> dict[str, slice]:
        """Which numbers of an observed `state` are what; empty unless it is observed."""
        return self._audience.state_columns

    def render(self) -> str | None:
        """The page just seen as text; after a reset, who has come. None unless `render_mode` is "ansi"."""
        return self._audience.text(0, self._served) if self.render_mode == "ansi" else None

    def action_masks(self) -> NDArray[np.bool_]:
        """The mask as sb3-contrib's MaskablePPO wants it: bool, for each number of the action one after the other."""
        if self._choices.mask is None:
            raise InputError("the actions of this environment are points; there is nothing to mask")
        return np.tile(self._choices.mask[0].astype(np.bool_), math.prod(self.action_space.shape or ()))

    def _checked(self, action: Action) -> NDArray[Any]:
        try:
            actions = np.asarray(action)[None]
        except ValueError:  # a list of lists of different lengths
            actions = np.empty((1, 0), dtype=np.object_)
        if not self._choices.fit(actions) or len(self._choices.wrong(actions)):
            said = " ".join(repr(action).split())
            raise InputError(f"action is {said[:80]}{'…' * (len(said) > 80)}; {self._choices.meaning}")
        return actions

    def _look(self) -> Arrays:
        return {name: values[0] for name, values in self._audience.look().items()}

    def _info(self, served: Served) -> dict[str, Any]:
        info: dict[str, Any] = {name: values[0] for name, values in served.told().items()}
        info["reward_parts"] = served.parts_of(0, self.stage.world.rewards)
        return info

    def _masked(self, info: dict[str, Any]) -> dict[str, Any]:
        if self._choices.mask is not None:
            info["action_mask"] = self._choices.mask[0]
        return info


class RecommendationEnv(VisitEnv[np.int64 | int]):
    """A user comes, sees one page after another, clicks, changes, and leaves at some time; an agent chooses the pages.

    At each step several candidate pages stand side by side, each with its source: written by the sequence generator
    and accepted by its discriminator, or retrieved by similarity, by popularity, at random. So the agent also learns
    whether to generate or to retrieve.

    **Observation** (`Dict` of float32; d is the dimension of the item space, item vectors have length 1):

    - `history` (d,), -1 .. 1: recency-decayed mean of the items consumed so far (weight 0.95 per item), of length 1;
      zeros for a user without history.
    - `candidates` (n_candidates * d,), -1 .. 1: mean vector of each page, one after the other.
    - `relations` (n_candidates * N_RELATIONS,): how each page relates to the user, -1 .. 1 and 0 .. 1; `Relations` in
      `zsr_sim/generation/relations.py` lists them.
    - `context` (3,), 0 .. 1: share of the last page that was consumed, pages so far in units of 20, at most 1, share
      of the history's places that are used.

    All are flat, as stable-baselines3 wants them; `candidates.reshape(n_candidates, -1)` has a page in each row.
    What the user likes, is bored with and feels is hidden. With `observe="state"` it is not: `state` has it all,
    `env.unwrapped.state_columns` tells which number is what (`HiddenState` in `envs/hidden.py` explains them).

    **Action** (`Discrete(n_candidates)`): show this candidate.

    **Transition**, one page: items are looked at and clicked (`envs/choice.py`), clicked ones are liked, bought, read
    (`envs/feedback.py`); they enter the history, pull interests towards them, and tire of their topic; satisfaction and
    patience follow the page's success (`envs/dynamics.py`). `envs/step.py` applies the laws in order; a named world
    has those that it needs (`zsr-sim list envs`). Draws are functions of (seed, user, step, purpose)
    (`envs/noise.py`); user and seed of a visit are drawn at `reset` from the generator that `reset(seed=...)` makes, so
    the same seed and actions give the same visits, to the bit. `reset(options={"user": 3})` has user 3 come, with the
    luck that would have met another: ids run from 0 to 2**39 - 1; of n people of a log, id i is the one at i mod n.

    **Reward**: clicks, likes, purchases that arrived and seconds on clicked items, each times its weight in the
    settings (`reward_click`, ...); by default clicks alone, 0 .. slate_size.

    **Termination**: the user leaves and does not come back (`envs/dynamics.py`: `leave_hazard`, `return_hazard`).
    **Truncation**: never here; `gymnasium.make` limits visits to 20 pages, or to its `max_episode_steps`.

    **Info** of a step: `items` int32 (slate_size,), the rows of the items shown, which `env.unwrapped.stage.item_ids`
    and `titles` name; `clicks`, `likes`, `purchases`, `skips` (looked at and not clicked) bool (slate_size,); `dwell`
    float32 (slate_size,), seconds; `source` of the page; `reward_parts`, the reward by kind of feedback. Of a step and
    of a reset: `action_mask` int8 (n_candidates,), 1 for a page of which each item can be had; all 1 where there is no
    such page.

    **Rendering** (`render_mode="ansi"`): `render()` gives the page just seen, or after a reset who has come, as text.

    Args:
        data: a built-in data set or a folder (see `zsr_sim.datasets.load`).
        world: a named world, see `zsr-sim list envs`; None for `settings`, or "standard".
        settings: of the world; None for those of `world`. `horizon` does not limit visits here: `max_episode_steps`
            does.
        encoder: a hub id or a folder of a language model; None for the built-in one.
        n_candidates: pages to choose from.
        generator: a trained sequence GAN, for half of the candidates; None for retrieved candidates alone.
        population: "train", or "test": the users that are kept for evaluation, none of whom is among the former.
        observe: "partial", what a recommender knows; "state": the user's hidden state beside it.
        users: "laws"; "llm" or "llm:MODEL", a language model answers in the users' place; "distilled", laws fitted to
            its answers (`zsr_sim.readers`). None: as the settings say.
        history: what reads the users' histories, a `zsr_sim.config.HistorySettings`; their pooled mean by default.
        render_mode: "ansi", or None.

    Raises:
        InputError: an argument of the wrong kind, data or encoder that cannot be read, an action that is no candidate.

    Versions: v0 first release.
    """

    meaning = Pages


class SlateRecommendationEnv(VisitEnv[NDArray[np.int64]]):
    """`RecommendationEnv`, but the agent composes each page itself from a pool of items.

    **Observation**: as there, with `pool` (n_pool * d,), the vectors of the pool's items, in place of `candidates`;
    each counts as a page of its own in `relations`. With `n_pool=None` nothing is proposed: `pool` and `relations` are
    absent, and `recent` (d,), -1 .. 1, is a history of fast decay (0.6).

    **Action** (`MultiDiscrete([n_pool] * slate_size)`): the pool item at each position, first position first. A page
    holds different items: an item that is chosen again gives way to the next one of the pool (after the last comes the
    first) that is neither on the page nor masked.

    **Info**: as there, without `source`; `replaced` bool (slate_size,), positions at which that happened; `sources`
    int8 (slate_size,), the proposer of each item, a row of `zsr_sim.generation.candidates.SOURCES`. `action_mask` int8
    (n_pool,) is the same for each position: 1 for an item that can be had and is new to the user, or for each item that
    can be had where fewer than a page are new.

    Args:
        n_pool: items to compose pages from, slate_size at least; None for the whole catalogue: pool item i is then row
            i of the catalogue, at every step.
        n_candidates: pages that proposers offer: the pool is made of their first items, then of the second ones, ...,
            and of random new ones if these are too few.
    """

    meaning = Pool


class ProtoRecommendationEnv(VisitEnv[NDArray[np.float32]]):
    """`RecommendationEnv`, but the agent names a point in item space, and the items nearest to it are shown.

    A proto-action in the sense of Dulac-Arnold et al. (2015), "Deep reinforcement learning in large discrete action
    spaces": continuous control over a catalogue of any size, also of items that no log has seen.

    **Observation**: `history` and `context` as there, and `recent` (d,), -1 .. 1, a history of fast decay (0.6).

    **Action** (`Box(-1, 1, (d,))`): the point. The `slate_size` items with the largest scalar product with it are
    shown, best first, without those that the user has consumed or was shown in this visit as long as there are others.
    Only the direction counts; for the point zero, which is equally near to all, popular items are shown.

    **Info**: as there, without `source` and `action_mask`.
    """

    meaning = Point
