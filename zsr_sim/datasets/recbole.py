"""RecBole's atomic files: NAME.item, NAME.inter and NAME.user, tab-separated, with types in the header.

A header reads `item_id:token  movie_title:token_seq  release_year:token`; a `token_seq` is a sequence of words.
https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from pathlib import Path

from zsr_sim.datasets.assemble import TEXT_COLUMNS, LogColumns, assemble
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.files import checked_utf8, listed, read_bytes, shown
from zsr_sim.datasets.tables import Table, read_separated
from zsr_sim.errors import InputError

TYPES = ("token", "token_seq", "float", "float_seq")


def _find(folder: Path, kind: str) -> Path | None:
    found = sorted([*folder.glob(f"*.{kind}"), *folder.glob(f"*.{kind}.gz")])
    if len(found) > 1:
        raise InputError(f"{folder} holds both {found[0].name} and {found[1].name}; keep one data set in a folder")
    return found[0] if found else None


def _table(path: Path) -> tuple[Table, dict[str, str]]:
    """The rows under their plain names, and the type of each column."""
    data = checked_utf8(read_bytes(path), path)
    header, _, rows = data.partition(b"\n")
    types: dict[str, str] = {}
    for cell in header.decode().strip("\r").split("\t"):
        name, colon, kind = cell.rpartition(":")
        if not colon or kind not in TYPES or name in types:
            raise InputError(
                f"{path}, line 1: {shown(cell)}; columns named once each as name:type expected, such as item_id:token "
                f"(types: {', '.join(TYPES)}; separated by tabs)"
            )
        types[name] = kind
    if not rows.strip():
        raise InputError(f"{path} has a header but no rows; expected at least one row")
    try:
        table = read_separated(rows, path, list(types), "\t")
    except InputError as error:
        raise InputError(f"{error} (lines counted from the first after the header)") from error
    below = table.line_of
    return Table(path, table.frame, None if below is None else lambda row: below(row) + 1), types


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    items, log = _find(folder, "item"), _find(folder, "inter")
    if items is None:
        raise InputError(f"{folder} holds {log.name if log else 'no file'} but no NAME.item with the items' texts")
    table, types = _table(items)
    words = [name for name, kind in types.items() if kind == "token_seq" or name in TEXT_COLUMNS]
    if not words and text_columns is None:
        raise InputError(
            f"{items} has no column of words (token_seq); found: {listed(list(types))}; texts are needed, one an item"
        )
    log_table, log_types = (None, {}) if log is None else _table(log)
    value = next((name for name in ("rating", "value", "label") if name in log_types), "rating")
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="RecBole atomic files (.item, .inter)",
        items=table,
        log=log_table,
        log_columns=LogColumns(value=value),
        text_columns=words if text_columns is None else text_columns,
    )


RECBOLE = Layout(
    "RecBole atomic files",
    "NAME.item and NAME.inter",
    lambda folder: any(_find(folder, kind) is not None for kind in ("item", "inter")),
    _read,
)
"""The layout of RecBole's atomic files."""
