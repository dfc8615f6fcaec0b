"""What draws users, learned from who consumed what: a space in which an item's place follows from its text.

A logistic factor model whose factors are regressed on item features, so that an item that nobody has consumed has an
appeal and a place, too (Agarwal and Chen 2009, "Regression-based latent factor models"). A user is the sum of what was
consumed (Koren 2008, "Factorization meets the neighborhood", section 4; Kabbur, Ning and Karypis 2013, "FISM"), so a
user who was not there in training has a taste, too. It starts as plain text similarity and learns from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zsr_sim.compiled import batched
from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import spherical_kmeans
from zsr_sim.interactions import Interactions

EPOCHS, NEGATIVES = 5, 4
_BATCH, _BATCHES = 4096, 25  # interactions in a step at most; steps in an epoch at least, in all but tiny logs
_LEARNING_RATE = 0.02
_STEPS = 4000  # at most: a large log is sampled
_FORGET = 0.75  # a sum over n items counts n ** -0.75: between a mean and a plain sum
_SCALE = 2.0  # logits per unit of cosine with a single consumed item at the start
_DROP = 0.5  # share of items that are taken for unknown in a step (Volkovs et al. 2017, "DropoutNet")
_WHOLE = 0.8  # of an interest is the whole taste: held-out items are told best so, 3 such interests from 1
_DECAY = 0.1  # of what an item has beyond its text


@dataclass(frozen=True)
class TasteModel:
    """appeal: float32 (n_items,), log-odds to be consumed by anybody. vectors: float32 (n_items, d), unit length.

    pulls: float32 (n_items, d), what one consumed item adds to a taste. common: float32 (d,), the mean taste, which
    counts as appeal.
    """

    appeal: NDArray[np.float32]
    vectors: NDArray[np.float32]
    pulls: NDArray[np.float32]
    common: NDArray[np.float32]

    def tastes(
        self, items: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Tastes of users who consumed `items[starts[u] : ends[u]]`, float32 (n, d); for no history, zeros.

        taste = 2 * sum of pulls / count ** 0.75 - common, so that <taste, vector> + appeal is the log-odds to consume.
        """
        counts = ends - starts  # (n,)
        offsets = np.cumsum(counts) - counts
        rows = np.repeat(starts - offsets, counts) + np.arange(counts.sum())
        pulls = torch.from_numpy(self.pulls)
        sums = F.embedding_bag(torch.from_numpy(items[rows].astype(np.int64)), pulls, torch.from_numpy(offsets),
                               mode="sum")  # (n, d)  # fmt: skip
        weights = _SCALE / np.maximum(counts, 1)[:, None] ** _FORGET
        tastes = sums.numpy() * weights - self.common * (counts > 0)[:, None]
        return np.asarray(tastes, dtype=np.float32)

    def interests(
        self, items: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64], k: int
    ) -> NDArray[np.float32]:
        """The same tastes, each as k interests of its length, float32 (n, k, d): the log-odds is that of the nearest.

        What a user consumed is parted by spherical k-means of its pulls; an interest is the direction of four parts the
        whole taste and one part that of its cluster alone.
        """
        tastes = self.tastes(items, starts, ends)
        out = np.repeat(tastes[:, None], k, axis=1)  # (n, k, d)
        _part(self.pulls, self.common, items, starts, ends, out)
        return np.asarray(unit(out) * np.linalg.norm(tastes, axis=1)[:, None, None], dtype=np.float32)


def learn_tastes(features: NDArray[np.float32], log: Interactions, seed: int, dimensions: int) -> TasteModel:
    """Learn appeal and space from a log; features: float32 (n_items, e), from the items' texts.

    The first d = `dimensions` <= e axes, on which rows have length 1, are where places begin; appeal reads all.
    Log-odds that user u consumes item i: b_i + <t_u, y_i / |y_i|>, with b_i = w f_i + c + own b, y_i = W x_i + own y,
    t_u = 2 sum_j (P x_j + own p) / n ** 0.75 over the n items j that u consumed beside i; f_i are an item's features,
    x_i the first d of them. Logistic loss against 4 items drawn at random among all that the log knows, Adam, 5 epochs.
    What an item has of its own is decayed, and left out for half of the items in each step, so that text explains what
    it can. What the tastes of all users have in common is counted as appeal in the end.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Model(torch.from_numpy(features), dimensions)
        _train(model, log)
    with torch.no_grad():
        appeal, places = model.items(torch.ones(len(features)))
        raw = TasteModel(appeal.numpy(), places.numpy(), model.pulls().numpy(), np.zeros(dimensions, np.float32))
    tastes = raw.tastes(log.items, log.starts[:-1], log.starts[1:])  # (n_users, d)
    common = np.average(tastes, axis=0, weights=np.diff(log.starts)).astype(np.float32)
    return TasteModel(raw.appeal + raw.vectors @ common, raw.vectors, raw.pulls, common)


@batched
def _part(
    begin: int, end: int,
    pulls: NDArray[np.float32], common: NDArray[np.float32], items: NDArray[np.int32], starts: NDArray[np.int64],
    ends: NDArray[np.int64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    for u in range(begin, end):
        own = pulls[items[starts[u] : ends[u]]]  # (m, d)
        if len(own) and out.shape[1] > 1:
            points = own.copy()
            for i in range(len(own)):
                points[i] /= max(np.sqrt((own[i] ** 2).sum()), 1e-12)
            _, labels = spherical_kmeans(points, out.shape[1], 10)
            for k in range(out.shape[1]):
                total, count = np.zeros(out.shape[2]), 0
                for i in range(len(own)):
                    if labels[i] == k:
                        total += own[i]
                        count += 1
                if count:
                    for j in range(out.shape[2]):
                        alone = _SCALE * total[j] / count**_FORGET - common[j]
                        out[u, k, j] = _WHOLE * out[u, k, j] + (1.0 - _WHOLE) * alone


class _Model(torch.nn.Module):
    """Parameters of `learn_tastes`; everything an item has of its own starts at zero, the maps at the identity."""

    def __init__(self, features: Tensor, d: int) -> None:
        super().__init__()
        n, e = features.shape
        self.features = features  # (n, e)
        self.leading = features[:, :d].contiguous()
        self.place = torch.nn.Parameter(torch.eye(d))
        self.pull = torch.nn.Parameter(torch.eye(d))
        self.draw = torch.nn.Parameter(torch.zeros(e))
        self.level = torch.nn.Parameter(torch.full((1,), -math.log(NEGATIVES)))
        self.own_place = torch.nn.Parameter(torch.zeros(n, d))
        self.own_pull = torch.nn.Parameter(torch.zeros(n, d))
        self.own_appeal = torch.nn.Parameter(torch.zeros(n))

    def items(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Appeal (n,) and unit vectors (n, d); known: (n,), 0 for an item that is taken for unknown."""
        places = self.leading @ self.place + known[:, None] * self.own_place
        appeal = self.features @ self.draw + self.level + known * self.own_appeal
        return appeal, F.normalize(places, dim=1)

    def pulls(self) -> Tensor:
        """What each item adds to a taste, (n, d)."""
        return self.leading @ self.pull + self.own_pull

    def decay(self) -> Tensor:
        """Sum of squares of what items have of their own; appeal, of which a log says more, a tenth."""
        return self.own_place.square().sum() + self.own_pull.square().sum() + 0.1 * self.own_appeal.square().sum()


def _train(model: _Model, log: Interactions) -> None:
    users, items = torch.from_numpy(log.users.astype(np.int64)), torch.from_numpy(log.items.astype(np.int64))
    starts = torch.from_numpy(log.starts)
    pool = torch.unique(items)
    size = min(max(len(log) // _BATCHES, 64), _BATCH)
    steps = min(EPOCHS * -(-len(log) // size), _STEPS)
    own = [model.own_appeal]
    rest = [p for p in model.parameters() if p is not model.own_appeal]
    adam = torch.optim.Adam(
        [{"params": rest, "lr": _LEARNING_RATE}, {"params": own, "lr": 5 * _LEARNING_RATE}], betas=(0.9, 0.99)
    )
    slower = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1.0 - 0.95 * step / steps)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if not len(order):
            order = torch.randperm(len(log))
        batch, order = order[:size], order[size:]
        drawn = pool[torch.randint(len(pool), (len(batch), NEGATIVES))]
        candidates = torch.cat([items[batch, None], drawn], dim=1)  # (batch, 1 + negatives)
        tastes = _others(model, users[batch], items[batch], items, starts)  # (batch, d)
        appeal, places = model.items((torch.rand(len(model.features)) > _DROP).float())
        logits = appeal[candidates] + torch.einsum("bd,bcd->bc", tastes, places[candidates])
        consumed = torch.zeros_like(logits)
        consumed[:, 0] = 1.0
        loss = F.binary_cross_entropy_with_logits(logits, consumed, reduction="sum") / len(batch)
        adam.zero_grad()
        (loss + _DECAY / len(pool) * model.decay()).backward()
        adam.step()
        slower.step()


def _others(model: _Model, users: Tensor, items: Tensor, consumed: Tensor, starts: Tensor) -> Tensor:
    """Taste of each user without the item beside it, (batch, d): what was consumed must not speak for itself."""
    who, row = torch.unique(users, return_inverse=True)
    counts = starts[who + 1] - starts[who]
    offsets = torch.cumsum(counts, 0) - counts
    rows = torch.repeat_interleave(starts[who] - offsets, counts) + torch.arange(int(counts.sum()))
    pulls = model.pulls()  # (n, d)
    sums = F.embedding_bag(consumed[rows], pulls, offsets, mode="sum")  # (who, d)
    others = (counts[row] - 1).clamp(min=1)[:, None]
    return _SCALE * (sums[row] - pulls[items]) / others**_FORGET
