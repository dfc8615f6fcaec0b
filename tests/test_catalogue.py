"""The catalogue's invariants, fingerprint and subsets."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from zsr_sim.catalogue import Catalogue
from zsr_sim.errors import InputError


def catalogue(**changes: Any) -> Catalogue:
    fields: dict[str, Any] = {
        "name": "three",
        "item_ids": ("007", "7", "x"),
        "texts": ("Goldfinger. Spies", "Se7en. Crime", "X. Horror"),
        "titles": ("Goldfinger", "Se7en", "X"),
        "columns": pd.DataFrame({"price": [1.5, 2.5, float("nan")]}),
    }
    return Catalogue(**fields | changes)


def test_length_and_index_keep_leading_zeros() -> None:
    items = catalogue()
    assert len(items) == 3
    assert items.index == {"007": 0, "7": 1, "x": 2}


def test_fingerprint_is_sha256_of_length_prefixed_ids_then_texts() -> None:
    items = catalogue(item_ids=("1", "é"), texts=("a", "b"), titles=("a", "b"), columns=pd.DataFrame(index=range(2)))
    assert items.fingerprint == hashlib.sha256("1:12:é1:a1:b".encode()).hexdigest()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"name": "another"}, True),
        ({"titles": ("a", "b", "c")}, True),
        ({"item_ids": ("007", "8", "x")}, False),
        ({"texts": ("Goldfinger. Spies", "Se7en. Crime", "Y. Horror")}, False),
        ({"item_ids": ("7", "007", "x")}, False),
    ],
)
def test_fingerprint_depends_on_ids_and_texts_only(changes: dict[str, Any], same: bool) -> None:
    assert (catalogue(**changes).fingerprint == catalogue().fingerprint) is same


def test_subset_takes_rows_in_the_given_order() -> None:
    part = catalogue().subset(np.array([2, 0]))
    assert part.item_ids == ("x", "007")
    assert part.texts == ("X. Horror", "Goldfinger. Spies")
    assert part.titles == ("X", "Goldfinger")
    assert part.columns.index.tolist() == [0, 1]
    assert np.isnan(part.columns["price"].iloc[0])
    assert part.columns["price"].iloc[1] == 1.5


@pytest.mark.parametrize("rows", [[-1], [3], [0, 99]])
def test_subset_refuses_rows_outside(rows: list[int]) -> None:
    with pytest.raises(IndexError, match=r"rows must lie in 0\.\.2"):
        catalogue().subset(rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_ids": ("a", "b", "a")}, "has item_id 'a' twice; ids must be unique"),
        ({"item_ids": ("a", "", "c")}, r"item_ids\[1\] is empty"),
        ({"texts": ("a", "b", "")}, r"texts\[2\] is empty"),
        ({"titles": ("", "b", "c")}, r"titles\[0\] is empty"),
        ({"texts": ("a", "b")}, "has 3 item_ids but 2 texts"),
        ({"columns": pd.DataFrame()}, "has 3 item_ids but 0 columns"),
        ({"item_ids": ()}, "has no items; at least one is needed"),
    ],
)
def test_broken_catalogues_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        catalogue(**changes)


def test_an_empty_subset_is_refused() -> None:
    with pytest.raises(InputError, match="has no items"):
        catalogue().subset([])
