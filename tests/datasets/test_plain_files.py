"""items.* and interactions.*: texts, extra columns, and the same result from every format."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.folders import ITEMS, LOG, write
from zsr_sim.datasets import Dataset, load


def test_texts_join_columns_in_the_declared_order(tmp_path: Path) -> None:
    catalogue = load(write(tmp_path, items_csv=ITEMS)).catalogue
    assert catalogue.item_ids == ("007", "1", "x")
    assert catalogue.texts == (
        'Goldfinger. Spies, Gold. A villain, a vault, and "Pussy" Galore.',
        "Matrix, The (1999). Sci-Fi. Is this real?",
        "::",
    )
    assert catalogue.titles == ("Goldfinger", "Matrix, The (1999)", "::")
    assert catalogue.name == tmp_path.name


def test_order_is_declared_not_that_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, items_csv="description,country,item_id,director,genres,title\nWho?,FR,1,J. Tati,A|B,Playtime!\n")
    assert load(tmp_path).catalogue.texts == ("Playtime! A, B. J. Tati. FR. Who?",)
    assert load(tmp_path, text_columns=["country", "title"]).catalogue.texts == ("FR. Playtime!",)


def test_a_text_column_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, items_csv='item_id,text,title,genres\n1," a|b ",A title,G\n2,second,,\n')
    catalogue = load(tmp_path).catalogue
    assert catalogue.texts == (" a|b ", "second")
    assert catalogue.titles == ("A title", "second")
    assert catalogue.columns["genres"].tolist() == ["G", ""]


def test_extra_columns_are_typed(tmp_path: Path) -> None:
    columns = load(write(tmp_path, items_csv=ITEMS)).catalogue.columns
    assert list(columns.columns) == ["price", "created_at"]
    np.testing.assert_array_equal(columns["price"], [9.99, np.nan, 3.0])
    np.testing.assert_array_equal(columns["created_at"], [-166924800.0, np.nan, 946677600.0])


def test_interactions_are_sorted_and_coded(tmp_path: Path) -> None:
    log = load(write(tmp_path, items_csv=ITEMS, interactions_csv=LOG)).interactions
    assert log is not None
    assert log.user_ids == ("a", "b")
    assert log.users.tolist() == [0, 1, 1]
    assert log.items.tolist() == [2, 0, 1]
    assert log.timestamps.tolist() == [10, 20, 20]
    np.testing.assert_array_equal(log.values, np.array([np.nan, 4.5, np.nan], np.float32))
    assert log.feedback_names == ("click", "like")
    assert log.feedback_codes.tolist() == [0, 1, -1]


def test_no_log_is_fine(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, items_csv=ITEMS))
    assert dataset.interactions is None
    assert "interactions" not in dataset.report.counts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1365029107", 1365029107.0),
        ("1365029107.25", 1365029107.25),
        ("1365029107250", 1365029107.25),
        ("-5", -5.0),
        ("2013-04-03T22:45:07Z", 1365029107.0),
        ("2013-04-04 00:45:07+02:00", 1365029107.0),
        ("2013-04-03T22:45:07.250", 1365029107.25),
        ("20130403T224507", 1365029107.0),
        ("2013-04-03", 1364947200.0),
    ],
)
def test_timestamps(tmp_path: Path, text: str, seconds: float) -> None:
    write(tmp_path, items_csv=ITEMS, interactions_csv=f"user_id,item_id,timestamp\na,1,{text}\n")
    log = load(tmp_path).interactions
    assert log is not None
    assert log.timestamps.tolist() == [seconds]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("1365029107250", "interactions.csv: timestamp is read as milliseconds since 1970 (numbers above 1e11)"),
        ("2013-04-03", "interactions.csv: timestamp is read as ISO 8601, in UTC where it names no time zone"),
        ("20130403", "interactions.csv: the latest timestamp is 1970-08-21; is it really in seconds since 1970?"),
    ],
)
def test_notes_say_how_times_were_read(tmp_path: Path, text: str, note: str) -> None:
    write(tmp_path, items_csv=ITEMS, interactions_csv=f"user_id,item_id,timestamp\na,1,{text}\n")
    assert note in load(tmp_path).report.notes


def test_strangers_are_no_obstacle(tmp_path: Path) -> None:
    write(tmp_path, items_csv=ITEMS, README_md="hello", users_txt="?")
    assert load(tmp_path).profiles is None


def test_a_byte_order_mark_and_windows_lines_are_no_obstacle(tmp_path: Path) -> None:
    plain = load(write(tmp_path, items_csv=ITEMS)).catalogue
    (tmp_path / "items.csv").write_bytes(b"\xef\xbb\xbf" + ITEMS.replace("\n", "\r\n").encode())
    assert load(tmp_path).catalogue.fingerprint == plain.fingerprint


def as_records(text: str) -> list[dict[str, str | None]]:
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    return [{str(name): value or None for name, value in row.items()} for row in frame.to_dict("records")]


def to_csv(text: str) -> bytes:
    return text.encode()


def to_jsonl(text: str) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in as_records(text)).encode()


def to_parquet(text: str) -> bytes:
    return pd.DataFrame(as_records(text)).to_parquet()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("convert", [to_csv, to_jsonl, to_parquet])
def test_every_format_gives_the_same(tmp_path: Path, convert: Callable[[str], bytes], zipped: bool) -> None:
    (tmp_path / "csv").mkdir()
    expected = load(write(tmp_path / "csv", items_csv=ITEMS, interactions_csv=LOG))
    suffix = convert.__name__.replace("to_", ".") + (".gz" if zipped else "")
    for stem, text in (("items", ITEMS), ("interactions", LOG)):
        content = convert(text)
        (tmp_path / (stem + suffix)).write_bytes(gzip.compress(content) if zipped else content)
    assert_same(load(tmp_path), expected)


def test_parquet_and_jsonl_with_types_of_their_own(tmp_path: Path) -> None:
    """Integers, lists, times and floats come out as the same text as in csv."""
    items = pd.DataFrame(
        {
            "item_id": ["007", "1", "x"],
            "title": ["Goldfinger", "Matrix, The (1999)", "::"],
            "genres": [["Spies", "Gold"], ["Sci-Fi"], []],
            "description": ['A villain, a vault, and "Pussy" Galore.', "Is this real?", None],
            "price": [9.99, None, 3.0],
            "created_at": pd.to_datetime(["1964-09-17", "NaT", "1999-12-31T22:00:00Z"], format="ISO8601", utc=True),
            "vector": [[1.0, 2.0]] * 3,
        }
    )
    log = pd.DataFrame({"user_id": [2, 1, 2], "item_id": ["007", "x", "1"], "timestamp": [20, 10, 20]})
    log["feedback"], log["value"] = ["like", "click", None], [4.5, None, None]
    items.to_parquet(tmp_path / "items.parquet", index=False)
    log.to_parquet(tmp_path / "interactions.parquet")
    first = load(tmp_path)
    renamed = LOG.replace("b,", "2,").replace("a,", "1,")
    (tmp_path / "csv").mkdir()
    assert_same(first, load(write(tmp_path / "csv", items_csv=ITEMS, interactions_csv=renamed)))
    (tmp_path / "json").mkdir()
    rows = log.astype(object).where(log.notna(), None).to_dict("records")
    write(tmp_path / "json", items_csv=ITEMS, interactions_jsonl="\n\n".join(json.dumps(row) for row in rows))
    assert_same(load(tmp_path / "json"), first)


def assert_same(found: Dataset, expected: Dataset) -> None:
    assert found.catalogue.fingerprint == expected.catalogue.fingerprint
    assert found.catalogue.titles == expected.catalogue.titles
    for name in ("price", "created_at"):
        np.testing.assert_array_equal(found.catalogue.columns[name], expected.catalogue.columns[name])
    one, other = found.interactions, expected.interactions
    assert one is not None
    assert other is not None
    assert (one.user_ids, one.feedback_names) == (other.user_ids, other.feedback_names)
    for name in ("users", "items", "timestamps", "values", "feedback_codes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# Any character of text; no null (an error by itself) and no lone half of a surrogate pair (not UTF-8).
nasty = st.text(
    st.one_of(
        st.sampled_from("\",\n\r\t;|:'\\ aé🎬שלום\u200f\u2028\ufeff\x1f"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=30,
).filter(lambda text: text.strip() != "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(nasty, min_size=1, max_size=8),
    ids=st.sets(nasty, min_size=8, max_size=8),
    form=st.sampled_from(["csv", "jsonl", "parquet"]),
)
def test_nasty_texts_and_ids_come_back_as_they_were(tmp_path: Path, texts: list[str], ids: set[str], form: str) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    item_ids = sorted(item_id for item_id in ids if item_id not in ("nan", "NaN"))[: len(texts)]
    frame = pd.DataFrame({"item_id": item_ids, "text": texts[: len(item_ids)]})
    if form == "csv":
        with (tmp_path / "items.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([frame.columns, *frame.itertuples(index=False)])
    elif form == "jsonl":
        lines = [json.dumps(row, ensure_ascii=len(texts) % 2 == 0) for row in frame.to_dict("records")]
        (tmp_path / "items.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="")
    else:
        frame.to_parquet(tmp_path / "items.parquet")
    catalogue = load(tmp_path).catalogue
    assert catalogue.item_ids == tuple(item_ids)
    assert catalogue.texts == tuple(texts[: len(item_ids)])
