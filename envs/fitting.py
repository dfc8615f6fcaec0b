"""Users fitted to a log: what draws them and what pleases them, how much it weighs, and what such a log cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from zsr_sim.encoders.space import unit
from zsr_sim.envs.estimates import Estimate, Weights, logistic
from zsr_sim.envs.habits import habits
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.likings import PLEASURES, LikingModel, learn_likings
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.population import HISTORY_LENGTH, FittedPopulation, click_level
from zsr_sim.envs.tastes import TasteModel, learn_tastes
from zsr_sim.envs.traits import TRAIT_NAMES, Traits
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions, id_keys

_CONTROLS = 20  # items that each person's last one is held against
_UNSHOWN = "default: a log of what was consumed cannot show it"
_GIVEN = "set, not fitted"


@dataclass(frozen=True)
class People:
    """The users of a log who have enough of it: their codes and keys, int64 (people,), in the order of the keys.

    starts, ends: int64 (people,), their rows of the log.
    """

    codes: NDArray[np.int64]
    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, log: Interactions, min_interactions: int) -> People:
        """Those with `min_interactions` or more; raises InputError for fewer than 20 of them."""
        if min_interactions < 2:
            raise InputError(f"min_interactions is {min_interactions}; a taste without the last item needs 2 or more")
        codes = np.flatnonzero(np.diff(log.starts) >= min_interactions)
        if len(codes) < 20:
            raise InputError(
                f"{len(codes)} users have {min_interactions} interactions or more; at least 20 are needed to fit a "
                "population. Use a longer log, or make users up beside it: --set world.users=made-up"
            )
        keys = id_keys([log.user_ids[code] for code in codes])
        order = np.argsort(keys, kind="stable")
        codes = codes[order].astype(np.int64)
        return cls(codes, keys[order], log.starts[codes], log.starts[codes + 1])


def fit(
    items: WorldItems,
    log: Interactions,
    traits: Traits,
    seed: int,
    n_interests: int = 3,
    min_interactions: int = 5,
    keep_quality: bool = False,
    shown: Mapping[str, Estimate] | None = None,
    features: NDArray[np.float32] | None = None,
) -> FittedPopulation:
    """The users of a log, and the items as they see them (`FittedPopulation.items`).

    items: as their texts place them. What draws users: `learn_tastes`, from the log without each person's last item;
    how much affinity and appeal weigh: logistic regression of that last item against 20 others, new to the person, too.
    What pleases them, where the log has ratings: `learn_likings`, and how likes follow from it, again by last items.
    Where it has more than ratings (clicks, purchases), leaving, coming back, repeats and boredom: `habits`. What
    `traits` was explicitly given (or its named world gives) is kept, but for the weight of affinity; what the log
    cannot show has its default; `FittedPopulation.report` says which is which.

    keep_quality: quality relative to appeal is given, not fitted. shown: what logged pages say (`Glances`). features:
    float32 (n_items, e), what tastes are learned from (`features_of`), e at least the d of `items.vectors`, which None
    stands for. Raises InputError when fewer than 20 users have `min_interactions` interactions, or a last item that is
    new to them, or that number is below 2.
    """
    people = People.of(log, min_interactions)
    is_last = np.zeros(len(log), dtype=np.bool_)
    is_last[people.ends - 1] = True
    told = items.vectors if features is None else features
    model = learn_tastes(told, log.where(~is_last), seed, items.vectors.shape[1])
    weights = _weights(model, log, people, seed, n_interests)
    tastes = model.interests(log.items, people.starts, people.ends, n_interests)  # (people, interests, d)
    lengths = np.linalg.norm(tastes[:, 0], axis=1) * weights.values[0]
    seen, spread = _appealing(items, model)
    found = _drawn(weights, spread, float(np.median(lengths)))
    likings = np.zeros((len(people.codes), items.pleasures.shape[1]), dtype=np.float32)
    liked = None if keep_quality else learn_likings(items.vectors, log)
    if liked is not None:
        seen, likings = _pleasing(seen, items.vectors, liked, people)
        weight = (
            found["appeal_weight"].value if "appeal_weight" not in traits.model_fields_set else traits.appeal_weight
        )
        found |= _likes(items.vectors, log, is_last, weight)
    found |= habits(log, people.ends - 1, weights, model, traits, seed)
    traits, report = _settled(traits, found | dict(shown or {}))
    fitted = FittedPopulation(
        seen, traits, seed, unit(tastes), _histories(log, people), people.codes, people.keys,
        lengths.astype(np.float32), likings, 0.0, report,
    )  # fmt: skip
    some = fitted.visit(np.arange(min(512, len(people.codes))))
    return replace(fitted, click_bias=click_level(seen, some, traits.base_click_rate, seed))


def appeal_from(log: Interactions, n_items: int) -> NDArray[np.float32]:
    """How popular items are: log(1 + interactions) per item, standardised and cut at 3, float32 (n_items,)."""
    counts = np.log1p(np.bincount(log.items, minlength=n_items))
    return np.asarray(np.minimum((counts - counts.mean()) / max(counts.std(), 1e-12), 3.0), dtype=np.float32)


def _histories(log: Interactions, people: People) -> NDArray[np.int32]:
    histories = np.full((len(people.codes), HISTORY_LENGTH), -1, dtype=np.int32)
    for row, (start, end) in enumerate(zip(people.starts, people.ends, strict=True)):
        last = log.items[max(start, end - HISTORY_LENGTH) : end]
        histories[row, HISTORY_LENGTH - len(last) :] = last
    return histories


def _weights(model: TasteModel, log: Interactions, people: People, seed: int, n_interests: int) -> Weights:
    """Log-odds per unit of <taste, vector>, and per unit of appeal, that each person's last item was consumed.

    It is told from 20 others that the log knows; items that the person had consumed before are left out on both sides:
    hardly anybody watches a film twice.
    """
    last, known = people.ends - 1, np.unique(log.items)
    drawn = uniforms(seed, np.arange(len(last)), 2, Purpose.SAMPLE_USERS, _CONTROLS) * len(known)
    rows = np.concatenate([log.items[last][:, None], known[drawn.astype(np.int64)]], axis=1)  # (n, 21)
    base = log.users.astype(np.int64) * len(model.appeal)  # (m,), so that base + item is a number for user and item
    new = ~np.isin(base[last][:, None] + rows, np.delete(base + log.items, last))  # (n, 21)
    if new[:, 0].sum() < 20:
        raise InputError(
            f"the last item of {new[:, 0].sum()} users is new to them; at least 20 are needed to fit a population. "
            "Use a longer log, or make users up beside it: --set world.users=made-up"
        )
    tastes = model.interests(log.items, people.starts, last, n_interests)
    x = np.stack([nearest(tastes, model.vectors[rows]), model.appeal[rows], np.ones(rows.shape)], axis=2)  # (n, 21, 3)
    consumed = np.tile(np.arange(_CONTROLS + 1) == 0, (len(last), 1))
    who = np.tile(np.arange(len(last))[:, None], (1, _CONTROLS + 1))
    # Below zero, users would avoid what they like: no fit of such a log can mean that.
    return logistic(x[new], consumed[new], who[new], [0.0, 0.0, None])


def _appealing(items: WorldItems, model: TasteModel) -> tuple[WorldItems, float]:
    """Items in the learned space with the learned appeal, standardised, and its spread, log-odds."""
    spread = max(float(model.appeal.std()), 1e-6)
    appeal = ((model.appeal - model.appeal.mean()) / spread).astype(np.float32)
    quality = items.quality + (appeal - items.appeal)  # as given relative to appeal: its own part stays
    return replace(items, vectors=model.vectors, appeal=appeal, quality=quality), spread


def nearest(tastes: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """<interest, vector> with the nearest of each user's interests (n, k, d), for items (n, m, d): float64 (n, m)."""
    return np.asarray(np.einsum("nkd,nmd->nkm", tastes, vectors, dtype=np.float64).max(axis=1))


def _drawn(weights: Weights, spread: float, length: float) -> dict[str, Estimate]:
    affinity, appeal = weights.values[:2] * (length / max(weights.values[0], 1e-12), spread)
    own, all_ = weights.errors[:2] * (length / max(weights.values[0], 1e-12), spread)
    how = "logistic regression of last items against random ones"
    return {
        "affinity_weight": Estimate("affinity_weight", float(affinity), float(own), f"{how}; that of the median user"),
        "appeal_weight": Estimate(
            "appeal_weight", float(appeal), float(all_), f"{how}; what is popular was also shown more, so it is a bound"
        ),
    }


def _pleasing(
    seen: WorldItems, texts: NDArray[np.float32], liked: LikingModel, people: People
) -> tuple[WorldItems, NDArray[np.float32]]:
    """Items with their quality and what may please in them, and the likings of the people, (people, e)."""
    unit_of = max(float(liked.qualities.std()), 1e-6)
    quality = ((liked.qualities - liked.qualities.mean()) / unit_of).astype(np.float32)
    likings = (liked.likings[people.codes] / unit_of).astype(np.float32)
    return replace(seen, quality=quality, pleasures=np.ascontiguousarray(texts[:, :PLEASURES])), likings


def _likes(
    texts: NDArray[np.float32], log: Interactions, is_last: NDArray[np.bool_], weight: float
) -> dict[str, Estimate]:
    """How likes follow from worth: logistic regression of last ratings, at or above the user's mean or below it."""
    early = log.where(~is_last)
    model = learn_likings(texts, early)
    rated = np.flatnonzero(is_last & ~np.isnan(log.ratings))
    if model is None or len(rated) < 20 or weight <= 0:
        return {}
    users, items = log.users[rated], log.items[rated]
    liked = log.ratings[rated] >= mean_rating(early)[users]
    pleasure = np.einsum("ne,ne->n", model.likings[users], texts[items, :PLEASURES], dtype=np.float64)
    worth = (
        weight * (model.qualities[items] - model.qualities.mean() + pleasure) / max(float(model.qualities.std()), 1e-6)
    )
    found = logistic(np.stack([worth, np.ones(len(worth))], axis=1), liked, users.astype(np.int64), [0.0, None])
    rate = float(expit(found.values[1]))
    how = "logistic regression of last ratings, at or above the user's mean or below"
    return {
        "like_slope": Estimate("like_slope", float(found.values[0]), float(found.errors[0]), how),
        "like_rate": Estimate("like_rate", rate, float(found.errors[1]) * rate * (1 - rate), how),
    }


def mean_rating(log: Interactions) -> NDArray[np.float64]:
    """Each user's mean rating, (n_users,); that of all ratings for users without one, NaN where nobody rated."""
    rated = ~np.isnan(log.ratings)
    users, values = log.users[rated], log.ratings[rated].astype(np.float64)
    counts = np.bincount(users, minlength=log.n_users)
    overall = values.mean() if len(values) else np.nan
    return np.where(counts > 0, np.bincount(users, values, log.n_users) / np.maximum(counts, 1), overall)


def _settled(traits: Traits, found: dict[str, Estimate]) -> tuple[Traits, tuple[Estimate, ...]]:
    """The traits with what was found, unless they were explicitly given, and a line on each."""
    kept = traits.model_fields_set - {"affinity_weight"}
    used = {name: estimate for name, estimate in found.items() if name not in kept and estimate.fitted}
    settled = traits.replace(**{name: estimate.value for name, estimate in used.items()})
    lines = []
    for name in TRAIT_NAMES:
        value = settled.base_click_rate if name == "click_bias" else float(getattr(settled, name))
        name = "base_click_rate" if name == "click_bias" else name
        if name in used:
            lines.append(used[name])
        elif name in kept:
            lines.append(Estimate(name, value, None, _GIVEN))
        else:
            lines.append(replace(found[name], value=value) if name in found else Estimate(name, value, None, _UNSHOWN))
    return settled, tuple(lines)
