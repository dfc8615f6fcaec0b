"""Models that estimates need: of rewards (direct method), of missing propensities, of weights of embeddings.

All read the same few features of a user, an item and a position, functions of text vectors; the learners are
scikit-learn's. Users are split into two halves, and each half is predicted by what was learned on the other: a model
that has seen a row would make its correction too small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zsr_sim.encoders.history import pooled
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.retrieval import Retrieval

LEARNED_FROM = 100_000  # rows at most, of each half
FOLDS = 2
_LEADING = 6  # dimensions of an item's vector that models see: those along which items differ most
_BATCH = 20_000  # pages


@dataclass(frozen=True)
class Features:
    """Numbers that describe (user, item, position).

    seen: also whether the user had the item before. What is clicked hardly depends on it, what is shown does.
    """

    retrieval: Retrieval
    seen: bool = False

    def of(
        self, observation: Observation, items: NDArray[np.int32], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Features float32 (n, k, f) of items (n, k) at positions (k,) for n users; items below 0 give nonsense."""
        vectors = self.retrieval.vectors
        shown = vectors[items]  # (n, k, d)
        columns = [
            np.einsum("nkd,nd->nk", shown, pooled(observation.histories, vectors, decay)) for decay in (0.95, 0.5)
        ]
        columns += [self.retrieval.appeal[items], np.broadcast_to(positions.astype(np.float32), items.shape)]
        length = np.log1p((observation.histories >= 0).sum(axis=1))
        columns += [np.broadcast_to(column[:, None], items.shape) for column in (length, observation.steps)]
        columns += [shown[:, :, dim] for dim in range(min(_LEADING, vectors.shape[1]))]
        if self.seen:
            had = np.concatenate([observation.histories, observation.shown], axis=1)  # (n, e)
            columns.append(np.stack([(had == items[:, j, None]).any(axis=1) for j in range(items.shape[1])], axis=1))
        return np.stack(columns, axis=2).astype(np.float32)


def folds_of(clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which half each row (n,) belongs to: that of its cluster."""
    return np.asarray(clusters % FOLDS)


@dataclass(frozen=True)
class CrossFitted:
    """One regression for each half, learned on the other; predictions stay between the least and the largest value."""

    parts: tuple[Any, ...]
    features: Features
    low: float
    high: float

    def predict(
        self, observation: Observation, items: NDArray[np.int32], folds: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Predictions float64 (n, k) for items (n, k) at positions 0 .. k - 1; rows (n,) belong to `folds`."""
        out = np.empty(items.shape)
        for fold, model in enumerate(self.parts):
            rows = np.flatnonzero(folds == fold)
            for begin in range(0, len(rows), _BATCH):
                some = rows[begin : begin + _BATCH]
                table = self.features.of(observation.take(some), items[some], np.arange(items.shape[1]))
                out[some] = model.predict(table.reshape(-1, table.shape[2])).reshape(table.shape[:2])
        return np.clip(out, self.low, self.high)


def regress(
    features: Features,
    observation: Observation,
    items: NDArray[np.int32],
    values: NDArray[np.float64],
    folds: NDArray[np.int64],
    seed: int,
) -> CrossFitted:
    """Learn `values` (n, k) of the items (n, k) shown, -1 where none; at most LEARNED_FROM rows in each half."""
    parts = []
    for fold in range(FOLDS):
        table, shown, rows = _sample(features, observation, items, np.flatnonzero(folds != fold), [seed, fold])
        model = HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=15, learning_rate=0.15, random_state=seed)
        parts.append(model.fit(table, values[rows][shown]))
    known = values[items >= 0]
    return CrossFitted(tuple(parts), features, float(known.min()), float(known.max()))


def _sample(
    features: Features, observation: Observation, items: NDArray[np.int32], rows: NDArray[np.int64], seed: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Features (m, f) of the items shown on some of these pages, which (pages, k) they were, and the pages."""
    most = max(LEARNED_FROM // items.shape[1], 1)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    shown = items[rows] >= 0
    table = features.of(observation.take(rows), items[rows], np.arange(items.shape[1]))
    return table[shown], shown, rows


def estimate_propensities(
    features: Features, observation: Observation, items: NDArray[np.int32], folds: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Propensity of each item shown (n, k) at its position where the log does not say it, float64 (n, k), 0..1.

    Frequency of the item at the position in the log (one pseudo-count spread over the catalogue), times the odds by
    which a logistic regression tells logged items from items drawn by that frequency for the same user: if the model
    holds, that is the probability (noise-contrastive estimation, Gutmann and Hyvarinen 2010).
    """
    n_items, s = len(features.retrieval.vectors), items.shape[1]
    features = replace(features, seen=True)
    rng = np.random.default_rng(seed)
    found = np.full(items.shape, np.nan)
    frequency = np.empty((s, n_items))
    for j in range(s):
        counts = np.bincount(items[items[:, j] >= 0, j], minlength=n_items) + 1 / n_items
        frequency[j] = counts / counts.sum()
    drawn = np.stack([rng.choice(n_items, len(items), p=frequency[j]) for j in range(s)], axis=1).astype(np.int32)
    drawn[items < 0] = -1
    for fold in range(FOLDS):
        others = np.flatnonzero(folds != fold)
        real, _, _ = _sample(features, observation, items, others, [seed, fold])
        made, _, _ = _sample(features, observation, drawn, others, [seed, fold])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        model.fit(np.concatenate([real, made]), np.repeat([1, 0], [len(real), len(made)]))
        rows = np.flatnonzero(folds == fold)
        for begin in range(0, len(rows), _BATCH):
            some = rows[begin : begin + _BATCH]
            table = features.of(observation.take(some), items[some], np.arange(s))
            odds = np.exp(model.decision_function(table.reshape(-1, table.shape[2]))).reshape(table.shape[:2])
            found[some] = np.minimum(odds * frequency[np.arange(s), items[some]], 1.0)
    found[items < 0] = np.nan
    return found
