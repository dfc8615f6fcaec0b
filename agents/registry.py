"""Agents by name: what a person may write after `--agent`, and how it becomes something that acts in a scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsr_sim.agents.baselines import Popularity, Random, Recency, freshness_of
from zsr_sim.agents.bayes import Bayes, Votes
from zsr_sim.agents.oracle import OracleMyopic, OraclePlanner
from zsr_sim.agents.protocol import Agent, CheckedAgent
from zsr_sim.agents.remote import SCHEMES, Remote
from zsr_sim.agents.similarity import Similarity
from zsr_sim.config import Settings, with_options
from zsr_sim.encoders.words import Words
from zsr_sim.errors import InputError, nearest
from zsr_sim.experiment import Scene
from zsr_sim.learning import STABLE_BASELINES, learners, load_trained, train_strategy
from zsr_sim.own_agents import is_own, learns, make_own, own_class
from zsr_sim.progress import OnProgress
from zsr_sim.runs import CHECKPOINTS, MANIFEST

Make = Callable[[Scene, Settings], Agent]


@dataclass(frozen=True)
class Ready:
    """A strategy that acts without training. does, needs: one line on each, for a person."""

    does: str
    needs: str
    make: Make


def _random(scene: Scene, _: Settings) -> Agent:
    return Random(scene.retrieval, scene.world.slate_size)


def _popularity(scene: Scene, _: Settings) -> Agent:
    return Popularity(scene.retrieval, scene.world.slate_size)


def _recency(scene: Scene, _: Settings) -> Agent:
    freshness = freshness_of(scene.log, scene.retrieval.popularity)
    return Recency(scene.retrieval, scene.world.slate_size, freshness)


def _similarity(scene: Scene, settings: Settings) -> Agent:
    own = settings.similarity
    words = Words(scene.dataset.catalogue.texts) if own.words else None
    return Similarity(scene.retrieval, scene.world.slate_size, own.temperature, own.threshold, words, own.words)


def _bayes(scene: Scene, settings: Settings) -> Agent:
    own = settings.bayes
    votes: Votes | None = None
    if own.likelihood:
        from zsr_sim.encoders.cache import VectorCache  # only who asks for it waits for it
        from zsr_sim.readers.model import load_causal_model
        from zsr_sim.readers.votes import ModelVotes

        votes = ModelVotes(load_causal_model(own.likelihood), scene.dataset.catalogue.titles, VectorCache())
    return Bayes(scene.retrieval, scene.world.slate_size, own.temperature, own.prior, votes, own.items)


def _myopic(scene: Scene, settings: Settings) -> Agent:
    return OracleMyopic(scene.world, settings.oracle.repeats)


def _planner(scene: Scene, settings: Settings) -> Agent:
    own = settings.oracle
    return OraclePlanner(scene.world, settings.world.horizon, own.depth, own.rollouts, own.repeats)


def _remote(url: str, scene: Scene, settings: Settings) -> Agent:
    own = settings.http
    ids = scene.dataset.catalogue.item_ids
    return Remote(url, ids, scene.world.slate_size, own.timeout, own.retries, own.batch)


READY = {
    "random": Ready("items drawn evenly from what the user has not seen", "nothing", _random),
    "popularity": Ready("what most people consumed", "a log", _popularity),
    "recency": Ready("what somebody consumed last", "a log", _recency),
    "similarity": Ready("what is nearest in meaning to the user's history", "nothing", _similarity),
    "bayes": Ready("every item of the user's history votes for what comes next", "nothing", _bayes),
    "oracle-myopic": Ready(
        "an upper reference: the page with the highest expected reward now", "the hidden state", _myopic
    ),
    "oracle-planner": Ready(
        "an upper reference: looks ahead by playing the user's future", "the hidden state", _planner
    ),
}
OTHER_WAYS = {
    "NAME?SETTING=VALUE": ("a named one with settings of its own, such as similarity?words=0.8", "what the name needs"),
    "module:Class": (
        "a class of your own in the current folder (zsr_sim.agents.protocol; lesson, where it learns)", "what it says"
    ),
    "http://HOST:PORT": ("a recommender in another process or language (zsr_sim.agents.remote)", "what it asks for"),
    "runs/NAME": ("the strategy that a run folder holds, trained", "the run folder"),
}  # fmt: skip


def known_agents() -> dict[str, dict[str, str]]:
    """What a person may write, and what each `does` and `needs`: nothing, a log, the loop, the hidden state."""
    named: dict[str, Any] = READY | learners()
    rows = {name: (entry.does, entry.needs) for name, entry in named.items()} | OTHER_WAYS
    return {name: {"does": does, "needs": needs} for name, (does, needs) in rows.items()}


@dataclass(frozen=True)
class AgentSpec:
    """An agent as a person named it.

    label: what results call it. make: builds it for a scene and settings; None for an agent that has to be trained
    first.
    """

    label: str
    make: Make | None

    @property
    def learns(self) -> bool:
        """Whether it has to be trained before it can act."""
        return self.make is None

    def build(
        self, scene: Scene, settings: Settings | None = None, seed: int = 0, on_progress: OnProgress | None = None
    ) -> CheckedAgent:
        """The agent, ready for the scene; one that learns is trained in it, with this seed (`train_strategy`).

        Raises InputError for an agent that does not fit the scene, AgentError for one that cannot be made.
        """
        settings = settings or Settings()
        if self.make is None:
            return checked(self.label, train_strategy(self.label, scene, settings, seed, on_progress).agent, scene)
        return checked(self.label, self.make(scene, settings), scene)


def checked(label: str, agent: Agent, scene: Scene) -> CheckedAgent:
    """The agent under a label, with its pages checked against the scene."""
    return CheckedAgent(label, agent, scene.world.slate_size, len(scene.vectors))


def find_agent(spec: str) -> AgentSpec:
    """Look an agent up: a name, a run folder, an address or `module:Class`. A name wins over a folder called the same.

    A name may have settings behind it, where a section of the settings is called like it: `similarity?words=0.5`.

    Raises InputError for an unknown name, a run folder without a checkpoint, or a class that cannot be imported.
    """
    if spec in READY:
        return AgentSpec(spec, READY[spec].make)
    if spec.partition("?")[0] in READY:
        return _with_settings(spec)
    if spec in learners():
        return AgentSpec(spec, None)
    if spec.startswith(SCHEMES):
        return AgentSpec(spec, lambda scene, settings: _remote(spec, scene, settings))
    folder = Path(spec)
    if spec and folder.is_dir():
        return _trained(folder)
    if is_own(spec) and not spec.startswith(STABLE_BASELINES):
        kind = own_class(spec)
        return AgentSpec(spec, None if learns(kind) else lambda scene, _: make_own(spec, kind, scene))
    known = known_agents()
    hint = "; no such folder" if "/" in spec else nearest(spec, known)
    raise InputError(f"unknown agent {spec!r}{hint}\nknown: {', '.join(known)}")


def _with_settings(spec: str) -> AgentSpec:
    """An agent with settings of its own, such as `similarity?words=0.5`, beside those that hold for all."""
    name, _, options = spec.partition("?")
    if name not in Settings.model_fields:
        raise InputError(f"agent {spec}: {name} has no settings of its own")
    with_options(getattr(Settings(), name), options, f"agent {spec}")  # what cannot be is told at once

    def make(scene: Scene, settings: Settings) -> Agent:
        own = with_options(getattr(settings, name), options, f"agent {spec}")
        return READY[name].make(scene, settings.model_copy(update={name: own}))

    return AgentSpec(spec, make)


def _trained(folder: Path) -> AgentSpec:
    """A run folder with one checkpoint, or one checkpoint of a run (runs/NAME/checkpoints/seed-0)."""
    folder = folder.resolve()
    if folder.parent.name == CHECKPOINTS:
        run, name = folder.parent.parent, folder.name
        return AgentSpec(f"{run.name}/{name}", lambda scene, _: load_trained(run, name, scene))
    if not (folder / MANIFEST).is_file():
        raise InputError(f"agent {folder.name}: the folder holds no run ({MANIFEST} is missing); expected train's")
    names = sorted(p.name for p in (folder / CHECKPOINTS).glob("[!.]*"))
    if len(names) != 1:
        found = f"{len(names)} checkpoints ({', '.join(names)}); name one, " if names else "no checkpoint; "
        example = f"such as {folder.name}/{CHECKPOINTS}/{names[0]}" if names else "train an agent into it first"
        raise InputError(f"agent {folder.name}: the run has {found}{example}")
    return AgentSpec(folder.name, lambda scene, _: load_trained(folder, names[0], scene))
