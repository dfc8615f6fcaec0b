"""Several strategies behind one door: each page is of one of them, drawn evenly. What an honest log is written by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsr_sim.agents.distribution import Greedy, PageDistribution, page_distribution
from zsr_sim.agents.protocol import Agent
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError


@dataclass(frozen=True)
class Mixture:
    """With probability 1 / k each, the page of one of k agents (`as_it_acts`). n_items: of the catalogue."""

    agents: Sequence[Agent]
    n_items: int

    def distribution(self, observation: Observation) -> PageDistribution:
        """The mean of the agents' distributions; InputError where two of them draw evenly from different pools."""
        parts = [as_it_acts(agent, observation, self.n_items) for agent in self.agents]
        pools = [part.excluded for part in parts if part.uniform.any()] or [parts[0].excluded]
        if not all(np.array_equal(pool, pools[0]) for pool in pools):
            raise InputError("two strategies draw evenly from different pools; no mixture of them can be written down")
        return PageDistribution(
            np.concatenate([part.items for part in parts], axis=1),
            np.concatenate([part.probabilities for part in parts], axis=1) / len(parts),
            np.mean([part.uniform for part in parts], axis=0),
            self.n_items,
            pools[0],
        )

    def act(self, observation: Observation) -> Decision:
        """A drawn page for each user."""
        return Decision(self.distribution(observation).draw(observation.seeds, observation.users, observation.steps))


@dataclass(frozen=True)
class AsItActs:
    """An agent whose `distribution` is that of what it shows (`as_it_acts`)."""

    agent: Agent
    n_items: int

    def distribution(self, observation: Observation) -> PageDistribution:
        """See `as_it_acts`."""
        return as_it_acts(self.agent, observation, self.n_items)

    def act(self, observation: Observation) -> Decision:
        """The agent's own decision."""
        return self.agent.act(observation)


def as_it_acts(agent: Agent, observation: Observation, n_items: int) -> PageDistribution:
    """What an agent shows, as a distribution: its own where it draws evenly from a pool, else all on its page.

    A policy that could draw among a few pages but shows the best one is taken as it acts; so is one that draws among
    them by the observation's luck, which then is a fixed page, too.
    """
    found = page_distribution(agent, observation, n_items)
    return found if found.uniform.any() else page_distribution(Greedy(agent), observation, n_items)
