"""Folders of plain files: items.csv (or .parquet, .jsonl), and interactions, impressions and users where there are."""

from dataclasses import astuple
from pathlib import Path

from zsr_sim.datasets.assemble import LogColumns, assemble
from zsr_sim.datasets.columns import ids
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.files import listed, shown
from zsr_sim.datasets.impressions import read_impressions
from zsr_sim.datasets.tables import SUFFIXES, Table, find_table, read_table
from zsr_sim.errors import InputError


def _matches(folder: Path) -> bool:
    return any(find_table(folder, stem) is not None for stem in ("items", "interactions", "impressions"))


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    items, log = find_table(folder, "items"), find_table(folder, "interactions")
    if items is None:
        raise InputError(f"{folder} holds a log but no items file; put items{' or items'.join(SUFFIXES)} there")
    table = read_table(log) if log else None
    dataset = assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="plain files (items and interactions)" if log else "plain files (items only)",
        items=read_table(items),
        log=table,
        text_columns=text_columns,
        notes=_unread(table) if table else (),
    )
    impressions = find_table(folder, "impressions")
    if impressions:
        dataset = dataset.with_impressions(*read_impressions(impressions, dataset.catalogue))
    users = find_table(folder, "users")
    return dataset.with_profiles(profiles_of(read_table(users))) if users else dataset


def _unread(log: Table) -> list[str]:
    """A note on the columns of a log that nobody reads; ratings, for one, often stand in a column of that name."""
    names = [str(name) for name in log.frame.columns if name not in astuple(LogColumns())]
    says = "; what is in them is not used (ratings are read from 'value')"
    return [f"{log.path.name}: columns that are not read: {listed(names)}{says}"] if names else []


def profiles_of(table: Table) -> dict[str, str]:
    """User id -> its `text`, or all other columns joined as `name: value` in the order of the file."""
    user_ids, names = ids(table, "user_id"), [str(name) for name in table.frame.columns if name != "user_id"]
    twice = user_ids.duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise InputError(f"{table.where(row)}: user {shown(user_ids.iloc[row])} again; one row for each user expected")
    if "text" in names:
        return dict(zip(user_ids, table.frame["text"], strict=True))
    rows = table.frame[names].itertuples(index=False)
    texts = ("; ".join(f"{name}: {value}" for name, value in zip(names, row, strict=True) if value) for row in rows)
    return dict(zip(user_ids, texts, strict=True))


PLAIN = Layout("plain files", "items.csv, .parquet or .jsonl with interactions.* beside it", _matches, _read)
