"""Histories and candidates for `recommend`: files of a person's own, held against a catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from zsr_sim.catalogue import Catalogue
from zsr_sim.datasets.assemble import TEXT_COLUMNS, assemble
from zsr_sim.datasets.columns import consumed, ids, timestamps
from zsr_sim.datasets.files import shown
from zsr_sim.datasets.generic import profiles_of
from zsr_sim.datasets.tables import read_table
from zsr_sim.errors import InputError


@dataclass(frozen=True)
class Histories:
    """What n people consumed.

    user_ids: in the order in which they first appear. items: int32 (m,), rows of the catalogue, by person, then time,
    ties in the order of the file. starts: int64 (n + 1,), the rows of person u are `starts[u]:starts[u + 1]`; a person
    of whom no item is known has none. unknown: interactions left out because their item is not in the catalogue.
    notes: remarks for a person, one line each.
    """

    user_ids: tuple[str, ...]
    items: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    unknown: int
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def strangers(self) -> int:
        """How many people have no known item."""
        return int((np.diff(self.starts) == 0).sum())

    def seen(self, user: int) -> npt.NDArray[np.int32]:
        """Everything that a person consumed."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    def with_users(self, user_ids: Iterable[str]) -> Histories:
        """The same people and, behind them, those of `user_ids` who are not among them, without any item."""
        known = set(self.user_ids)
        more = [name for name in user_ids if name not in known]
        starts = np.concatenate([self.starts, np.full(len(more), self.starts[-1])])
        return replace(self, user_ids=(*self.user_ids, *more), starts=starts)

    def windows(self, length: int) -> npt.NDArray[np.int32]:
        """The latest items of each person, int32 (n, length), most recent last, padded left with -1."""
        rows = self.starts[1:, None] + np.arange(-length, 0)[None, :]  # (n, length)
        items = self.items[np.maximum(rows, 0)] if len(self.items) else np.full(rows.shape, -1)
        return np.where(rows >= self.starts[:-1, None], items, -1).astype(np.int32)


def read_histories(path: Path, catalogue: Catalogue) -> Histories:
    """Read a file of interactions: user_id, item_id, timestamp (csv, parquet or jsonl, each also .gz).

    Rows that occur twice count once, and rows whose feedback says that the item was passed over (skip) not at all.
    Raises InputError for a file that cannot be read, a missing column, or a value that is no id or time; the message
    names file and line.
    """
    table = read_table(path)
    user_ids, item_ids = ids(table, "user_id"), ids(table, "item_id")
    seconds, notes = timestamps(table, "timestamp")
    codes, names = pd.factorize(user_ids)
    distinct_codes, distinct = pd.factorize(item_ids)
    rows = pd.Index(catalogue.item_ids).get_indexer(distinct)[distinct_codes]  # (m,), -1 for unknown items
    unknown = rows < 0
    if unknown.any():
        first = int(np.flatnonzero(unknown)[0])
        notes.append(
            f"{unknown.sum():,} interactions with {len(set(distinct_codes[unknown])):,} items that are not in the "
            f"catalogue are left out, the first in {table.where(first)}: {shown(item_ids.iloc[first])}"
        )
    taken = consumed(table, "feedback")
    if not taken.all():
        notes.append(f"{(~taken).sum():,} interactions are left out: their feedback says that the item was passed over")
    kept = np.flatnonzero(~unknown & taken & ~table.frame.duplicated().to_numpy())
    order = kept[np.lexsort((seconds[kept], codes[kept]))]  # stable: ties keep the order of the file
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1)).astype(np.int64)
    found = Histories(tuple(names), rows[order].astype(np.int32), starts, int(unknown.sum()), tuple(notes))
    if found.strangers:
        note = f"{found.strangers:,} of {len(found):,} users have no known item: they get what a new user gets"
        return Histories(found.user_ids, found.items, found.starts, found.unknown, (*notes, note))
    return found


NOBODY = Histories((), np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64), 0, ())


def read_profiles(path: Path) -> dict[str, str]:
    """Read a file of users: user_id, and a text or columns that describe who it is; user id -> text, perhaps empty.

    Raises InputError for a file that cannot be read, a missing column, or a user who occurs twice.
    """
    return profiles_of(read_table(path))


def read_candidates(path: Path, catalogue: Catalogue) -> tuple[npt.NDArray[np.int64], Catalogue | None]:
    """Read a file with item_id: what may be recommended.

    Returns the rows of the candidates, ascending, in the catalogue followed by the new items, and the new items: those
    that the catalogue does not have, with the texts that the file brings (columns as in a file of items); None without
    any. Raises InputError for a file that cannot be read, or an item that neither catalogue nor file describe.
    """
    table = read_table(path)
    item_ids = ids(table, "item_id")
    unknown = ~item_ids.isin(catalogue.index)
    new: Catalogue | None = None
    if unknown.any():
        described = any(name in table.frame.columns for name in ("text", *TEXT_COLUMNS))
        brought = assemble(str(path), catalogue.name, "candidates", table, None).catalogue if described else None
        missing = unknown & ~item_ids.isin(brought.index) if brought else unknown
        if missing.any():
            row = int(np.flatnonzero(missing)[0])
            raise InputError(
                f"{table.where(row)}: item {shown(item_ids.iloc[row])} is not in the catalogue of {catalogue.name} and "
                "has no text; leave it out, or add a column such as title or text"
            )
        assert brought is not None  # or every unknown item would be missing
        new = brought.subset([brought.index[name] for name in dict.fromkeys(item_ids[unknown])])
    places = catalogue.index | ({} if new is None else {name: len(catalogue) + row for name, row in new.index.items()})
    return np.unique(item_ids.map(places).to_numpy(dtype=np.int64)), new
