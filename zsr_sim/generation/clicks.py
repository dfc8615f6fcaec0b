"""The click model: how likely a user who looks at an item clicks it, learned from every page that the loop shows.

What tires a user is learned with it: subjects into which items fall by their vectors, so that a click on one tells of
the others, and how long it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.envs.tables import F32
from zsr_sim.generation.evidence import N_EVIDENCE, NEAREST_INTEREST
from zsr_sim.generation.index import clusters

_HIDDEN = 32
_SUBJECTS = 32
_SHARP = 10.0  # logits by which an item falls into a subject, per unit of cosine, before anything is learned
_LEAST_SCALE = 0.1  # of a number of the evidence that the first pages have in common
_MEMORY = 2.2  # log-odds of the share of a click that a page leaves, likewise: 0.9
_PRIOR = 4.0  # clicks that an item is taken to have had, as many as were expected
_FORGET = 0.98  # share of an item's clicks that still count after an update
_LEARNING_RATE, _MINIBATCH = 3e-3, 256
_SUBJECT_RATE = 0.07  # learning rate of what tires: each of its numbers is seldom told anything
_STEPS = 60  # gradient steps of an update at least, among the pages of latest visits:
_LATEST = 20_000


class Judge(NamedTuple):
    """A click model's weights as compiled code reads them, all float32.

    hidden: (N_EVIDENCE, h), bias: (h,), score: (h,), direct: (N_EVIDENCE,), level: (1,). attraction: (n_items,).
    looks: (slate,), the share of users who look at each position. subjects: (n_items, k), the share of each item that
    is of each subject. memory: (1,), the share of a click that a page leaves.
    """

    hidden: F32
    bias: F32
    score: F32
    direct: F32
    level: F32
    attraction: F32
    looks: F32
    subjects: F32
    memory: F32


class ClickModel(nn.Module):
    """Log-odds of a click on an item that is looked at: of the evidence, and of the item's own clicks so far.

    The second part is log((clicks + 4) / (expected + 4)), what an item drew against what the evidence let expect; 0 for
    an item that was never shown, so that new items take part at once. Position j is looked at with probability
    j ** -decay (Richardson, Dominowska and Ragno 2007), decay learned.

    The last number of the evidence is the model's own: how much of what was clicked in this visit, which fades by the
    page, was of the item's subjects. The others are read as (evidence - centre) / scale, mean and standard deviation of
    the first pages. vectors: float32 (n_items, d), of the catalogue that it is for.
    """

    clicks: Tensor
    expected: Tensor
    centre: Tensor
    scale: Tensor
    vectors: Tensor

    def __init__(self, vectors: F32) -> None:
        super().__init__()
        n_items, d = vectors.shape
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)
        self.subject = nn.Linear(d, _SUBJECTS)
        self.memory = nn.Parameter(torch.tensor(_MEMORY))
        self.hidden = nn.Linear(N_EVIDENCE, _HIDDEN)
        self.score = nn.Linear(_HIDDEN, 1)
        self.direct = nn.Linear(N_EVIDENCE, 1, bias=False)
        self.decay = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("clicks", torch.zeros(n_items))
        self.register_buffer("expected", torch.zeros(n_items))
        self.register_buffer("centre", torch.zeros(N_EVIDENCE))
        self.register_buffer("scale", torch.ones(N_EVIDENCE))
        with torch.no_grad():  # before it has learned it goes by the nearest interest alone
            self.score.weight.zero_()
            self.score.bias.fill_(-3.0)
            self.direct.weight.zero_()
            self.direct.weight[0, NEAREST_INTEREST] = 2.0
            self.subject.bias.zero_()
            if n_items:  # a subject begins where items lie close together
                centres, _ = clusters(vectors, min(_SUBJECTS, n_items))
                self.subject.weight.copy_(_SHARP * torch.from_numpy(np.resize(centres, (_SUBJECTS, d))))
            self.direct.weight[0, -1] = -1.0  # at 0 the subjects would learn nothing

    def forward(self, evidence: Tensor) -> Tensor:
        """Log-odds (...) by evidence (..., N_EVIDENCE) alone, whatever item it is."""
        read = (evidence - self.centre) / self.scale
        odds: Tensor = self.score(torch.relu(self.hidden(read))) + self.direct(read)
        return odds[..., 0]

    @torch.no_grad()
    def read_as(self, centre: Tensor, scale: Tensor) -> None:
        """Read evidence as so many `scale` (N_EVIDENCE,) from `centre` from now on, by the same direct weights."""
        self.centre.copy_(centre)
        self.direct.weight.mul_(scale / self.scale)
        self.scale.copy_(scale)

    def subjects(self, items: Tensor) -> Tensor:
        """The share of each of these items (...) that is of each subject, (..., k)."""
        some, where = torch.unique(items, return_inverse=True)
        shares = torch.softmax(self.subject(self.vectors[some]), dim=-1)  # (items, k)
        return nn.functional.embedding(where, shares)  # as shares[where], of which threads add gradients in any order

    def tiredness(self, items: Tensor, clicks: Tensor) -> Tensor:
        """What was clicked on earlier pages of the item's subjects, (n, pages, slate), of visits with these pages.

        items: (n, pages, slate). clicks: likewise, 0 or 1. A click counts memory ** (pages since the next one).
        """
        ages = torch.arange(items.shape[1])[:, None] - torch.arange(items.shape[1]) - 1  # (pages, pages)
        left = torch.sigmoid(self.memory) ** ages.clamp(min=0) * (ages >= 0)
        shares = self.subjects(items)  # (n, pages, slate, k)
        clicked = left @ (shares * clicks[..., None]).sum(dim=2)  # (n, pages, k)
        return (shares @ clicked[..., None])[..., 0]

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
        hidden, direct = self.hidden.weight / self.scale, self.direct.weight[0] / self.scale
        parts = (
            hidden.T, self.hidden.bias - hidden @ self.centre, self.score.weight[0], direct,
            self.score.bias - direct @ self.centre, self.attraction, self.log_looks(slate_size).exp(),
            self.subjects(torch.arange(len(self.vectors))), torch.sigmoid(self.memory)[None],
        )  # fmt: skip
        return Judge(*(np.array(part.numpy(), dtype=np.float32, order="C") for part in parts))

    @classmethod
    def restored(cls, state: Mapping[str, Tensor], rows: NDArray[np.int64], vectors: F32) -> ClickModel:
        """A model with these weights for a catalogue with these vectors.

        rows: (n_items,), where each of its items stood in the catalogue of the weights; -1: nowhere.
        """
        model, places = cls(vectors), torch.from_numpy(rows)
        own = {name: torch.cat([state[name], torch.zeros(1)])[places] for name in ("clicks", "expected")}
        model.load_state_dict(dict(state) | own)
        return model


@dataclass(frozen=True)
class Shown:
    """Pages that users were shown.

    evidence: float32 (k, slate, N_EVIDENCE), before the page. pages: int32 (k, slate). clicks: bool (k, slate). users:
    int64 (k,), whose page each is, ascending; each user's pages are in order.
    """

    evidence: F32
    pages: NDArray[np.int32]
    clicks: NDArray[np.bool_]
    users: NDArray[np.int64]

    @classmethod
    def nothing(cls) -> Shown:
        """No page."""
        pages = np.empty((0, 0), dtype=np.int32)
        evidence = np.empty((0, 0, N_EVIDENCE), dtype=np.float32)
        return cls(evidence, pages, pages.astype(np.bool_), np.empty(0, dtype=np.int64))

    def followed_by(self, new: Shown) -> Shown:
        """The latest of these pages, of whole visits, and then those of other users."""
        if not len(self.users):
            return new
        kept = self.users > (self.users[-_LATEST - 1] if len(self.users) > _LATEST else -1)
        users = np.concatenate([self.users[kept], new.users + self.users[-1] + 1])
        return Shown(
            np.concatenate([self.evidence[kept], new.evidence]),
            np.concatenate([self.pages[kept], new.pages]),
            np.concatenate([self.clicks[kept], new.clicks]),
            users,
        )

    def tensors(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evidence, items and clicks of the pages in these rows (...)."""
        evidence, pages, clicks = (torch.from_numpy(part)[rows] for part in (self.evidence, self.pages, self.clicks))
        return evidence, pages.long(), clicks.float()


class ClickTrainer:
    """Learns a click model from the pages of each update of the loop."""

    KEPT: ClassVar[tuple[str, ...]] = ("model", "optimiser", "rng", "latest")

    def __init__(self, vectors: F32, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            self.model = ClickModel(vectors)
        tiring = [*self.model.subject.parameters(), self.model.memory]
        others = [p for p in self.model.parameters() if all(p is not q for q in tiring)]
        groups = [{"params": others, "lr": _LEARNING_RATE}, {"params": tiring, "lr": _SUBJECT_RATE}]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.rng = torch.Generator().manual_seed(seed)
        self.latest = Shown.nothing()

    def learn(
        self, evidence: F32, pages: NDArray[np.int32], clicks: NDArray[np.bool_], users: NDArray[np.int64]
    ) -> float:
        """Learn from pages (k, slate), their clicks, and the evidence (k, slate, N_EVIDENCE) before them.

        users: (k,), whose page each is; a user's pages stand in the order in which they were shown, from the first.
        Pages of earlier updates are learned from again. Returns the mean log-loss of an item.
        """
        order = np.argsort(users, kind="stable")
        new = Shown(evidence[order], pages[order], clicks[order], users[order])
        if not len(self.latest.users):
            self.model.read_as(*_spread(evidence))
        self.latest = self.latest.followed_by(new)
        visits = torch.from_numpy(_visits(self.latest.users))  # (n, longest)
        some = -(-_MINIBATCH // visits.shape[1])  # visits in a step
        steps = max(_STEPS, len(new.users) // _MINIBATCH)
        rounds = range(-(-steps * some // len(visits)))
        drawn = torch.cat([torch.randperm(len(visits), generator=self.rng) for _ in rounds])[: steps * some]
        attraction = self.model.attraction
        losses = [self._step(visits[own], attraction) for own in drawn.split(some)]
        self._count(new)
        return float(np.mean(losses))

    def _step(self, visits: Tensor, attraction: Tensor) -> float:
        """One gradient step on some visits (n, longest): rows of the latest pages, -1 behind a visit's last."""
        there, rows = visits >= 0, visits.clamp(min=0)
        x, items, y = self.latest.tensors(rows)
        tired = self.model.tiredness(items, y * there[..., None])
        read = torch.cat([x[..., :-1], tired[..., None]], dim=-1)[there]
        loss = self._loss(read, attraction[items[there]], y[there])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    def _loss(self, x: Tensor, offset: Tensor, y: Tensor) -> Tensor:
        log_p = nn.functional.logsigmoid(self.model(x) + offset) + self.model.log_looks(x.shape[1])
        log_not = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
        return -(y * log_p + (1 - y) * log_not).mean()

    @torch.no_grad()
    def _count(self, new: Shown) -> None:
        model, (x, items, y) = self.model, new.tensors(torch.arange(len(new.users)))
        due = torch.sigmoid(model(x)) * model.log_looks(x.shape[1]).exp()  # clicks by the evidence alone
        for total, amounts in ((model.clicks, y), (model.expected, due)):
            total.mul_(_FORGET).index_add_(0, items.ravel(), amounts.ravel())


def _spread(evidence: F32) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of evidence (..., N_EVIDENCE); 0 and 1 for the last number, which is not in it."""
    found = evidence.reshape(-1, N_EVIDENCE).astype(np.float64)
    centre, scale = found.mean(axis=0), np.maximum(found.std(axis=0), _LEAST_SCALE)
    centre[-1], scale[-1] = 0.0, 1.0
    return torch.from_numpy(centre).float(), torch.from_numpy(scale).float()


def _visits(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of each user's pages, int64 (users, longest), then -1; `users` (k,), ascending, whose each row is."""
    _, starts, counts = np.unique(users, return_index=True, return_counts=True)
    rows = starts[:, None] + np.arange(counts.max(initial=1))
    return np.where(np.arange(rows.shape[1]) < counts[:, None], rows, -1)
