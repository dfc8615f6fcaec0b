"""The Open Bandit Dataset (Saito et al. 2020): a campaign's log with exact propensities, items without texts.

A folder such as random/all holds all.csv and item_context.csv. Each row is one item at one position (1 to 3); users
are not named and pages are not told, so each row is a page of its own of which one position is known.
"""

from pathlib import Path

import pandas as pd

from zsr_sim.datasets.assemble import assemble
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.files import checked_utf8, find_one, read_bytes
from zsr_sim.datasets.impressions import impressions_of
from zsr_sim.datasets.tables import Table, read_table
from zsr_sim.errors import InputError

CONTEXT = "item_context.csv"
CAMPAIGNS = ("all.csv", "men.csv", "women.csv")


def _matches(folder: Path) -> bool:
    return (folder / CONTEXT).is_file()


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    path = find_one(folder, CAMPAIGNS)
    if path is None:
        raise InputError(f"{folder} holds {CONTEXT} but none of {', '.join(CAMPAIGNS)} (each also .gz); put one there")
    checked_utf8(read_bytes(folder / CONTEXT), folder / CONTEXT)
    context = read_table(folder / CONTEXT)
    features = [name for name in context.frame.columns if str(name).startswith("item_feature")]
    text = context.frame[features].agg(" ".join, axis=1)
    items = Table(context.path, pd.DataFrame({"item_id": context.frame["item_id"], "text": text}), context.line_of)
    dataset = assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="Open Bandit",
        items=items,
        log=None,
        text_columns=text_columns,
        notes=["items have hashed features, no texts: strategies that read texts see noise"],
    )
    log = read_table(path)
    number = pd.Series(range(len(log.frame))).astype(str)
    frame = pd.DataFrame({
        "user_id": number,  # nobody is named: each row is somebody of their own
        "slate_id": number,
        "timestamp": log.frame["timestamp"],
        "item_id": log.frame["item_id"],
        "position": log.frame["position"],
        "feedback": log.frame["click"].map({"1": "click", "0": ""}).fillna(log.frame["click"]),
        "propensity": log.frame["propensity_score"],
    })  # fmt: skip
    return dataset.with_impressions(*impressions_of(Table(log.path, frame, log.line_of), dataset.catalogue))


OPEN_BANDIT = Layout("Open Bandit", f"{CONTEXT} with all.csv, men.csv or women.csv beside it", _matches, _read)
