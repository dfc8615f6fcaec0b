"""MIND, the news data set of Microsoft (Wu et al. 2020): news.tsv and behaviors.tsv.

A line of behaviors.tsv is an impression: id, user, time, the user's earlier clicks (oldest first, without times), and
the news shown, each with -1 (clicked) or -0. The log holds the clicks: those of the impressions at their times, the
earlier ones, once for each user, a second apart before the user's first impression.
"""

from pathlib import Path

import pandas as pd

from zsr_sim.datasets.assemble import assemble
from zsr_sim.datasets.columns import ids
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.files import checked_utf8, find_one, read_bytes, shown
from zsr_sim.datasets.tables import Table, read_separated
from zsr_sim.errors import InputError

NEWS = ["item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"]
BEHAVIORS = ["impression_id", "user_id", "time", "history", "impressions"]
TIME = "%m/%d/%Y %I:%M:%S %p"
TEXT = ("title", "abstract", "subcategory")


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    news, behaviors = find_one(folder, ["news.tsv"]), find_one(folder, ["behaviors.tsv"])
    if news is None:
        raise InputError(f"{folder} holds behaviors.tsv but not news.tsv with the items; put it there")
    items = read_separated(checked_utf8(read_bytes(news), news), news, NEWS, "\t")
    kept = items.frame[["item_id", "category", "subcategory", "title", "abstract"]]
    notes = []
    if behaviors is not None:
        notes.append("behaviors.tsv: clicks from before the first impression have no times; their order is kept")
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="MIND (news.tsv, behaviors.tsv)",
        items=Table(news, kept, items.line_of),
        log=None if behaviors is None else _clicks(behaviors),
        text_columns=TEXT if text_columns is None else text_columns,
        notes=notes,
    )


def _clicks(path: Path) -> Table:
    table = read_separated(checked_utf8(read_bytes(path), path), path, BEHAVIORS, "\t")
    users = ids(table, "user_id")
    times = pd.to_datetime(table.frame["time"], format=TIME, errors="coerce")
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise InputError(
            f"{table.where(row)}: time {shown(table.frame['time'].iloc[row])}; such as 11/11/2019 9:05:58 AM expected"
        )
    seconds = (times - pd.Timestamp(0)).dt.total_seconds()
    frame = pd.DataFrame({"user_id": users, "seconds": seconds, "row": range(len(users))})
    shown_news = frame.assign(item=table.frame["impressions"].str.split()).explode("item").dropna(subset=["item"])
    marked = shown_news["item"].str.rpartition("-")
    wrong = ~marked[2].isin(["0", "1"]) | (marked[0] == "")
    if wrong.any():
        row = int(shown_news["row"][wrong.to_numpy()].iloc[0])
        found = shown(str(shown_news["item"][wrong.to_numpy()].iloc[0]))
        raise InputError(f"{table.where(row)}: impressions hold {found}; a news id with -1 or -0 expected")
    clicked = shown_news.assign(item_id=marked[0])[(marked[2] == "1").to_numpy()]
    first = frame.loc[frame.groupby("user_id")["seconds"].idxmin()]
    earlier = first.assign(item_id=table.frame["history"].loc[first.index].str.split()).explode("item_id")
    earlier = earlier.dropna(subset=["item_id"])
    back = earlier.groupby("user_id").cumcount(ascending=False) + 1  # 1 for the last click before
    earlier = earlier.assign(seconds=earlier["seconds"] - back)
    log = pd.concat([earlier, clicked]).sort_values("seconds", kind="stable")
    if log.empty:
        raise InputError(f"{path} holds no click; expected histories or impressions with a news id and -1")
    rows = log["row"].to_numpy()
    columns = {
        "user_id": log["user_id"].to_numpy(),
        "item_id": log["item_id"].to_numpy(),
        "timestamp": log["seconds"].map("{:.0f}".format).to_numpy(),
    }
    below = table.line_of
    return Table(
        path,
        pd.DataFrame(columns, dtype="str").assign(feedback="click"),
        None if below is None else lambda row: below(int(rows[row])),
    )


MIND = Layout(
    "MIND",
    "news.tsv and behaviors.tsv",
    lambda folder: any(find_one(folder, [name]) is not None for name in ("news.tsv", "behaviors.tsv")),
    _read,
)
"""The layout of MIND."""
