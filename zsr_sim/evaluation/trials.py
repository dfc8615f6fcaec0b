"""Next-item trials: what a strategy may learn from, what it is shown of a user, and the item that it has to find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

MOST_TRIALS = 10  # of one user in one draw of cold items, the latest: users weigh the same, more would cost time only
COLD_DRAWS = 5  # each holds out another fifth of the items, so together they try every item once


@dataclass(frozen=True)
class Trials:
    """n users' moments, each followed by the item that has to be found.

    train: all that a strategy may learn from. log: whom the trials are about; rows: int64 (n,), the rows of the log
    whose items are hidden, ascending. candidates: bool (n_items,), among which an item is to be found. Everything that
    the user had consumed before is left out of the ranking.
    """

    train: Interactions
    log: Interactions
    rows: NDArray[np.int64]
    candidates: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> NDArray[np.int32]:
        """The hidden items, int32 (n,)."""
        return self.log.items[self.rows]

    @property
    def users(self) -> NDArray[np.int32]:
        """Whose trial it is, int32 (n,), codes of the log."""
        return self.log.users[self.rows]

    def histories(self, known: NDArray[np.bool_], length: int = HISTORY_LENGTH) -> NDArray[np.int32]:
        """What each user consumed before, int32 (n, length), most recent last, padded left with -1.

        known: bool (n_items,); other items are left out, as if they had never been consumed.
        """
        kept = np.flatnonzero(known[self.log.items])  # rows of the log
        end = np.searchsorted(kept, self.rows)  # (n,), kept rows before the hidden one
        begin = np.searchsorted(kept, self.log.starts[self.users])
        back = end[:, None] + np.arange(-length, 0)[None, :]  # (n, length)
        items = self.log.items[kept[np.maximum(back, 0)]] if len(kept) else np.zeros_like(back, dtype=np.int32)
        return np.where(back >= begin[:, None], items, -1).astype(np.int32)

    def seen(self, chosen: slice) -> Iterator[NDArray[np.int32]]:
        """All items that each of the chosen trials' users had consumed before."""
        for user, row in zip(self.users[chosen], self.rows[chosen], strict=True):
            yield self.log.items[self.log.starts[user] : row]


def first_encounters(log: Interactions, minimum: int) -> Interactions:
    """The first interaction of each user with each item, of users who have at least `minimum` of them.

    A repeat is left out because nothing new was to be found. User codes stay. Raises InputError where fewer than 2
    users are left, or `minimum` is below 3: one interaction is hidden, one is for tuning, one is the history.
    """
    if minimum < 3:
        raise InputError(f"--min-interactions {minimum}: at least 3 are needed (a history, one to tune on, one hidden)")
    pairs = log.users.astype(np.int64) * (int(log.items.max(initial=0)) + 1) + log.items
    first = np.sort(np.unique(pairs, return_index=True)[1])  # ascending rows: np.unique gives the first of equals
    counts = np.bincount(log.users[first], minlength=log.n_users)
    kept = first[counts[log.users[first]] >= minimum]
    if (counts >= minimum).sum() < 2:
        raise InputError(
            f"{(counts >= minimum).sum()} users have interactions with {minimum} different items or more, at least 2 "
            "users are needed; lower --min-interactions or use a longer log"
        )
    return log.take(kept)


def leave_one_out(log: Interactions, n_items: int, train: Interactions | None = None) -> Trials:
    """Each user's last interaction is hidden (ties in time by file order); among all items.

    train: None for the rest of the log. A learner tunes on the last interaction that it sees: the last but one.
    """
    last = log.starts[1:][np.diff(log.starts) > 0] - 1
    rest = np.delete(np.arange(len(log)), last)
    return Trials(log.take(rest) if train is None else train, log, last, np.ones(n_items, dtype=np.bool_))


def held_out_items(log: Interactions, n_items: int, draw: int, seed: int) -> NDArray[np.bool_]:
    """A fifth of the log's items, bool (n_items,); draws 0 .. COLD_DRAWS - 1 share none."""
    items = np.random.default_rng([seed, n_items]).permutation(np.unique(log.items))
    held_out = np.zeros(n_items, dtype=np.bool_)
    held_out[items[draw::COLD_DRAWS]] = True
    return held_out


def cold_items(log: Interactions, held_out: NDArray[np.bool_], train: Interactions | None = None) -> Trials:
    """Each user's latest interactions with held-out items, bool (n_items,), are hidden; found among those items.

    One at a time, at most MOST_TRIALS of a user, each with an item in its history at least. Held-out items are removed
    from `train` (None: the log) and must be removed from histories: `histories(~held_out)`.

    Raises InputError where no trial is left.
    """
    source = log if train is None else train
    cold = held_out[log.items]  # (m,)
    warm_before: NDArray[np.int64] = np.cumsum(~cold) - ~cold  # (m,), rows with warm items before this one
    begin: NDArray[np.int64] = warm_before[log.starts[log.users]]
    rows = np.flatnonzero(cold & (warm_before > begin))
    ends = np.searchsorted(log.users[rows], log.users[rows], side="right")  # (n,), where each user's trials end
    rows = rows[ends - np.arange(len(rows)) <= MOST_TRIALS]
    if not len(rows) or held_out.sum() < 2:
        raise InputError(
            f"{held_out.sum()} items held out leave {len(rows)} trials; a log with more items and users is needed"
        )
    return Trials(source.take(np.flatnonzero(~held_out[source.items])), log, rows, held_out)


def of_users(trials: Trials, users: NDArray[np.integer]) -> Trials:
    """The trials of these users (codes) only; the same training."""
    return Trials(trials.train, trials.log, trials.rows[np.isin(trials.users, users)], trials.candidates)
