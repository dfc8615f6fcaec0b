"""Strategies without learning: the same retrieval on every page."""

from dataclasses import dataclass

from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.generation.retrieval import Retrieval


@dataclass(frozen=True)
class Random:
    """Items drawn evenly from what the user has not seen."""

    retrieval: Retrieval
    slate_size: int

    def act(self, observation: Observation) -> Decision:
        """A page of random items for each user."""
        return Decision(self.retrieval.at_random(observation, self.slate_size))


@dataclass(frozen=True)
class Popularity:
    """The items that most people consumed, as far as the user has not seen them."""

    retrieval: Retrieval
    slate_size: int

    def act(self, observation: Observation) -> Decision:
        """The most popular page for each user."""
        return Decision(self.retrieval.by_popularity(observation, self.slate_size))


@dataclass(frozen=True)
class Similarity:
    """The items whose text is nearest to what the user consumed, recent items counting more.

    A user without history gets the most popular items.
    """

    retrieval: Retrieval
    slate_size: int

    def act(self, observation: Observation) -> Decision:
        """The nearest page for each user."""
        return Decision(self.retrieval.by_history(observation, self.slate_size))
