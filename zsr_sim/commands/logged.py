"""A log of pages, read for off-policy estimates: its pages, its users' pasts, and propensities where it has none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsr_sim.datasets import Dataset, load
from zsr_sim.datasets.impressions import read_histories, read_impressions
from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.evidence import Logged
from zsr_sim.evaluation.off_policy.models import Features, estimate_propensities, folds_of
from zsr_sim.evaluation.off_policy.rebuild import histories_before, observations, user_keys
from zsr_sim.experiment import Scene
from zsr_sim.impressions import Impressions
from zsr_sim.interactions import Interactions
from zsr_sim.log_files import REWARDS, facts_of, histories_beside


@dataclass
class Source:
    """A log as it was read. facts: what `zsr-sim log` noted beside it, {} for other logs. notes: for every output."""

    data: str
    dataset: Dataset
    log: Impressions
    facts: dict[str, Any]
    before: Interactions | None
    notes: list[str]


def read_source(path: Path, data: str | None = None, histories: Path | None = None) -> Source:
    """The log, its catalogue, and what is known of its users from before.

    path: impressions, a file or a folder. data: whose catalogue the log's items are of; None: as the log says.
    histories: interactions from before; None: as the log says, or those of the catalogue's data set.
    """
    if not path.exists():
        raise InputError(f"--log {path} is not there; expected impressions, a file or a folder")
    facts, notes = facts_of(path), list[str]()
    data = data or (str(path) if path.is_dir() else facts.get("data", ""))
    if not data:
        raise InputError(f"--log {path}: whose items are these? name their catalogue with --data")
    dataset = load(data)
    if path.is_dir():
        log = _of_folder(path, data, dataset)
    else:
        log, counts, remarks = read_impressions(path, dataset.catalogue)
        notes += remarks
        if counts["dropped_unknown_pages"]:
            notes.append(f"{counts['dropped_unknown_pages']:,} pages dropped: they show items not in {data}")
    histories = histories or histories_beside(path, facts)
    before = read_histories(histories, dataset.catalogue) if histories else dataset.interactions
    if log.n_users < 2:
        raise InputError(f"{path}: pages of {log.n_users} user; intervals need at least 2")
    return Source(data, dataset, log, facts, before, notes)


def _of_folder(path: Path, data: str, dataset: Dataset) -> Impressions:
    own = dataset if data == str(path) else load(path)
    if own.impressions is None:
        raise InputError(f"{path} holds no impressions; expected an impressions file or the Open Bandit layout")
    if own.catalogue.item_ids != dataset.catalogue.item_ids:
        raise InputError(
            f"{path} has items of its own, others than {data}; leave --data out or name an impressions file"
        )
    return own.impressions


def to_learn_from(scene: Scene, source: Source, reward: tuple[str, ...] = ()) -> tuple[Scene, Impressions]:
    """The scene with what strategies may learn from, and the pages that they are judged on.

    Where there are neither interactions nor a simulation behind the log, strategies learn from the clicks of the
    earlier half of its pages and are judged on the later half.
    """
    if source.facts or source.dataset.interactions is not None:
        return scene, source.log
    middle = float(np.median(source.log.timestamps))
    early, late = (np.flatnonzero(part) for part in (source.log.timestamps < middle, source.log.timestamps >= middle))
    if len(early) < 1 or len(late) < 2:
        raise InputError("the log's pages have one time; without interactions its earlier half is to be learned from")
    rows, positions = np.nonzero(source.log.reward((*REWARDS, *reward))[early] > 0)
    items = source.log.items[early][rows, positions]
    users = [source.log.user_ids[code] for code in source.log.users[early][rows]]
    learned = Interactions.from_columns(users, items, source.log.timestamps[early][rows])
    source.notes.append(
        f"no interactions beside the log: strategies learn from the {len(items):,} clicks of its earlier half, and are "
        f"judged on the later half ({len(late):,} pages)"
    )
    return scene.learning_from(learned), source.log.take(late)


def logged_of(scene: Scene, log: Impressions, source: Source, seed: int, reward: tuple[str, ...] = ()) -> Logged:
    """The log's pages as estimators need them; reward: kinds of feedback that count as 1, by default REWARDS."""
    clicked = log.reward((*REWARDS, *reward)) > 0
    own = bool(source.facts)
    observed = observations(
        log, clicked, histories_before(log, source.before), user_keys(log, own), int(source.facts.get("luck", 0))
    )
    features = Features(scene.retrieval)
    missing = np.isnan(log.propensity) & log.shown
    if missing.any():
        made = estimate_propensities(features, observed, log.items, folds_of(log.users.astype(np.int64)), seed)
        position = np.where(missing, made, log.propensity)
        prefix = position.cumprod(axis=1)
        log = replace(log, propensity=position, prefix_propensity=prefix, slate_propensity=prefix[:, -1])
        source.notes.append(
            f"propensities of {int(missing.sum()):,} impressions are not in the log and were ESTIMATED (frequency by "
            "position times a logistic model); positions are taken as independent; intervals do not hold their error"
        )
    return Logged.of(log, log.reward(reward or REWARDS), observed, features, seed, counted(reward))


def counted(reward: tuple[str, ...]) -> str:
    """What the kinds of feedback that count are called: "clicks" by default, else such as "likes or 'wishlist'"."""
    return " or ".join(f"{kind}s" if kind in REWARDS else repr(kind) for kind in reward) or "clicks"
