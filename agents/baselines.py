"""Strategies without learning: the same retrieval on every page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.distribution import PageDistribution, seen_items
from zsr_sim.encoders.history import pooled
from zsr_sim.envs.noise import Purpose, uniforms
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

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """An order of its own for each user and step, float32 (n, n_items) in 0 .. 1."""
        keys = (observation.seeds, observation.users, observation.steps)
        return uniforms(*keys, Purpose.RANDOM_ITEMS, len(self.retrieval.vectors)).astype(np.float32)

    def distribution(self, observation: Observation) -> PageDistribution:
        """Every page of new items alike."""
        n, n_items = len(observation), len(self.retrieval.vectors)
        none = np.zeros((n, 0, self.slate_size), dtype=np.int32)
        excluded = seen_items(observation, n_items, self.slate_size)
        return PageDistribution(none, np.zeros((n, 0)), np.ones(n), n_items, excluded)


@dataclass(frozen=True)
class Popularity:
    """The items that most people consumed, as far as the user has not seen them."""

    retrieval: Retrieval
    slate_size: int

    def act(self, observation: Observation) -> Decision:
        """The most popular page for each user."""
        return Decision(self.retrieval.by_popularity(observation, self.slate_size))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """How often each item was consumed, float32 (n, n_items); the same for everybody."""
        return np.tile(self.retrieval.popularity, (len(observation), 1))


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

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """Cosine of each item with the history, float32 (n, n_items)."""
        queries = pooled(observation.histories, self.retrieval.vectors)
        return self.retrieval.similarity(queries).numpy()
