"""The files of a log that `zsr-sim log` wrote: impressions, the histories beside them, and what was done, as JSON.

Read by whoever asks the log something (`evaluate policy`) and by whoever learns from it (`agent.log`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zsr_sim.datasets.impressions import read_histories, read_impressions
from zsr_sim.datasets.tables import SUFFIXES
from zsr_sim.envs.observation import Observation
from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.rebuild import histories_before, observations, user_keys
from zsr_sim.experiment import Scene
from zsr_sim.impressions import CLICKS, Impressions

REWARDS = CLICKS


def companion(path: Path, name: str) -> Path:
    """A file that belongs to a log: log.parquet -> log.NAME."""
    return path.with_name(f"{_stem(path)}.{name}")


def histories_path(path: Path) -> Path:
    """Where the histories of a log's users lie: log.parquet -> log.histories.parquet."""
    return companion(path, "histories" + path.name.removeprefix(_stem(path)))


def _stem(path: Path) -> str:
    for suffix in SUFFIXES:
        for ending in (suffix, f"{suffix}.gz"):
            if path.name.endswith(ending) and len(path.name) > len(ending):
                return path.name.removesuffix(ending)
    raise InputError(f"--out {path}: expected a name that ends in {', '.join(SUFFIXES)} or one of them with .gz")


def facts_of(path: Path) -> dict[str, Any]:
    """What `zsr-sim log` wrote beside the log; {} where nothing lies there, and for a folder."""
    if path.is_dir():
        return {}
    beside = companion(path, "json")
    if not beside.is_file():
        return {}
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{beside} is no JSON ({error}); write the log again or remove that file") from None
    return facts if isinstance(facts, dict) and facts.get("log") == path.name else {}


def histories_beside(path: Path, facts: Mapping[str, Any]) -> Path | None:
    """The file with what a log's users had consumed before, as its `facts_of` say; None where none lies there."""
    beside = path.parent / facts["histories"] if "histories" in facts else None
    return beside if beside is not None and beside.is_file() else None


def logged_pages(path: Path, scene: Scene) -> tuple[Impressions, Observation]:
    """The pages of a log of the scene's catalogue, and what was known before each of them.

    Raises InputError for a log without propensities, of other pages than the scene's, or that holds no page of it.
    """
    log, _, _ = read_impressions(path, scene.dataset.catalogue)
    if not len(log) or not log.whole or log.items.shape[1] != scene.world.slate_size:
        raise InputError(
            f"{path}: {len(log)} pages of {log.items.shape[1]} items; whole pages of {scene.world.slate_size} items of "
            f"{scene.dataset.catalogue.name} expected"
        )
    if not (log.propensity > 0).all():
        raise InputError(f"{path} does not say with what propensity each item was shown; zsr-sim log writes such a log")
    facts = facts_of(path)
    beside = histories_beside(path, facts)
    before = scene.dataset.interactions if beside is None else read_histories(beside, scene.dataset.catalogue)
    clicked = log.reward(REWARDS) > 0
    keys = user_keys(log, bool(facts))
    return log, observations(log, clicked, histories_before(log, before), keys, int(facts.get("luck", 0)))
