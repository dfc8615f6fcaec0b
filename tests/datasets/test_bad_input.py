"""Every kind of bad data is an InputError of one or two lines with file, line, value and remedy."""

import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.datasets.folders import ITEMS, write
from zsr_sim.datasets import load
from zsr_sim.errors import InputError

HEAD = "user_id,item_id,timestamp\n"


def error_of(folder: Path) -> str:
    """Load the folder, which must fail; return the message with the folder's own path written as D."""
    with pytest.raises(InputError) as caught:
        load(folder)
    message = str(caught.value)
    assert 1 <= len(message.splitlines()) <= 2
    return message.replace(f"{folder}/", "D/").replace(str(folder), "D")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("", "D/items.csv is empty; expected at least one row"),
        ("\n \n", "D/items.csv is empty; expected at least one row"),
        ("item_id,title\n", "D/items.csv has a header but no rows; expected at least one row"),
        ("item_id,title", "D/items.csv has a header but no rows; expected at least one row"),
        (
            "itemid,title\n1,a\n",
            "D/items.csv has no column 'item_id'; found: 'itemid', 'title'; did you mean 'itemid'?",
        ),
        (
            "item_id;title\n1;a\n",
            "D/items.csv has no column 'item_id'; found: 'item_id;title'; columns must be separated by commas",
        ),
        ("item_id,title,title\n1,a,b\n", "D/items.csv, line 1: column 'title' occurs twice; names must differ"),
        ("item_id,title\n1,a\n,b\n", "D/items.csv, line 3: item_id is ''; every row needs one: fill it in or drop it"),
        (
            "item_id,title\n1,a\nNaN,b\n",
            "D/items.csv, line 3: item_id is 'NaN'; every row needs one: fill it in or drop it",
        ),
        ("item_id,title\n1,\n2,\n", "D/items.csv: none of its 2 items has a text; fill in a title or a description"),
        (
            "item_id,title,price\n1,a,9\n2,b,9 EUR\n",
            "D/items.csv, line 3: price '9 EUR' is no number up to 3e38; write one or leave it empty",
        ),
        (
            "item_id,title,price\n1,a,inf\n",
            "D/items.csv, line 2: price 'inf' is no number up to 3e38; write one or leave it empty",
        ),
        (
            "item_id,title\n1,a\n2,b,c\n",
            "D/items.csv, line 3: 2 fields separated by ',' expected, 3 found; "
            'put values that hold a comma or a line break into "quotes"',
        ),
        (
            'item_id,title\n1,"two\nlines"\n\n2\n',
            "D/items.csv, line 5: 2 fields separated by ',' expected, 1 found; "
            'put values that hold a comma or a line break into "quotes"',
        ),
        (
            'item_id,title\n1,a\n2,"b\n3,c\n',
            "D/items.csv, line 3: a quoted value that begins in this row is not closed properly "
            '(unexpected end of data); write " inside quotes as ""',
        ),
        (
            'item_id,title\n1,a\n2,"b\n3,"c"\n',
            "D/items.csv, line 3: a quoted value that begins in this row is not closed properly "
            """(',' expected after '"'); """
            'write " inside quotes as ""',
        ),
        ("item_id,title\n1,a\n2,\0\n", "D/items.csv, line 3: a null byte; the file is damaged or not text"),
        (
            "item_id,title\n1,a\n2,caf\u00e9\n".encode("latin-1"),
            "D/items.csv, line 3: byte 0xE9 is not UTF-8; "
            "if the file is Latin-1, convert it: iconv -f ISO-8859-1 -t UTF-8 items.csv > utf8-items.csv",
        ),
        (
            "item_id,title\n1,a\n".encode("utf-16"),
            "D/items.csv is UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8 items.csv > utf8-items.csv",
        ),
        (
            "item_id,year\n1,1999\n",
            "D/items.csv has no column 'text' and none of title, name, subtitle, genres, authors, author, director, "
            "artist, brand, country, abstract, description; found: 'item_id', 'year'; "
            "rename the columns that describe an item",
        ),
        (
            "item_id,title,created_at\n1,a,then\n",
            "D/items.csv, line 2: created_at 'then' is neither a number (seconds since 1970, or milliseconds) "
            "nor ISO 8601 such as 2013-02-28T14:37:09Z",
        ),
    ],
)
def test_items(tmp_path: Path, items: str | bytes, message: str) -> None:
    assert error_of(write(tmp_path, items_csv=items)) == message


NO_TIME = "is neither a number (seconds since 1970, or milliseconds) nor ISO 8601 such as 2013-02-28T14:37:09Z"


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (HEAD, "has a header but no rows; expected at least one row"),
        (
            "user,item_id,timestamp\na,1,1\n",
            " has no column 'user_id'; found: 'user', 'item_id', 'timestamp'; did you mean 'user'?",
        ),
        ("user_id,item_id\na,1\n", " has no column 'timestamp'; found: 'user_id', 'item_id'"),
        (
            "user_id,timestamp\na,1\n",
            " has no column 'item_id'; found: 'user_id', 'timestamp'",
        ),
        (HEAD + "a,1,1\n  ,1,1\n", ", line 3: user_id is '  '; every row needs one: fill it in or drop it"),
        (HEAD + "a,1,1\nb,1,yesterday\n", f", line 3: timestamp 'yesterday' {NO_TIME}"),
        (HEAD + "a,1,now\n", f", line 2: timestamp 'now' {NO_TIME}"),
        (HEAD + "a,1,\n", f", line 2: timestamp '' {NO_TIME}"),
        (HEAD + "a,1,nan\n", f", line 2: timestamp 'nan' {NO_TIME}"),
        (HEAD + "a,1,inf\n", f", line 2: timestamp 'inf' {NO_TIME}"),
        (HEAD + "a,1,1365029107250000\n", f", line 2: timestamp '1365029107250000' {NO_TIME}"),
        (HEAD + "a,1,2013-02-30\n", f", line 2: timestamp '2013-02-30' {NO_TIME}"),
        (
            HEAD + "a,1,1365029107250\na,1,1365029107\n",
            ", line 3: timestamp '1365029107' is in seconds, but D/interactions.csv, line 2 is in milliseconds; "
            "use one unit in the whole column",
        ),
        (
            HEAD.strip() + ",value\na,1,1,5\na,1,1,five\n",
            ", line 3: value 'five' is no number up to 3e38; write one or leave it empty",
        ),
        (
            HEAD + "a,7,1\nb,8,1\nb,8,2\n",
            ": none of its 2 items is in the catalogue, for example '7' (the catalogue has '007'); "
            "ids are compared as text",
        ),
        (
            HEAD.strip() + ",feedback\n" + "".join(f"a,1,{n},say {n}\n" for n in range(128)),
            ": feedback has 128 distinct names, at most 127 kinds are expected (click, like, purchase, rating, skip, "
            "...); put numbers into the column 'value'",
        ),
    ],
)
def test_interactions(tmp_path: Path, log: str, message: str) -> None:
    found = error_of(write(tmp_path, items_csv=ITEMS, interactions_csv=log))
    assert found.replace("D/interactions.csv", "", 1).strip() == message.strip()


def test_lines_are_counted_as_a_person_counts(tmp_path: Path) -> None:
    """Blank lines and line breaks inside quotes count."""
    write(tmp_path, items_csv=ITEMS, interactions_csv='\nuser_id,item_id,timestamp\r\n\r\n"a\nb",1,1\r\nc,1,x\r\n')
    assert error_of(tmp_path).startswith("D/interactions.csv, line 6: timestamp 'x'")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"item_id": "1", "title": "a"}\n\n{"item_id": "2"', "line 3: not JSON"),
        ('{"item_id": "1", "title": "a"}\n["2"]', "line 2: expected one JSON object, found list"),
        ('{"item_id": "1", "title": "a"},{"item_id": "2"}', "line 1: not JSON"),
        ('{"item_id": "1"\n"title": "a"}', "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
        (
            '{"item_id": 1.0, "title": "a"}',
            ": column 'item_id' holds floating-point numbers, ids are text or integers;",
        ),
        ('{"item_id": "1", "title": "a"}\n{"title": "a"}', "line 2: item_id is ''"),
        ('{"item_id": "1", "title": "a"}\n{"item_id": "2", "title": "\\u0000"}', "line 2: 'title' holds a null"),
        (
            '{"item_id": "1", "title": "a"}\n{"item_id": "\\ud800", "title": "a"}',
            "line 2: 'item_id' holds a null or half",
        ),
        ('{"item_id": "1", "ti\\ud800": "a"}', "the name 'ti\\ud800' holds a null or half a character; rename it"),
    ],
)
def test_jsonl(tmp_path: Path, lines: str, message: str) -> None:
    found = error_of(write(tmp_path, items_jsonl=lines))
    assert found.startswith("D/items.jsonl")
    assert message in found


def test_parquet_errors_name_rows(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    assert error_of(tmp_path).startswith("D/items.parquet is not a whole parquet file (")
    pd.DataFrame({"item_id": ["1", None], "title": ["a", "b"]}).to_parquet(path)
    assert error_of(tmp_path) == "D/items.parquet, row 2: item_id is ''; every row needs one: fill it in or drop it"
    pd.DataFrame({"item_id": [1.0, None], "title": ["a", "b"]}).to_parquet(path)
    assert "column 'item_id' holds floating-point numbers" in error_of(tmp_path)
    pd.DataFrame({"item_id": ["1", "2"], "title": ["a", "b\0"]}).to_parquet(path)
    assert error_of(tmp_path) == "D/items.parquet, row 2: 'title' holds a null character; remove it"
    pd.DataFrame({"item_id": [], "title": []}).to_parquet(path)
    assert error_of(tmp_path) == "D/items.parquet has no rows; expected at least one row"


def test_broken_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(ITEMS.encode())
    expected = re.compile(r"D/items\.csv\.gz is not a whole gzip file \(.+\); fetch or compress it again")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for data in (whole[: len(whole) // 2], whole[:-1], b"no gzip at all", bytes(damaged)):
        (tmp_path / "items.csv.gz").write_bytes(data)
        assert expected.fullmatch(error_of(tmp_path))


def test_encoding_help_for_a_zipped_file(tmp_path: Path) -> None:
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress("item_id,title\n1,é\n".encode("latin-1")))
    assert error_of(tmp_path).endswith(
        "convert it: gzip -dc items.csv.gz | iconv -f ISO-8859-1 -t UTF-8 > utf8-items.csv"
    )


def test_two_files_of_one_kind(tmp_path: Path) -> None:
    write(tmp_path, items_csv=ITEMS, items_jsonl=json.dumps({"item_id": "1", "title": "a"}))
    assert error_of(tmp_path) == "D holds both items.csv and items.jsonl; keep one of them"


def test_a_log_without_items(tmp_path: Path) -> None:
    write(tmp_path, interactions_csv=HEAD + "a,1,1\n")
    assert error_of(tmp_path) == (
        "D holds a log but no items file; put items.csv or items.parquet or items.jsonl there"
    )


def test_an_unknown_layout_names_what_was_found_and_looked_for(tmp_path: Path) -> None:
    wanted = (
        "looked for (each also with .gz): items.csv, .parquet or .jsonl with interactions.* beside it; "
        "movies.csv and ratings.csv; movies.dat and ratings.dat; u.item and u.data; "
        "NAME.item and NAME.inter; news.tsv and behaviors.tsv; online_retail.csv; "
        "item_context.csv with all.csv, men.csv or women.csv beside it"
    )
    assert error_of(tmp_path) == f"D has no known layout; found: nothing\n{wanted}"
    write(tmp_path, **{f"file{n}_txt": "x" for n in range(7)})
    found = "file0.txt, file1.txt, file2.txt, file3.txt, file4.txt, ..."
    assert error_of(tmp_path) == f"D has no known layout; found: {found}\n{wanted}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("film", "no built-in data set and no folder 'film'; did you mean 'films'?"),
        ("zzzz", "no built-in data set and no folder 'zzzz'"),
        ("nowhere/at/all", "no built-in data set and no folder 'nowhere/at/all'"),
        ("my-fims", "no built-in data set and no folder 'my-fims'; did you mean 'my-films'?"),
        ("x" * 5000, f"cannot read {'x' * 5000!r}: File name too long"),
        (
            "my-films/items.csv",
            "my-films/items.csv is a file, a folder is expected; give my-films if that holds the data set",
        ),
    ],
)
def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-films").mkdir()
    write(tmp_path / "my-films", items_csv=ITEMS)
    with pytest.raises(InputError) as caught:
        load(name)
    assert str(caught.value) == message


def test_text_columns_that_do_not_exist(tmp_path: Path) -> None:
    write(tmp_path, items_csv=ITEMS)
    with pytest.raises(InputError, match=r"has no column 'titel'; found: .*; did you mean 'title'\?"):
        load(tmp_path, text_columns=["titel"])
    with pytest.raises(InputError, match="text_columns is empty; name at least one"):
        load(tmp_path, text_columns=[])


def test_long_values_and_many_columns_are_cut(tmp_path: Path) -> None:
    write(tmp_path, items_csv=f"item_id,title,price\n1,a,{'9x' * 1000}\n")
    assert (
        error_of(tmp_path)
        == f"D/items.csv, line 2: price '{'9x' * 40}'... is no number up to 3e38; write one or leave it empty"
    )
    write(tmp_path, items_csv=",".join(f"c{n}" for n in range(89)) + "\n" + "," * 88 + "\n")
    assert error_of(tmp_path).endswith("'c10', 'c11', ...")


def test_numbers_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    write(tmp_path, items_csv=ITEMS, interactions_csv=HEAD.strip() + ",value\na,1,1,1e39\n")
    assert (
        error_of(tmp_path)
        == "D/interactions.csv, line 2: value '1e39' is no number up to 3e38; write one or leave it empty"
    )
