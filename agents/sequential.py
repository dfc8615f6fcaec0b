"""`sasrec` and `gru4rec`: sequence models over item ids, trained to tell the next item from all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.agents.best import best_page
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.generation.softmax import cross_entropy
from zsr_sim.interactions import Interactions

HIDDEN, LAYERS, HEADS, LENGTH = 64, 2, 2, 50
BATCH = 32  # windows in a step
MOST_EPOCHS, PATIENCE = 40, 4  # epochs in all, and without a better one
LEARNING_RATE = 3e-3  # Adam

Report = Callable[[int, int, dict[str, float]], None]
"""Called with (epochs done, epochs at most, figures so far)."""


class Attention(nn.Module):
    """Causal self-attention (SASRec, Kang and McAuley 2018), layer norm first."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, HIDDEN))
        wide = 4 * HIDDEN
        layer = nn.TransformerEncoderLayer(HIDDEN, HEADS, wide, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(HIDDEN), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, items: Tensor, there: Tensor) -> Tensor:
        """States (n, length, HIDDEN) after each item, from item vectors of that shape; there: bool (n, length)."""
        length = items.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).tril() & there[:, None, :]  # (n, length, length)
        seen = seen | torch.eye(length, dtype=torch.bool)  # a row of padding reads itself: a softmax needs something
        mask = (~seen).repeat_interleave(HEADS, dim=0)  # (n heads, length, length)
        states: Tensor = self.layers(self.dropout(items + self.positions[-length:]), mask=mask)
        return states


class Recurrent(nn.Module):
    """Gated recurrent units (GRU4Rec, Hidasi et al. 2016), here over a person's whole history."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(HIDDEN, HIDDEN, LAYERS, batch_first=True, dropout=dropout)
        self.norm = nn.LayerNorm(HIDDEN)

    def forward(self, items: Tensor, there: Tensor) -> Tensor:
        """States (n, length, HIDDEN) after each item, from item vectors of that shape; padding comes first."""
        states, _ = self.gru(self.dropout(items))
        normed: Tensor = self.norm(self.dropout(states))
        return normed


BODIES: dict[str, Callable[[float], nn.Module]] = {"sasrec": Attention, "gru4rec": Recurrent}


class SequenceModel(nn.Module):
    """score(j) = state . vector(j), the same vectors of ids that the body reads."""

    def __init__(self, kind: str, n_items: int, dropout: float) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, HIDDEN, padding_idx=n_items)
        nn.init.normal_(self.items.weight, std=1 / math.sqrt(HIDDEN))
        with torch.no_grad():
            self.items.weight[n_items] = 0  # padding
        self.body = BODIES[kind](dropout)

    @property
    def table(self) -> Tensor:
        """Vectors of the items, (n_items, HIDDEN)."""
        return self.items.weight[:-1]

    def forward(self, histories: Tensor) -> Tensor:
        """States (n, length, HIDDEN) from histories, int64 (n, length), padded left with -1."""
        there = histories >= 0
        rows = torch.where(there, histories, len(self.items.weight) - 1)
        states: Tensor = self.body(self.items(rows), there)
        return states


@dataclass(frozen=True)
class SequenceRecommender:
    """A trained sequence model."""

    model: SequenceModel
    slate_size: int

    def act(self, observation: Observation) -> Decision:
        """The page of the likeliest next items."""
        return Decision(best_page(self.scores(observation), observation, self.slate_size))

    @torch.inference_mode()
    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """Logits of the next item, float32 (n, n_items); without a history those of an empty one."""
        histories = torch.from_numpy(observation.histories[:, -LENGTH:].astype(np.int64))
        scores: NDArray[np.float32] = (self.model(histories)[:, -1] @ self.model.table.T).numpy()
        return scores


def windows(log: Interactions, rng: np.random.Generator) -> NDArray[np.int64]:
    """Every user's log in windows of LENGTH + 1 rows of the catalogue, int64 (windows, LENGTH + 1), -1 on the left.

    The last window ends with the log; those before it lie end to end, at an offset drawn anew for each call, so that an
    item is read after other beginnings in each epoch.
    """
    ends, begins = [], []
    for begin, end in zip(log.starts[:-1], log.starts[1:], strict=True):
        if end - begin < 2:
            continue
        cuts = [end]
        if end - begin > LENGTH + 1:
            cuts += range(int(end - rng.integers(1, LENGTH + 1)), int(begin) + 1, -LENGTH)
        ends += cuts
        begins += [begin] * len(cuts)
    rows = np.array(ends, dtype=np.int64)[:, None] + np.arange(-LENGTH - 1, 0)  # (windows, LENGTH + 1)
    return np.where(rows >= np.array(begins, dtype=np.int64)[:, None], log.items[np.maximum(rows, 0)], -1).astype(
        np.int64
    )


def tune(
    kind: str, log: Interactions, n_items: int, dropout: float, seed: int, judge: Callable[[SequenceModel], float],
    report: Report,
) -> tuple[int, float]:  # fmt: skip
    """How many epochs are best, and how good `judge` (higher is better) finds the model then.

    Training ends when it has not become better for PATIENCE epochs.
    """
    best, best_epoch = -1.0, 0
    for epoch, model in enumerate(_training(kind, log, n_items, dropout, seed, MOST_EPOCHS), 1):
        judged = judge(model)
        if judged > best:
            best, best_epoch = judged, epoch
        report(epoch, MOST_EPOCHS, {"validation_ndcg": judged, "best": best, "dropout": dropout})
        if epoch - best_epoch >= PATIENCE:
            break
    return best_epoch, best


def train(
    kind: str, log: Interactions, n_items: int, dropout: float, seed: int, epochs: int, report: Report
) -> SequenceModel:
    """A model trained for so many epochs, 1 or more."""
    models = _training(kind, log, n_items, dropout, seed, epochs)
    for epoch in range(1, epochs + 1):
        model = next(models)
        report(epoch, epochs, {"final_epoch": epoch})
    return model


def _training(
    kind: str, log: Interactions, n_items: int, dropout: float, seed: int, epochs: int
) -> Iterator[SequenceModel]:
    """The model after each epoch, ready to be asked. All randomness comes from `seed`."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):  # weights and dropout are drawn from torch's global state
        torch.manual_seed(seed)
        model = SequenceModel(kind, n_items, dropout)
        own = torch.get_rng_state()
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for _ in range(epochs):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(own)
            model.train()
            for batch in _batches(log, rng):
                optimiser.zero_grad()
                _loss(model, batch).backward()
                optimiser.step()
            own = torch.get_rng_state()
        yield model.eval()


def _batches(log: Interactions, rng: np.random.Generator) -> Iterator[Tensor]:
    rows = rng.permutation(windows(log, rng))
    for start in range(0, len(rows), BATCH):
        yield torch.from_numpy(rows[start : start + BATCH])


def _loss(model: SequenceModel, batch: Tensor) -> Tensor:
    histories, targets = batch[:, :-1], batch[:, 1:]  # each (n, LENGTH)
    asked = (histories >= 0) & (targets >= 0)
    states = model(histories)[asked]  # (asked, HIDDEN)
    return cross_entropy(states, model.table, targets[asked])
