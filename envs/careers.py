"""Who comes when, and for how many items: lives that go on as those of others did, resampled from a log.

When people come and for how many items is drawn piece by piece from people who had come as often: no formula of
activity, only what the log holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.rhythm import DAY, Sessions
from zsr_sim.interactions import Interactions

BLOCKS = 8
"""Parts of the log, as many interactions in each, that are drawn with replacement for a replication: what changes from
one to the next is what may change after them, too."""
_CLASSES = 6  # of sessions so far: 1, 2-3, 4-7, ..., 32 and more
_TRIES = 200  # to find somebody who was away for as long


@dataclass(frozen=True)
class Careers:
    """The sessions of a log as moments from which somebody else's life may go on: one row per session, in its order.

    groups: int64 (k,), how many sessions the person has had with this one, in classes (`session_class`). pauses:
    float64 (k,), days to the person's next session; NaN for the last one. known: float64 (k,), the pause or, for the
    last, the days to the end of the log. lengths: int64 (k,). users: int32 (k,).
    """

    users: NDArray[np.int32]
    groups: NDArray[np.int64]
    pauses: NDArray[np.float64]
    known: NDArray[np.float64]
    lengths: NDArray[np.int64]
    ends: NDArray[np.float64]

    @classmethod
    def of(cls, log: Interactions, sessions: Sessions) -> Careers:
        """All sessions of a log."""
        pauses = np.append(sessions.gaps[1:], np.nan)
        ends = log.timestamps[sessions.starts[1:] - 1]
        away = (log.timestamps.max() - ends) / DAY
        known = np.where(np.isnan(pauses), away, pauses)
        return cls(sessions.users, session_class(sessions), pauses, known, sessions.lengths, ends)


def block_edges(log: Interactions) -> NDArray[np.float64]:
    """Times, float64 (BLOCKS + 1,), that part the log into blocks of as many interactions."""
    return np.asarray(np.quantile(log.timestamps, np.linspace(0, 1, BLOCKS + 1)))


def session_class(sessions: Sessions) -> NDArray[np.int64]:
    """How many sessions the user has had with this one, int64 (k,): 0 for 1, 1 for 2-3, 2 for 4-7, ... 5 for 32 up."""
    first = np.flatnonzero(np.isnan(sessions.gaps))
    number = np.arange(len(sessions)) - np.repeat(first, np.diff(np.append(first, len(sessions)))) + 1
    return _class_of(number)


def _class_of(number: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.minimum(np.floor(np.log2(number)), _CLASSES - 1).astype(np.int64))


@dataclass(frozen=True)
class Visitors:
    """Sessions to be filled: users int64 (k,) ascending, begins float64 (k,) in seconds, lengths int64 (k,).

    Users from the number of the log's users on are new.
    """

    users: NDArray[np.int64]
    begins: NDArray[np.float64]
    lengths: NDArray[np.int64]


def visitors(
    log: Interactions, careers: Careers, drawn: NDArray[np.int64], until: float, rng: np.random.Generator
) -> Visitors:
    """Who comes between the end of the log and `until` (seconds), when and for how many items.

    drawn: int64 (k,), blocks of the log. New people arrive at the rate of these blocks. Everybody goes on as some
    person of the log did after a session of these blocks that was the same, by class, in number, and, for people of the
    log, had been followed by a pause at least as long as theirs so far; where what is known of that person ends, as
    another one.
    """
    now, edges = float(log.timestamps.max()), block_edges(log)
    block = np.clip(np.searchsorted(edges, careers.ends, side="right") - 1, 0, BLOCKS - 1)
    rows = np.concatenate([np.flatnonzero(block == b) for b in drawn])
    donors = [_by_person(careers, rows[careers.groups[rows] == c]) for c in range(_CLASSES)]
    last = np.flatnonzero(np.append(np.diff(careers.users) > 0, True))
    counts = np.bincount(careers.users, minlength=log.n_users)
    life = _Life(careers, donors, until, rng)
    for row in last:
        life.live(int(careers.users[row]), int(counts[careers.users[row]]), float(careers.ends[row]), now)
    days = sum((edges[b + 1] - edges[b]) / DAY for b in drawn)
    firsts = rows[_is_first(careers)[rows]]
    for new in range(rng.poisson(len(firsts) / max(days, 1e-9) * (until - now) / DAY) if len(firsts) else 0):
        arrival = now + rng.random() * (until - now)
        like = int(firsts[rng.integers(len(firsts))])
        life.sessions.append((log.n_users + new, arrival, int(careers.lengths[like])))
        life.live(log.n_users + new, 1, arrival, arrival, like)
    columns = zip(*life.sessions, strict=True) if life.sessions else ((), (), ())
    users, begins, lengths = (np.array(column) for column in columns)
    order = np.lexsort((begins, users))
    return Visitors(users[order].astype(np.int64), begins[order].astype(np.float64), lengths[order].astype(np.int64))


def _is_first(careers: Careers) -> NDArray[np.bool_]:
    return np.diff(careers.users, prepend=-1) > 0


def _by_person(careers: Careers, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of each person: people weigh the same, however often they came."""
    rows = rows[np.argsort(careers.users[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(careers.users[rows])) + 1) if len(rows) else []


@dataclass
class _Life:
    careers: Careers
    donors: list[list[NDArray[np.int64]]]
    until: float
    rng: np.random.Generator
    sessions: list[tuple[int, float, int]] = field(default_factory=list)

    def live(self, user: int, count: int, end: float, now: float, donor: int = -1) -> None:
        """The sessions of one person from `now` on, after `count` sessions of which the last ended at `end`."""
        careers = self.careers
        while True:
            waited = max(now - end, 0.0) / DAY
            donor = donor if donor >= 0 else self._donor(count, waited)
            if donor < 0:
                return
            while not np.isnan(careers.pauses[donor]):
                end += float(careers.pauses[donor]) * DAY
                if end >= self.until:
                    return
                count, donor, now = count + 1, donor + 1, float(end)
                self.sessions.append((user, end, int(careers.lengths[donor])))
            now = end + float(careers.known[donor]) * DAY
            donor = -1
            if now >= self.until:
                return

    def _donor(self, count: int, waited: float) -> int:
        """A session after which somebody was away for longer than `waited` days; -1 where none is found."""
        people = self.donors[min(int(np.log2(count)), _CLASSES - 1)]
        for _ in range(_TRIES if people else 0):
            rows = people[self.rng.integers(len(people))]
            row = int(rows[self.rng.integers(len(rows))])
            if self.careers.known[row] > waited:
                return row
        return -1
