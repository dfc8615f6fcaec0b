"""What a strategy would have known before each logged page: observations rebuilt from a log."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.impressions import Impressions
from zsr_sim.interactions import Interactions, id_keys

MOST_SHOWN = 200  # items shown that an observation remembers


def histories_before(log: Impressions, interactions: Interactions | None) -> NDArray[np.int32]:
    """What each of the log's users consumed before the first page, int32 (n_users, HISTORY_LENGTH), last item last."""
    histories = np.full((log.n_users, HISTORY_LENGTH), -1, dtype=np.int32)
    if interactions is None:
        return histories
    codes = {name: code for code, name in enumerate(interactions.user_ids)}
    first = np.searchsorted(log.users, np.arange(log.n_users))
    for user, name in enumerate(log.user_ids):
        code = codes.get(name)
        if code is not None:
            rows = slice(interactions.starts[code], interactions.starts[code + 1])
            before = interactions.timestamps[rows] < log.timestamps[first[user]]
            items = interactions.items[rows][before][-HISTORY_LENGTH:]
            histories[user, HISTORY_LENGTH - len(items) :] = items
    return histories


def user_keys(log: Impressions, own: bool) -> NDArray[np.int64]:
    """The user of every random draw, int64 (n_users,): of our own logs the id itself, else a hash of it."""
    if own:
        return np.array([int(name) for name in log.user_ids], dtype=np.int64)
    return id_keys(log.user_ids)


def observations(
    log: Impressions, clicked: NDArray[np.bool_], histories: NDArray[np.int32], keys: NDArray[np.int64], seed: int
) -> Observation:
    """The observation before each page (n rows): earlier pages of the same user were shown, their clicks consumed.

    clicked: bool (n, s). histories: int32 (n_users, length), before the log begins. keys: int64 (n_users,), the user of
    every draw, and seed: its seed; with those of the log's own simulation a strategy meets the very same candidates.
    """
    n, s = log.items.shape
    length, capacity = histories.shape[1], max(min(MOST_SHOWN, s * int(log.steps.max(initial=0))), 1)
    before, shown = np.empty((n, length), dtype=np.int32), np.empty((n, capacity), dtype=np.int32)
    current, seen = histories.copy(), np.full((log.n_users, capacity), -1, dtype=np.int32)
    order = np.argsort(log.steps, kind="stable")
    ends = np.searchsorted(log.steps[order], np.arange(int(log.steps.max(initial=-1)) + 2))
    for begin, end in itertools.pairwise(ends.tolist()):
        rows = order[begin:end]
        users = log.users[rows]
        before[rows], shown[rows] = current[users], seen[users]
        current[users] = _append(current[users], np.where(clicked[rows], log.items[rows], -1))
        seen[users] = _append(seen[users], log.items[rows])
    return Observation(np.full(n, seed, dtype=np.uint64), keys[log.users], log.steps.astype(np.int64), before, shown)


def _append(queue: NDArray[np.int32], new: NDArray[np.int32]) -> NDArray[np.int32]:
    """Put the items (>= 0) of `new` (k, s) at the end of each row of `queue` (k, length), the oldest falling out."""
    both = np.concatenate([queue, new], axis=1)
    order = np.argsort(both >= 0, axis=1, kind="stable")  # gaps to the left, items in their order
    return np.ascontiguousarray(np.take_along_axis(both, order, axis=1)[:, new.shape[1] :])
