"""The three MovieLens layouts, from small hand-written folders."""

import gzip
from pathlib import Path

import pytest

from tests.datasets.folders import write
from zsr_sim.datasets import load
from zsr_sim.datasets.movielens import GENRES_100K
from zsr_sim.errors import InputError

MOVIES_DAT = "0000001::Heat (1995)::Action|Crime\n0000002::A::B::C (2000)::Drama\n\n0000003::Silence (1963)::\n"
RATINGS_DAT = "1::0000002::7::1365029107\n2::0000001::8::1364690142\n1::0000003::9::1365029107\n"


def item_100k(item_id: int, title: str, genres: list[str]) -> str:
    flags = "|".join("1" if genre in genres else "0" for genre in GENRES_100K)
    return f"{item_id}|{title}|01-Jan-1995||http://us.imdb.com/{item_id}|{flags}\n"


def test_double_colons_split_from_the_ends(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, movies_dat=MOVIES_DAT, ratings_dat=RATINGS_DAT))
    assert dataset.catalogue.item_ids == ("0000001", "0000002", "0000003")
    assert dataset.catalogue.titles == ("Heat (1995)", "A::B::C (2000)", "Silence (1963)")
    assert dataset.catalogue.texts == ("Heat (1995). Action, Crime", "A::B::C (2000). Drama", "Silence (1963)")
    log = dataset.interactions
    assert log is not None
    assert log.items.tolist() == [1, 2, 0]
    assert log.values.tolist() == [7, 9, 8]


def test_movies_without_ratings_are_a_catalogue(tmp_path: Path) -> None:
    assert load(write(tmp_path, movies_dat_gz=MOVIES_DAT)).interactions is None


def test_movielens_1m_is_latin_1(tmp_path: Path) -> None:
    write(tmp_path, ratings_dat=RATINGS_DAT.replace("0000002", "0000001").replace("0000003", "0000001"))
    (tmp_path / "movies.dat").write_bytes(
        "0000001::A (1990)::\n0000004::Misérables, Les (1995)::Drama\r\n".encode("latin-1")
    )
    dataset = load(tmp_path)
    assert dataset.catalogue.titles == ("A (1990)", "Misérables, Les (1995)")
    assert dataset.report.notes[0] == "movies.dat: read as ISO-8859-1, as MovieLens publishes it (line 2 is not UTF-8)"


def test_movielens_100k(tmp_path: Path) -> None:
    items = item_100k(1, "Toy Story (1995)", ["Animation", "Comedy"]) + item_100k(2, "Léon (1994)", ["Crime"])
    items += item_100k(267, "unknown", ["unknown"])
    (tmp_path / "u.item").write_bytes(items.encode("latin-1"))
    write(tmp_path, u_data="196\t2\t3\t881250949\n22\t1\t1\t878887116\n")
    dataset = load(tmp_path)
    assert dataset.catalogue.texts == ("Toy Story (1995). Animation, Comedy", "Léon (1994). Crime", "unknown")
    assert dataset.report.notes[0] == "u.item: read as ISO-8859-1, as MovieLens publishes it (line 2 is not UTF-8)"
    assert dataset.interactions is not None
    assert dataset.interactions.user_ids == ("196", "22")
    assert dataset.interactions.timestamps.tolist() == [881250949, 878887116]
    (tmp_path / "u.item").write_bytes(gzip.decompress(gzip.compress(items.encode())))
    assert load(tmp_path).catalogue.texts == dataset.catalogue.texts  # somebody converted it to UTF-8


def test_csv_layout(tmp_path: Path) -> None:
    write(
        tmp_path,
        movies_csv='movieId,title,genres\n1,"Hi ""you"", there (1990)",A|B\n2,Two,(no genres listed)\n',
        ratings_csv_gz="userId,movieId,rating,timestamp\n5,2,3.5,9\n5,1,0.5,9\n",
    )
    dataset = load(tmp_path)
    assert dataset.catalogue.texts == ('Hi "you", there (1990). A, B', "Two")
    assert dataset.interactions is not None
    assert dataset.interactions.items.tolist() == [1, 0]  # a tie in time keeps the order of the file
    assert dataset.interactions.values.tolist() == [3.5, 0.5]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"movies_dat": "1::A::B\n2::C\n"}, "D/movies.dat, line 2: id::title::genres expected, found '2::C'"),
        (
            {"movies_dat": "1::A::B\n\n::C::\n"},
            "D/movies.dat, line 3: item_id is ''; every row needs one: fill it in or drop it",
        ),
        (
            {"movies_dat": MOVIES_DAT, "ratings_dat": "1::0000001::7::1\n1::0000001::7\n"},
            "D/ratings.dat, line 2: 4 fields separated by '::' expected, 3 found",
        ),
        (
            {"movies_dat": MOVIES_DAT, "ratings_dat": "1::0000001::good::1\n"},
            "D/ratings.dat, line 1: rating 'good' is no number up to 3e38; write one or leave it empty",
        ),
        (
            {"movies_dat": MOVIES_DAT, "ratings_dat": "1::0000001::7\x1f::1\n"},
            "D/ratings.dat, line 1: the control character 0x1F; the file is damaged or not text",
        ),
        ({"movies_dat": MOVIES_DAT, "ratings_dat": ""}, "D/ratings.dat is empty; expected at least one row"),
        ({"movies_dat": "1::A\0::B\n"}, "D/movies.dat, line 1: a null byte; the file is damaged or not text"),
        (
            {"ratings_dat": RATINGS_DAT},
            "D holds ratings.dat but not movies.dat (or movies.dat.gz) with the items; put it there",
        ),
        ({"u_data": "1\t1\t1\t1\n"}, "D holds u.data but not u.item (or u.item.gz) with the items; put it there"),
        ({"u_item": "1|A\n"}, "D/u.item, line 1: 24 fields separated by '|' expected, 2 found"),
        (
            {"movies_csv": "movie_id,title,genres\n1,A,B\n"},
            "D/movies.csv has no column 'movieId'; found: 'movie_id', 'title', 'genres'; did you mean 'movie_id'?",
        ),
        (
            {
                "movies_csv": "movieId,title,genres\n1,A,B\n",
                "ratings_csv": "userId,movieId,rating,timestamp\n1,1,x,1\n",
            },
            "D/ratings.csv, line 2: rating 'x' is no number up to 3e38; write one or leave it empty",
        ),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, **files))
    assert str(caught.value).replace(f"{tmp_path}/", "D/").replace(str(tmp_path), "D") == message
