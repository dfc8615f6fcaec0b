"""Users fitted to a log: their tastes, how much affinity weighs, and the appeal of the items."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from zsr_sim.compiled import batched
from zsr_sim.envs.items import WorldItems, spherical_kmeans
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.population import HISTORY_LENGTH, FittedPopulation, click_level
from zsr_sim.envs.traits import Traits
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions, id_keys


def fit(
    items: WorldItems,
    log: Interactions,
    traits: Traits,
    seed: int,
    n_interests: int = 3,
    min_interactions: int = 5,
) -> FittedPopulation:
    """Users of a log, float32 tastes from the items that they liked.

    Tastes: spherical k-means of each user's liked items (value at or above the user's mean; all where there are no
    values), each centre drawn towards the user's mean as if by two further items. Weight of affinity: logistic
    regression of each user's last item against items drawn from the whole log that are new to the user, too, with
    tastes fitted without that item; both sides were met in proportion to popularity, so that being seen is not taken
    for being liked. The weight is that of the fitted tastes: the fewer items they rest on, the lower it is. Not
    identified by such a log, and therefore as `traits` says: weight of appeal, click level, position bias, boredom,
    leaving.

    Raises InputError when fewer than 20 users have `min_interactions` interactions (or a last item that is new to
    them), or that number is below 2.
    """
    if min_interactions < 2:
        raise InputError(f"min_interactions is {min_interactions}; a taste without the last item needs 2 or more")
    counts = np.diff(log.starts)
    codes = np.flatnonzero(counts >= min_interactions)
    if len(codes) < 20:
        raise InputError(
            f"{len(codes)} users have {min_interactions} interactions or more; "
            f"at least 20 are needed to fit a population"
        )
    keys = id_keys([log.user_ids[code] for code in codes])
    order = np.argsort(keys)
    codes, keys = codes[order], keys[order]
    liked = _liked(log)
    starts, ends = log.starts[codes], log.starts[codes + 1]
    early = _tastes(items.vectors, log.items, liked, starts, ends - 1, n_interests)
    traits = traits.replace(affinity_weight=_affinity_weight(items, early, log, ends - 1, seed))
    tastes = _tastes(items.vectors, log.items, liked, starts, ends, n_interests)
    histories = np.full((len(codes), HISTORY_LENGTH), -1, dtype=np.int32)
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        last = log.items[max(start, end - HISTORY_LENGTH) : end]
        histories[row, HISTORY_LENGTH - len(last) :] = last
    fitted = FittedPopulation(items, traits, seed, tastes, histories, codes.astype(np.int64), keys, 0.0)
    some = fitted.visit(np.arange(min(512, len(codes))))
    return replace(fitted, click_bias=click_level(items, some, traits.base_click_rate, seed))


def appeal_from(log: Interactions, n_items: int) -> NDArray[np.float32]:
    """What draws clicks: log(1 + interactions) per item, standardised and cut at 3, float32 (n_items,)."""
    counts = np.log1p(np.bincount(log.items, minlength=n_items))
    return np.asarray(np.minimum((counts - counts.mean()) / max(counts.std(), 1e-12), 3.0), dtype=np.float32)


def _liked(log: Interactions) -> NDArray[np.bool_]:
    rated = ~np.isnan(log.values)
    values = np.where(rated, log.values, 0.0)
    n = log.n_users
    sums, counts = np.bincount(log.users, values, n), np.bincount(log.users, rated, n)
    means = sums / np.maximum(counts, 1)
    return np.asarray(~rated | (log.values >= means[log.users]))


def _tastes(
    vectors: NDArray[np.float32], items: NDArray[np.int32], liked: NDArray[np.bool_],
    starts: NDArray[np.int64], ends: NDArray[np.int64], n_interests: int,
) -> NDArray[np.float32]:  # fmt: skip
    out = np.empty((len(starts), n_interests, vectors.shape[1]), dtype=np.float32)
    _fit_tastes(vectors, items, liked, starts, ends, out)
    return out


@batched
def _fit_tastes(
    vectors: NDArray[np.float32], items: NDArray[np.int32], liked: NDArray[np.bool_],
    starts: NDArray[np.int64], ends: NDArray[np.int64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    for u in numba.prange(len(starts)):
        chosen = items[starts[u] : ends[u]][liked[starts[u] : ends[u]]]
        if len(chosen) == 0:
            chosen = items[starts[u] : ends[u]]
        points = vectors[chosen]
        centres, labels = spherical_kmeans(points, out.shape[1], 10)
        mean = np.zeros(vectors.shape[1])
        for i in range(len(points)):
            mean += points[i] / len(points)
        for k in range(out.shape[1]):
            size = (labels == k).sum()
            taste = max(size, 1) * centres[k] + 2.0 * mean
            out[u, k] = taste / max(np.sqrt((taste**2).sum()), 1e-12)


def _affinity_weight(
    items: WorldItems, tastes: NDArray[np.float32], log: Interactions, last: NDArray[np.int64], seed: int
) -> float:
    """Logits per unit of cosine that tell each user's last item (rows `last` of the log) from 20 others of the log.

    Items that the user had consumed before are left out on both sides: hardly anybody watches a film twice, and such
    items are near the taste that was fitted to them.
    """
    drawn = uniforms(seed, np.arange(len(last)), 2, Purpose.SAMPLE_USERS, 20) * len(log)
    rows = np.concatenate([log.items[last][:, None], log.items[drawn.astype(np.int64)]], axis=1)  # (n, 21)
    base = log.users.astype(np.int64) * len(items)  # (m,), so that base + item is a number for user and item
    new = ~np.isin(base[last][:, None] + rows, np.delete(base + log.items, last))  # (n, 21)
    if new[:, 0].sum() < 20:
        raise InputError(
            f"the last item of {new[:, 0].sum()} users is new to them; at least 20 are needed to fit a population"
        )
    cosine = np.einsum("nkd,nmd->nkm", tastes, items.vectors[rows]).max(axis=1)  # (n, 21)
    x = np.stack([cosine, np.ones_like(cosine)], axis=2)[new]  # (samples, 2)
    sign = np.tile(np.where(np.arange(21) == 0, 1.0, -1.0), (len(last), 1))[new]  # (samples,)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (x @ w)
        slope = -sign * expit(-margin)
        return float(np.logaddexp(0.0, -margin).mean()), np.asarray(slope @ x / len(x))

    # Below zero, users would avoid what they like: no fit of such a log can mean that.
    found = minimize(loss, np.array([1.0, -3.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return float(found.x[0])
