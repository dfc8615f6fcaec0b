"""A mixture of strategies: its probabilities are means, its draws follow them, and agents count as they act."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.generation.waiting import random_retrieval, random_waiting
from zsr_sim.agents.baselines import Popularity, Random
from zsr_sim.agents.distribution import PageDistribution, page_distribution, sampled
from zsr_sim.agents.mixture import Mixture, as_it_acts
from zsr_sim.agents.protocol import Agent
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError

N_ITEMS, SLATE = 30, 3


@dataclass(frozen=True)
class Prefers:
    """Could draw one of two pages, but shows the first."""

    excluded: int = -1
    even: float = 0.0

    def act(self, observation: Observation) -> Decision:
        return Decision(np.tile(np.array([0, 1, 2], dtype=np.int32), (len(observation), 1)))

    def distribution(self, observation: Observation) -> PageDistribution:
        n = len(observation)
        pages = np.tile(np.array([[0, 1, 2], [3, 4, 5]], dtype=np.int32), (n, 1, 1))
        shares: NDArray[np.float64] = np.tile([0.6, 0.4], (n, 1)) * (1 - self.even)
        excluded = np.full((n, 1), self.excluded if self.excluded >= 0 else N_ITEMS, dtype=np.int32)
        return PageDistribution(pages, shares, np.full(n, self.even), N_ITEMS, excluded)


def test_probabilities_are_the_mean_of_its_agents() -> None:
    retrieval, observation = random_retrieval(N_ITEMS), random_waiting(40, N_ITEMS)
    agents: list[Agent] = [Popularity(retrieval, SLATE), Random(retrieval, SLATE)]
    mixture = Mixture(agents, N_ITEMS).distribution(observation)
    for pages in (agents[0].act(observation).slates, agents[1].act(observation).slates):
        expected = np.mean([page_distribution(a, observation, N_ITEMS).slate_propensity(pages) for a in agents], axis=0)
        assert mixture.slate_propensity(pages) == pytest.approx(expected, rel=1e-12)
        assert (mixture.position_propensity(pages) >= expected[:, None]).all()


def test_each_agent_shows_as_many_pages_as_the_others() -> None:
    retrieval, observation = random_retrieval(N_ITEMS), random_waiting(4000, N_ITEMS)
    popular = Popularity(retrieval, SLATE)
    shown = Mixture([popular, Prefers()], N_ITEMS).act(observation).slates
    own = (shown == popular.act(observation).slates).all(axis=1)
    assert own.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 4000))
    assert (shown[~own] == [0, 1, 2]).all()


def test_an_agent_counts_as_it_acts() -> None:
    """What shows its best page is that page; what draws evenly from a pool is its distribution."""
    observation = random_waiting(5, N_ITEMS)
    fixed = as_it_acts(Prefers(), observation, N_ITEMS)
    assert fixed.probabilities.tolist() == [[1.0]] * 5
    assert fixed.items[:, 0].tolist() == [[0, 1, 2]] * 5
    assert as_it_acts(sampled(Prefers(), N_ITEMS, 0.3), observation, N_ITEMS).uniform.tolist() == [0.3] * 5


def test_pools_that_differ_cannot_be_mixed() -> None:
    agents = [Prefers(excluded=9, even=0.5), Prefers(excluded=8, even=0.5)]
    with pytest.raises(InputError, match="draw evenly from different pools"):
        Mixture(agents, N_ITEMS).distribution(random_waiting(2, N_ITEMS))
