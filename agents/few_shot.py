"""`few-shot`: a sequence model over frozen text vectors, and the taste of people like you; few interactions suffice."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.agents.next_items import NextItems, last_items, ndcg, split_for_validation
from zsr_sim.config import FewShotSettings
from zsr_sim.encoders.history import pooled
from zsr_sim.encoders.space import unit
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions

PEER_WEIGHTS = (0.0, 0.25, 0.5, 1.0)
"""Weights of the taste of people like you that validation chooses among."""
_NEGATIVES = 256
_MOST_PEERS = 4000
_LIKENESS = 10.0  # softmax over people: exp(10 cosine)
_HEADS, _LAYERS = 2, 2
Report = Callable[[int, int, dict[str, float]], None]


class SequenceModel(nn.Module):
    """Reads the vectors of a history and points to what comes next: the pooled history, and a learned step from it."""

    def __init__(self, dimensions: int, hidden: int, network: str) -> None:
        super().__init__()
        self.network = network
        if network == "lstm":
            self.lstm = nn.LSTM(dimensions, hidden, batch_first=True)
        else:
            self.enter = nn.Linear(dimensions, hidden)
            self.places = nn.Parameter(torch.zeros(HISTORY_LENGTH, hidden))  # counted from the end of the history
            layer = nn.TransformerEncoderLayer(hidden, _HEADS, 2 * hidden, 0.0, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
        self.leave = nn.Linear(hidden, dimensions)
        nn.init.zeros_(self.leave.weight)  # the first model is `similarity`
        nn.init.zeros_(self.leave.bias)
        self.sharpness = nn.Parameter(torch.tensor(10.0))

    def forward(self, items: Tensor, there: Tensor, tastes: Tensor) -> Tensor:
        """Points of length 1 (n, d).

        items: (n, length, d), zeros where nothing is `there`, bool (n, length), on the left. tastes: (n, d), pooled.
        """
        if self.network == "lstm":
            read = self._recur(items, there)  # (n, hidden)
        else:
            length = items.shape[1]
            hidden = self.enter(items) + self.places[-length:]
            nobody = torch.cat([~there[:, :-1], torch.zeros_like(there[:, -1:])], dim=1)  # the last place may be empty
            read = self.encoder(hidden, src_key_padding_mask=nobody)[:, -1]
        point: Tensor = tastes + self.leave(read)
        length_1: Tensor = point / point.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return length_1

    def _recur(self, items: Tensor, there: Tensor) -> Tensor:
        """The LSTM's state after the history; padding, on the left, leaves it at its beginning."""
        lengths = there.sum(dim=1).clamp(min=1)
        columns = torch.arange(items.shape[1]) + (items.shape[1] - lengths)[:, None]  # (n, length): to the left
        shifted = items.gather(1, columns.clamp(max=items.shape[1] - 1)[:, :, None].expand_as(items))
        hidden, _ = self.lstm(shifted)
        rows = torch.arange(len(items))
        state: Tensor = hidden[rows, lengths - 1]
        return state


@dataclass
class Peers:
    """People of the log: keys (m, d), where the model saw them half way, and tastes (m, d), what they went on with."""

    keys: NDArray[np.float64]
    tastes: NDArray[np.float64]

    def taste(self, points: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
        """Mean taste of the people most like each user, unit length (n, d), weighed by exp(10 cosine)."""
        cosines = points @ self.keys.T  # (n, m)
        k = min(neighbours, len(self.keys))
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        near = np.take_along_axis(cosines, nearest, axis=1)
        weights = np.exp(_LIKENESS * (near - near.max(axis=1, keepdims=True)))
        return np.asarray(unit(np.einsum("nk,nkd->nd", weights, self.tastes[nearest])))


@dataclass
class FewShot:
    """score(u, j) = t_j . (point(u) + peer_weight * taste of people like u), with t_j the item's text vector.

    point: what the sequence model makes of the vectors of the history. People like u: those of the log whom the same
    model saw near that point half way through what they consumed; their taste is the mean vector of what they went on
    with. No item is known by its id: cold items and other catalogues are scored as any. A user without a history but
    with a profile is scored by the profile; one without either gets what is popular.
    """

    retrieval: Retrieval
    slate_size: int
    model: SequenceModel
    peers: Peers
    peer_weight: float
    neighbours: int

    def __post_init__(self) -> None:
        self._model = copy.deepcopy(self.model).double().eval()  # a choice must not depend on the batch

    def act(self, observation: Observation) -> Decision:
        """The items nearest to the point."""
        return Decision(self.retrieval.nearest(self.queries(observation), observation, self.slate_size))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """Cosine with the point, float32 (n, n_items)."""
        return self.retrieval.similarity(self.queries(observation)).numpy()

    def queries(self, observation: Observation) -> NDArray[np.float32]:
        """Where each user's next items are looked for, unit length, float32 (n, d); zeros for an unknown user."""
        points = encode(self._model, observation.histories, self.retrieval.vectors)
        if self.peer_weight:
            points = points + self.peer_weight * self.peers.taste(points, self.neighbours)
        known = (observation.histories >= 0).any(axis=1, keepdims=True)
        return np.where(known, unit(points), self.retrieval.pool(observation)).astype(np.float32)

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `restore` needs beside a catalogue."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"peers.{k}": torch.from_numpy(getattr(self.peers, k)).float() for k in ("keys", "tastes")}
        return tensors, {"peer_weight": self.peer_weight, "neighbours": self.neighbours}

    @classmethod
    def restore(
        cls,
        tensors: dict[str, Tensor],
        facts: dict[str, Any],
        retrieval: Retrieval,
        slate_size: int,
        settings: FewShotSettings,
    ) -> FewShot:
        """The agent of a checkpoint, for any catalogue whose vectors lie in the same item space."""
        model = SequenceModel(retrieval.vectors.shape[1], settings.hidden, settings.network)
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        peers = Peers(*(tensors[f"peers.{name}"].double().numpy() for name in ("keys", "tastes")))
        return cls(retrieval, slate_size, model, peers, facts["peer_weight"], facts["neighbours"])


@torch.inference_mode()
def encode(model: SequenceModel, histories: NDArray[np.int32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The model's points, float64 (n, d)."""
    parts = [model(*_read(histories[i : i + 1024], vectors, torch.float64)) for i in range(0, len(histories), 1024)]
    return np.asarray(torch.cat(parts).numpy()) if parts else np.zeros((0, vectors.shape[1]))


def train_few_shot(
    log: Interactions, retrieval: Retrieval, slate_size: int, settings: FewShotSettings, seed: int, report: Report
) -> tuple[FewShot, dict[str, float]]:
    """Learn from a log; how much people like you count by NDCG at 10 of the last items of a tenth of the users."""
    train, held_out = split_for_validation(log, seed, "few-shot")
    model, loss = _fit(train, retrieval, settings, seed, report)
    peers = _peers(copy.deepcopy(model).double().eval(), train, retrieval.vectors)
    validation = last_items(held_out)
    candidates = [FewShot(retrieval, slate_size, model, peers, w, settings.neighbours) for w in PEER_WEIGHTS]
    found = [ndcg(candidate, validation) for candidate in candidates]
    best = int(np.argmax(found))
    figures = {"loss": loss, "ndcg": found[best], "peer_weight": PEER_WEIGHTS[best]}
    report(settings.steps, settings.steps, figures)
    return candidates[best], figures


def _fit(
    log: Interactions, retrieval: Retrieval, settings: FewShotSettings, seed: int, report: Report
) -> tuple[SequenceModel, float]:
    """Softmax of the next item among items of the log drawn evenly; and the mean loss of the last tenth of steps."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
        torch.manual_seed(seed)
        model = SequenceModel(retrieval.vectors.shape[1], settings.hidden, settings.network)
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate)
    vectors, rows, warm = torch.from_numpy(retrieval.vectors), log.rows_with_past, np.unique(log.items)
    losses = []
    for step in range(settings.steps):
        batch = NextItems.at(log, rng.choice(rows, settings.batch_size))
        points = model(*_read(batch.histories, retrieval.vectors, torch.float32))  # (n, d)
        others = rng.choice(warm, _NEGATIVES)
        targets = torch.from_numpy(batch.targets.astype(np.int64))
        right = (points * vectors[targets]).sum(dim=1, keepdim=True)  # (n, 1)
        wrong = points @ vectors[torch.from_numpy(others.astype(np.int64))].T  # (n, negatives)
        same = torch.from_numpy(others[None, :] == batch.targets[:, None])
        logits = model.sharpness * torch.cat([right, wrong.masked_fill(same, -2.0)], dim=1)
        loss = nn.functional.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        report(step + 1, settings.steps, {"loss": losses[-1]})
    return model, float(np.mean(losses[-max(1, settings.steps // 10) :]))


def _peers(model: SequenceModel, log: Interactions, vectors: NDArray[np.float32]) -> Peers:
    """Up to 4,000 users of the log, cut in the middle."""
    counts = np.diff(log.starts)
    users = np.flatnonzero(counts >= 2)
    users = users[np.linspace(0, len(users) - 1, min(_MOST_PEERS, len(users))).astype(np.int64)]
    cuts = log.starts[users] + (counts[users] + 1) // 2  # the first row of the second half
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), vectors[log.items].astype(np.float64).cumsum(axis=0)])
    tastes = unit(sums[log.starts[users + 1]] - sums[cuts])
    return Peers(encode(model, NextItems.at(log, cuts).histories, vectors), tastes)


def _read(
    histories: NDArray[np.int32], vectors: NDArray[np.float32], dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of the sequence model."""
    histories = np.ascontiguousarray(histories[:, -HISTORY_LENGTH:])
    there = histories >= 0
    items = np.where(there[:, :, None], vectors[histories], np.float32(0))  # (n, length, d)
    tastes = pooled(histories, vectors)
    return torch.from_numpy(items).to(dtype), torch.from_numpy(there), torch.from_numpy(tastes).to(dtype)
