"""The published data sets are read exactly: known counts, first rows, odd rows."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from zsr_sim.datasets import Dataset, load


@pytest.fixture(scope="module")
def tweetings(shared_data: Path) -> Dataset:
    return load(shared_data / "movietweetings-100k")


@pytest.fixture(scope="module")
def movielens(shared_data: Path) -> Dataset:
    return load(str(shared_data / "ml-latest-small"))


def test_movietweetings_counts(tweetings: Dataset) -> None:
    assert tweetings.interactions is not None
    assert (len(tweetings.catalogue), tweetings.interactions.n_users, len(tweetings.interactions)) == (
        10_506,
        16_554,
        100_000,
    )
    dropped = {
        key: number for key, number in tweetings.report.counts.items() if key not in ("items", "users", "interactions")
    }
    assert set(dropped.values()) == {0}
    assert tweetings.catalogue.name == "movietweetings-100k"


def test_movietweetings_keeps_leading_zeros_and_order(tweetings: Dataset) -> None:
    assert tweetings.catalogue.item_ids[:2] == ("0002844", "0004936")
    assert all(len(item_id) == 7 for item_id in tweetings.catalogue.item_ids)
    assert tweetings.catalogue.texts[0] == "Fantômas - À l'ombre de la guillotine (1913). Crime, Drama"
    assert tweetings.catalogue.titles[0] == "Fantômas - À l'ombre de la guillotine (1913)"


def test_movietweetings_films_without_genre_keep_their_title_as_text(tweetings: Dataset) -> None:
    same = sum(text == title for text, title in zip(tweetings.catalogue.texts, tweetings.catalogue.titles, strict=True))
    assert same == 66


def test_movietweetings_ratings(tweetings: Dataset) -> None:
    log = tweetings.interactions
    assert log is not None
    assert log.values.mean() == pytest.approx(7.32, abs=0.005)
    assert (log.values.min(), log.values.max()) == (0, 10)
    user = log.user_ids.index("1")
    rows = slice(log.starts[user], log.starts[user + 1])
    assert [tweetings.catalogue.item_ids[item] for item in log.items[rows]] == ["1074638", "1853728"]
    assert log.timestamps[rows].tolist() == [1365029107, 1366576639]
    assert (np.diff(log.starts) >= 20).sum() == 1_154
    assert log.feedback_names == ()


def test_movielens_counts(movielens: Dataset) -> None:
    log = movielens.interactions
    assert log is not None
    assert (len(movielens.catalogue), log.n_users, len(log)) == (9_742, 610, 100_836)
    assert len(np.unique(log.items)) == 9_724
    assert sorted(set(log.values.tolist())) == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]


def test_movielens_titles_with_commas_quotes_and_no_genres(movielens: Dataset) -> None:
    titles = movielens.catalogue.titles
    assert titles[movielens.catalogue.index["11"]] == "American President, The (1995)"
    assert any('"' in title for title in titles)
    assert not any("no genres listed" in text for text in movielens.catalogue.texts)
    assert sum(text == title for text, title in zip(movielens.catalogue.texts, titles, strict=True)) == 34


def test_other_public_folders_are_named_as_unknown(shared_data: Path) -> None:
    with pytest.raises(ValueError, match=r"goodbooks-10k-items has no known layout; found: LICENSE, README\.md"):
        load(shared_data / "goodbooks-10k-items")


def test_a_public_table_of_books_as_plain_items(shared_data: Path, tmp_path: Path) -> None:
    source = gzip.decompress((shared_data / "goodbooks-10k-items" / "books.csv.gz").read_bytes())
    (tmp_path / "items.csv").write_bytes(source.replace(b"book_id,", b"item_id,", 1))
    books = load(tmp_path)
    assert len(books.catalogue) == 10_000
    assert books.catalogue.texts[0] == "The Hunger Games (The Hunger Games, #1). Suzanne Collins"
    assert books.interactions is None
