"""Do simulated users prefer what the real ones preferred? Held-out interactions, of items known and of items new.

Everything that learns reads the training part alone. Two questions for each held-out interaction: does it stand above
items drawn at random that the user never met, and, if it was liked, above the user's held-out items that were not?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.fitting import fit, mean_rating, nearest
from zsr_sim.envs.items import make_items
from zsr_sim.envs.population import FittedPopulation
from zsr_sim.envs.traits import Traits
from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.evaluation.matrix_factorisation import CONSUMPTION_RECIPES, RATING_RECIPES, Factors, Recipe, tuned
from zsr_sim.interactions import Interactions

COLD_SHARE, WARM_SHARE, TUNING_SHARE = 0.2, 0.2, 0.1  # of items; of the other interactions; of the training part
UNSEEN = 20  # items drawn for each interaction
WORLD, POPULARITY, FACTORS = "simulated users", "popularity", "matrix factorisation"
TEXT, TEXT_OF_ALL = "raw text similarity", "raw text similarity, of all consumed"

Score = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float64]]
"""How high users (n,) stand to items (n, m); only the order within a user counts."""


@dataclass(frozen=True)
class Split:
    """A log in parts: train, and rows of `log` to be judged, int64, warm (the item occurs in train) and cold (not).

    cold_items: bool (n_items,), of which no row is in train. Users are those of the log, with enough in train.
    """

    log: Interactions
    train: Interactions
    warm: NDArray[np.int64]
    cold: NDArray[np.int64]
    cold_items: NDArray[np.bool_]

    @classmethod
    def of(cls, log: Interactions, n_items: int, seed: int, min_interactions: int = 5) -> Split:
        """Hide a fifth of the items, and of what is left a fifth of the interactions."""
        rng = np.random.default_rng([seed, 1])
        cold_items = rng.random(n_items) < COLD_SHARE
        cold = cold_items[log.items]
        hidden = rng.random(len(log)) < WARM_SHARE
        train = log.where(~cold & ~hidden)
        judged = (np.diff(train.starts) >= min_interactions)[log.users]
        known = np.bincount(train.items, minlength=n_items)[log.items] > 0
        return cls(
            log, train, np.flatnonzero(hidden & ~cold & judged & known), np.flatnonzero(cold & judged), cold_items
        )


def preference_accuracy(
    vectors: NDArray[np.float32], features: NDArray[np.float32], log: Interactions, traits: Traits, seed: int
) -> dict[str, Any]:
    """AUC of the simulated users and of four others on the same split, ready for JSON.

    vectors: float32 (n_items, d), the items as their texts place them. features: float32 (n_items, e), what tastes are
    learned from (`features_of`). `rows`: a model each, with the AUC and its 95 % interval (users independent) for
    `warm` and `cold` items, of `unseen` (consumed against random unseen ones) and of `liked` (at or above the user's
    mean training rating against below it; None without ratings).
    """
    split = Split.of(log, len(vectors), seed)
    seen = set((log.users.astype(np.int64) * len(vectors) + log.items).tolist())
    judges = {kind: _Unseen.drawn(split, kind, seen, seed) for kind in ("warm", "cold")}
    world = fit(make_items(vectors), split.train, traits, seed, features=features)
    factors, recipes = _factors(split, len(vectors), seed)
    click, like = world_scores(world, split.log.n_users)
    popularity = np.bincount(split.train.items, minlength=len(vectors)).astype(np.float64)
    liked, consumed = text_scores(vectors, split.train, True), text_scores(vectors, split.train, False)
    models: dict[str, tuple[Score, Score]] = {
        WORLD: (click, like),
        FACTORS: (factors[0].scores, factors[1].scores),
        POPULARITY: (lambda users, items: popularity[items], lambda users, items: popularity[items]),
        TEXT: (liked, liked),
        TEXT_OF_ALL: (consumed, consumed),
    }
    means = mean_rating(split.train)
    rows = [
        {"model": name}
        | {
            kind: {
                "unseen": judges[kind].auc(choosing),
                "liked": liked_auc(pleased, log, getattr(split, kind), means),
            }
            for kind in ("warm", "cold")
        }
        for name, (choosing, pleased) in models.items()
    ]
    counts = {kind: len(getattr(split, kind)) for kind in ("warm", "cold")}
    return {"rows": rows, "interactions": counts, "users": len(world.codes), "recipes": recipes}


@dataclass(frozen=True)
class _Unseen:
    """Held-out interactions and, beside each, `UNSEEN` items: candidates int32 (n, 21), the consumed one first.

    new: bool (n, 20), False where the user has met the drawn item.
    """

    users: NDArray[np.int32]
    candidates: NDArray[np.int32]
    new: NDArray[np.bool_]

    @classmethod
    def drawn(cls, split: Split, kind: str, seen: set[int], seed: int) -> _Unseen:
        """Cold items are held against cold ones, warm against warm."""
        rows = getattr(split, kind)
        n_items = len(split.cold_items)
        pool = np.flatnonzero(split.cold_items) if kind == "cold" else np.unique(split.train.items)
        rng = np.random.default_rng([seed, 2 if kind == "cold" else 3])
        drawn = rng.choice(pool, (len(rows), UNSEEN)).astype(np.int32)
        users = split.log.users[rows]
        new = ~np.isin(users.astype(np.int64)[:, None] * n_items + drawn, np.fromiter(seen, np.int64, len(seen)))
        return cls(users, np.concatenate([split.log.items[rows][:, None], drawn], axis=1), new)

    def auc(self, score: Score) -> dict[str, Any] | None:
        """Share of the drawn items below the consumed one (half for a tie), the mean over interactions."""
        scores = score(self.users, self.candidates)  # (n, 21)
        wins = (scores[:, :1] > scores[:, 1:]) + 0.5 * (scores[:, :1] == scores[:, 1:])
        counts = self.new.sum(axis=1)
        some = counts > 0
        return _mean(((wins * self.new).sum(axis=1)[some] / counts[some]), self.users[some])


def liked_auc(
    score: Score, log: Interactions, rows: NDArray[np.int64], means: NDArray[np.float64]
) -> dict[str, Any] | None:
    """AUC of liked against disliked ones of a user's held-out ratings; each liked rating counts once.

    rows: int64, of the log. means: float64 (n_users,), a rating at or above it is liked. None where nobody has both.
    """
    rows = rows[~np.isnan(log.ratings[rows])]
    users, ratings = log.users[rows], log.ratings[rows]
    scores = score(users, log.items[rows][:, None])[:, 0] if len(rows) else np.empty(0)
    liked = ratings >= means[users]
    values, owners = [], []
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(users)) + 1):
        above, below = scores[part][liked[part]], scores[part][~liked[part]]
        if len(above) and len(below):
            values.append(((above[:, None] > below) + 0.5 * (above[:, None] == below)).mean(axis=1))
            owners.append(np.full(len(above), users[part[0]]))
    return _mean(np.concatenate(values), np.concatenate(owners)) if values else None


def world_scores(world: FittedPopulation, n_users: int) -> tuple[Score, Score]:
    """Log-odds of a click, and worth once clicked, of the users of the fitted log; others stand equally to all."""
    items = world.items
    tastes = np.zeros((n_users, *world.tastes.shape[1:]), dtype=np.float32)  # (n_users, interests, d)
    likings = np.zeros((n_users, items.pleasures.shape[1]), dtype=np.float32)
    tastes[world.codes] = world.affinity_weights[:, None, None] * world.tastes
    likings[world.codes] = world.likings
    lift = float(world.traits.appeal_weight)

    def click(users: NDArray[np.int32], chosen: NDArray[np.int32]) -> NDArray[np.float64]:
        return nearest(tastes[users], items.vectors[chosen]) + lift * items.appeal[chosen]

    def like(users: NDArray[np.int32], chosen: NDArray[np.int32]) -> NDArray[np.float64]:
        pleased = np.einsum("ne,nme->nm", likings[users], items.pleasures[chosen], dtype=np.float64)
        return np.asarray(items.quality[chosen] + pleased)

    return click, like


def text_scores(vectors: NDArray[np.float32], log: Interactions, only_liked: bool) -> Score:
    """Cosine with the mean text vector of what a user liked (`only_liked`) or consumed in the log."""
    kept = (
        np.isnan(log.ratings) | (log.ratings >= mean_rating(log)[log.users]) if only_liked else np.full(len(log), True)
    )
    profiles = np.zeros((log.n_users, vectors.shape[1]), dtype=np.float32)
    np.add.at(profiles, log.users[kept], vectors[log.items[kept]])
    profiles = unit(profiles)
    return lambda users, items: np.asarray(np.einsum("nd,nmd->nm", profiles[users], vectors[items], dtype=np.float64))


def _factors(split: Split, n_items: int, seed: int) -> tuple[tuple[Factors, Factors], dict[str, Recipe | None]]:
    """Matrix factorisations of who consumed what and of ratings, each tuned on a tenth of the training part."""
    train = split.train
    hidden = np.random.default_rng([seed, 4]).random(len(train)) < TUNING_SHARE
    part = train.where(~hidden)
    known = np.bincount(part.items, minlength=n_items)[train.items] > 0
    rows = np.flatnonzero(hidden & known)
    inner = Split(train, part, rows, rows[:0], np.zeros(n_items, dtype=np.bool_))
    seen = set((train.users.astype(np.int64) * n_items + train.items).tolist())
    judge = _Unseen.drawn(inner, "warm", seen, seed)
    consumed, first = tuned(
        train, n_items, CONSUMPTION_RECIPES, False, seed, hidden, lambda f: _value(judge.auc(f.scores))
    )
    if np.isnan(train.ratings).all():
        return (consumed, consumed), {"consumption": first, "ratings": None}
    means = mean_rating(part)
    rated, second = tuned(
        train, n_items, RATING_RECIPES, True, seed, hidden, lambda f: _value(liked_auc(f.scores, train, rows, means))
    )
    return (consumed, rated), {"consumption": first, "ratings": second}


def _mean(values: NDArray[np.float64], users: NDArray[np.int32]) -> dict[str, Any] | None:
    if len(np.unique(users)) < 2:
        return None
    found = estimate_mean(values, users.astype(np.int64))
    return {"auc": found.mean, "ci95": list(found.ci95)}


def _value(found: dict[str, Any] | None) -> float:
    return 0.5 if found is None else float(found["auc"])
