"""Folders of plain files: items.csv (or .parquet, .jsonl) and, where there is a log, interactions.csv."""

from pathlib import Path

from zsr_sim.datasets.assemble import assemble
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.tables import SUFFIXES, find_table, read_table
from zsr_sim.errors import InputError

LATER = ("impressions", "users")  # files of the contract that no part of the library reads yet


def _matches(folder: Path) -> bool:
    return any(find_table(folder, stem) is not None for stem in ("items", "interactions"))


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    items, log = find_table(folder, "items"), find_table(folder, "interactions")
    if items is None:
        raise InputError(f"{folder} holds interactions but no items file; put items{' or items'.join(SUFFIXES)} there")
    unread = sorted(path.name for path in folder.iterdir() if path.name.split(".")[0] in LATER)
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="plain files (items and interactions)" if log else "plain files (items only)",
        items=read_table(items),
        log=read_table(log) if log else None,
        text_columns=text_columns,
        notes=[f"{name} is not read by this version" for name in unread],
    )


PLAIN = Layout("plain files", "items.csv, .parquet or .jsonl with interactions.* beside it", _matches, _read)
