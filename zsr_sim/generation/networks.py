"""The two players of the sequence GAN: a generator that writes pages, a discriminator that judges them.

Both work on points of the item space, never on item ids, so that any catalogue can be written from and judged.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zsr_sim.encoders.history import pooled

NOISE = 16  # length of the generator's noise vector
DECAYS = (0.95, 0.6)  # a history is pooled twice: as a lasting taste and as what was consumed just now
RECENT = 20  # items of a history that the generator reads one by one


class Past(NamedTuple):
    """What users consumed, as the networks read it.

    pooled: (n, 2 d), a lasting and a recent mean. items: (n, RECENT, d), the last items in order, zeros on the left
    where the history is shorter.
    """

    pooled: Tensor
    items: Tensor

    def take(self, rows: Tensor) -> Past:
        """The users at these rows."""
        return Past(self.pooled[rows], self.items[rows])


class Read(NamedTuple):
    """Histories as a generator has read them: summary (n, hidden + 2 d), lasting (n, d), items (n, RECENT, d)."""

    summary: Tensor
    lasting: Tensor
    items: Tensor


def read_histories(histories: Tensor, vectors: Tensor) -> Past:
    """Histories, int64 (n, length), rows of the item vectors (n_items, d), most recent last, padded left with -1."""
    histories = nn.functional.pad(histories, (max(RECENT - histories.shape[1], 0), 0), value=-1)
    rows, table = histories.int().numpy(), vectors.float().numpy()
    views = [torch.from_numpy(pooled(rows, table, decay)) for decay in DECAYS]
    last = histories[:, -RECENT:]
    items = vectors[last.clamp(min=0)] * (last >= 0).to(vectors.dtype)[:, :, None]  # (n, RECENT, d)
    return Past(torch.cat(views, dim=1).to(vectors.dtype), items)


class Generator(nn.Module):
    """Writes a sequence of points; an item is drawn near each point by softmax over the items' vectors.

    past = [GRU_past(history), pooled history]; hidden[0] = tanh(A [past, noise]); hidden[t] = GRU(hidden[t-1], x[t-1]);
    point[t] = exp(scale) (attention(hidden[t], history items) + B hidden[t] + C past);
    logits[t, i] = point[t] . x_i + weight * appeal[i]
    The attention lets a sequence go on from single items of the history, not only from their mean. `appeal` is what a
    log knows of an item's popularity, 0 for an item that no log has seen.
    """

    def __init__(self, dimensions: int, hidden: int = 64) -> None:
        super().__init__()
        self.reader = nn.GRU(dimensions, hidden, batch_first=True)
        self.begin = nn.Linear(hidden + 2 * dimensions + NOISE, hidden)
        self.gru = nn.GRU(dimensions, hidden, batch_first=True)
        self.point = nn.Linear(hidden, dimensions)
        self.ask = nn.Linear(hidden, dimensions)
        self.lasting = nn.Linear(hidden + 2 * dimensions, dimensions)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.appeal_weight = nn.Parameter(torch.tensor(1.0))
        self.dimensions = dimensions

    def read(self, past: Past) -> Read:
        """What the generator makes of each history."""
        _, state = self.reader(past.items)  # (1, n, hidden)
        summary = torch.cat([state[0], past.pooled], dim=1)  # (n, hidden + 2 d)
        return Read(summary, self.lasting(summary), past.items)

    def start(self, read: Read, noise: Tensor) -> Tensor:
        """First hidden states, (1, n m, hidden), from n histories and noise (n, m, NOISE)."""
        n, m, _ = noise.shape
        summary = read.summary[:, None, :].expand(n, m, -1)
        return torch.tanh(self.begin(torch.cat([summary, noise], dim=2))).reshape(1, n * m, -1)

    def points(self, hidden: Tensor, read: Read) -> Tensor:
        """Points in the item space, (n, k, d), from k GRU outputs for each history (n, k, hidden), for the softmax."""
        asked = self.ask(hidden) @ read.items.transpose(1, 2)  # (n, k, RECENT)
        empty = ~read.items.any(dim=2)[:, None, :]  # (n, 1, RECENT)
        weights = torch.softmax(asked.masked_fill(empty, -1e9), dim=2)
        attended = weights @ read.items  # (n, k, d)
        points: Tensor = attended + self.point(hidden) + read.lasting[:, None, :]
        return torch.exp(self.scale) * points

    def forward(self, past: Past, noise: Tensor, items: Tensor) -> Tensor:
        """Points for every position of given sequences of item vectors (n, length, d), each written before its item.

        noise: (n, NOISE).
        """
        read = self.read(past)
        first = items.new_zeros(len(items), 1, self.dimensions)
        inputs = torch.cat([first, items[:, :-1]], dim=1)  # (n, length, d)
        hidden, _ = self.gru(inputs, self.start(read, noise[:, None, :]))  # (n, length, hidden)
        return self.points(hidden, read)  # (n, length, d)


class Discriminator(nn.Module):
    """Judges (history, sequence): a logit per position that the sequence is real up to there."""

    def __init__(self, dimensions: int, hidden: int = 48) -> None:
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
