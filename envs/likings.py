"""What pleases users, learned from their ratings: the quality of items, and what each user likes beyond that.

Who consumes a thing and who likes it, once consumed, are two questions: in film logs the places that tell the one say
next to nothing about the other, so each has coordinates of its own (`WorldItems.pleasures`, `Users.likings`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched
from zsr_sim.interactions import Interactions

PLEASURES = 32
"""Leading axes of the item space by which likings go."""
_ROUNDS = 5
_QUALITY_PRIOR, _USER_PRIOR = 5.0, 3.0  # ratings that the prior of an item's quality, a user's level, is worth
_TEXT_RIDGE = 30.0  # ratings
_RIDGES = (5.0, 15.0, 40.0)  # ratings; held-out ones decide


@dataclass(frozen=True)
class LikingModel:
    """Ratings as mean + level of the user + quality of the item + <liking, pleasure>, in units of the ratings.

    qualities: float32 (n_items,). likings: float32 (n_users, e), in the first e = `PLEASURES` axes of the item space,
    zeros for users who rated nothing. ridge: how strongly likings are held at zero, in ratings.
    """

    qualities: NDArray[np.float32]
    likings: NDArray[np.float32]
    ridge: float


def learn_likings(vectors: NDArray[np.float32], log: Interactions) -> LikingModel | None:
    """Learn from a log's ratings; vectors: float32 (n_items, d). None where there are none that differ.

    Quality and level: alternating means, shrunk as by 5 and 3 further ratings; an item's quality is drawn towards what
    its text predicts (ridge regression), so that one without ratings has that. Likings: a ridge regression of what is
    left of each user's ratings (dual form, Hoerl and Kennard 1970), its strength chosen by each tenth rating, held out.
    """
    rated = np.flatnonzero(~np.isnan(log.ratings))
    values = log.ratings[rated].astype(np.float64)
    if not len(rated) or values.std() == 0.0:
        return None
    users, items = log.users[rated], log.items[rated]
    pleasures = np.ascontiguousarray(vectors[:, :PLEASURES])
    held = np.arange(len(rated)) % 10 == 9
    errors = {}
    for ridge in _RIDGES if held.any() else ():
        some = _learn(vectors, pleasures, users[~held], items[~held], values[~held], log.n_users, ridge)
        guess = some.qualities[items[held]] + _dots(some.likings[users[held]], pleasures[items[held]])
        errors[ridge] = _within(users[held], values[held] - guess)
    ridge = min(errors, key=errors.__getitem__) if errors else _RIDGES[-1]
    return _learn(vectors, pleasures, users, items, values, log.n_users, ridge)


def _learn(
    vectors: NDArray[np.float32], pleasures: NDArray[np.float32], users: NDArray[np.int32], items: NDArray[np.int32],
    values: NDArray[np.float64], n_users: int, ridge: float,
) -> LikingModel:  # fmt: skip
    qualities, levels = _main_effects(vectors, users, items, values, n_users)
    left = values - values.mean() - qualities[items] - levels[users]
    starts = np.searchsorted(users, np.arange(n_users + 1)).astype(np.int64)
    likings = np.zeros((n_users, pleasures.shape[1]), dtype=np.float32)
    _ridge_per_user(pleasures, items, left, starts, ridge, likings)
    return LikingModel(qualities.astype(np.float32), likings, ridge)


def _main_effects(
    vectors: NDArray[np.float32], users: NDArray[np.int32], items: NDArray[np.int32], values: NDArray[np.float64],
    n_users: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Quality of each item, (n_items,), and level of each user, (n_users,)."""
    features = np.concatenate([vectors.astype(np.float64), np.ones((len(vectors), 1))], axis=1)  # (n_items, d + 1)
    centred = values - values.mean()
    per_item = np.bincount(items, minlength=len(vectors))
    per_user = np.bincount(users, minlength=n_users)
    prior, levels = np.zeros(len(vectors)), np.zeros(n_users)
    weights = per_item / (per_item + _QUALITY_PRIOR)
    penalty = _TEXT_RIDGE / _QUALITY_PRIOR * np.eye(features.shape[1])
    gram = features.T @ (features * weights[:, None]) + penalty
    for _ in range(_ROUNDS):
        sums = np.bincount(items, centred - levels[users], len(vectors))
        means = sums / np.maximum(per_item, 1)
        prior = features @ np.linalg.solve(gram, features.T @ (weights * means))
        qualities = (sums + _QUALITY_PRIOR * prior) / (per_item + _QUALITY_PRIOR)
        levels = np.bincount(users, centred - qualities[items], n_users) / (per_user + _USER_PRIOR)
    return qualities, levels


@batched
def _ridge_per_user(
    begin: int, end: int,
    pleasures: NDArray[np.float32], items: NDArray[np.int32], left: NDArray[np.float64], starts: NDArray[np.int64],
    ridge: float, out: NDArray[np.float32],
) -> None:  # fmt: skip
    e = pleasures.shape[1]
    for u in range(begin, end):
        if starts[u + 1] > starts[u]:
            gram, right = ridge * np.eye(e), np.zeros(e)
            for row in range(starts[u], starts[u + 1]):
                x = pleasures[items[row]]
                for a in range(e):
                    right[a] += left[row] * x[a]
                    for b in range(e):
                        gram[a, b] += x[a] * x[b]
            out[u] = np.linalg.solve(gram, right).astype(np.float32)


def _dots(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray((a.astype(np.float64) * b).sum(axis=1))


def _within(users: NDArray[np.int32], errors: NDArray[np.float64]) -> float:
    """Mean square of errors about each user's own mean: only the order of a user's own ratings matters."""
    counts = np.bincount(users)
    means = np.bincount(users, errors) / np.maximum(counts, 1)
    return float(((errors - means[users]) ** 2).mean())
