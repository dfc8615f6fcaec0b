"""Strategies without learning that know nothing of the user: the same kind of page for everybody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.best import best_page
from zsr_sim.agents.distribution import PageDistribution, seen_items
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions


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
class Recency:
    """The items that somebody consumed last, as far as the user has not seen them.

    freshness: float32 (n_items,), as `freshness_of` gives it.
    """

    retrieval: Retrieval
    slate_size: int
    freshness: NDArray[np.float32]

    def act(self, observation: Observation) -> Decision:
        """The page of the latest items for each user."""
        return Decision(best_page(self.scores(observation), observation, self.slate_size, self.retrieval.shelf))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """`freshness`, float32 (n, n_items); the same for everybody."""
        return np.tile(self.freshness, (len(observation), 1))


def freshness_of(log: Interactions, popularity: NDArray[np.float32]) -> NDArray[np.float32]:
    """How late in the log each item was last consumed, as a rank in 0 .. 1, float32 (n_items,); 0: never.

    Of items consumed last at the same time, the more popular one ranks higher.
    """
    last = np.full(len(popularity), -np.inf)
    np.maximum.at(last, log.items, log.timestamps)
    consumed = np.flatnonzero(np.isfinite(last))
    ranks = np.zeros(len(last), dtype=np.float32)
    if len(consumed):
        pairs = np.stack([last, popularity], axis=1)[consumed]  # (consumed, 2), in their order a row is later
        _, which = np.unique(pairs, axis=0, return_inverse=True)
        ranks[consumed] = (which.ravel() + 1) / (which.max() + 1)
    return ranks
