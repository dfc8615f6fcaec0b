"""How single items relate to a user: what strategies read that choose item by item among a shortlist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched
from zsr_sim.envs.choices import shortlist
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, Candidates, CandidateSource
from zsr_sim.generation.index import Shelf, available, holds
from zsr_sim.generation.relations import context, relate
from zsr_sim.generation.retrieval import Retrieval

_COSINES = (0, 2, 4, 5)  # of `Relations.scalars`, those that differ for a single item
N_FEATURES = 1 + len(_COSINES) + 1 + len(_COSINES) + 1
"""1, cosines with the lasting and the recent taste, cosine with the nearest of the last 20 and of the last 4 consumed
items, popularity, the squares of the cosines, and the product of lasting and recent cosine."""


@dataclass(frozen=True)
class Shortlist:
    """Different items among which a page is made for each user.

    items: int32 (n, m). features: float64 (n, m, N_FEATURES). context: float32 (n, N_CONTEXT), see `relations.py`.
    standings: int8 (n, m), how each item stands with its user: 0, new; 1, consumed or shown; 2, it cannot be had.
    """

    items: NDArray[np.int32]
    features: NDArray[np.float64]
    context: NDArray[np.float32]
    standings: NDArray[np.int8]

    def best(self, scores: NDArray[np.float64], k: int) -> NDArray[np.int32]:
        """The k items of each user that score highest (n, m), best first, int32 (n, k).

        Others than new ones, which a small catalogue brings onto a shortlist, follow only where there are too few.
        """
        order = np.lexsort((-scores, self.standings), axis=1)[:, :k]
        return np.take_along_axis(self.items, order, axis=1)


def shortlisted(source: CandidateSource, observation: Observation, size: int) -> Shortlist:
    """The first items of all of the source's pages, each once, `size` of them (all, in a smaller catalogue)."""
    size = min(size, len(source.retrieval.vectors))
    entries = shortlist(source, observation, size)
    items = entries.items[:, :, 0]
    features = item_features(observation, items, source.retrieval)
    standings = np.empty(items.shape, dtype=np.int8)
    _stand(items, observation.steps, source.retrieval.shelf, observation.histories, observation.shown, standings)
    return Shortlist(items, features, context(observation, source.slate_size), standings)


def item_features(observation: Observation, items: NDArray[np.int32], retrieval: Retrieval) -> NDArray[np.float64]:
    """Features of items int32 (n, m) for their users, float64 (n, m, N_FEATURES); see there."""
    n, m = items.shape
    anywhere = np.full((n, m), SOURCES.index("random"), dtype=np.int8)
    alone = Candidates(np.ascontiguousarray(items[:, :, None]), anywhere, np.full((n, m), 0.5, dtype=np.float32))
    cosines = relate(observation, alone, retrieval).scalars[:, :, _COSINES].astype(np.float64)  # (n, m, 4)
    appeal = retrieval.appeal[items].astype(np.float64)[:, :, None]
    both = cosines[:, :, :1] * cosines[:, :, 1:2]
    return np.concatenate([np.ones((n, m, 1)), cosines, appeal, cosines**2, both], axis=2)


@batched
def _stand(
    begin: int,
    end: int,
    items: NDArray[np.int32],
    steps: NDArray[np.int64],
    shelf: Shelf,
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    out: NDArray[np.int8],
) -> None:
    """How shortlisted items (n, m) stand with their users; see `Shortlist`."""
    for i in range(begin, end):
        for j in range(items.shape[1]):
            item = items[i, j]
            if available(item, steps[i], shelf):
                out[i, j] = holds(histories[i], item) or holds(shown[i], item)
            else:
                out[i, j] = 2
