"""From tables to a data set: one policy for all layouts.

What a person's data may hold beside good rows is either an error (columns.py) or dropped and counted here: items
without any text, repeated item ids, interactions with unknown items (never invented), exact duplicates of an
interaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from zsr_sim.catalogue import Catalogue
from zsr_sim.datasets.columns import column, consumed, ids, numbers, timestamps
from zsr_sim.datasets.dataset import DataReport, Dataset
from zsr_sim.datasets.files import listed, shown
from zsr_sim.datasets.tables import Table
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

# The declared order in which columns are joined to an item's text. A column `text` is taken alone and as it is.
TEXT_COLUMNS = (
    "title", "name", "subtitle", "genres", "authors", "author", "director", "artist", "brand", "country",
    "abstract", "description",
)  # fmt: skip
PRICE, CREATED_AT = "price", "created_at"


@dataclass(frozen=True)
class LogColumns:
    """How a layout names the columns of its log; `value` and `feedback` are read where the file has them."""

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"
    value: str = "value"
    feedback: str = "feedback"


def assemble(
    source: str,
    name: str,
    layout: str,
    items: Table,
    log: Table | None,
    item_column: str = "item_id",
    log_columns: LogColumns = LogColumns(),
    text_columns: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Build a data set from the table of items and, where there is one, the table of interactions.

    Raises:
        InputError: a missing column, a value that cannot be read, no item with a text, or a log without any known item.
    """
    catalogue, counts, item_notes = _catalogue(name, items, item_column, text_columns)
    interactions: Interactions | None = None
    log_notes: list[str] = []
    if log is not None:
        interactions, dropped, log_notes = _interactions(log, log_columns, catalogue)
        counts |= {"users": interactions.n_users, "interactions": len(interactions)} | dropped
    report = DataReport(source, layout, counts, (*notes, *item_notes, *log_notes))
    return Dataset(catalogue, interactions, report)


def _catalogue(
    name: str, table: Table, item_column: str, text_columns: Sequence[str] | None
) -> tuple[Catalogue, dict[str, int], list[str]]:
    item_ids = ids(table, item_column)
    used = _text_columns(table, text_columns)
    parts = [_clean(table.frame[column_name], column_name) for column_name in used]
    texts = parts[0] if used == ["text"] else _join(parts)
    columns, notes = _extra_columns(table, {item_column, *used})
    rows, counts, row_notes = _kept_items(table, item_ids, texts)
    texts, first = texts.iloc[rows], parts[0].iloc[rows]
    if used != ["text"]:
        notes.insert(0, f"an item's text is its {', '.join(used)}")
    catalogue = Catalogue(
        name=name,
        item_ids=tuple(item_ids.iloc[rows]),
        texts=tuple(texts),
        titles=tuple(_titles(table, rows, first, texts)),
        columns=columns.iloc[rows].reset_index(drop=True),
    )
    return catalogue, {"items": len(catalogue)} | counts, notes + row_notes


def _text_columns(table: Table, declared: Sequence[str] | None) -> list[str]:
    if declared is not None:
        if not declared:
            raise InputError(f"{table.path}: text_columns is empty; name at least one column that describes an item")
        return [str(column(table, name).name) for name in declared]
    if "text" in table.frame.columns:
        return ["text"]
    used = [name for name in TEXT_COLUMNS if name in table.frame.columns]
    if not used:
        found = listed([str(name) for name in table.frame.columns])
        raise InputError(
            f"{table.path} has no column 'text' and none of {', '.join(TEXT_COLUMNS)}; found: {found}; "
            "rename the columns that describe an item"
        )
    return used


def _clean(values: pd.Series, name: str) -> pd.Series:
    if name == "text":
        return values.where(values.str.strip() != "", "")  # taken as it is; blanks only is no text
    values = values.str.strip()
    return values.str.replace(r"\s*\|\s*", ", ", regex=True) if name == "genres" else values


def _join(parts: list[pd.Series]) -> pd.Series:
    """Join columns as sentences, ``Heat (1995). Action, Crime. Two men ...``; empty parts are left out."""
    joined = parts[0]
    for part in parts[1:]:
        ends = joined.str.endswith((".", "!", "?", "…"))
        gap = np.where((joined == "") | (part == ""), "", np.where(ends, " ", ". "))
        joined = joined + pd.Series(gap, index=part.index, dtype="str") + part
    return joined


def _titles(table: Table, rows: npt.NDArray[np.int64], first: pd.Series, texts: pd.Series) -> pd.Series:
    """Return what a person reads: the title where there is one, else the first text column, else the text."""
    titles = table.frame["title"].str.strip().iloc[rows] if "title" in table.frame.columns else first
    return titles.where(titles != "", texts)


def _kept_items(
    table: Table, item_ids: pd.Series, texts: pd.Series
) -> tuple[npt.NDArray[np.int64], dict[str, int], list[str]]:
    """Return the rows to keep (the first with a text of each id), what was dropped, and notes on it."""
    frame = pd.DataFrame({"id": item_ids, "text": texts})
    with_text = frame[frame["text"] != ""]
    if with_text.empty:
        raise InputError(f"{table.path}: none of its {len(frame)} items has a text; fill in a title or a description")
    repeated = with_text.duplicated("id")
    conflicting = repeated & ~with_text.duplicated(["id", "text"])
    counts = {
        "items_without_text": len(frame) - len(with_text),
        "duplicate_items": int(repeated.sum()),
        "conflicting_items": int(conflicting.sum()),
    }
    notes = []
    if conflicting.any():
        row = int(with_text.index[conflicting][0])
        notes.append(
            f"{table.where(row)}: item {shown(item_ids.iloc[row])} again, with another text; the first row counts"
        )
    return with_text.index[~repeated].to_numpy(dtype=np.int64), counts, notes


def _extra_columns(table: Table, taken: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns beside the text: price as a number, created_at in seconds, all others as they are."""
    names = [str(name) for name in table.frame.columns if name and name not in taken]
    columns: dict[str, Any] = {name: table.frame[name] for name in names}
    notes: list[str] = []
    if PRICE in columns:
        columns[PRICE] = numbers(table, PRICE)
    if CREATED_AT in columns:
        columns[CREATED_AT], notes = timestamps(table, CREATED_AT, required=False)
    if names:
        notes.append(f"columns beside the text: {listed(names)}")
    return pd.DataFrame(columns, index=table.frame.index), notes


def _interactions(
    table: Table, names: LogColumns, catalogue: Catalogue
) -> tuple[Interactions, dict[str, int], list[str]]:
    user_ids, item_ids = ids(table, names.user), ids(table, names.item)
    seconds, notes = timestamps(table, names.timestamp)
    codes, distinct_items = pd.factorize(item_ids)  # each distinct text is looked up once
    frame = pd.DataFrame({"user": pd.factorize(user_ids)[0], "time": seconds})
    frame["item"] = pd.Index(catalogue.item_ids).get_indexer(distinct_items)[codes]
    frame["value"] = numbers(table, names.value) if names.value in table.frame.columns else np.nan
    has_feedback = names.feedback in table.frame.columns
    frame["feedback"] = table.frame[names.feedback].str.strip() if has_feedback else ""
    frame = frame[consumed(table, names.feedback)]
    known = frame["item"] >= 0
    if not known.all():
        notes.append(_unknown_note(table, item_ids[frame.index], known, catalogue))
    kept = frame[known]
    distinct = kept.drop_duplicates()  # of rows in which everything that is read agrees; NaN agrees with NaN
    counts = {
        "dropped_passed_over": len(item_ids) - len(frame),
        "dropped_unknown_items": len(frame) - len(kept),
        "users_without_known_items": frame["user"].nunique() - distinct["user"].nunique(),
        "dropped_duplicates": len(kept) - len(distinct),
    }
    feedback = distinct["feedback"] if has_feedback else None
    try:
        interactions = Interactions.from_columns(
            user_ids[distinct.index], distinct["item"], distinct["time"], distinct["value"], feedback
        )
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from error
    return interactions, counts, notes


def _unknown_note(table: Table, item_ids: pd.Series, known: pd.Series, catalogue: Catalogue) -> str:
    unknown = item_ids[~known]
    if not known.any():
        raise InputError(
            f"{table.path}: none of its {unknown.nunique():,} items is in the catalogue, for example "
            f"{shown(unknown.iloc[0])} (the catalogue has {shown(catalogue.item_ids[0])}); ids are compared as text"
        )
    where = table.where(int(unknown.index[0]))
    return (
        f"{where}: item {shown(unknown.iloc[0])} is not in the catalogue, the first of {unknown.nunique():,} such items"
    )
