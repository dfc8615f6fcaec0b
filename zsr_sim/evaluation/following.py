"""Visits without the luck of leaving: every user is followed to the horizon, and a page counts for how likely it is.

The return of a visit is a sum over the pages until the user leaves. Its expectation over that one event is

    sum over pages t of  S[t] * r[t],   S[t] = product over earlier pages of (1 - probability of leaving after it),

r[t] what page t was expected to earn (conditional Monte Carlo: Asmussen and Glynn 2007, "Stochastic simulation",
section V.4). It has the same mean as the return and much less variance; it costs a page for each one of the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.columns import Columns
from zsr_sim.envs.population import Population
from zsr_sim.envs.traits import Trait
from zsr_sim.envs.visits import Strategy, decide
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError


@dataclass(frozen=True)
class Followed(Columns):
    """returns: float64 (n,), as above. luck: float64 (n, 4), noise of what the pages earned, weighted by S; mean 0."""

    returns: NDArray[np.float64]
    luck: NDArray[np.float64]


def follow(
    world: World, population: Population, ids: NDArray[np.int64], strategy: Strategy, seed: int, horizon: int,
    batch_size: int = 1024,
) -> Followed:  # fmt: skip
    """Follow these users under a strategy; the first pages, until they leave, are those of `envs.visits.simulate`.

    Raises InputError in a world where users come back: there, leaving is not the only thing that may happen.
    """
    return Followed.joined(
        [
            _follow_batch(world, population, ids[begin : begin + batch_size], strategy, seed, horizon)
            for begin in range(0, len(ids), batch_size)
        ]
    )


def _follow_batch(
    world: World, population: Population, ids: NDArray[np.int64], strategy: Strategy, seed: int, horizon: int
) -> Followed:
    users = population.visit(ids)
    if users.traits[:, Trait.RETURN_RATE].any():
        raise InputError(
            "--follow is for worlds whose users do not come back; leave it out, or set world.return_rate=0"
        )
    state = world.start(users, seed)
    here = np.arange(len(ids), dtype=np.int64)
    survival, returns, luck = np.ones(len(ids)), np.zeros(len(ids)), np.zeros((len(ids), 4))
    for page in range(horizon):
        feedback = world.step(state, decide(strategy, state, here).slates)
        state.present[:] = True
        expected = feedback.expected_reward.astype(np.float64)
        noise, remaining = survival * (feedback.reward - expected), 1 - (page + 1) / horizon
        returns += survival * expected
        luck += np.stack([noise, noise * remaining, noise * expected, noise * remaining * expected], axis=1)
        survival = survival * (1 - feedback.leave_probability)
    return Followed(returns, luck)
