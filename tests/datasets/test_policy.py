"""What is dropped and counted, and what the report says about it."""

from pathlib import Path

import pytest

from tests.datasets.folders import ITEMS, write
from zsr_sim.datasets import load
from zsr_sim.datasets.histories import read_histories
from zsr_sim.errors import InputError


def test_unknown_items_and_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    log = (
        "user_id,item_id,timestamp,value\n"
        "a,007,1,5\n"
        "a,7,1,5\n"        # not 007
        "a,007,1,5\n"      # exact duplicate
        "a,007,1,4\n"      # another value: kept
        "b,zz,1,\n"        # b knows nothing else
        "c,1,9,\n"
        "c,1,9,\n"         # exact duplicate without a value
        "c,7,3,\n"
    )  # fmt: skip
    dataset = load(write(tmp_path, items_csv=ITEMS, interactions_csv=log))
    assert dataset.report.counts == {
        "items": 3,
        "items_without_text": 0,
        "duplicate_items": 0,
        "conflicting_items": 0,
        "users": 2,
        "interactions": 3,
        "dropped_passed_over": 0,
        "dropped_unknown_items": 3,
        "users_without_known_items": 1,
        "dropped_duplicates": 2,
    }
    assert dataset.interactions is not None
    assert dataset.interactions.user_ids == ("a", "c")
    where = f"{tmp_path / 'interactions.csv'}, line 3"
    assert f"{where}: item '7' is not in the catalogue, the first of 2 such items" in dataset.report.notes


def test_what_was_passed_over_is_nobodys_taste(tmp_path: Path) -> None:
    rows = "a,007,1,click\na,1,2,Skip\nb,x,3, leave \nb,zz,3,skip\na,x,4,\na,007,5,impression\n"
    write(tmp_path, items_csv=ITEMS, interactions_csv=f"user_id,item_id,timestamp,feedback\n{rows}")
    dataset = load(tmp_path)
    assert dataset.interactions is not None
    assert dataset.interactions.items.tolist() == [0, 2]
    assert dataset.interactions.user_ids == ("a",)
    counts = dataset.report.counts
    assert (counts["dropped_passed_over"], counts["dropped_unknown_items"]) == (4, 0)
    assert counts["users_without_known_items"] == 0
    found = read_histories(tmp_path / "interactions.csv", dataset.catalogue)
    assert [found.seen(user).tolist() for user in range(2)] == [[0, 2], []]
    assert "4 interactions are left out: their feedback says that the item was passed over" in found.notes


def test_a_log_of_nothing_but_skips_is_refused(tmp_path: Path) -> None:
    rows = "a,007,1,skip\nb,x,3,leave\n"
    write(tmp_path, items_csv=ITEMS, interactions_csv=f"user_id,item_id,timestamp,feedback\n{rows}")
    with pytest.raises(InputError, match=r"interactions\.csv: feedback says in every row .* \('leave', 'skip'\); exp"):
        load(tmp_path)


def test_columns_of_a_log_that_nobody_reads_are_told(tmp_path: Path) -> None:
    write(tmp_path, items_csv=ITEMS, interactions_csv="user_id,item_id,rating,timestamp\na,007,5,1\n")
    dataset = load(tmp_path)
    assert any(
        note.startswith("interactions.csv: columns that are not read: 'rating'; ") for note in dataset.report.notes
    )


def test_items_without_text_are_dropped_and_their_interactions_are_unknown(tmp_path: Path) -> None:
    write(
        tmp_path,
        items_csv="item_id,title,description\n1,One,\n2, ,\n3,,three\n",
        interactions_csv="user_id,item_id,timestamp\na,1,1\na,2,2\na,3,3\n",
    )
    dataset = load(tmp_path)
    assert dataset.catalogue.item_ids == ("1", "3")
    assert dataset.catalogue.titles == ("One", "three")
    assert dataset.report.counts["items_without_text"] == 1
    assert dataset.report.counts["dropped_unknown_items"] == 1


def test_repeated_items_keep_the_first_row_with_a_text(tmp_path: Path) -> None:
    write(tmp_path, items_csv='item_id,title,price\n1,,1\n1,"One\nline",2\n1,"One\nline",3\n2,Two,\n1,Uno,4\n')
    dataset = load(tmp_path)
    assert dataset.catalogue.item_ids == ("1", "2")
    assert dataset.catalogue.texts == ("One\nline", "Two")
    assert dataset.catalogue.columns["price"].iloc[0] == 2
    counts = dataset.report.counts
    assert (counts["items_without_text"], counts["duplicate_items"], counts["conflicting_items"]) == (1, 2, 1)
    note = f"{tmp_path / 'items.csv'}, line 8: item '1' again, with another text; the first row counts"
    assert note in dataset.report.notes


def test_the_report_reads_well(tmp_path: Path) -> None:
    write(tmp_path, items_csv="item_id,text\n1,One\n2,\n", interactions_csv="user_id,item_id,timestamp\na,1,9\nb,2,9\n")
    assert load(tmp_path).report.lines() == [
        f"{tmp_path}: plain files (items and interactions)",
        "         1 items",
        "         1 items dropped: they have no text",
        "         1 users",
        "         1 interactions",
        "         1 interactions dropped: their item is not in the catalogue",
        "         1 users dropped: none of their items is in the catalogue",
        "note: interactions.csv: the latest timestamp is 1970-01-01; is it really in seconds since 1970?",
        f"note: {tmp_path / 'interactions.csv'}, line 3: item '2' is not in the catalogue, the first of 1 such items",
    ]
