"""The candidate-scoring network: it reads how a page relates to a history, so it takes any number of pages and any items."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.encoders.history import pooled
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, Candidates
from zsr_sim.generation.retrieval import Retrieval

_DECAYS = (0.95, 0.6)  # a lasting taste, and what was consumed just now: their difference is what boredom shows in
N_RELATIONS = 2 * len(_DECAYS) + 3 + len(SOURCES)
N_CONTEXT = 3


def relations(
    observation: Observation, candidates: Candidates, retrieval: Retrieval
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How each candidate page relates to its user.

    Returns float32 (n, candidates, 2 d + N_RELATIONS): the products of the page's mean vector with the lasting and the
    recent history, then scalars (cosine of mean and of best item with each history, coherence, plausibility, appeal,
    source); and float32 (n, N_CONTEXT): share of the last page consumed, pages so far, share of history used; all 0..1
    or -1..1.
    """
    views = [pooled(observation.histories, retrieval.vectors, decay) for decay in _DECAYS]  # each (n, d)
    items = retrieval.vectors[candidates.items]  # (n, candidates, slate, d)
    means = items.mean(axis=2)  # (n, candidates, d)
    appeal = np.log1p(retrieval.popularity)
    appeal = appeal / max(float(appeal.max()), 1e-12)
    scalars = []
    for view in views:
        cosines = np.einsum("ncsd,nd->ncs", items, view)
        scalars += [cosines.mean(axis=2), cosines.max(axis=2)]
    scalars += [(means**2).sum(axis=2), candidates.plausibility, appeal[candidates.items].mean(axis=2)]
    kinds = np.eye(len(SOURCES), dtype=np.float32)[candidates.sources]  # (n, candidates, sources)
    products = [means * view[:, None, :] for view in views]
    pages = np.concatenate([*products, np.stack(scalars, axis=2), kinds], axis=2).astype(np.float32)
    return pages, _context(observation, candidates.items.shape[2])


def _context(observation: Observation, slate_size: int) -> NDArray[np.float32]:
    last = observation.shown[:, -slate_size:]  # (n, slate), -1 before the first page
    taken = (last[:, :, None] == observation.histories[:, None, -slate_size:]) & (last >= 0)[:, :, None]
    share = taken.any(axis=2).mean(axis=1)
    used = (observation.histories >= 0).mean(axis=1)
    return np.stack([share, np.minimum(observation.steps / 20.0, 1.0), used], axis=1).astype(np.float32)


class CandidateScorer(nn.Module):
    """Scores each candidate alone and with what the others are like; also values the situation (for the baseline)."""

    def __init__(self, dimensions: int, hidden: int = 64) -> None:
        super().__init__()
        width = 2 * dimensions + N_RELATIONS
        self.read = nn.Sequential(nn.Linear(width + N_CONTEXT, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.score = nn.Linear(2 * hidden, 1)
        self.value = nn.Sequential(nn.Linear(2 * hidden + N_CONTEXT, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.score.weight)  # the first policy draws evenly among the candidates
        nn.init.zeros_(self.score.bias)

    def forward(self, pages: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, candidates) and values (n,) from `relations` as tensors."""
        wide = context[:, None, :].expand(-1, pages.shape[1], -1)
        read = self.read(torch.cat([pages, wide], dim=2))  # (n, candidates, hidden)
        mean, best = read.mean(dim=1), read.amax(dim=1)  # (n, hidden)
        logits = self.score(torch.cat([read, read - mean[:, None, :]], dim=2))[:, :, 0]  # (n, candidates)
        values = self.value(torch.cat([mean, best, context], dim=1))[:, 0]  # (n,)
        return logits, values
