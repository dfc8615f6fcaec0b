"""How candidate pages relate to their users: what a policy reads, and what the Gymnasium environments observe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.history import pooled
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, Candidates
from zsr_sim.generation.retrieval import Retrieval

_DECAYS = (0.95, 0.6)  # a lasting taste, and what was consumed just now: their difference is what boredom shows in
N_COSINES = 2 * len(_DECAYS) + 1
"""The first scalars of a page: those that lie in -1 .. 1; the others lie in 0 .. 1."""
N_RELATIONS = N_COSINES + 2 + len(SOURCES)
N_CONTEXT = 3


@dataclass(frozen=True)
class Relations:
    """A batch of users and their candidate pages in numbers, all float32; item vectors have length 1 (or 0).

    lasting, recent: (n, d), the pooled history under slow and fast forgetting, -1 .. 1. means: (n, candidates, d), the
    mean vector of each page, -1 .. 1. scalars: (n, candidates, N_RELATIONS): mean cosine of the page's items with the
    lasting history and the best one, both again with the recent history, coherence (squared length of the mean), each
    -1 .. 1; plausibility and mean appeal, 0 .. 1; the source as 0 or 1 for each of SOURCES. context: (n, N_CONTEXT):
    share of the last page that was consumed, pages so far in units of 20 (at most 1), share of the history that is
    used, 0 .. 1.
    """

    lasting: NDArray[np.float32]
    recent: NDArray[np.float32]
    means: NDArray[np.float32]
    scalars: NDArray[np.float32]
    context: NDArray[np.float32]

    def features(self) -> NDArray[np.float32]:
        """What a network reads of each page: means * lasting, means * recent, scalars.

        Shape (n, candidates, 2 d + N_RELATIONS).
        """
        products = [self.means * view[:, None, :] for view in (self.lasting, self.recent)]  # each (n, candidates, d)
        return np.concatenate([*products, self.scalars], axis=2)


def relate(observation: Observation, candidates: Candidates, retrieval: Retrieval) -> Relations:
    """Relate each candidate page to its user; a row depends on that user alone, whatever the batch."""
    lasting, recent = (pooled(observation.histories, retrieval.vectors, decay) for decay in _DECAYS)  # each (n, d)
    items = retrieval.vectors[candidates.items]  # (n, candidates, slate, d)
    means = items.mean(axis=2)  # (n, candidates, d)
    appeal = np.log1p(retrieval.popularity)
    appeal = appeal / max(float(appeal.max()), 1e-12)
    cosines = []
    for view in (lasting, recent):
        each = np.einsum("ncsd,nd->ncs", items, view)
        cosines += [each.mean(axis=2), each.max(axis=2)]
    cosines.append((means**2).sum(axis=2))
    bounded = np.clip(np.stack(cosines, axis=2), -1, 1)  # rounding takes cosines of unit vectors past 1
    levels = np.stack([candidates.plausibility, appeal[candidates.items].mean(axis=2)], axis=2)
    kinds = np.eye(len(SOURCES), dtype=np.float32)[candidates.sources]  # (n, candidates, sources)
    scalars = np.concatenate([bounded, levels, kinds], axis=2).astype(np.float32)
    return Relations(lasting, recent, means, scalars, _context(observation, candidates.items.shape[2]))


def relations(
    observation: Observation, candidates: Candidates, retrieval: Retrieval
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The features of each candidate page, (n, candidates, 2 d + N_RELATIONS), and the context, (n, N_CONTEXT)."""
    related = relate(observation, candidates, retrieval)
    return related.features(), related.context


def _context(observation: Observation, slate_size: int) -> NDArray[np.float32]:
    last = observation.shown[:, -slate_size:]  # (n, slate), -1 before the first page
    taken = (last[:, :, None] == observation.histories[:, None, -slate_size:]) & (last >= 0)[:, :, None]
    share = taken.any(axis=2).mean(axis=1)
    used = (observation.histories >= 0).mean(axis=1)
    return np.stack([share, np.minimum(observation.steps / 20.0, 1.0), used], axis=1).astype(np.float32)
