"""Interaction logs: who touched which item when, as columns sorted by user and time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from zsr_sim.errors import InputError

MAX_FEEDBACK_NAMES = 127  # what an int8 code can tell apart


@dataclass(frozen=True, eq=False)
class Interactions:
    """A log of m interactions, sorted by user, then time; ties keep the order of the file.

    Attributes:
        user_ids: (n_users,) id of each user code. A user may have no row (see `before`).
        users: int32 (m,), user codes in 0..n_users-1, non-decreasing.
        items: int32 (m,), rows of the catalogue.
        timestamps: float64 (m,), seconds since 1970 (UTC), non-decreasing within a user.
        values: float32 (m,), a rating, an amount, ...; NaN where the log says none.
        feedback_names: distinct kinds of feedback ("click", "purchase", ...), sorted; empty where the log has none.
        feedback_codes: int8 (m,), index into `feedback_names`; -1 where the row says none.

    Raises:
        ValueError: columns of different lengths, codes out of range, or rows out of order (`from_columns` sorts).
    """

    user_ids: tuple[str, ...]
    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]
    feedback_names: tuple[str, ...]
    feedback_codes: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        m = len(self.users)
        if not m == len(self.items) == len(self.timestamps) == len(self.values) == len(self.feedback_codes):
            raise ValueError("users, items, timestamps, values and feedback_codes must have one length")
        if m and not 0 <= self.users.min() <= self.users.max() < self.n_users:
            raise ValueError(f"users must lie in 0..{self.n_users - 1}")
        if m and self.items.min() < 0:
            raise ValueError("items must be rows of the catalogue, 0 or more")
        same_user = self.users[1:] == self.users[:-1]  # (m - 1,)
        in_order = (self.users[1:] > self.users[:-1]) | (same_user & (self.timestamps[1:] >= self.timestamps[:-1]))
        if not in_order.all():
            raise ValueError("rows must be sorted by user, then timestamp; Interactions.from_columns sorts them")

    @classmethod
    def from_columns(
        cls,
        user_ids: Sequence[str] | pd.Series,
        items: npt.ArrayLike,
        timestamps: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        feedback: Sequence[str] | pd.Series | None = None,
    ) -> "Interactions":
        """Sort and code a log given as m rows in any order.

        Args:
            user_ids: (m,) text. Codes follow the sorted ids, so they do not depend on the order of the rows.
            items: (m,) rows of the catalogue.
            timestamps: (m,) seconds since 1970.
            values: (m,) numbers, NaN where there is none.
            feedback: (m,) names; an empty name means none.

        Raises:
            InputError: more than 127 distinct kinds of feedback.
        """
        codes, distinct = pd.factorize(pd.Series(user_ids, dtype="str"), sort=True)
        seconds = np.asarray(timestamps, dtype=np.float64)
        order = np.lexsort((seconds, codes))  # (m,); a stable sort: ties keep the order of the file
        numbers = np.full(len(codes), np.nan) if values is None else np.asarray(values)
        names, kinds = _code_feedback(feedback, len(codes))
        return cls(
            user_ids=tuple(distinct.tolist()),
            users=codes[order].astype(np.int32),
            items=np.asarray(items)[order].astype(np.int32),
            timestamps=seconds[order],
            values=numbers[order].astype(np.float32),
            feedback_names=names,
            feedback_codes=kinds[order],
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of users, with and without rows."""
        return len(self.user_ids)

    @cached_property
    def ratings(self) -> npt.NDArray[np.float32]:
        """float32 (m,): what the user thought of the item; NaN where the row says no such thing.

        A value is a rating where its row has no kind of feedback, or "rating"; beside a click or a purchase it is an
        amount.
        """
        names = np.array([*self.feedback_names, "rating"])  # the last one is that of code -1
        return np.where(names[self.feedback_codes] == "rating", self.values, np.float32(np.nan))

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """int64 (n_users + 1,): the rows of user u are ``starts[u]:starts[u + 1]``."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)

    @property
    def rows_with_past(self) -> npt.NDArray[np.int64]:
        """int64 (k,): the rows that are not their user's first."""
        return np.flatnonzero(np.arange(len(self)) > self.starts[self.users]).astype(np.int64)

    def items_before(self, rows: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int32]:
        """Return what the user of each row (k,) had before it, int32 (k, length): latest last, padded left with -1."""
        back = rows[:, None] + np.arange(-length, 0)[None, :]  # (k, length)
        begin = self.starts[self.users[rows]][:, None]  # (k, 1)
        return np.where(back >= begin, self.items[np.maximum(back, 0)], -1).astype(np.int32)

    def of_users(self, codes: Sequence[int] | npt.NDArray[np.integer]) -> "Interactions":
        """Return the log of the given users only; the new code k stands for the old ``codes[k]``.

        A code that is given twice makes two users with the same id and the same rows (a bootstrap sample).

        Raises:
            ValueError: a code outside 0..n_users-1.
        """
        chosen = np.asarray(codes, dtype=np.int64)  # (k,)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.n_users:
            raise ValueError(f"user codes must lie in 0..{self.n_users - 1}, got {chosen.min()}..{chosen.max()}")
        lengths = np.diff(self.starts)[chosen]  # (k,)
        users = np.repeat(np.arange(len(chosen)), lengths)  # (rows,)
        first = np.cumsum(lengths) - lengths  # (k,), where each user's rows begin in the new log
        rows = np.arange(lengths.sum()) - first[users] + self.starts[chosen][users]  # (rows,)
        return self._rows(rows, tuple(self.user_ids[code] for code in chosen), users.astype(np.int32))

    def split_users(self, share: float, seed: int) -> tuple["Interactions", "Interactions"]:
        """Split by user: first the log of about `share` of the users, then the log of all others.

        A user's side is a function of (seed, user id, share) alone: it stays the same when other users join or leave
        the log, and a larger share only adds users to the first part.

        Args:
            share: in [0, 1].
            seed: any integer.

        Raises:
            ValueError: a share outside [0, 1].
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        chosen = _uniform_of_ids(self.user_ids, seed) < share  # (n_users,)
        return self.of_users(np.flatnonzero(chosen)), self.of_users(np.flatnonzero(~chosen))

    def where(self, keep: npt.NDArray[np.bool_]) -> "Interactions":
        """Return the rows at which `keep`, bool (m,), is true; user codes stay."""
        rows = np.flatnonzero(keep)
        return self._rows(rows, self.user_ids, self.users[rows])

    def before(self, timestamp: float) -> "Interactions":
        """Return the rows strictly before `timestamp` (seconds since 1970); user codes stay."""
        return self.take(np.flatnonzero(self.timestamps < timestamp))

    def after(self, timestamp: float) -> "Interactions":
        """Return the rows at `timestamp` or later, the complement of `before`; user codes stay."""
        return self.take(np.flatnonzero(self.timestamps >= timestamp))

    def take(self, rows: npt.NDArray[np.int64]) -> "Interactions":
        """Return these rows only, (k,), ascending; user codes stay."""
        return self._rows(rows, self.user_ids, self.users[rows])

    def _rows(
        self, rows: npt.NDArray[np.int64], user_ids: tuple[str, ...], users: npt.NDArray[np.int32]
    ) -> "Interactions":
        return Interactions(
            user_ids=user_ids,
            users=users,
            items=self.items[rows],
            timestamps=self.timestamps[rows],
            values=self.values[rows],
            feedback_names=self.feedback_names,
            feedback_codes=self.feedback_codes[rows],
        )


def _code_feedback(
    feedback: Sequence[str] | pd.Series | None, length: int
) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
    if feedback is None:
        return (), np.full(length, -1, dtype=np.int8)
    given = np.array(feedback, dtype=object)
    given[given == ""] = None  # which factorize codes as -1
    codes, distinct = pd.factorize(given, sort=True)
    if len(distinct) > MAX_FEEDBACK_NAMES:
        raise InputError(
            f"feedback has {len(distinct)} distinct names, at most {MAX_FEEDBACK_NAMES} kinds are expected "
            f"(click, like, purchase, rating, skip, ...); put numbers into the column 'value'"
        )
    return tuple(distinct.tolist()), codes.astype(np.int8)


def id_keys(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return int64 (n,) in 0..2**62-1, each a function of one id alone: 62 bits of BLAKE2b."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(2)).astype(np.int64)


def _uniform_of_ids(ids: Sequence[str], seed: int) -> npt.NDArray[np.float64]:
    """Return (n,) numbers in [0, 1), each a function of (seed, id): the first 8 bytes of keyed BLAKE2b."""
    keyed = hashlib.blake2b(digest_size=8, key=hashlib.sha256(str(seed).encode()).digest())
    digests = bytearray()
    for user_id in ids:
        hasher = keyed.copy()
        hasher.update(user_id.encode())
        digests += hasher.digest()
    # 53 bits are what a float64 holds exactly, so the result is below 1
    return np.ldexp((np.frombuffer(bytes(digests), dtype="<u8") >> np.uint64(11)).astype(np.float64), -53)
