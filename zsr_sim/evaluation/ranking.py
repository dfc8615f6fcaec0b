"""Ranking metrics of one hidden item per list: from where it stands among the candidates to means with intervals.

Ties are averaged: a metric is its expectation over all orders of the items that score the same (McSherry and Najork
2008, "Computing information retrieval performance measures efficiently in the presence of tied scores"). So a scorer
that finds all items alike is worth exactly as much as a random one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (5, 10, 20)
DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Standings:
    """Where n hidden items stand, each in a ranking of its own.

    above: int64 (n,), candidates that score higher. tied: int64 (n,), other candidates that score the same. others:
    int64 (n,), all candidates but the hidden item.
    """

    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    others: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.above)

    @classmethod
    def join(cls, parts: list[Standings]) -> Standings:
        """The standings of all parts, one after the other."""
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("above", "tied", "others")]
        return cls(*columns)


def accuracy(standings: Standings, cutoffs: tuple[int, ...] = CUTOFFS) -> dict[str, NDArray[np.float64]]:
    """Each metric for each hidden item, float64 (n,), 0 .. 1.

    With rank r (1 is best) and cut-off k: HR@k = recall@k = [r <= k], precision@k = [r <= k] / k, F1@k their harmonic
    mean = 2 [r <= k] / (k + 1), NDCG@k = [r <= k] / log2(1 + r) (Järvelin and Kekäläinen 2002, one relevant item),
    MRR = 1 / r (not cut off), ROC AUC = share of the other candidates that rank lower (1 where there are none).

    >>> {name: values.tolist() for name, values in accuracy(Standings(*np.array([[2], [0], [9]])), (3,)).items()}
    {'hr@3': [1.0], 'ndcg@3': [0.5], 'recall@3': [1.0], 'precision@3': [0.3333333333333333], 'f1@3': [0.5], \
'mrr': [0.3333333333333333], 'roc_auc': [0.7777777777777778]}
    """
    first, last = standings.above, standings.above + standings.tied + 1  # ranks first + 1 .. last are equally likely
    size = standings.tied + 1.0
    ranks = np.arange(1, int(last.max(initial=0)) + 1)
    gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + ranks))])  # gains[r]: of ranks 1 .. r together
    inverses = np.concatenate([[0.0], np.cumsum(1 / ranks)])
    metrics: dict[str, NDArray[np.float64]] = {}
    for k in cutoffs:
        low, high = np.minimum(first, k), np.minimum(last, k)
        hit = (high - low) / size
        metrics |= {f"hr@{k}": hit, f"ndcg@{k}": (gains[high] - gains[low]) / size}
        metrics |= {f"recall@{k}": hit, f"precision@{k}": hit / k, f"f1@{k}": 2 * hit / (k + 1)}
    metrics["mrr"] = (inverses[last] - inverses[first]) / size
    metrics["roc_auc"] = 1 - (standings.above + standings.tied / 2) / np.maximum(standings.others, 1)
    return metrics


def roc_curve(
    standings: Standings, weights: NDArray[np.float64], false_positive_rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """True positive rate at each false positive rate, averaged over the rankings with `weights` (n,) of sum 1.

    Between the first and the last of tied items a ranking's own curve is a straight line; the area under the averaged
    curve is the weighted mean of `accuracy`'s roc_auc.
    """
    lists = false_positive_rates[:, None] * np.maximum(standings.others, 1)[None, :]  # (points, n), others let through
    inside = (lists - standings.above) / np.maximum(standings.tied, 1)
    whole = (lists >= standings.above).astype(np.float64)  # without ties the curve is a step
    return np.asarray(np.where(standings.tied > 0, np.clip(inside, 0, 1), whole) @ weights)


def precision_recall(standings: Standings, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Recall at every list length 1 .. longest, and the area under the precision-recall curve.

    All rankings are cut off at the same length k: recall(k) is the weighted share of hidden items found (weights (n,)
    of sum 1), precision(k) = recall(k) / k. Area = sum over k of (recall(k) - recall(k - 1)) precision(k).
    """
    last = standings.above + standings.tied + 1
    longest = int(last.max())
    share = weights / (standings.tied + 1)
    edges = np.bincount(standings.above, share, longest + 1) - np.bincount(last, share, longest + 1)
    found = np.cumsum(edges)[:longest]  # (longest,), at each list length for the first time
    recall = np.cumsum(found)
    return recall, float(found @ (recall / np.arange(1, longest + 1)))


def coverage(lists: NDArray[np.int32], candidates: int) -> float:
    """Share of the candidates that stand in at least one list (n, k); -1 is no item."""
    return len(np.unique(lists[lists >= 0])) / candidates


def novelty(lists: NDArray[np.int32], popularity: NDArray[np.float32], users: int) -> NDArray[np.float64]:
    """Mean surprise of each list (n, k) in bits, -log2((popularity + 1) / (users + 1)), float64 (n,).

    Self-information as of Zhou et al. 2010 ("Solving the apparent diversity-accuracy dilemma of recommender systems"),
    with one more interaction and user, so that an item that nobody consumed is finite. popularity: (n_items,), how many
    of the `users` consumed it. -1 is no item; an empty list gives 0.
    """
    surprise = np.log2(users + 1) - np.log2(popularity.astype(np.float64) + 1)
    there = lists >= 0
    return np.asarray(np.where(there, surprise[lists], 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))


def diversity(lists: NDArray[np.int32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of 1 - cosine over the pairs of each list (n, k), float64 (n,), 0 .. 2 (Smyth and McClave 2001).

    vectors: (n_items, d), unit length. -1 is no item; a list of fewer than two items gives 0.
    """
    there = lists >= 0
    points = np.where(there[:, :, None], vectors[lists], 0).astype(np.float64)  # (n, k, d)
    cosines = (points.sum(axis=1) ** 2).sum(axis=1) - (points**2).sum(axis=(1, 2))  # of ordered pairs
    count = there.sum(axis=1)
    return np.asarray(np.where(count > 1, 1 - cosines / np.maximum(count * (count - 1), 1), 0.0))


class Bootstrap:
    """Means over users, and their spread over redrawn users; the same redraws for all, so differences are paired.

    users: (n,), whose each of the n rankings is. A user's rankings are averaged first, so every user weighs the same.
    Interval: percentile bootstrap over users (Efron and Tibshirani 1993, chapter 13).
    """

    def __init__(self, users: NDArray[np.integer], seed: int, draws: int = DRAWS) -> None:
        names, self._user, counts = np.unique(users, return_inverse=True, return_counts=True)
        self.n_users, self._counts = len(names), counts
        rng = np.random.default_rng([seed, self.n_users])
        even = np.full(self.n_users, 1 / self.n_users)
        self._redrawn = rng.multinomial(self.n_users, even, size=draws).astype(np.uint16)  # (draws, users)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of each ranking, (n,), of sum 1."""
        return np.asarray(1 / (self._counts[self._user] * self.n_users))

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of `values` (n,), then its bootstrap replicates: (1 + draws,)."""
        per_user = np.bincount(self._user, values) / self._counts  # (users,)
        return np.concatenate([[per_user.mean()], self._redrawn @ per_user / self.n_users])

    def areas(self, standings: Standings) -> NDArray[np.float64]:
        """The area under the precision-recall curve, then its bootstrap replicates: (1 + draws,)."""
        times = [np.ones(self.n_users), *self._redrawn]
        return np.array([precision_recall(standings, self.weights * t[self._user])[1] for t in times])


def interval(replicates: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval of a value followed by its bootstrap replicates (1 + draws,)."""
    low, high = np.quantile(replicates[1:], [0.025, 0.975])
    return float(low), float(high)
