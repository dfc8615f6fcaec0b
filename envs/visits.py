"""Whole visits of many users under one strategy: the closed loop without learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.world import World, WorldState


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
class Visits:
    """What each visit came to, one entry per user, float64 (n,) unless said otherwise.

    people: int64, the person behind the visit. returns: clicks in the visit. pages: pages seen. click_rate: clicks per
    item shown, 0..1. satisfaction: mean over pages, 0..1. diversity: mean over pages of one minus the mean cosine
    between two items of a page, 0..2. generated: pages that came from the generator, as a share, or NaN where the
    strategy names no source.
    """

    people: NDArray[np.int64]
    returns: NDArray[np.float64]
    pages: NDArray[np.float64]
    click_rate: NDArray[np.float64]
    satisfaction: NDArray[np.float64]
    diversity: NDArray[np.float64]
    generated: NDArray[np.float64]


def observe(state: WorldState) -> Observation:
    """What a strategy may know of these users (copies: a strategy cannot reach into the world)."""
    return Observation(
        state.seeds.copy(), state.users.ids.copy(), state.steps.copy(), state.histories.copy(), state.shown.copy()
    )


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
    parts = []
    for begin in range(0, len(ids), batch_size):
        parts.append(_simulate_batch(world, population, ids[begin : begin + batch_size], strategy, seed, horizon))
        if progress:
            progress(min(begin + batch_size, len(ids)), len(ids))
    return Visits(*(np.concatenate([getattr(p, name) for p in parts]) for name in Visits.__dataclass_fields__))


def _simulate_batch(
    world: World, population: Population, ids: NDArray[np.int64], strategy: Strategy, seed: int, horizon: int
) -> Visits:
    state = world.start(population.visit(ids), seed)
    n = len(ids)
    clicks, pages, satisfaction, diversity, generated = (np.zeros(n) for _ in range(5))
    for _ in range(horizon):
        here = np.flatnonzero(state.present)
        if not len(here):
            break
        decision = _decide(strategy, state, here)
        slates = np.tile(np.arange(world.slate_size, dtype=np.int32), (n, 1))  # absent users: any valid page, not shown
        slates[here] = decision.slates
        feedback = world.step(state, slates)
        clicks += feedback.reward
        pages[here] += 1
        satisfaction[here] += state.satisfaction[here]
        diversity[here] += page_diversity(world.items.vectors[decision.slates])
        if decision.sources is None:
            generated[here] = np.nan
        else:
            generated[here] += [source == "generator" for source in decision.sources]
    return Visits(
        people=state.users.people,
        returns=clicks,
        pages=pages,
        click_rate=clicks / (pages * world.slate_size),
        satisfaction=satisfaction / pages,
        diversity=diversity / pages,
        generated=generated / pages,
    )


def _decide(strategy: Strategy, state: WorldState, here: NDArray[np.int64]) -> Decision:
    observation = observe(state).take(here)
    if isinstance(strategy, SeesState):
        return strategy.act_knowing(observation, state.take(here))
    return strategy.act(observation)


def page_diversity(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """One minus the mean cosine between two different items of each page, (n,), from unit vectors (n, slate, d).

    Intra-list distance (Ziegler et al. 2005). For unit vectors the sum of all pairwise cosines is |sum|^2 - slate.
    """
    slate = vectors.shape[1]
    if slate == 1:
        return np.zeros(len(vectors))
    total = vectors.astype(np.float64).sum(axis=1)  # (n, d)
    return np.asarray(1.0 - ((total**2).sum(axis=1) - slate) / (slate * (slate - 1)))
