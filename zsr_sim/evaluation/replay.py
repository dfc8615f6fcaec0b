"""Visits page by page: what was shown, what was clicked, and how the user felt about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.history import pooled
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import Strategy, decide, show
from zsr_sim.envs.world import World

LASTING = 0.95  # decay of a history vector that tells a user's lasting taste


@dataclass(frozen=True)
class Replay:
    """Some users' visits under one strategy; after a visit's end: -1, False and 0.

    slates: int32 (n, pages, slate), rows of the catalogue. clicks: bool (n, pages, slate). rewards: float32 (n, pages).
    satisfaction: float32 (n, pages), after the page, 0..1. left: bool (n, pages), the visit ended after this page.
    states: float32 (n, pages, d), the history vector before the page (`zsr_sim.encoders.history`, decay LASTING).
    """

    slates: NDArray[np.int32]
    clicks: NDArray[np.bool_]
    rewards: NDArray[np.float32]
    satisfaction: NDArray[np.float32]
    left: NDArray[np.bool_]
    states: NDArray[np.float32]


def replay(
    world: World, population: Population, ids: NDArray[np.int64], strategy: Strategy, seed: int, horizon: int
) -> Replay:
    """Let these users visit as `zsr_sim.envs.visits.simulate` does, with the same luck, and keep every page."""
    state = world.start(population.visit(ids), seed)
    n, s = len(ids), world.slate_size
    kept = Replay(
        slates=np.full((n, horizon, s), -1, dtype=np.int32),
        clicks=np.zeros((n, horizon, s), dtype=np.bool_),
        rewards=np.zeros((n, horizon), dtype=np.float32),
        satisfaction=np.zeros((n, horizon), dtype=np.float32),
        left=np.zeros((n, horizon), dtype=np.bool_),
        states=np.zeros((n, horizon, world.items.vectors.shape[1]), dtype=np.float32),
    )
    for page in range(horizon):
        here = np.flatnonzero(state.present)
        if not len(here):
            break
        kept.states[here, page] = pooled(state.histories[here], world.items.vectors, LASTING)
        kept.slates[here, page] = decide(strategy, state, here).slates
        feedback = show(world, state, here, kept.slates[here, page])
        kept.clicks[:, page] = feedback.clicks
        kept.rewards[:, page] = feedback.reward
        kept.satisfaction[here, page] = state.satisfaction[here]
        kept.left[:, page] = feedback.left
    return kept
