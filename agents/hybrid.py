"""`hybrid`: what others consumed together, plus what texts have in common; both parts learn from a log, together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.agents.best import best_page
from zsr_sim.agents.explanation import shares_of
from zsr_sim.agents.next_items import NextItems, last_items, ndcg, split_for_validation
from zsr_sim.agents.similarity import DECAY
from zsr_sim.config import HybridSettings
from zsr_sim.encoders.history import pooled
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions

TEXT_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Values of lambda that validation chooses among."""
_NEGATIVES = 16
_DECAY = 1e-5  # of the embeddings: the norm that a RankSVM keeps small
Report = Callable[[int, int, dict[str, float]], None]


class HybridNetwork(nn.Module):
    """The two parts, for one catalogue.

    warm: bool (n_items,), items that the log to learn from holds; only these have embeddings, those of others are 0.
    """

    warm: Tensor

    def __init__(self, n_items: int, dimensions: int, factors: int) -> None:
        super().__init__()
        self.given = nn.Embedding(n_items + 1, factors, padding_idx=n_items)  # of an item as part of a history
        self.wanted = nn.Embedding(n_items, factors)  # of an item to recommend
        self.liking = nn.Embedding(n_items, 1)
        nn.init.normal_(self.given.weight, std=0.1)
        nn.init.normal_(self.wanted.weight, std=0.1)
        nn.init.zeros_(self.liking.weight)
        self.match = nn.Parameter(4.0 * torch.eye(dimensions))  # of texts: at first their cosine
        self.level = nn.Parameter(torch.zeros(()))
        self.register_buffer("warm", torch.zeros(n_items, dtype=torch.bool))

    def forget_cold(self) -> None:
        """Set what the log says nothing about to exactly nothing."""
        with torch.no_grad():
            self.given.weight[: len(self.warm)][~self.warm] = 0
            self.given.weight[len(self.warm)] = 0
            self.wanted.weight[~self.warm] = 0
            self.liking.weight[~self.warm] = 0

    def user(self, histories: Tensor, weights: Tensor) -> Tensor:
        """x_u (n, factors): the weighted mean of the history's embeddings."""
        rows = torch.where(histories >= 0, histories, len(self.warm))
        total: Tensor = (self.given(rows) * weights[:, :, None]).sum(dim=1)
        return total / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)

    def collaborative(self, users: Tensor, items: Tensor) -> Tensor:
        """f(u, j) (n, m), for users (n, factors) and items (n, m)."""
        scores: Tensor = (self.wanted(items) @ users[:, :, None])[:, :, 0] + self.liking(items)[:, :, 0]
        return scores

    def textual(self, tastes: Tensor, vectors: Tensor) -> Tensor:
        """sigma(g(t_u, t_j)) (n, m), for tastes (n, d) and item vectors (n, m, d)."""
        return torch.sigmoid((vectors @ (tastes @ self.match)[:, :, None])[:, :, 0] + self.level)


@dataclass
class Hybrid:
    """score(u, j) = f(x_u, x_j) + lambda sigma(g(t_u, t_j)), with lambda = `text_weight`.

    f = x_u . x_j + b_j, where x_u is the recency-weighted mean of the embeddings of the history's items (FISM, Kabbur,
    Ning and Karypis 2013): nobody is a user by id. A cold item, which the log does not hold, has x_j = 0 and b_j = 0:
    for it f is 0 exactly. g = t_u' M t_j + c, with t_u the pooled text vectors of the history (or the profile) and t_j
    the item's: it speaks about every item. With lambda = 0 the score is f. Trained on J = J_rec + lambda J_lm, each a
    pairwise hinge max(0, 1 - s(u, next) + s(u, other)) (RankSVM, Joachims 2002), of the whole score and of the text
    part alone. A user without a history is answered by b, by text where there is a profile.

    item_keys: int64 (n_items,), a number for each item by which another catalogue knows it again.
    """

    retrieval: Retrieval
    slate_size: int
    network: HybridNetwork
    text_weight: float
    item_keys: NDArray[np.int64]

    def __post_init__(self) -> None:
        self._network = copy.deepcopy(self.network).double().eval()  # a choice must not depend on the batch
        self._vectors = torch.from_numpy(self.retrieval.vectors).double()

    def act(self, observation: Observation) -> Decision:
        """The page of the highest scores."""
        return Decision(best_page(self.scores(observation), observation, self.slate_size, self.retrieval.shelf))

    @torch.inference_mode()
    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """F + lambda sigma(g), float32 (n, n_items)."""
        scores = self._collaborative(observation)
        if self.text_weight:
            scores = scores + self.text_weight * torch.sigmoid(self._text_logits(observation))
        return scores.float().numpy()

    @torch.inference_mode()
    def collaborative_scores(self, observation: Observation) -> NDArray[np.float32]:
        """F alone, float32 (n, n_items)."""
        return self._collaborative(observation).float().numpy()

    @torch.inference_mode()
    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Shares of what the history items add, float64 (n, length): to f as they are, to sigma(g) as to g."""
        net, rows = self._network, torch.from_numpy(items.astype(np.int64))
        histories, weights = _read(observation.histories, torch.float64)
        there = torch.where(histories >= 0, histories, len(net.warm))
        shares = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)  # (n, length)
        added = shares * (net.given(there) @ net.wanted(rows)[:, :, None])[:, :, 0]
        if self.text_weight:
            past = self._vectors[histories.clamp(min=0)] * weights[:, :, None]  # (n, length, d)
            past = past / past.sum(dim=1, keepdim=True).norm(dim=2, keepdim=True).clamp(min=1e-12)
            g = (past @ (self._vectors[rows] @ net.match.T)[:, :, None])[:, :, 0]  # (n, length)
            total = g.sum(dim=1, keepdim=True)
            level = torch.sigmoid(net.level)
            rise = torch.where(
                total.abs() > 1e-9, (torch.sigmoid(total + net.level) - level) / total, level * (1 - level)
            )
            added = added + self.text_weight * rise * g
        return shares_of(added.numpy(), observation.histories)

    def _collaborative(self, observation: Observation) -> Tensor:
        users = self._network.user(*_read(observation.histories, torch.float64))  # (n, factors)
        return users @ self._network.wanted.weight.T + self._network.liking.weight[:, 0]

    def _text_logits(self, observation: Observation) -> Tensor:
        tastes = torch.from_numpy(self.retrieval.pool(observation, DECAY)).double()
        return (tastes @ self._network.match) @ self._vectors.T + self._network.level

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `restore` needs beside a catalogue."""
        keys = {"item_keys": torch.from_numpy(self.item_keys)}
        return self.network.state_dict() | keys, {"text_weight": self.text_weight}

    @classmethod
    def restore(
        cls,
        tensors: dict[str, Tensor],
        facts: dict[str, Any],
        retrieval: Retrieval,
        slate_size: int,
        keys: NDArray[np.int64],
    ) -> Hybrid:
        """The agent of a checkpoint for a catalogue, which may be another one: items are known again by their keys."""
        where = torch.from_numpy(pd.Index(tensors["item_keys"].numpy()).get_indexer(keys))  # -1: not known
        known, where_t = where >= 0, where.clamp(min=0)
        network = HybridNetwork(len(keys), retrieval.vectors.shape[1], tensors["wanted.weight"].shape[1])
        state = network.state_dict()
        state["match"], state["level"] = tensors["match"], tensors["level"]
        state["warm"] = tensors["warm"][where_t] & known
        for name in ("wanted.weight", "liking.weight"):
            state[name] = tensors[name][where_t]
        state["given.weight"][: len(keys)] = tensors["given.weight"][where_t]
        network.load_state_dict(state)
        network.forget_cold()
        return cls(retrieval, slate_size, network, float(facts["text_weight"]), keys)


def train_hybrid(
    log: Interactions,
    retrieval: Retrieval,
    slate_size: int,
    keys: NDArray[np.int64],
    settings: HybridSettings,
    seed: int,
    report: Report,
) -> tuple[Hybrid, dict[str, float]]:
    """Learn from a log; lambda by NDCG at 10 of the last items of a tenth of the users, unless the settings name it."""
    train, held_out = split_for_validation(log, seed, "hybrid")
    validation = last_items(held_out)
    weights = TEXT_WEIGHTS if settings.text_weight is None else (settings.text_weight,)
    total = len(weights) * settings.steps
    best: tuple[Hybrid, dict[str, float]] | None = None
    for trial, weight in enumerate(weights):
        so_far = best[1] if best else {}

        def tell(step: int, loss: float, done: int = trial * settings.steps, kept: dict[str, float] = so_far) -> None:
            report(done + step, total, {"loss": loss} | {k: v for k, v in kept.items() if k != "loss"})

        network, loss = _fit(train, retrieval, settings, weight, seed, tell)
        agent = Hybrid(retrieval, slate_size, network, weight, keys)
        found = ndcg(agent, validation)
        if best is None or found > best[1]["ndcg"]:
            best = agent, {"loss": loss, "ndcg": found, "text_weight": weight}
    assert best is not None  # there is at least one weight
    report(total, total, best[1])
    return best


def _fit(
    log: Interactions,
    retrieval: Retrieval,
    settings: HybridSettings,
    weight: float,
    seed: int,
    tell: Callable[[int, float], None],
) -> tuple[HybridNetwork, float]:
    """A network for this lambda, and its mean loss over the last tenth of the steps."""
    rng = np.random.default_rng(seed)
    network = _begin(log, retrieval, settings, seed)
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate, weight_decay=_DECAY)
    vectors, rows = torch.from_numpy(retrieval.vectors), log.rows_with_past
    warm = np.flatnonzero(network.warm.numpy())
    losses = []
    for step in range(settings.steps):
        batch = NextItems.at(log, rng.choice(rows, settings.batch_size))
        others = rng.choice(warm, (len(batch), _NEGATIVES))
        items = torch.from_numpy(np.concatenate([batch.targets[:, None], others], axis=1).astype(np.int64))  # (n, 17)
        users = network.user(*_read(batch.histories, torch.float32))
        score, loss = network.collaborative(users, items), torch.zeros(())
        if weight:
            text = network.textual(torch.from_numpy(pooled(batch.histories, retrieval.vectors, DECAY)), vectors[items])
            score, loss = score + weight * text, weight * hinge(text)
        loss = loss + hinge(score)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        tell(step + 1, losses[-1])
    network.forget_cold()
    return network, float(np.mean(losses[-max(1, settings.steps // 10) :]))


def hinge(scores: Tensor) -> Tensor:
    """Mean of max(0, 1 - first + other) over pairs of each row's first score and its others, from (n, 1 + others)."""
    return torch.relu(1 - scores[:, :1] + scores[:, 1:]).mean()


def _begin(log: Interactions, retrieval: Retrieval, settings: HybridSettings, seed: int) -> HybridNetwork:
    with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
        torch.manual_seed(seed)
        network = HybridNetwork(len(retrieval.vectors), retrieval.vectors.shape[1], settings.factors)
    network.warm[torch.from_numpy(np.unique(log.items).astype(np.int64))] = True
    network.forget_cold()
    return network


def _read(histories: NDArray[np.int32], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Histories as int64 (n, length), and the weights of their items, 0 at the padding."""
    weights = np.where(histories >= 0, DECAY ** np.arange(histories.shape[1] - 1.0, -1, -1), 0.0)
    return torch.from_numpy(histories.astype(np.int64)), torch.from_numpy(weights).to(dtype)
