"""Agents as `evaluate ranking` and `recommend` need them: built for a scene, trained in it where they learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from zsr_sim.agents.peers import PEERS
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.agents.registry import checked, find_agent
from zsr_sim.config import Settings
from zsr_sim.experiment import Scene, fingerprint
from zsr_sim.learning import learner_of
from zsr_sim.progress import OnProgress
from zsr_sim.runs import CHECKPOINTS, read_manifest


@dataclass(frozen=True)
class Ranker:
    """An agent as a person named it.

    label: what results call it. build: makes it, learning from the scene's log, or in its loop, where it learns. run:
    the run folder that it comes from, None for others. id_based: it knows items by their ids, not by their texts.
    in_the_loop: it is trained among the scene's training users when it is built.
    """

    label: str
    build: Callable[[Scene, Settings, int, OnProgress], CheckedAgent]
    run: Path | None = None
    id_based: bool = False
    in_the_loop: bool = False


def find_rankers(names: Sequence[str]) -> list[Ranker]:
    """The agents of these names; one that is named again becomes "similarity#2".

    Raises InputError for an unknown agent.
    """
    counts: Counter[str] = Counter()
    rankers = []
    for name in names:
        ranker = find_ranker(name)
        counts[ranker.label] += 1
        number = counts[ranker.label]
        rankers.append(ranker if number == 1 else replace(ranker, label=f"{ranker.label}#{number}"))
    return rankers


def find_ranker(name: str) -> Ranker:
    """The agent of this name, run folder or class."""
    if name in PEERS:
        return Ranker(name, partial(_learn_peer, name), id_based=True)
    spec = find_agent(name)
    in_the_loop = spec.learns and learner_of(spec.label).in_the_loop
    return Ranker(spec.label, spec.build, _run_folder(name), in_the_loop=in_the_loop)


def _learn_peer(name: str, scene: Scene, settings: Settings, seed: int, report: OnProgress) -> CheckedAgent:
    agent = PEERS[name].learn(scene.log, len(scene.vectors), settings.world.slate_size, seed, report)
    return checked(name, agent, scene)


def _run_folder(name: str) -> Path | None:
    folder = Path(name)
    if ":" in name or not folder.is_dir():
        return None
    folder = folder.resolve()
    return folder.parent.parent if folder.parent.name == CHECKPOINTS else folder


def knows_the_log(ranker: Ranker, scene: Scene) -> bool:
    """Whether the agent is trained among users of this very data set, now or in the run that it comes from."""
    if ranker.run is None:
        return ranker.in_the_loop
    return bool(read_manifest(ranker.run)["data"].get("fingerprint") == fingerprint(scene.dataset))
