"""Every agent keeps the contract, and whoever breaks it is told how."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.generation.waiting import random_retrieval
from zsr_sim.agents.baselines import Popularity, Random, Recency
from zsr_sim.agents.bayes import Bayes
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.protocol import AgentError
from zsr_sim.agents.similarity import Similarity
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError
from zsr_sim.generation.retrieval import Retrieval

RETRIEVAL = random_retrieval()


@pytest.mark.parametrize("kind", [Random, Popularity, Similarity, Bayes])
def test_classes_that_keep_it(kind: type[Any]) -> None:
    check_agent(kind)


@pytest.mark.parametrize("agent", [Recency(RETRIEVAL, 3, RETRIEVAL.popularity), Similarity(RETRIEVAL, 3, 0.1, 0.2)])
def test_agents_that_keep_it(agent: Any) -> None:
    check_agent(agent, RETRIEVAL, 3)


class Broken:
    """An agent with a fault."""

    def __init__(self, retrieval: Retrieval, slate_size: int) -> None:
        self.popularity, self.slate_size, self.calls = Popularity(retrieval, slate_size), slate_size, 0

    def act(self, observation: Observation) -> Decision:
        self.calls += 1
        return Decision(self.broken(observation, self.popularity.act(observation).slates))

    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        return slates


class Writes(Broken):
    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        observation.histories[0, 0] = 3
        return slates


class Moody(Broken):
    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.roll(slates, self.calls, axis=1)


class Sociable(Broken):
    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.roll(slates, len(observation), axis=1) if len(observation) < 3 else slates


class Orderly(Broken):
    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.concatenate([slates[:1, ::-1], slates[1:]])


class Repeats(Broken):
    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.repeat(slates[:, :1], self.slate_size, axis=1)


class Lost(Broken):
    def broken(self, observation: Observation, slates: NDArray[np.int32]) -> NDArray[np.int32]:
        if (observation.histories < 0).all(axis=1).any():
            raise IndexError("no last item")
        return slates


class Generous(Popularity):
    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.where(observation.histories >= 0, 1.0, 0.0)


class Mute:
    def __init__(self, retrieval: Retrieval, slate_size: int) -> None: ...


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Writes, r"Writes: act\(\) wrote into the observation's histories"),
        (
            Moody,
            r"Moody, user 1000000000000, page 1 of the visit: act\(\) answers otherwise when it is asked again: \[",
        ),
        (Sociable, r"Sociable, user 1000000000000, page 1 .* act\(\) depends on who else is asked for"),
        (Orderly, r"Orderly, user 1000000000000, page 1 of the visit: act\(\) depends on the order of the users"),
        (Repeats, r"Repeats, user 1000000000000, page 1 of the visit: its slate is .* 4 different items"),
        (Lost, r"Lost, user 1000000000000, page 1 of the visit: no last item \(IndexError in broken"),
        (Generous, r"Generous, user 1000000000028, page 2 of the visit: explain\(\) gave shares"),
        (Mute, r"Mute: the class has no method act"),
    ],
)
def test_what_breaks_it_is_told(kind: type[Any], says: str) -> None:
    with pytest.raises(AgentError, match=says):
        check_agent(kind)


def test_scores_must_be_finite() -> None:
    class Unsure(Popularity):
        def scores(self, observation: Observation) -> NDArray[np.float32]:
            return np.where(observation.users[:, None] % 2 == 0, np.float32(0), np.float32(np.inf)) + np.zeros(
                (1, len(self.retrieval.vectors)), np.float32
            )

    with pytest.raises(AgentError, match=r"user 1000000000007, page 2 .* the score of item 0 is inf; a finite float32"):
        check_agent(Unsure)


def test_a_small_catalogue_is_refused() -> None:
    with pytest.raises(InputError, match="the catalogue has 19 items; at least 20"):
        check_agent(Popularity(random_retrieval(19), 3), random_retrieval(19), 3)
