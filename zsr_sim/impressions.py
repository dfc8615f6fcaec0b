"""Logged pages: what users were shown, with what probability, and what they made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zsr_sim.errors import InputError

Floats = NDArray[np.float64]

CLICKS = ("click", "like", "purchase")  # kinds of feedback that only a clicked item has


@dataclass(frozen=True, eq=False)
class Impressions:
    """A log of n pages of up to s positions, sorted by user, then time.

    user_ids: (n_users,) id of each user code. users: int32 (n,), user codes, non-decreasing. timestamps: float64 (n,),
    seconds since 1970. items: int32 (n, s), rows of the catalogue, -1 at a position of which the log says nothing.
    feedback_names: distinct kinds of feedback, sorted; feedback_codes: int8 (n, s), -1 for none. propensity: float64
    (n, s), of that item at that position; prefix_propensity: (n, s), of the page down to that position;
    slate_propensity: (n,), of the whole page; each NaN where the log does not say it.
    """

    user_ids: tuple[str, ...]
    users: NDArray[np.int32]
    timestamps: Floats
    items: NDArray[np.int32]
    feedback_names: tuple[str, ...]
    feedback_codes: NDArray[np.int8]
    propensity: Floats
    prefix_propensity: Floats
    slate_propensity: Floats

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Whether the log names an item, bool (n, s)."""
        return np.asarray(self.items >= 0)

    @property
    def whole(self) -> bool:
        """Whether the log names the item at every position of every page."""
        return bool(self.shown.all())

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """How many pages the user had seen before in this log, int64 (n,)."""
        starts = np.flatnonzero(np.diff(self.users, prepend=-1))
        counts = np.diff(np.append(starts, len(self)))
        return np.asarray(np.arange(len(self)) - np.repeat(starts, counts))

    def reward(self, kinds: tuple[str, ...]) -> Floats:
        """1 where the feedback is one of `kinds`, else 0, float64 (n, s). InputError where the log has none of them."""
        found = [name for name in kinds if name in self.feedback_names]
        if not found:
            known = ", ".join(map(repr, self.feedback_names)) or "none at all"
            raise InputError(f"no feedback of the log is {' or '.join(kinds)}; it has {known}: name some with --reward")
        codes = [self.feedback_names.index(name) for name in found]
        return np.isin(self.feedback_codes, codes).astype(np.float64)

    def take(self, rows: NDArray[np.int64]) -> Impressions:
        """The pages at these ascending rows, of the users who have any."""
        codes, users = np.unique(self.users[rows], return_inverse=True)
        return Impressions(
            tuple(self.user_ids[code] for code in codes), users.astype(np.int32), self.timestamps[rows],
            self.items[rows], self.feedback_names, self.feedback_codes[rows], self.propensity[rows],
            self.prefix_propensity[rows], self.slate_propensity[rows],
        )  # fmt: skip

    @classmethod
    def from_columns(cls, columns: Mapping[str, object]) -> Impressions:
        """Put rows (m,) in any order together to pages.

        columns: `user` and `slate` text, `time` seconds, `item` rows of the catalogue, `position` from 0; `feedback`
        text, "" for none; `propensity`, `prefix_propensity`, `slate_propensity`, NaN for none. A page is a slate id
        of one user. Raises InputError for two items at one position of a page.
        """
        frame = pd.DataFrame(columns)
        user, user_ids = pd.factorize(frame["user"], sort=True)
        page = pd.factorize(pd.MultiIndex.from_arrays([user, pd.factorize(frame["slate"])[0]]))[0]
        n, s = int(page.max()) + 1, int(frame["position"].max()) + 1
        cell = page.astype(np.int64) * s + frame["position"].to_numpy()
        twice = pd.Series(cell).duplicated()
        if twice.any():
            row = frame.iloc[int(twice.to_numpy().argmax())]
            raise InputError(
                f"slate {row['slate']!r} of user {row['user']!r} has two items at position {row['position']}; "
                "one expected"
            )
        first = np.full(n, len(frame), dtype=np.int64)
        np.minimum.at(first, page, np.arange(len(frame)))
        times = frame["time"].to_numpy(dtype=np.float64)[first]
        order = np.lexsort((first, times, user[first]))  # ties keep the order of the file
        names, codes = _code(frame["feedback"])

        def spread(values: object, empty: float, dtype: type) -> NDArray[np.generic]:
            out: NDArray[np.generic] = np.full(n * s, empty, dtype=dtype)
            out[cell] = np.asarray(values, dtype=dtype)
            return out.reshape(n, s)[order]

        return cls(
            user_ids=tuple(user_ids.tolist()),
            users=user[first][order].astype(np.int32),
            timestamps=times[order],
            items=spread(frame["item"], -1, np.int32).astype(np.int32),
            feedback_names=names,
            feedback_codes=spread(codes, -1, np.int8).astype(np.int8),
            propensity=spread(frame["propensity"], np.nan, np.float64).astype(np.float64),
            prefix_propensity=spread(frame["prefix_propensity"], np.nan, np.float64).astype(np.float64),
            slate_propensity=frame["slate_propensity"].to_numpy(dtype=np.float64)[first][order],
        )


def _code(feedback: pd.Series) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    codes, names = pd.factorize(feedback.where(feedback != "", None), sort=True)
    if len(names) > 127:
        raise InputError(f"feedback has {len(names)} distinct names, at most 127 kinds (click, like, ...) expected")
    return tuple(str(name) for name in names), np.asarray(codes)
