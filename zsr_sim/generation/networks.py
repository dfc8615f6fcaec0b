"""The two players of the sequence GAN: a generator that writes pages, a discriminator that judges them.

Both work on points of the item space, never on item ids, so that any catalogue can be written from and judged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zsr_sim.encoders.history import pooled

NOISE = 16  # length of the generator's noise vector
DECAYS = (0.95, 0.6)  # a history is read twice: as a lasting taste and as what was consumed just now


def read_histories(histories: Tensor, vectors: Tensor) -> Tensor:
    """Two pooled views of each history, (n, 2 d), from item rows (n, length) and item vectors (n_items, d)."""
    rows, table = histories.int().numpy(), vectors.float().numpy()
    views = [torch.from_numpy(pooled(rows, table, decay)) for decay in DECAYS]
    return torch.cat(views, dim=1).to(vectors.dtype)


class Generator(nn.Module):
    """Writes a sequence of points; an item is drawn near each point by softmax over the items' vectors.

    hidden[0] = tanh(A [history, noise]); hidden[t] = GRU(hidden[t-1], x[t-1]);
    point[t] = exp(scale) (B hidden[t] + C history); logits[t, i] = point[t] . x_i + weight * appeal[i]
    `appeal` is what a log knows of an item's popularity, 0 for an item that no log has seen.
    """

    def __init__(self, dimensions: int, hidden: int = 96) -> None:
        super().__init__()
        self.begin = nn.Linear(2 * dimensions + NOISE, hidden)
        self.gru = nn.GRU(dimensions, hidden, batch_first=True)
        self.point = nn.Linear(hidden, dimensions)
        self.lasting = nn.Linear(2 * dimensions, dimensions)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.appeal_weight = nn.Parameter(torch.tensor(1.0))
        self.dimensions = dimensions

    def start(self, history: Tensor, noise: Tensor) -> Tensor:
        """First hidden state, (1, n, hidden), from pooled histories (n, 2 d) and noise (n, NOISE)."""
        return torch.tanh(self.begin(torch.cat([history, noise], dim=1)))[None]

    def points(self, hidden: Tensor, history: Tensor) -> Tensor:
        """Points in the item space, (n, length, d), from GRU outputs (n, length, hidden), scaled for the softmax."""
        return torch.exp(self.scale) * (self.point(hidden) + self.lasting(history)[:, None, :])

    def forward(self, history: Tensor, noise: Tensor, items: Tensor) -> Tensor:
        """Points for every position of given sequences of item vectors (n, length, d), each written before its item."""
        first = items.new_zeros(len(items), 1, self.dimensions)
        inputs = torch.cat([first, items[:, :-1]], dim=1)  # (n, length, d)
        hidden, _ = self.gru(inputs, self.start(history, noise))  # (n, length, hidden)
        return self.points(hidden, history)  # (n, length, d)


class Discriminator(nn.Module):
    """Judges (history, sequence): a logit per position that the sequence is real up to there."""

    def __init__(self, dimensions: int, hidden: int = 64) -> None:
        super().__init__()
        self.gru = nn.GRU(3 * dimensions, hidden, batch_first=True)
        self.judge = nn.Sequential(nn.Linear(hidden + 2 * dimensions, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, history: Tensor, items: Tensor) -> Tensor:
        """Logits (n, length) from pooled histories (n, 2 d) and item vectors (n, length, d)."""
        n, length, d = items.shape
        views = history.view(n, 1, 2, d)
        near = (views * items[:, :, None, :]).reshape(n, length, 2 * d)  # the items as the history weighs them
        hidden, _ = self.gru(torch.cat([items, near], dim=2))  # (n, length, hidden)
        whole = history[:, None, :].expand(n, length, 2 * d)
        logits: Tensor = self.judge(torch.cat([hidden, whole], dim=2))  # (n, length, 1)
        return logits[:, :, 0]
