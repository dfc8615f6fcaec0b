"""Biased matrix factorisation, the yardstick for preferences: it knows who consumed what and reads no text.

Koren, Bell and Volinsky (2009), "Matrix factorization techniques for recommender systems": b_u + b_i + <p_u, q_i>, by
stochastic gradient descent. One model predicts ratings (squared error), another who consumes what (logistic loss
against items drawn at random).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.interactions import Interactions

_NEGATIVES = 4


class Factors(NamedTuple):
    """biases: float64 (n_items,). users: float64 (n_users, d). items: float64 (n_items, d)."""

    biases: NDArray[np.float64]
    users: NDArray[np.float64]
    items: NDArray[np.float64]

    def scores(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float64]:
        """How high each user (n,) stands to items (n, m), up to a number of the user's own."""
        return np.asarray(self.biases[items] + np.einsum("nd,nmd->nm", self.users[users], self.items[items]))


class Recipe(NamedTuple):
    """dimensions of the factors; penalty: of a factor, beside one example's loss; epochs: passes over the log."""

    dimensions: int
    penalty: float
    epochs: int


RATING_RECIPES = (
    Recipe(2, 1.0, 30),
    Recipe(16, 0.1, 30),
    Recipe(16, 0.2, 60),
    Recipe(32, 0.1, 60),
    Recipe(64, 0.15, 60),
)
CONSUMPTION_RECIPES = (
    Recipe(16, 0.003, 20),
    Recipe(16, 0.01, 20),
    Recipe(32, 0.01, 20),
    Recipe(32, 0.02, 40),
    Recipe(64, 0.02, 60),
)


def factorise(log: Interactions, n_items: int, recipe: Recipe, of_ratings: bool, seed: int) -> Factors:
    """Fit to the log's ratings (rows without one are left out), or to who consumed what."""
    rows = np.flatnonzero(~np.isnan(log.ratings)) if of_ratings else np.arange(len(log))
    rng = np.random.default_rng([seed, 5])
    users, items, ratings = log.users[rows], log.items[rows], log.ratings[rows].astype(np.float64)
    if of_ratings:
        ratings = (ratings - ratings.mean()) / max(ratings.std(), 1e-12)
    factors = Factors(
        np.zeros(n_items),
        0.1 * rng.normal(size=(log.n_users, recipe.dimensions)),
        0.1 * rng.normal(size=(n_items, recipe.dimensions)),
    )
    levels, known = np.zeros(log.n_users), np.unique(items)
    for epoch in range(recipe.epochs):
        step = (0.02 if of_ratings else 0.05) * (1 - 0.9 * epoch / recipe.epochs)
        order = rng.permutation(len(rows))
        if of_ratings:
            _rating_epoch(users[order], items[order], ratings[order], levels, *factors, step, recipe.penalty)
        else:
            drawn = known[rng.integers(len(known), size=(len(rows), _NEGATIVES))]
            _consumption_epoch(users[order], items[order], drawn, *factors, step, recipe.penalty)
    return factors


def tuned(
    log: Interactions, n_items: int, recipes: Sequence[Recipe], of_ratings: bool, seed: int,
    held_out: NDArray[np.bool_], score: Callable[[Factors], float],
) -> tuple[Factors, Recipe]:  # fmt: skip
    """The recipe that scores highest when rows `held_out`, bool (m,), are hidden; then fitted to the whole log."""
    part = log.where(~held_out)
    found = {recipe: score(factorise(part, n_items, recipe, of_ratings, seed)) for recipe in recipes}
    best = max(found, key=found.__getitem__)
    return factorise(log, n_items, best, of_ratings, seed), best


@law
def _update(
    slope: float, user: int, item: int, biases: NDArray[np.float64], left: NDArray[np.float64],
    right: NDArray[np.float64], step: float, penalty: float,
) -> None:  # fmt: skip
    biases[item] -= step * (slope + 0.01 * biases[item])
    for j in range(left.shape[1]):
        p, q = left[user, j], right[item, j]
        left[user, j] -= step * (slope * q + penalty * p)
        right[item, j] -= step * (slope * p + penalty * q)


@law
def _score(
    user: int, item: int, biases: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
) -> float:
    total = biases[item]
    for j in range(left.shape[1]):
        total += left[user, j] * right[item, j]
    return float(total)


@law
def _rating_epoch(
    users: NDArray[np.int32], items: NDArray[np.int32], ratings: NDArray[np.float64], levels: NDArray[np.float64],
    biases: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64], step: float, penalty: float,
) -> None:  # fmt: skip
    for row in range(len(users)):
        u, i = users[row], items[row]
        slope = levels[u] + _score(u, i, biases, left, right) - ratings[row]
        levels[u] -= step * (slope + 0.05 * levels[u])
        biases[i] -= step * 0.04 * biases[i]  # 0.05 in all: a rating says less of an item than being consumed does
        _update(slope, u, i, biases, left, right, step, penalty)


@law
def _consumption_epoch(
    users: NDArray[np.int32], items: NDArray[np.int32], drawn: NDArray[np.int32],
    biases: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64], step: float, penalty: float,
) -> None:  # fmt: skip
    for row in range(len(users)):
        u = users[row]
        for k in range(drawn.shape[1] + 1):
            i = items[row] if k == 0 else drawn[row, k - 1]
            chance = 1.0 / (1.0 + np.exp(1.4 - _score(u, i, biases, left, right)))  # 1.4: log-odds of 1 in 5
            _update(chance - (1.0 if k == 0 else 0.0), u, i, biases, left, right, step, penalty)
