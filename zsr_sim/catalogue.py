"""The catalogue: the items that can be recommended, as ids, texts and a few columns. Everything else starts from it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from zsr_sim.errors import InputError


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items, one row each; a row's number is what the rest of the library calls an item.

    Attributes:
        name: ``"films"``, or the name of the folder that it came from.
        item_ids: (n,) unique ids. Text always, so that leading zeros are kept.
        texts: (n,) what the text encoder reads; never empty.
        titles: (n,) what a person reads; never empty. Untrusted text: escape it where it is shown.
        columns: n rows of whatever else is known (category, price, created_at, ...); may have no column.

    Raises:
        InputError: no item, lengths that differ, an id that is empty or occurs twice, an empty text or title.
    """

    name: str
    item_ids: tuple[str, ...]
    texts: tuple[str, ...]
    titles: tuple[str, ...]
    columns: pd.DataFrame

    def __post_init__(self) -> None:
        n = len(self.item_ids)
        if n == 0:
            raise InputError(f"catalogue {self.name!r} has no items; at least one is needed")
        lengths = {"texts": len(self.texts), "titles": len(self.titles), "columns": len(self.columns)}
        for field, length in lengths.items():
            if length != n:
                raise InputError(f"catalogue {self.name!r} has {n} item_ids but {length} {field}; one each is needed")
        for field, values in (("item_ids", self.item_ids), ("texts", self.texts), ("titles", self.titles)):
            if not all(values):
                row = next(row for row, value in enumerate(values) if not value)
                raise InputError(f"catalogue {self.name!r}: {field}[{row}] is empty; leave that item out")
        if len(self.index) != n:
            row = next(row for row, item_id in enumerate(self.item_ids) if self.index[item_id] != row)
            raise InputError(f"catalogue {self.name!r} has item_id {self.item_ids[row]!r} twice; ids must be unique")

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each item_id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids and texts in their order: what a trained model or a run depends on."""
        digest = hashlib.sha256()
        for part in (*self.item_ids, *self.texts):
            content = part.encode()
            digest.update(b"%d:" % len(content))  # lengths keep ("ab", "c") and ("a", "bc") apart
            digest.update(content)
        return digest.hexdigest()

    def subset(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> "Catalogue":
        """Return the items of the given distinct rows, in the given order.

        Raises:
            InputError: no row, or a row twice.
            IndexError: a row outside the catalogue.
        """
        chosen = np.asarray(rows, dtype=np.int64)  # (k,)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"rows must lie in 0..{len(self) - 1}, got {chosen.min()}..{chosen.max()}")
        return Catalogue(
            name=self.name,
            item_ids=tuple(self.item_ids[row] for row in chosen),
            texts=tuple(self.texts[row] for row in chosen),
            titles=tuple(self.titles[row] for row in chosen),
            columns=self.columns.iloc[chosen].reset_index(drop=True),
        )
