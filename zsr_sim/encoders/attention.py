"""`attention`: a small network over the items' vectors that has learned which of them say what comes next."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.config import HistorySettings
from zsr_sim.encoders.history import Reads, pooled
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

LENGTH = 50  # items that it looks back
HEADS = 4
DECAY = 0.9  # of the pooled mean, which it begins as
_NEGATIVES = 256
_HELD_OUT, _MOST_HELD_OUT, _CHECKS = 0.1, 1000, 8  # share of the users, rows, times that they are looked at
_BLOCK = 1024
_FEWEST_USERS = 10


class AttentionPooling(nn.Module):
    """Weighs a history's items by their place and by what they have to do with the whole, and adds a learned step.

        q = pooled history,  a_jh = softmax_j(place_j + (Q_h q) . (K_h v_j) / sqrt(w)),
        point = mean_h sum_j a_jh v_j + W [sum_j a_jh V_h v_j]_h,  scaled to length 1

    (scaled dot-product attention with one query, Vaswani et al. 2017, "Attention is all you need", eq. 1). K and W
    are zero at first and place_j = j log 0.9 counted back from the latest: it begins as `pooled`.
    """

    def __init__(self, dimensions: int, hidden: int) -> None:
        super().__init__()
        self.ask, self.key, self.value = (nn.Linear(dimensions, hidden, bias=False) for _ in range(3))
        self.leave = nn.Linear(hidden, dimensions, bias=False)
        nn.init.zeros_(self.key.weight)
        nn.init.zeros_(self.leave.weight)
        self.place = nn.Parameter(np.log(DECAY) * torch.arange(LENGTH - 1.0, -1.0, -1.0))  # (LENGTH,)
        self.sharpness = nn.Parameter(torch.tensor(10.0))

    def forward(self, items: Tensor, there: Tensor, whole: Tensor) -> Tensor:
        """Points (n, d) of items (n, LENGTH, d), bool there (n, LENGTH), and pooled histories (n, d)."""
        n, length, _ = items.shape
        asked = self.ask(whole).view(n, HEADS, 1, -1)  # (n, heads, 1, w)
        keys = self.key(items).view(n, length, HEADS, -1)
        values = self.value(items).view(n, length, HEADS, -1)
        logits = (asked * keys.transpose(1, 2)).sum(dim=3) / keys.shape[3] ** 0.5 + self.place  # (n, heads, length)
        weights = logits.masked_fill(~there[:, None], -1e9).softmax(dim=2) * there[:, None]
        means = torch.einsum("nhl,nld->nd", weights, items) / HEADS
        stepped: Tensor = means + self.leave(torch.einsum("nhl,nlhw->nhw", weights, values).reshape(n, -1))
        return nn.functional.normalize(stepped, dim=1)


class AttentionHistories:
    """A history encoder: an `AttentionPooling` that has learned, over one catalogue's vectors (n_items, d)."""

    def __init__(self, network: AttentionPooling, vectors: NDArray[np.float32]) -> None:
        self.reads = Reads()
        self.network, self._vectors = network, vectors
        self._exact = copy.deepcopy(network).double().eval()  # so that a point does not depend on the batch

    def encode(self, histories: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `HistoryEncoder`."""
        points = np.zeros((len(histories), self._vectors.shape[1]), dtype=np.float32)
        known = np.flatnonzero((histories >= 0).any(axis=1))
        with torch.inference_mode():
            for begin in range(0, len(known), _BLOCK):
                rows = known[begin : begin + _BLOCK]
                points[rows] = self._exact(*_arguments(histories[rows], self._vectors, torch.float64)).float().numpy()
        return points

    @classmethod
    def learn(
        cls, log: Interactions, vectors: NDArray[np.float32], settings: HistorySettings, seed: int
    ) -> AttentionHistories:
        """Learn to point at the next item of a log.

        Softmax over it and 256 items of the log, evenly drawn; what is kept are the weights with the lowest loss on a
        tenth of the users, the first ones (`pooled`) among them. Raises InputError for fewer than 10 users with two
        interactions.
        """
        train, held_out = _split(log, seed)
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            network = AttentionPooling(vectors.shape[1], settings.hidden)
        optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate)
        rng, rows, warm = np.random.default_rng(seed), train.rows_with_past, np.unique(train.items)
        check = held_out.rows_with_past
        check = check[np.linspace(0, len(check) - 1, min(_MOST_HELD_OUT, len(check))).astype(np.int64)]
        against = np.random.default_rng([seed, 1]).choice(warm, _NEGATIVES)
        best, kept = np.inf, copy.deepcopy(network.state_dict())
        for step in range(settings.steps + 1):
            if step % max(settings.steps // _CHECKS, 1) == 0 or step == settings.steps:
                with torch.inference_mode():
                    loss = float(_loss(network, held_out, check, vectors, against))
                if loss < best:
                    best, kept = loss, copy.deepcopy(network.state_dict())
            if step == settings.steps:
                break
            optimiser.zero_grad()
            others = rng.choice(warm, _NEGATIVES)
            _loss(network, train, rng.choice(rows, settings.batch_size), vectors, others).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        network.load_state_dict(kept)
        return cls(network, vectors)

    def tensors(self) -> dict[str, Tensor]:
        """The weights, by name."""
        return dict(self.network.state_dict())

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], vectors: NDArray[np.float32]) -> AttentionHistories:
        """What `tensors` came from, for any catalogue in the same item space; raises InputError for another space."""
        hidden, dimensions = tensors["ask.weight"].shape
        if dimensions != vectors.shape[1]:
            raise InputError(
                f"attention over histories was trained in {dimensions} dimensions, items here have {vectors.shape[1]}; "
                f"--set world.dimensions={dimensions}, or train it again"
            )
        network = AttentionPooling(dimensions, hidden)
        network.load_state_dict(dict(tensors))
        return cls(network, vectors)


def _loss(
    network: AttentionPooling, log: Interactions, rows: NDArray[np.int64], vectors: NDArray[np.float32],
    others: NDArray[np.int32],
) -> Tensor:  # fmt: skip
    """Cross-entropy of the items in these rows of a log, given what stands before them, among `others` (m,)."""
    targets = log.items[rows]
    points = network(*_arguments(log.items_before(rows, LENGTH), vectors, torch.float32))  # (n, d)
    right = (points * torch.from_numpy(vectors[targets])).sum(dim=1, keepdim=True)  # (n, 1)
    wrong = points @ torch.from_numpy(vectors[others]).T  # (n, m)
    same = torch.from_numpy(others[None, :] == targets[:, None])
    logits = network.sharpness * torch.cat([right, wrong.masked_fill(same, -2.0)], dim=1)
    return nn.functional.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.long))


def _arguments(
    histories: NDArray[np.int32], vectors: NDArray[np.float32], dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network reads; histories of another length are cut or padded."""
    latest = np.full((len(histories), LENGTH), -1, dtype=np.int32)
    length = min(LENGTH, histories.shape[1])
    latest[:, LENGTH - length :] = histories[:, histories.shape[1] - length :]
    there = latest >= 0
    items = np.where(there[:, :, None], vectors[latest], np.float32(0))  # (n, LENGTH, d)
    whole = pooled(latest, vectors, DECAY)
    return torch.from_numpy(items).to(dtype), torch.from_numpy(there), torch.from_numpy(whole).to(dtype)


def _split(log: Interactions, seed: int) -> tuple[Interactions, Interactions]:
    """The log to learn from, and that of about a tenth of the users, at least one."""
    able = np.flatnonzero(np.diff(log.starts) >= 2)
    if len(able) < _FEWEST_USERS:
        raise InputError(
            f"history.encoder=attention learns from a log in which at least {_FEWEST_USERS} users have two "
            f"interactions; this one has {len(able)}: use a longer log, or pooled, which needs none"
        )
    able = np.random.default_rng([seed, len(able)]).permutation(able)
    held_out = max(round(_HELD_OUT * len(able)), 1)
    return log.of_users(np.sort(able[held_out:])), log.of_users(np.sort(able[:held_out]))
