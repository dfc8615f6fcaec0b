"""When users come and how long they stay, as a log shows it: sessions, and the days between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.interactions import Interactions

SESSION_GAP = 3600.0
"""Seconds without an interaction after which another session begins (Halfaker et al. 2015, "User session
identification based on strong regularities in inter-activity time": about an hour, whatever people do online)."""
DAY = 86400.0


@dataclass(frozen=True)
class Sessions:
    """The sessions of a log, in its order.

    starts: int64 (k + 1,), the rows of session s are starts[s]:starts[s + 1]. users: int32 (k,). gaps: float64 (k,),
    days from the end of the user's session before to the beginning of this one; NaN for a user's first.
    """

    starts: NDArray[np.int64]
    users: NDArray[np.int32]
    gaps: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Interactions in each session, int64 (k,)."""
        return np.diff(self.starts)


def sessions_of(log: Interactions) -> Sessions:
    """Part a log into sessions: another one begins after `SESSION_GAP` seconds without an interaction."""
    if not len(log):
        return Sessions(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32), np.empty(0))
    pauses = np.diff(log.timestamps, prepend=-np.inf)
    first = np.diff(log.users, prepend=-1) > 0
    begins = np.flatnonzero(first | (pauses > SESSION_GAP))
    gaps = np.where(first[begins], np.nan, pauses[begins] / DAY)
    return Sessions(np.append(begins, len(log)).astype(np.int64), log.users[begins], gaps)
