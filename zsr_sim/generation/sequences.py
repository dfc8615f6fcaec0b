"""Training examples for the generator: what a user had consumed, and what the user went on with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.population import HISTORY_LENGTH, FittedPopulation, MadeUpPopulation, Population, organic
from zsr_sim.interactions import Interactions


@dataclass(frozen=True)
class Sequences:
    """Pairs of history and continuation.

    histories: int32 (n, length), padded left with -1. targets: int32 (n, slate_size), padded right with -1.
    """

    histories: NDArray[np.int32]
    targets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.int64]) -> Sequences:
        """The pairs at these rows."""
        return Sequences(self.histories[rows], self.targets[rows])


def continuations(log: Interactions, slate_size: int, per_user: int = 6, minimum: int = 3) -> Sequences:
    """Up to `per_user` cuts of each user's log, evenly spaced, at least `minimum` items after each and one before."""
    starts, counts = log.starts[:-1], np.diff(log.starts)
    users = np.flatnonzero(counts > minimum)
    last_cut = counts[users] - minimum  # cuts at 1 .. last_cut leave enough on both sides
    steps = np.arange(per_user)
    cuts = 1 + (last_cut[:, None] - 1) * (steps + 1) // per_user  # (users, per_user)
    keep = np.ones(cuts.shape, dtype=bool)
    keep[:, 1:] = cuts[:, 1:] > cuts[:, :-1]
    rows, _ = np.nonzero(keep)
    begin, cut = starts[users][rows], cuts[keep]
    end = begin + counts[users][rows]
    ahead = (begin + cut)[:, None] + np.arange(slate_size)[None, :]
    targets = np.where(ahead < end[:, None], log.items[np.minimum(ahead, len(log) - 1)], -1)
    return Sequences(log.items_before(begin + cut, HISTORY_LENGTH), targets.astype(np.int32))


def last_pages(log: Interactions, slate_size: int, users: NDArray[np.int64]) -> tuple[Sequences, Interactions]:
    """What these users, codes of two interactions or more, consumed last: a page of each, and the log without it.

    Somebody with no more than a page keeps the first item.
    """
    ends = log.starts[users + 1]
    first = np.maximum(ends - slate_size, log.starts[users] + 1)  # (n,), rows of the log
    rows = first[:, None] + np.arange(slate_size)[None, :]  # (n, slate_size)
    there = rows < ends[:, None]
    targets = np.where(there, log.items[np.minimum(rows, len(log) - 1)], -1).astype(np.int32)
    return Sequences(log.items_before(first, HISTORY_LENGTH), targets), log.take(
        np.delete(np.arange(len(log)), rows[there])
    )


def stretches(log: Interactions, length: int) -> NDArray[np.int32]:
    """Users' logs in stretches of up to `length` items that overlap by one, int32 (n, length), padded left with -1.

    So each item stands behind those before it, a user's first one behind padding: what comes first can be learned, too.
    The last stretch of a user is full where it can be, at the price of some items that stand in two.
    """
    starts, counts = log.starts[:-1], np.diff(log.starts)
    pieces = np.where(counts > 0, np.maximum(-(-counts // (length - 1)), 1), 0)  # with the padding before the first
    user = np.repeat(np.arange(len(counts)), pieces)
    which = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    end = np.minimum((which + 1) * (length - 1), counts[user])  # exclusive, counted from the user's first item
    place = end[:, None] + np.arange(-length, 0)[None, :]  # (n, length)
    rows = np.where(place >= 0, log.items[np.maximum(starts[user][:, None] + place, 0)], -1)
    return rows.astype(np.int32)


def training_log(population: Population, log: Interactions | None, users: int = 4000, length: int = 30) -> Interactions:
    """What was consumed before any recommender.

    By the training users of a log, by all of its users where none are fitted, by made-up users where there is no log.
    """
    if log is not None and isinstance(population, FittedPopulation):
        return log.of_users(population.codes[population.codes >= 0])
    if log is not None:
        return log
    if not isinstance(population, MadeUpPopulation):
        raise TypeError(f"a population without a log must be made up, got {type(population).__name__}")
    ids = np.arange(users, dtype=np.int64) + 2**39  # far from the ids that visits use
    items = organic(population.items, population.newcomers(ids), length, population.seed)  # (users, length)
    return Interactions.from_columns(
        user_ids=[f"made-up-{i:06d}" for i in range(users) for _ in range(length)],
        items=items.ravel(),
        timestamps=np.tile(np.arange(length, dtype=np.float64), users),
    )
