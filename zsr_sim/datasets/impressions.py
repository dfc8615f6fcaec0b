"""Impressions: a file of logged pages, one row for each item shown, read against a catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zsr_sim.catalogue import Catalogue
from zsr_sim.datasets.columns import consumed, ids, numbers, timestamps
from zsr_sim.datasets.files import shown
from zsr_sim.datasets.tables import Table, read_table
from zsr_sim.errors import InputError
from zsr_sim.impressions import CLICKS, Impressions
from zsr_sim.interactions import Interactions

PROPENSITIES = ("propensity", "prefix_propensity", "slate_propensity")
MOST_POSITIONS = 1000


def read_impressions(path: Path, catalogue: Catalogue) -> tuple[Impressions, dict[str, int], list[str]]:
    """Read an impressions file (csv, parquet or jsonl, each also .gz).

    Columns: user_id, timestamp, slate_id, item_id, position (from 0 or from 1), feedback; optional propensity,
    slate_propensity and prefix_propensity. Returns the impressions, how many pages were dropped, and notes. Raises
    InputError for a missing column, a value that cannot be read, or no page of known items.
    """
    return impressions_of(read_table(path), catalogue)


def impressions_of(table: Table, catalogue: Catalogue) -> tuple[Impressions, dict[str, int], list[str]]:
    """`read_impressions` of a table."""
    times, notes = timestamps(table, "timestamp")
    item_codes, distinct = pd.factorize(ids(table, "item_id"))
    columns: dict[str, object] = {
        "user": ids(table, "user_id"),
        "slate": ids(table, "slate_id"),
        "time": times,
        "item": pd.Index(catalogue.item_ids).get_indexer(distinct)[item_codes],
        "position": _positions(table),
        "feedback": table.frame["feedback"].str.strip() if "feedback" in table.frame.columns else "",
    }
    columns |= {name: _propensity(table, name) for name in PROPENSITIES}
    frame = pd.DataFrame(columns)
    unknown = frame["item"] < 0
    pages = frame["user"] + "\0" + frame["slate"]
    spoilt = pages.isin(pages[unknown]) if unknown.any() else unknown
    if spoilt.all():
        raise InputError(
            f"{table.path}: no page shows only items of the catalogue; the first unknown one is "
            f"{shown(str(distinct[item_codes[int(unknown.to_numpy().argmax())]]))}; ids are compared as text"
        )
    try:
        found = Impressions.from_columns(frame[~spoilt].reset_index(drop=True))  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from error
    if found.shown.all() and (found.feedback_codes >= 0).all() and set(found.feedback_names) <= set(CLICKS):
        notes.append(f"{table.path.name}: everything shown was clicked; are the rows of what was passed over missing?")
    counts = {
        "impressions": int(found.shown.sum()),
        "pages": len(found),
        "dropped_unknown_pages": int(pages[spoilt].nunique()),
    }
    return found, counts, notes


def _positions(table: Table) -> NDArray[np.int64]:
    values = numbers(table, "position")
    bad = ~((values >= 0) & (values <= MOST_POSITIONS) & (values == np.round(values)))
    if bad.any():
        row = int(bad.argmax())
        found = shown(table.frame["position"].iloc[row])
        raise InputError(f"{table.where(row)}: position {found}; a whole number from 0 to {MOST_POSITIONS} expected")
    positions = values.astype(np.int64)
    return np.asarray(positions - (1 if positions.min() > 0 else 0))


def _propensity(table: Table, name: str) -> NDArray[np.float64]:
    if name not in table.frame.columns:
        return np.full(len(table.frame), np.nan)
    values = numbers(table, name)
    bad = ~(np.isnan(values) | ((values > 0) & (values <= 1 + 1e-9)))
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{table.where(row)}: {name} {shown(table.frame[name].iloc[row])}; a probability above 0 and at most 1 "
            "expected, or nothing"
        )
    return values


def read_histories(path: Path, catalogue: Catalogue) -> Interactions:
    """Read an interactions file (user_id, item_id, timestamp) of users who need not occur in any log.

    Items that the catalogue does not know, or that were passed over (skip), are left out. Raises InputError for a
    file without a known item.
    """
    table = read_table(path)
    users, (times, _) = ids(table, "user_id"), timestamps(table, "timestamp")
    items = pd.Index(catalogue.item_ids).get_indexer(pd.Index(ids(table, "item_id")))
    known = (items >= 0) & consumed(table, "feedback")
    if not known.any():
        raise InputError(f"{path}: none of its items is in the catalogue; ids are compared as text")
    return Interactions.from_columns(users[known], items[known], times[known])
