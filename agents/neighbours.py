"""`item-knn`: items that the same people consumed, the neighbours of recent items counting more. Knows items by id."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from zsr_sim.agents.best import best_page
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.interactions import Interactions

DECAYS = (0.5, 0.7, 0.8, 0.9, 1.0)
SHRINKAGES = (0.0, 5.0, 20.0)


@dataclass(frozen=True)
class ItemNeighbours:
    """score(j) = sum over the history of decay ** age(i) * similarity(i, j), age 0 for what was consumed last.

    similarity(i, j) = n_ij / (sqrt(n_i n_j) + shrinkage), with n_ij people who consumed both (Sarwar et al. 2001; the
    shrinkage as of Bell and Koren 2007), and 0 of an item with itself. together: n_ij, (n_items, n_items).
    """

    together: sparse.csr_array
    slate_size: int
    decay: float = 0.9
    shrinkage: float = 0.0
    _similarity: sparse.csr_array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Turn the counts into similarities."""
        counts = np.sqrt(self.together.diagonal())
        pairs = self.together.tocoo()
        rows, columns = pairs.coords
        values = np.where(rows == columns, 0, pairs.data / (counts[rows] * counts[columns] + self.shrinkage))
        similarity = sparse.csr_array((values.astype(np.float32), (rows, columns)), shape=self.together.shape)
        object.__setattr__(self, "_similarity", similarity)

    def act(self, observation: Observation) -> Decision:
        """The page of the nearest neighbours."""
        return Decision(best_page(self.scores(observation), observation, self.slate_size))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """Scores of all items, float32 (n, n_items), 0 or more."""
        histories = observation.histories
        rows, columns = np.nonzero(histories >= 0)
        weights = self.decay ** (histories.shape[1] - 1 - columns)
        shape = (len(histories), self.together.shape[0])
        recent = sparse.csr_array((weights.astype(np.float32), (rows, histories[rows, columns])), shape=shape)
        return np.asarray((recent @ self._similarity).toarray(), dtype=np.float32)


def consumed_together(log: Interactions, n_items: int) -> sparse.csr_array:
    """How many people consumed both of two items, (n_items, n_items)."""
    ones = np.ones(len(log), dtype=np.float32)
    consumed = sparse.csr_array((ones, (log.users, log.items)), shape=(log.n_users, n_items))
    consumed.data[:] = 1  # an item twice is one
    return (consumed.T @ consumed).tocsr()
