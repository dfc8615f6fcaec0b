"""The candidate-scoring network: it reads how a page relates to a history, so any number of pages and any items do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zsr_sim.generation.relations import N_CONTEXT, N_READ


class CandidateScorer(nn.Module):
    """Scores each candidate alone and with what the others are like; also values the situation (for the baseline)."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        width = N_READ + N_CONTEXT
        self.read = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
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
