"""Folders of plain files: items.csv (or .parquet, .jsonl) and, where there is a log, interactions.csv."""

from pathlib import Path

from zsr_sim.datasets.assemble import assemble
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.tables import find_table, read_table

LATER = ("impressions", "users")   # files of the contract that no part of the library reads yet


def _matches(folder: Path) -> bool:
    return find_table(folder, "items") is not None


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    items, log = find_table(folder, "items"), find_table(folder, "interactions")
    if items is None:
        raise FileNotFoundError(f"{folder} holds no items file; ask matches() first")
    unread = [path.name for stem in LATER if (path := find_table(folder, stem)) is not None]
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="items and interactions" if log else "items",
        items=read_table(items),
        log=read_table(log) if log else None,
        text_columns=text_columns,
        notes=[f"{name} is not read by this version" for name in unread],
    )


PLAIN = Layout("plain files", "items.csv, .parquet or .jsonl; optional interactions.*", _matches, _read)
