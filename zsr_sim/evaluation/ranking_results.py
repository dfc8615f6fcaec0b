"""From where hidden items stand to the results of a protocol: means, intervals, curves and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.evaluation.next_item import Placed
from zsr_sim.evaluation.ranking import (
    CUTOFFS,
    Bootstrap,
    Standings,
    accuracy,
    coverage,
    diversity,
    interval,
    novelty,
    precision_recall,
    roc_curve,
)  # fmt: skip
from zsr_sim.evaluation.trials import Trials

COMPARED = (*(f"{metric}@{k}" for k in CUTOFFS for metric in ("hr", "ndcg")), "mrr", "roc_auc")
_POINTS = 60  # of a curve


def protocol_results(
    draws: Sequence[Trials], placed: Mapping[str, Sequence[Placed]], vectors: NDArray[np.float32], seed: int
) -> dict[str, Any]:
    """The results of one protocol, ready for JSON.

    draws: the trials of each draw of held-out items (one for a protocol without). placed: for each strategy, what it
    made of each draw. vectors: float32 (n_items, d), unit length, for the diversity. seed: of the bootstrap. A user's
    trials of all draws are averaged first. Differences are against the first strategy, paired by user.
    """
    users = np.concatenate([trials.users for trials in draws])
    bootstrap = Bootstrap(users, seed)
    values = {name: _values(draws, parts, vectors) for name, parts in placed.items()}
    standings = {name: Standings.join([part.standings for part in parts]) for name, parts in placed.items()}
    replicates = {
        name: {metric: bootstrap.means(each) for metric, each in values[name].items()}
        | {"pr_auc": bootstrap.areas(standings[name])}
        for name in placed
    }
    return {
        "users": bootstrap.n_users,
        "trials": len(users),
        "candidates": round(float(np.mean([trials.candidates.sum() for trials in draws]))),
        "draws": len(draws),
        "agents": {
            name: {"metrics": {metric: _with_interval(r) for metric, r in replicates[name].items()}}
            | {"coverage": _coverage(draws, parts)}
            | {"curves": _curves(standings[name], bootstrap.weights)}
            | ({"by_draw": _by_draw(draws, parts)} if len(draws) > 1 else {})
            for name, parts in placed.items()
        },
        "differences": _differences(replicates),
    }


def _values(
    draws: Sequence[Trials], parts: Sequence[Placed], vectors: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Every metric that is a mean, for each trial of all draws."""
    each = []
    for trials, part in zip(draws, parts, strict=True):
        learned = trials.train
        popularity = np.bincount(learned.items, minlength=len(vectors)).astype(np.float32)
        users = int((np.diff(learned.starts) > 0).sum())
        metrics = accuracy(part.standings)
        for k in CUTOFFS:
            metrics[f"novelty@{k}"] = novelty(part.lists[:, :k], popularity, users)
            metrics[f"diversity@{k}"] = diversity(part.lists[:, :k], vectors)
        each.append(metrics)
    return {name: np.concatenate([metrics[name] for metrics in each]) for name in each[0]}


def _with_interval(replicates: NDArray[np.float64]) -> dict[str, Any]:
    return {"mean": float(replicates[0]), "ci95": list(interval(replicates))}


def _coverage(draws: Sequence[Trials], parts: Sequence[Placed]) -> dict[str, float]:
    """At each cut-off; the mean over draws. It has no interval: it is of all lists together."""
    pairs = list(zip(draws, parts, strict=True))
    return {
        f"coverage@{k}": float(np.mean([coverage(p.lists[:, :k], int(t.candidates.sum())) for t, p in pairs]))
        for k in CUTOFFS
    }


def _by_draw(draws: Sequence[Trials], parts: Sequence[Placed]) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for trials, part in zip(draws, parts, strict=True):
        metrics, weights = accuracy(part.standings), Bootstrap(trials.users, 0, 1).weights
        rows.append({"candidates": int(trials.candidates.sum()), "trials": len(trials)})
        rows[-1] |= {name: float(metrics[name] @ weights) for name in COMPARED}
    return rows


def _curves(standings: Standings, weights: NDArray[np.float64]) -> dict[str, Any]:
    rates = np.unique(np.concatenate([np.linspace(0, 1, _POINTS // 2), np.geomspace(1e-4, 1, _POINTS // 2)]))
    recall, _ = precision_recall(standings, weights)
    lengths = np.unique(np.geomspace(1, len(recall), _POINTS).astype(np.int64))
    return {
        "roc": {
            "false_positive_rate": rates.tolist(),
            "true_positive_rate": np.clip(roc_curve(standings, weights, rates), 0, 1).tolist(),
        },
        "precision_recall": {
            "list_length": lengths.tolist(),
            "recall": np.clip(recall[lengths - 1], 0, 1).tolist(),
            "precision": (recall[lengths - 1] / lengths).tolist(),
        },
    }


def _differences(replicates: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> list[dict[str, Any]]:
    names = list(replicates)
    return [
        {"baseline": names[0], "candidate": name, "metric": metric, "difference": found["mean"], "ci95": found["ci95"]}
        for name in names[1:]
        for metric in COMPARED
        for found in [_with_interval(replicates[name][metric] - replicates[names[0]][metric])]
    ]
