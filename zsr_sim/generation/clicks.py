"""The click model: how likely a user who looks at an item clicks it, learned from every page that the loop shows."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.envs.tables import F32
from zsr_sim.generation.evidence import N_EVIDENCE

_HIDDEN = 24
_PRIOR = 5.0  # clicks that an item is taken to have had, as many as were expected
_FORGET = 0.9  # share of an item's clicks that still count after an update
_LEARNING_RATE, _PASSES, _MINIBATCH = 3e-3, 2, 256


class Judge(NamedTuple):
    """A click model's weights as compiled code reads them, all float32.

    hidden: (N_EVIDENCE, h), bias: (h,), score: (h,), direct: (N_EVIDENCE,), level: (1,). attraction: (n_items,).
    looks: (slate,), the share of users who look at each position.
    """

    hidden: F32
    bias: F32
    score: F32
    direct: F32
    level: F32
    attraction: F32
    looks: F32


class ClickModel(nn.Module):
    """Log-odds of a click on an item that is looked at: of the evidence, and of the item's own clicks so far.

    The second part is log((clicks + 5) / (expected + 5)), what an item drew against what the evidence let expect; 0 for
    an item that was never shown, so that new items take part at once. Position j is looked at with probability
    j ** -decay (Richardson, Dominowska and Ragno 2007), decay learned.
    """

    clicks: Tensor
    expected: Tensor

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(N_EVIDENCE, _HIDDEN)
        self.score = nn.Linear(_HIDDEN, 1)
        self.direct = nn.Linear(N_EVIDENCE, 1, bias=False)
        self.decay = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("clicks", torch.zeros(n_items))
        self.register_buffer("expected", torch.zeros(n_items))
        with torch.no_grad():  # before it has learned it goes by the history's narrow evidence alone
            self.score.weight.zero_()
            self.score.bias.fill_(-3.0)
            self.direct.weight.zero_()
            self.direct.weight[0, 1] = 1.0

    def forward(self, evidence: Tensor) -> Tensor:
        """Log-odds (...) by evidence (..., N_EVIDENCE) alone, whatever item it is."""
        odds: Tensor = self.score(torch.relu(self.hidden(evidence))) + self.direct(evidence)
        return odds[..., 0]

    @property
    def attraction(self) -> Tensor:
        """What each item adds to its log-odds, (n_items,)."""
        return torch.log((self.clicks + _PRIOR) / (self.expected + _PRIOR))

    def log_looks(self, slate_size: int) -> Tensor:
        """Logarithm of the share of users who look at each position, (slate_size,)."""
        return -nn.functional.softplus(self.decay) * torch.log(torch.arange(1, slate_size + 1))

    @torch.inference_mode()
    def judge(self, slate_size: int) -> Judge:
        """The weights as they are now."""
        parts = (
            self.hidden.weight.T, self.hidden.bias, self.score.weight[0], self.direct.weight[0], self.score.bias,
            self.attraction, self.log_looks(slate_size).exp(),
        )  # fmt: skip
        return Judge(*(np.array(part.numpy(), dtype=np.float32, order="C") for part in parts))

    def moved(self, rows: NDArray[np.int64]) -> ClickModel:
        """A copy for another catalogue. rows: (n_items,), where each of its items stood in this one; -1: nowhere."""
        moved = ClickModel(len(rows))
        places = torch.from_numpy(rows)
        own = {name: torch.cat([getattr(self, name), torch.zeros(1)])[places] for name in ("clicks", "expected")}
        moved.load_state_dict(self.state_dict() | own)
        return moved


class ClickTrainer:
    """Learns a click model from the pages of each update of the loop."""

    KEPT: ClassVar[tuple[str, ...]] = ("model", "optimiser", "rng")

    def __init__(self, n_items: int, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            self.model = ClickModel(n_items)
        self.optimiser = torch.optim.Adam(self.model.parameters(), _LEARNING_RATE, fused=True)
        self.rng = torch.Generator().manual_seed(seed)

    def learn(self, evidence: F32, pages: NDArray[np.int32], clicks: NDArray[np.bool_]) -> float:
        """A few passes over pages (k, slate), their clicks, and the evidence (k, slate, N_EVIDENCE) before them.

        Returns the mean log-loss of an item over these passes.
        """
        x, items, y = torch.from_numpy(evidence), torch.from_numpy(pages).long(), torch.from_numpy(clicks).float()
        offset = self.model.attraction[items]  # (k, slate)
        losses = []
        for _ in range(_PASSES):
            for rows in torch.randperm(len(x), generator=self.rng).split(_MINIBATCH):
                loss = self._loss(x[rows], offset[rows], y[rows])
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                losses.append(float(loss.detach()))
        self._count(x, items, y)
        return float(np.mean(losses))

    def _loss(self, x: Tensor, offset: Tensor, y: Tensor) -> Tensor:
        log_p = nn.functional.logsigmoid(self.model(x) + offset) + self.model.log_looks(x.shape[1])
        log_not = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
        return -(y * log_p + (1 - y) * log_not).mean()

    @torch.no_grad()
    def _count(self, x: Tensor, items: Tensor, y: Tensor) -> None:
        model = self.model
        due = torch.sigmoid(model(x)) * model.log_looks(x.shape[1]).exp()  # clicks by the evidence alone
        for total, amounts in ((model.clicks, y), (model.expected, due)):
            total.mul_(_FORGET).index_add_(0, items.ravel(), amounts.ravel())
