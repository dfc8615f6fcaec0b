"""The published layouts of MovieLens and of MovieTweetings: u.data, ratings.dat (``::``), ratings.csv."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from zsr_sim.datasets.assemble import LogColumns, assemble
from zsr_sim.datasets.columns import column
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.files import checked_utf8, find_one, latin1_as_utf8, read_bytes, shown
from zsr_sim.datasets.tables import Table, read_separated, read_table
from zsr_sim.errors import InputError

NO_GENRES = "(no genres listed)"  # how ml-latest says that there is none
RATINGS = ["user_id", "item_id", "rating", "timestamp"]
TEXT = ("title", "genres")
LOG = LogColumns(value="rating")

# The order of the flags in u.item, from the README of MovieLens-100K.
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
ITEM_100K = ["item_id", "title", "release_date", "video_release_date", "url", *GENRES_100K]


def _read_csv_layout(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    items = read_table(_movies(folder, "movies.csv", "ratings.csv"))
    genres = column(items, "genres")
    frame = items.frame.assign(genres=genres.where(genres != NO_GENRES, ""))
    items = Table(items.path, frame, items.line_of)
    log = find_one(folder, ["ratings.csv"])
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="MovieLens (ratings.csv, movies.csv)",
        items=items,
        log=read_table(log) if log else None,
        item_column="movieId",
        log_columns=LogColumns(user="userId", item="movieId", value="rating"),
        text_columns=TEXT if text_columns is None else text_columns,
    )


def _read_dat_layout(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    path, log = _movies(folder, "movies.dat", "ratings.dat"), find_one(folder, ["ratings.dat"])
    data, note = latin1_as_utf8(read_bytes(path), path)  # MovieLens-1M is Latin-1, the others UTF-8
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="MovieLens or MovieTweetings (ratings.dat, movies.dat)",
        items=split_movies(data, path),
        log=read_separated(checked_utf8(read_bytes(log), log), log, RATINGS, "::") if log else None,
        log_columns=LOG,
        text_columns=TEXT if text_columns is None else text_columns,
        notes=[note] if note else [],
    )


def _read_100k_layout(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    path, log = _movies(folder, "u.item", "u.data"), find_one(folder, ["u.data"])
    data, note = latin1_as_utf8(read_bytes(path), path)
    items = read_separated(data, path, ITEM_100K, "|")
    flags = (items.frame[list(GENRES_100K)] == "1").to_numpy()  # (n, 19)
    names = [f"{genre}|" if genre != "unknown" else "" for genre in GENRES_100K]
    genres = pd.Series(np.where(flags, names, "").astype(object).sum(axis=1), dtype="str").str.rstrip("|")
    frame = items.frame[["item_id", "title", "release_date"]].assign(genres=genres)
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="MovieLens-100K (u.data, u.item)",
        items=Table(path, frame, items.line_of),
        log=read_separated(checked_utf8(read_bytes(log), log), log, RATINGS, "\t") if log else None,
        log_columns=LOG,
        text_columns=TEXT if text_columns is None else text_columns,
        notes=[note] if note else [],
    )


def split_movies(data: bytes, path: Path) -> Table:
    """Split ``id::title (year)::genre|genre`` from its two ends, since a title may itself hold ``::``.

    Raises:
        InputError: a line with fewer than three fields.
    """
    lines = pd.Series(data.decode().split("\n"), dtype="str").str.removesuffix("\r")
    lines = lines[lines.str.strip() != ""]  # keeps the numbers of the lines in its index
    few = lines.str.count("::") < 2
    if few.any():
        line = lines.index[few][0]
        raise InputError(f"{path}, line {line + 1}: id::title::genres expected, found {shown(lines[line])}")
    head = lines.str.partition("::")
    tail = head[2].str.rpartition("::")
    numbers = lines.index.to_numpy()
    frame = pd.DataFrame({"item_id": head[0], "title": tail[0], "genres": tail[2]}).reset_index(drop=True)
    return Table(path, frame, lambda row: int(numbers[row]) + 1)


def _movies(folder: Path, movies: str, ratings: str) -> Path:
    path = find_one(folder, [movies])
    if path is None:
        raise InputError(f"{folder} holds {ratings} but not {movies} (or {movies}.gz) with the items; put it there")
    return path


def _layout(name: str, movies: str, ratings: str, read: Callable[[Path, tuple[str, ...] | None], Dataset]) -> Layout:
    def matches(folder: Path) -> bool:
        return any(find_one(folder, [file]) is not None for file in (movies, ratings))

    return Layout(name, f"{movies} and {ratings}", matches, read)


LAYOUTS = (
    _layout("MovieLens csv", "movies.csv", "ratings.csv", _read_csv_layout),
    _layout("MovieLens or MovieTweetings ::", "movies.dat", "ratings.dat", _read_dat_layout),
    _layout("MovieLens-100K", "u.item", "u.data", _read_100k_layout),
)
