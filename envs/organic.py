"""Consumption without a recommender: what a fitted population takes in its sessions, on its own.

It follows from the users' tastes, from what was popular of late, and from the item just before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.careers import BLOCKS, block_edges
from zsr_sim.envs.noise import Purpose, uniform4
from zsr_sim.interactions import Interactions

_ORGANIC = int(Purpose.ORGANIC)
_CANDIDATES = 64  # drawn by popularity, of which one is chosen by taste


class Appetite(NamedTuple):
    """What decides between items beside taste, the same for everybody.

    momentum: log-odds per unit of text cosine with the item before in the session. repeat_share: of the items after a
    user's first, those that the user had before.
    """

    momentum: float
    repeat_share: float


class Consumers(NamedTuple):
    """Users of whom it is known what draws them.

    tastes: float32 (n, interests, d), log-odds per unit of place. starts: int64 (n + 1,), rows of `history`, int32
    (m,), that each user has consumed already.
    """

    tastes: NDArray[np.float32]
    starts: NDArray[np.int64]
    history: NDArray[np.int32]


class Goods(NamedTuple):
    """Items: places float32 (n_items, d), in the learned space; texts float32 (n_items, e), unit length."""

    places: NDArray[np.float32]
    texts: NDArray[np.float32]


def popularity(
    log: Interactions, n_items: int, appeal: NDArray[np.float32], drawn: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Weight of each item among what comes next, float64 (n_items,), of sum 1.

    Items of the log: their share of the latest third of it and, for a tenth, of all. Items that nobody has consumed:
    together the share that such items had in one drawn block, spread over them as it was there, by appeal.
    """
    late = log.timestamps >= np.quantile(log.timestamps, 2 / 3)
    weights = 0.9 * np.bincount(log.items[late], minlength=n_items) / late.sum()
    weights += 0.1 * np.bincount(log.items, minlength=n_items) / len(log)
    edges = block_edges(log)
    later = drawn[drawn > BLOCKS // 2]
    block = int(later[0]) if len(later) else BLOCKS - 1
    before = np.bincount(log.items[log.timestamps < edges[block]], minlength=n_items)
    here = (log.timestamps >= edges[block]) & (log.timestamps <= edges[block + 1])
    within = np.bincount(log.items[here], minlength=n_items)
    fresh = np.sort(within[(before == 0) & (within > 0)])[::-1] / max(within.sum(), 1)
    unseen = np.flatnonzero(np.bincount(log.items, minlength=n_items) == 0)
    keys = appeal[unseen] - np.log(-np.log(rng.random(len(unseen))))  # Gumbel: a draw without replacement by appeal
    chosen = unseen[np.argsort(-keys)][: len(fresh)]
    weights *= 1.0 - fresh[: len(chosen)].sum()
    weights[chosen] += fresh[: len(chosen)]
    return np.asarray(weights / weights.sum())


def taken(
    users: NDArray[np.int64], lengths: NDArray[np.int64], consumers: Consumers, goods: Goods,
    weights: NDArray[np.float64], appetite: Appetite, seed: int,
) -> NDArray[np.int32]:  # fmt: skip
    """What is taken in sessions, int32 (sum of lengths,); users: int64 (k,), ascending, and lengths of their sessions.

    Of 64 items drawn by weight, float64 (n_items,) of sum 1, one is taken with probability proportional to exp(<nearest
    interest, place> + momentum * cosine with the item before): importance resampling (Rubin 1987). What the user has
    consumed is taken again with probability repeat_share, from all of it alike, and otherwise not.
    """
    out = np.empty(lengths.sum(), dtype=np.int32)
    _consume(users, lengths, *consumers, *goods, np.cumsum(weights), *appetite, np.uint64(seed), out)
    return out


@law
def _consume(
    users: NDArray[np.int64], lengths: NDArray[np.int64], tastes: NDArray[np.float32], starts: NDArray[np.int64],
    history: NDArray[np.int32], places: NDArray[np.float32], texts: NDArray[np.float32],
    cumulative: NDArray[np.float64], momentum: float, repeat_share: float, seed: np.uint64, out: NDArray[np.int32],
) -> None:  # fmt: skip
    own = np.empty(out.shape[0] + history.shape[0], dtype=np.int32)
    count, row, step, user = 0, 0, 0, np.int64(-1)
    seen = np.zeros(places.shape[0], dtype=np.bool_)
    for s in range(users.shape[0]):
        if users[s] != user:
            for j in range(count):
                seen[own[j]] = False
            user, count = users[s], 0
            for j in range(starts[user], starts[user + 1]):
                own[count] = history[j]
                seen[history[j]] = True
                count += 1
            step = 0
        previous = -1
        for _ in range(lengths[s]):
            again, which, _, _ = uniform4(seed, users[s], step, _ORGANIC, 0)
            if count > 0 and again < repeat_share:
                item = own[int(which * count)]
            else:
                item = _choice(tastes[user], places, texts, cumulative, momentum, previous, seen, seed, users[s], step)
            out[row], previous = item, item
            row, step = row + 1, step + 1
            if not seen[item]:
                own[count] = item
                seen[item] = True
                count += 1


@law
def _choice(
    tastes: NDArray[np.float32], places: NDArray[np.float32], texts: NDArray[np.float32],
    cumulative: NDArray[np.float64], momentum: float, previous: int, seen: NDArray[np.bool_],
    seed: np.uint64, user: int, step: int,
) -> int:  # fmt: skip
    best, which, block = -np.inf, -1, 0
    while block < _CANDIDATES // 2 or which < 0:
        block += 1
        a, b, c, d = uniform4(seed, user, step, _ORGANIC, block)
        for half in range(2):
            drawn, luck = (a, b) if half == 0 else (c, d)
            item = min(int(np.searchsorted(cumulative, drawn)), len(cumulative) - 1)
            if seen[item] and block < 50 * _CANDIDATES:  # who has consumed everything takes it again
                continue
            close, attraction = np.float32(0.0), np.float32(-np.inf)
            for k in range(tastes.shape[0]):
                total = np.float32(0.0)
                for j in range(places.shape[1]):
                    total += tastes[k, j] * places[item, j]
                if total > attraction:
                    attraction = total
            if previous >= 0:
                for j in range(texts.shape[1]):
                    close += texts[item, j] * texts[previous, j]
            value = attraction + momentum * close - np.log(-np.log(luck))
            if value > best:
                best, which = value, item
    return which
