"""Descriptions that a language model wrote (`zsr-sim data enrich`): in a file of their own beside the items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zsr_sim.datasets.columns import column, ids
from zsr_sim.datasets.dataset import Dataset
from zsr_sim.datasets.tables import read_table
from zsr_sim.errors import InputError

FILE = "enriched.csv"
COLUMNS = ("item_id", "description", "model", "prompt", "seed")


def with_descriptions(dataset: Dataset, folder: Path) -> Dataset:
    """The data set with each description behind its item's text, where the folder holds the file; a note says so.

    Descriptions of items that the catalogue does not know are left out. Raises InputError for a file that was not
    written by `zsr-sim data enrich`.
    """
    path = folder / FILE
    if not path.is_file():
        return dataset
    table = read_table(path)
    if missing := [name for name in COLUMNS if name not in table.frame.columns]:
        raise InputError(
            f"{path} has no column {missing[0]!r}; expected what zsr-sim data enrich writes, or no such file"
        )
    written = dict(zip(ids(table, "item_id"), column(table, "description").str.strip(), strict=True))
    catalogue = dataset.catalogue
    texts = tuple(
        f"{text.rstrip('.')}. {written[item]}" if written.get(item) else text
        for item, text in zip(catalogue.item_ids, catalogue.texts, strict=True)
    )
    count = sum(new != old for new, old in zip(texts, catalogue.texts, strict=True))
    models = ", ".join(sorted(set(column(table, "model"))))
    note = f"{count:,} texts with a description written by {models} ({FILE}; remove it to read the originals)"
    report = replace(dataset.report, notes=(*dataset.report.notes, note))
    return replace(dataset, catalogue=replace(catalogue, texts=texts), report=report)
