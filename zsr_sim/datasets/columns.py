"""What the text of a column means: ids, numbers, times. Each value is understood or named with its line."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from zsr_sim.datasets.files import listed, shown
from zsr_sim.datasets.tables import Table
from zsr_sim.errors import InputError, nearest

MISSING = ("", "nan", "NaN")  # how tools write "nothing" into a csv file
CONTRACT = ("user_id", "item_id", "timestamp")  # never a misspelling of one another
MILLISECONDS_ABOVE = 1e11  # as seconds that is the year 5138, as milliseconds 1973
LARGEST = 3e38  # about what a float32 holds
TOO_LARGE = 1e14  # as milliseconds the year 5138: microseconds or no time at all
SUSPICIOUSLY_EARLY = 315_532_800.0  # 1980-01-01
PASSED_OVER = ("skip", "leave", "impression")  # feedback that says of an item that it was shown and not consumed


def column(table: Table, name: str) -> pd.Series:
    """Return a column as text.

    Raises:
        InputError: the table has no such column; the message names those it has.
    """
    names = [str(known) for known in table.frame.columns]
    if name not in names:
        hint = nearest(name, [known for known in names if known not in CONTRACT])
        if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
            hint = "; columns must be separated by commas"
        raise InputError(f"{table.path} has no column {name!r}; found: {listed(names)}{hint}")
    return table.frame[name]


def ids(table: Table, name: str) -> pd.Series:
    """Return a column of ids: text as it stands in the file, never empty.

    Raises:
        InputError: the column is missing, a value is empty or NaN, or ids are stored as floating-point numbers.
    """
    values = column(table, name)
    if name in table.floats:
        raise InputError(
            f"{table.path}: column {name!r} holds floating-point numbers, ids are text or integers; "
            "write it again as text (a missing id turns integers into floating-point numbers)"
        )
    empty = values.isin(MISSING) | (values.str.strip() == "")
    if empty.any():
        row = _first(empty)
        raise InputError(
            f"{table.where(row)}: {name} is {shown(values.iloc[row])}; every row needs one: fill it in or drop it"
        )
    return values


def numbers(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column as numbers of at most 3e38, NaN where it is empty.

    Raises:
        InputError: the column is missing, or a value is no such number.
    """
    values = column(table, name)
    parsed = _as_numbers(values)  # (m,)
    fits = np.abs(parsed) <= LARGEST  # False for NaN, too
    bad = ~fits & ~values.isin(MISSING).to_numpy(dtype=bool)
    if bad.any():
        row = _first(bad)
        raise InputError(
            f"{table.where(row)}: {name} {shown(values.iloc[row])} is no number up to 3e38; write one or leave it empty"
        )
    return parsed


def timestamps(table: Table, name: str, required: bool = True) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Return a column as seconds since 1970 (UTC), and notes on how it was read.

    Numbers are seconds, or milliseconds where they all exceed 1e11; other text is ISO 8601, UTC where it names no zone.

    Args:
        table: the file.
        name: of the column.
        required: raise for an empty value; otherwise it becomes NaN.

    Raises:
        InputError: the column is missing, or a value is none of these.
    """
    values = column(table, name)
    parsed = _as_numbers(values)  # (m,)
    notes = []
    as_text = np.isnan(parsed)
    if as_text.any():
        parsed[as_text] = _as_iso_seconds(values[as_text])
        if np.isfinite(parsed[as_text]).any():
            notes.append(f"{table.path.name}: {name} is read as ISO 8601, in UTC where it names no time zone")
    bad = ~np.isfinite(parsed) | (np.abs(parsed) > TOO_LARGE)
    if not required:
        bad &= ~values.isin(MISSING).to_numpy(dtype=bool)
    if bad.any():
        row = _first(bad)
        raise InputError(
            f"{table.where(row)}: {name} {shown(values.iloc[row])} is neither a number (seconds since 1970, or "
            "milliseconds) nor ISO 8601 such as 2013-02-28T14:37:09Z"
        )
    return _in_seconds(table, name, parsed, ~as_text, notes), notes


def consumed(table: Table, name: str) -> npt.NDArray[np.bool_]:
    """Whether each row's feedback says that its item was consumed, bool (m,); it does unless it is in PASSED_OVER.

    Raises:
        InputError: every row says that its item was passed over.
    """
    if name not in table.frame.columns:
        return np.ones(len(table.frame), dtype=np.bool_)
    kinds = table.frame[name].str.strip().str.lower()
    found = ~kinds.isin(PASSED_OVER).to_numpy(dtype=bool)
    if len(found) and not found.any():
        raise InputError(
            f"{table.path}: {name} says in every row that the item was passed over ({listed(sorted(set(kinds)))}); "
            "expected rows of what was consumed, such as click; pages that were shown go into impressions.csv"
        )
    return np.asarray(found)


def _in_seconds(
    table: Table, name: str, parsed: npt.NDArray[np.float64], numeric: npt.NDArray[np.bool_], notes: list[str]
) -> npt.NDArray[np.float64]:
    """Turn milliseconds into seconds, and add a note about it or about times that look like no seconds."""
    large = numeric & (parsed > MILLISECONDS_ABOVE)
    if large.any():
        small = ~large & np.isfinite(parsed)
        if small.any():
            row = _first(small)
            raise InputError(
                f"{table.where(row)}: {name} {shown(table.frame[name].iloc[row])} is in seconds, but "
                f"{table.where(_first(large))} is in milliseconds; use one unit in the whole column"
            )
        notes.append(f"{table.path.name}: {name} is read as milliseconds since 1970 (numbers above 1e11)")
        return parsed / 1000
    finite = parsed[np.isfinite(parsed)]
    if finite.size and numeric.any() and finite.max() < SUSPICIOUSLY_EARLY:
        latest = pd.Timestamp(float(finite.max()), unit="s").date().isoformat()
        notes.append(f"{table.path.name}: the latest {name} is {latest}; is it really in seconds since 1970?")
    return parsed


def _as_numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def _as_iso_seconds(values: pd.Series) -> npt.NDArray[np.float64]:
    dated = values.where(values.str.match(r"\d{4}(-|\d{4}T)"), "")  # to_datetime would also take "now" and "today"
    moments = pd.to_datetime(dated, format="ISO8601", errors="coerce", utc=True)
    microseconds = moments.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.int64) / 1e6)


def _first(mask: "pd.Series | npt.NDArray[np.bool_]") -> int:
    return int(np.flatnonzero(np.asarray(mask))[0])
