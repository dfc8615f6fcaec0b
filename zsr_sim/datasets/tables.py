"""Tables of text: csv, parquet, jsonl (each also .gz) and files without a header, read strictly.

Every value becomes text, "" where there is none: ids keep their leading zeros, and all formats of the same rows give
the same table. What a column means (a number, a time) is decided in columns.py.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from zsr_sim.datasets.files import checked_utf8, find_one, read_bytes, shown
from zsr_sim.errors import InputError

SUFFIXES = (".csv", ".parquet", ".jsonl")
_UNREADABLE = re.compile("[\0\ud800-\udfff]")  # null, and halves of characters that lie outside UTF-16's first plane
BLOCK_BYTES = 1 << 24  # what the csv parser reads at once; a single row must fit


@dataclass(frozen=True)
class Table:
    """A file's rows as text.

    Attributes:
        path: where it was read, for messages.
        frame: one str column per column of the file; "" where a value is missing.
        line_of: gives the line (from 1, the header's) on which a row (from 0) begins; None for a file without lines.
        floats: names of columns that the file stores as floating-point numbers (never so for csv).
    """

    path: Path
    frame: pd.DataFrame
    line_of: Callable[[int], int] | None
    floats: frozenset[str] = frozenset()

    def where(self, row: int) -> str:
        """Return ``"path, line 7"`` (``"path, row 6"`` for parquet), for messages."""
        return f"{self.path}, row {row + 1}" if self.line_of is None else f"{self.path}, line {self.line_of(row)}"


def find_table(folder: Path, stem: str) -> Path | None:
    """Return the file ``stem.csv``, ``.parquet`` or ``.jsonl`` (or one of them with ``.gz``) in `folder`, None if none.

    Raises:
        InputError: more than one of them exists.
    """
    return find_one(folder, [stem + suffix for suffix in SUFFIXES])


def read_table(path: Path) -> Table:
    """Read a csv, parquet or jsonl file, plain or gzipped, by its name.

    Raises:
        InputError: a missing, empty or broken file; another encoding than UTF-8; a row that does not fit the header.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)} or one of them with .gz")
    data = read_bytes(path)
    if suffix == ".parquet":
        return _read_parquet(data, path)
    data = checked_utf8(data, path)
    return _read_csv(data, path) if suffix == ".csv" else _read_jsonl(data, path)


def read_separated(data: bytes, path: Path, names: Sequence[str], separator: str) -> Table:
    """Read UTF-8 lines without header or quoting, such as ``1|Toy Story (1995)|...``.

    Args:
        data: what is in the file.
        path: for messages.
        names: of the columns.
        separator: one character, or a few such as ``::`` (which then may not be part of a value).

    Raises:
        InputError: a line with another number of fields.
    """
    cell = separator
    if len(separator) > 1:
        cell = "\x1f"  # ASCII's own "unit separator", since the parser takes one character only
        if cell.encode() in data:
            line = data.count(b"\n", 0, data.find(cell.encode())) + 1
            raise InputError(f"{path}, line {line}: the control character 0x1F; the file is damaged or not text")
        data = data.replace(separator.encode(), cell.encode())
    dialect = _Dialect(cell, separator, quoted=False)
    return _parse(data, path, list(names), dialect, header=False)


@dataclass(frozen=True)
class _Dialect:
    cell: str
    shown: str
    quoted: bool

    def reader(self, data: bytes, strict: bool = False) -> Any:
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        text = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
        return csv.reader(text, delimiter=self.cell, quoting=quoting, strict=strict)  # type: ignore[arg-type, unused-ignore]


_CSV = _Dialect(",", ",", quoted=True)


def _read_csv(data: bytes, path: Path) -> Table:
    line, header = next(_records(data, _CSV))
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}, line {line}: column {shown(twice)} occurs twice; names must differ")
    if data.count(b'"') % 2:
        _check_quotes(data, path)
    return _parse(data, path, header, _CSV, header=True)


def _parse(data: bytes, path: Path, names: list[str], dialect: _Dialect, header: bool) -> Table:
    try:
        parsed = pa.csv.read_csv(
            io.BytesIO(data if data.endswith(b"\n") else data + b"\n"),
            read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES, column_names=None if header else names),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.cell,
                quote_char='"' if dialect.quoted else False,
                newlines_in_values=dialect.quoted,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _wrong_row(data, path, len(names), dialect, _one_line(error)) from error
    if parsed.num_rows == 0:
        raise InputError(f"{path} has a header but no rows; expected at least one row")
    return Table(path, parsed.to_pandas(), lambda row: _line_of_row(data, dialect, row + header))


def _wrong_row(data: bytes, path: Path, expected: int, dialect: _Dialect, reason: str) -> InputError:
    for line, fields in _records(data, dialect):
        if len(fields) != expected:
            return InputError(
                f"{path}, line {line}: {expected} fields separated by {dialect.shown!r} expected, {len(fields)} found"
                + ('; put values that hold a comma or a line break into "quotes"' if dialect.quoted else "")
            )
    return InputError(f"{path}: {reason}")


def _check_quotes(data: bytes, path: Path) -> None:
    """Raise if a quote is never closed: the parser would swallow the rest of the file as one value."""
    reader, start = _CSV.reader(data, strict=True), 1
    with _long_fields():
        try:
            for _ in reader:
                start = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"{path}, line {start}: a quoted value that begins in this row is not closed properly ({error}); "
                'write " inside quotes as ""'
            ) from error


def _records(data: bytes, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which it begins, fields) of each row but empty lines. Slow: only to find the line of an error."""
    reader, start = dialect.reader(data), 1
    with _long_fields():
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1


def _line_of_row(data: bytes, dialect: _Dialect, row: int) -> int:
    return next(line for number, (line, _) in enumerate(_records(data, dialect)) if number == row)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a field for a while (the limit is global to the module)."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _read_jsonl(data: bytes, path: Path) -> Table:
    lines = data.decode().split("\n")
    numbers = [number for number, line in enumerate(lines, start=1) if line and not line.isspace()]
    filled = [lines[number - 1] for number in numbers]
    try:
        rows = json.loads("[" + ",".join(filled) + "]")  # one call for all lines: five times faster than one by one
    except (ValueError, RecursionError):
        rows = []
    if len(rows) != len(filled) or not all(isinstance(row, dict) for row in rows):
        raise _wrong_json(filled, numbers, path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    texts = {name: [_json_text(value) for value in values] for name, values in columns.items()}
    if b"\\u" in data:
        _check_escapes(texts, numbers, path)
    floats = frozenset(name for name, values in columns.items() if any(isinstance(value, float) for value in values))
    return Table(path, pd.DataFrame(texts, dtype="str"), lambda row: numbers[row], floats)


def _wrong_json(lines: list[str], numbers: list[int], path: Path) -> InputError:
    for number, line in zip(numbers, lines, strict=True):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            return InputError(f"{path}, line {number}: not JSON ({error}); expected one object a line")
        if not isinstance(row, dict):
            return InputError(f"{path}, line {number}: expected one JSON object, found {type(row).__name__}")
    return InputError(f"{path}: expected one JSON object a line")


def _json_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:  # NaN, which json.dumps of a data frame writes for a missing number
        return ""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_json_text, value)))
    return json.dumps(value)


def _check_escapes(texts: dict[str, list[str]], numbers: list[int], path: Path) -> None:
    """Raise for null characters and lone surrogates, which JSON's escapes carry past the check of bytes."""
    for name, values in texts.items():
        if _UNREADABLE.search(name):
            raise InputError(f"{path}: the name {name!r} holds a null or half a character; rename it")
        if not _UNREADABLE.search("".join(values)):
            continue
        for number, text in zip(numbers, values, strict=True):
            if _UNREADABLE.search(text):
                raise InputError(
                    f"{path}, line {number}: {shown(name)} holds a null or half a character (\\ud800); remove it"
                )


def _read_parquet(data: bytes, path: Path) -> Table:
    try:
        parsed = pa.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a whole parquet file ({_one_line(error)}); write it again") from error
    if parsed.num_rows == 0:
        raise InputError(f"{path} has no rows; expected at least one row")
    columns = {
        field.name: text
        for field in parsed.schema
        if not field.name.startswith("__index_level_") and (text := _arrow_text(parsed[field.name])) is not None
    }
    floats = frozenset(field.name for field in parsed.schema if pa.types.is_floating(field.type))
    for name, text in columns.items():
        _check_arrow_text(text, name, path)
    return Table(path, pa.table(columns).to_pandas(), None, floats)


def _arrow_text(column: Any) -> Any | None:
    """Return a parquet column as text, lists joined by commas; None for what is no text (vectors, records)."""
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = kind.value_type
        if not (pa.types.is_string(inner) or pa.types.is_large_string(inner)):
            return None
        return pa.array([_json_text(value) for value in column.to_pylist()], pa.string())
    try:
        return pc.fill_null(column.cast(pa.string()), "")
    except pa.ArrowException:  # records, images, ...: not asked for, so no reason to refuse the file
        return None


def _check_arrow_text(text: Any, name: str, path: Path) -> None:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: column {shown(name)} is not UTF-8 ({_one_line(error)}); write it again") from error
    row = pc.index(pc.match_substring(text, "\0"), True).as_py()
    if row >= 0:
        raise InputError(f"{path}, row {row + 1}: {shown(name)} holds a null character; remove it")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
