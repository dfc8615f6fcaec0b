"""What a log teaches: who had consumed what, and what came next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.protocol import Scoring
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 500  # of the users, for validation
FEWEST_USERS = 10


@dataclass(frozen=True)
class NextItems:
    """Pairs of a history and the item that followed.

    histories: int32 (n, length), padded left with -1. targets: int32 (n,).
    """

    histories: NDArray[np.int32]
    targets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def at(cls, log: Interactions, rows: NDArray[np.int64], length: int = HISTORY_LENGTH) -> NextItems:
        """The items in these rows of a log, each with what its user had consumed before it."""
        return cls(log.items_before(rows, length), log.items[rows])


def last_items(log: Interactions, most: int = MOST_HELD_OUT) -> NextItems:
    """The last item of each user who has two or more; of `most` users, spread over the log."""
    counts = np.diff(log.starts)
    rows = log.starts[1:][counts >= 2] - 1
    return NextItems.at(log, rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)])


def split_for_validation(log: Interactions, seed: int, who: str) -> tuple[Interactions, Interactions]:
    """The log to train on and that of a tenth of the users.

    Raises InputError, naming the strategy `who`, where fewer than 10 users have two interactions.
    """
    enough = int((np.diff(log.starts) >= 2).sum())
    if enough < FEWEST_USERS:
        raise InputError(
            f"{who} learns from a log in which at least {FEWEST_USERS} users have two interactions; this one has "
            f"{enough}: use a longer log, or similarity, which needs none"
        )
    held_out, train = log.split_users(HELD_OUT_SHARE, seed)
    if not len(last_items(held_out)) or not len(train.rows_with_past):  # a small log
        codes = np.flatnonzero(np.diff(log.starts) >= 2)
        return log.of_users(codes[1:]), log.of_users(codes[:1])
    return train, held_out


def ndcg(agent: Scoring, held_out: NextItems, k: int = 10) -> float:
    """Mean over users of 1 / log2(1 + rank) of the next item among all new items, 0 beyond rank k; 0..1.

    Equal scores share the middle of their ranks. Järvelin and Kekäläinen (2002) with one relevant item a user.
    """
    gains = []
    for begin in range(0, len(held_out), 256):
        part = NextItems(held_out.histories[begin : begin + 256], held_out.targets[begin : begin + 256])
        scores = agent.scores(Observation.of_histories(part.histories)).astype(np.float64)
        rows = np.arange(len(part))
        own = scores[rows, part.targets].copy()
        users, columns = np.nonzero(part.histories >= 0)
        scores[users, part.histories[users, columns]] = -np.inf
        scores[rows, part.targets] = -np.inf
        above = (scores > own[:, None]).sum(axis=1) + 0.5 * (scores == own[:, None]).sum(axis=1)
        gains.append(np.where(above < k, 1 / np.log2(2 + above), 0.0))
    return float(np.concatenate(gains).mean()) if gains else 0.0
