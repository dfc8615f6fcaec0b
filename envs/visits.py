"""Whole visits of many users under one strategy: the closed loop without learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.columns import Columns
from zsr_sim.envs.feedback import KINDS, Feedback
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.world import World, WorldState

_PER_PAGE = ("diversity", "exposure", "generated")  # columns of `Visits` that are means over pages


class Strategy(Protocol):
    """What `simulate` needs of an agent."""

    def act(self, observation: Observation) -> Decision:
        """A slate for each user; a pure function of each user's own observation."""


@runtime_checkable
class SeesState(Protocol):
    """An upper reference, no recommender: a strategy that is shown what is hidden in its users."""

    def act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        """A slate for each user; `state` holds the same users in the same rows, in arrays of its own."""


@dataclass(frozen=True)
class Visits(Columns):
    """What each visit came to, one entry per user, float64 (n,) unless said otherwise.

    people: int64, the person behind the visit. returns: sum of rewards. expected_returns: sum of the rewards that were
    to be expected given each page and the user's state then; less noisy, with the same mean. pages: pages seen. clicks,
    likes, purchases (those that arrived) and dwell (seconds): sums. click_rate: clicks per item shown, 0..1.
    satisfaction: mean over pages, 0..1. sessions: sessions begun. ended: sessions that ended. return_rate: sessions
    that the user came back from, as a share of those, 0..1; NaN where none did. diversity: mean over pages of one minus
    the mean cosine between two items of a page, 0..2. exposure: mean appeal of the items shown, in standard deviations
    over the catalogue. unavailable: items shown that could not be had, as a share, 0..1. generated: pages that came
    from the generator, as a share, or NaN where the strategy names no source.

    luck: float64 (n, 8), what came beyond what was to be expected, on each page the reward minus its expectation and
    having left minus the probability of leaving: for both, sums over pages of that noise times 1, the share of the
    horizon that was left, the page's expected reward, and the last two. The weights are known before the noise is, so
    every column has mean 0 whatever the strategy: control variates (`zsr_sim.evaluation.adjustment`).
    """

    people: NDArray[np.int64]
    returns: NDArray[np.float64]
    expected_returns: NDArray[np.float64]
    pages: NDArray[np.float64]
    clicks: NDArray[np.float64]
    likes: NDArray[np.float64]
    purchases: NDArray[np.float64]
    dwell: NDArray[np.float64]
    click_rate: NDArray[np.float64]
    satisfaction: NDArray[np.float64]
    sessions: NDArray[np.float64]
    ended: NDArray[np.float64]
    return_rate: NDArray[np.float64]
    diversity: NDArray[np.float64]
    exposure: NDArray[np.float64]
    unavailable: NDArray[np.float64]
    generated: NDArray[np.float64]
    luck: NDArray[np.float64]


def observe(state: WorldState) -> Observation:
    """What a strategy may know of these users (copies: a strategy cannot reach into the world)."""
    profiles = state.users.profiles
    return Observation(
        state.seeds.copy(), state.users.ids.copy(), state.steps.copy(), state.histories.copy(), state.latest_pages(),
        profiles.copy() if profiles.shape[1] else None,
    )  # fmt: skip


def simulate(
    world: World,
    population: Population,
    ids: NDArray[np.int64],
    strategy: Strategy,
    seed: int,
    horizon: int,
    batch_size: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> Visits:
    """Let the users `ids` of a population visit under a strategy, for at most `horizon` pages each.

    The result does not depend on `batch_size`: every draw is a function of (seed, user, step, purpose).
    `progress` is called with (users done, users in all).
    """
    parts: list[Visits] = []
    for begin in range(0, len(ids), batch_size):
        parts.append(_simulate_batch(world, population, ids[begin : begin + batch_size], strategy, seed, horizon))
        if progress:
            progress(min(begin + batch_size, len(ids)), len(ids))
    return Visits.joined(parts)


def _simulate_batch(
    world: World, population: Population, ids: NDArray[np.int64], strategy: Strategy, seed: int, horizon: int
) -> Visits:
    state = world.start(population.visit(ids), seed)
    tally = _Tally.empty(len(ids))
    for page in range(horizon):
        here = np.flatnonzero(state.present)
        if not len(here):
            break
        decision = decide(strategy, state, here)
        feedback = show(world, state, here, decision.slates)
        tally.add(1 - (page + 1) / horizon, here, state, decision, feedback, world.items)
    return tally.visits(state, world.slate_size)


@dataclass(frozen=True)
class _Tally:
    """Sums over the pages of visits under way: a row per user."""

    amounts: NDArray[np.float64]  # (n, kinds)
    sums: dict[str, NDArray[np.float64]]  # (n,) each
    luck: NDArray[np.float64]  # (n, 8)

    @classmethod
    def empty(cls, n: int) -> _Tally:
        names = ("returns", "expected_returns", "pages", "satisfaction", "ended", "unavailable", *_PER_PAGE)
        return cls(np.zeros((n, len(KINDS))), {name: np.zeros(n) for name in names}, np.zeros((n, 8)))

    def add(
        self, remaining: float, here: NDArray[np.int64], state: WorldState, decision: Decision, feedback: Feedback,
        items: WorldItems,
    ) -> None:  # fmt: skip
        """One page of the users at the rows `here`; remaining: share of the horizon that is left after it."""
        sums = self.sums
        self.amounts[:] += feedback.amounts
        self.luck[:] += _luck(feedback, remaining)
        sums["returns"] += feedback.reward
        sums["expected_returns"] += feedback.expected_reward
        sums["ended"] += feedback.left | (feedback.gaps > 0)
        sums["unavailable"] += feedback.unavailable.mean(axis=1)
        sums["pages"][here] += 1
        sums["satisfaction"][here] += state.satisfaction[here]
        sums["diversity"][here] += page_diversity(items.vectors[decision.slates])
        sums["exposure"][here] += items.appeal[decision.slates].mean(axis=1)
        made = np.nan if decision.sources is None else [source == "generator" for source in decision.sources]
        sums["generated"][here] += made

    def visits(self, state: WorldState, slate_size: int) -> Visits:
        """The visits, now that they are over."""
        sums, pages = self.sums, self.sums["pages"]
        clicks, likes, purchases, dwell = self.amounts.T.copy()
        sessions = state.sessions.astype(np.float64)
        with np.errstate(invalid="ignore"):  # no session ended: no rate
            return_rate = (sessions - 1) / sums["ended"]
        return Visits(
            people=state.users.people,
            returns=sums["returns"],
            expected_returns=sums["expected_returns"],
            pages=pages,
            clicks=clicks,
            likes=likes,
            purchases=purchases,
            dwell=dwell,
            click_rate=clicks / (pages * slate_size),
            satisfaction=sums["satisfaction"] / pages,
            sessions=sessions,
            ended=sums["ended"],
            return_rate=return_rate,
            unavailable=sums["unavailable"] / pages,
            **{name: sums[name] / pages for name in _PER_PAGE},
            luck=self.luck,
        )


def _luck(feedback: Feedback, remaining: float) -> NDArray[np.float64]:
    """A page's part of `Visits.luck`, (n, 8)."""
    expected = feedback.expected_reward.astype(np.float64)
    noises = (feedback.reward - expected, feedback.left - feedback.leave_probability)
    weights = (1.0, remaining, expected, remaining * expected)
    return np.stack([noise * weight for noise in noises for weight in weights], axis=1)


def decide(strategy: Strategy, state: WorldState, here: NDArray[np.int64]) -> Decision:
    """Pages for the users at the rows `here`, by a strategy that sees what it may."""
    observation = observe(state).take(here)
    if isinstance(strategy, SeesState):
        return strategy.act_knowing(observation, state.take(here))
    return strategy.act(observation)


def show(world: World, state: WorldState, here: NDArray[np.int64], slates: NDArray[np.int32]) -> Feedback:
    """One page for the users at the rows `here`, all who are present: slates (here, slate). Feedback of all users."""
    everybody = np.tile(np.arange(world.slate_size, dtype=np.int32), (len(state.steps), 1))  # absent: any, not shown
    everybody[here] = slates
    return world.step(state, everybody)


def page_diversity(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """One minus the mean cosine between two different items of each page, (n,), from unit vectors (n, slate, d).

    Intra-list distance (Ziegler et al. 2005). For unit vectors the sum of all pairwise cosines is |sum|^2 - slate.
    """
    slate = vectors.shape[1]
    if slate == 1:
        return np.zeros(len(vectors))
    total = vectors.astype(np.float64).sum(axis=1)  # (n, d)
    return np.asarray(1.0 - ((total**2).sum(axis=1) - slate) / (slate * (slate - 1)))
