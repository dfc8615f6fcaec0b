"""The work behind `compare --reality`: the order of strategies here against their order in a reality held out.

A reality is a log of a person's own, or another world that plays the part: there a log is written by a strategy that
explores, the off-policy estimates know no more than that log, and the true values are told beside them for audit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsr_sim.agents.distribution import sampled
from zsr_sim.agents.mixture import AsItActs, Mixture
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.commands.job import Job
from zsr_sim.commands.logged import Source, logged_of, read_source
from zsr_sim.commands.logs import LUCK, write_frame
from zsr_sim.commands.trial import Trial
from zsr_sim.config import WorldSettings
from zsr_sim.console import Phases
from zsr_sim.datasets.impressions import read_histories, read_impressions
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import SeesState, Visits, simulate
from zsr_sim.envs.world import World
from zsr_sim.envs.worlds import WORLDS
from zsr_sim.errors import InputError, nearest
from zsr_sim.evaluation.off_policy.estimators import Table
from zsr_sim.evaluation.off_policy.evidence import gather
from zsr_sim.evaluation.off_policy.record import histories_frame, impressions_frame, record
from zsr_sim.evaluation.order import FEWEST
from zsr_sim.evaluation.reliability import reliability
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.log_files import companion, histories_path
from zsr_sim.other_worlds import other_users
from zsr_sim.runs import write_whole

DRAWN = "drawn"  # the world whose unknown parameters are drawn anew
REPLICATE = 1000  # of `other_users`; `--worlds` asks in at most the first thousand
FIRST_USER = 1 << 37  # ids of its users: nobody whom a strategy was tried on
EXPLORE = 0.1  # share of the log's pages that are drawn evenly
LOG = "reality.parquet"


@dataclass(frozen=True)
class Place:
    """A world that plays the part of reality, and its users."""

    world: World
    users: Population


def require_reality(name: str, arms: int, ready: Mapping[str, CheckedAgent], scene: Scene, data: str) -> Source | None:
    """The log of that name, or None for a world's.

    arms: how many strategies there are; ready: those that need no training. Raises InputError for what cannot be held
    against the strategies.
    """
    if arms < FEWEST:
        raise InputError(f"--reality: {arms} strategies have no order to speak of; name {FEWEST} or more with --agents")
    knowing = [label for label, agent in ready.items() if isinstance(agent, SeesState)]
    if knowing:
        raise InputError(f"--reality: {', '.join(knowing)} knows what no log tells; leave it out")
    if name == DRAWN or name in WORLDS:
        return None
    path = Path(name)
    if not path.exists():
        raise InputError(
            f"--reality {name}: no such file, and no world of that name{nearest(name, [DRAWN, *WORLDS])}; "
            f"{DRAWN}, a named world (zsr-sim list envs) or a log of impressions expected"
        )
    source = read_source(path, data)
    size = source.log.items.shape[1]
    if size != scene.world.slate_size:
        raise InputError(
            f"--reality {name}: its pages have {size} items, those here {scene.world.slate_size}; "
            f"--set world.slate_size={size}"
        )
    return source


def order_in_reality(
    name: str, source: Source | None, trial: Trial, scene: Scene, job: Job, folder: Path, phases: Phases
) -> dict[str, Any]:
    """What results.json holds under "reality": `reliability`, and where it comes from.

    source: the log, None for the world of that name, whose log is then written into the run's folder. trial: the
    strategies that are left, and their visits here.
    """
    agents = trial.agents
    show = _Steps(phases, 2 * len(agents) + 1)
    true = None
    if source is None:
        place = _place(name, scene, job)
        source = _written(place, agents, scene, job, folder / LOG, show.next("writing its log"))
        true = {label: _visits(place, agent, scene, job, show.next(f"true value of {label}"))
                for label, agent in agents.items()}  # fmt: skip
    else:
        show.skip(len(agents) + 1)
    logged = logged_of(scene, source.log, source, job.seed)
    tables = {
        label: Table(
            logged, gather(logged, AsItActs(agent, logged.n_items), job.seed, show.next(f"estimating {label}"))
        )
        for label, agent in agents.items()
    }
    where = f"the world {name!r}, where users have other parameters" if true else f"the log {Path(name).name}"
    return {
        "where": where,
        "log": LOG if true else Path(name).name,
        "written_by": f"one of the strategies at random, {100 * EXPLORE:g} % evenly drawn pages" if true else None,
        "pages": len(logged.log),
        "impressions": int(logged.log.shown.sum()),
        "users": logged.groups,
        "notes": source.notes,
    } | reliability(trial.visits, tables, true, seed=job.seed)


class _Steps:
    """One phase of several steps that each count for themselves."""

    def __init__(self, phases: Phases, steps: int) -> None:
        self._phases, self._steps, self._begun = phases, steps, -1

    def next(self, words: str) -> Callable[[int, int], None]:
        self._begun += 1
        before = 1000 * self._begun
        return lambda done, total: self._phases.show(
            "reality", before + 1000 * done // max(total, 1), 1000 * self._steps, words
        )

    def skip(self, steps: int) -> None:
        self._begun += steps


def _place(name: str, scene: Scene, job: Job) -> Place:
    if name == DRAWN:
        return Place(scene.world, other_users(scene, REPLICATE))
    own = scene.settings.model_dump(include={"slate_size", "horizon", "dimensions", "interests"})
    there = make_scene(job.data, WorldSettings.named(name, **own), job.encoder, space=scene.space)
    return Place(there.world, there.test)


def _visits(place: Place, agent: CheckedAgent, scene: Scene, job: Job, progress: Callable[[int, int], None]) -> Visits:
    """Of other users than those of the log: so both are wrong, where they are, for reasons of their own."""
    ids = FIRST_USER + job.users + np.arange(job.users, dtype=np.int64)
    return simulate(
        place.world, place.users, ids, agent, job.seed + LUCK, scene.settings.horizon, job.batch_size, progress
    )


def _written(
    place: Place, agents: Mapping[str, CheckedAgent], scene: Scene, job: Job, path: Path,
    progress: Callable[[int, int], None],
) -> Source:  # fmt: skip
    """A log by all strategies in turn and by chance, written as `zsr-sim log` writes one, and read again."""
    n_items, catalogue = len(scene.vectors), scene.dataset.catalogue
    ids = FIRST_USER + np.arange(job.users, dtype=np.int64)
    mixture = sampled(Mixture(list(agents.values()), n_items), n_items, EXPLORE)
    recording = record(
        place.world, place.users, ids, mixture, job.seed + LUCK, scene.settings.horizon, progress=progress
    )
    write_frame(impressions_frame(recording, catalogue.item_ids), path)
    write_frame(histories_frame(recording, catalogue.item_ids), histories_path(path))
    log, _, notes = read_impressions(path, catalogue)
    before = read_histories(histories_path(path), catalogue)
    facts = {
        "data": job.data, "agent": "one of the strategies at random", "explore": EXPLORE, "seed": job.seed,
        "luck": job.seed + LUCK, "users": job.users, "pages": len(log), "impressions": int(log.shown.sum()),
        "settings": job.settings().model_dump(mode="json"), "log": path.name, "histories": histories_path(path).name,
    }  # fmt: skip
    write_whole(companion(path, "json"), json.dumps(facts, indent=2, allow_nan=False).encode())  # for `evaluate policy`
    return Source(job.data, scene.dataset, log, facts, before, notes)
