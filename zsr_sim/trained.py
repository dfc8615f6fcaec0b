"""What training leaves: a strategy that acts, and all that has to be kept of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.agents.protocol import Agent
from zsr_sim.catalogue import Catalogue
from zsr_sim.config import Settings
from zsr_sim.encoders.attention import AttentionHistories
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.experiment import Scene
from zsr_sim.progress import OnProgress, Progress
from zsr_sim.runs import Run


@dataclass(frozen=True)
class Trained:
    """A strategy after its training: ready to act, and what has to be kept of it.

    tensors: all weights, and the item space it sees texts in. facts: everything else that `load_trained` needs; JSON.
    figures: of each phase, at its end.
    """

    agent: Agent
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    figures: dict[str, dict[str, float]]

    def final_figures(self) -> dict[str, dict[str, float | None]]:
        """The figures at the end of each phase, ready for JSON: None where one is not finite."""
        return {
            phase: {name: value if math.isfinite(value) else None for name, value in figures.items()}
            for phase, figures in self.figures.items()
        }

    def save(self, run: Run, name: str) -> None:
        """Write checkpoints/<name> of a run."""
        run.save_checkpoint(name, self.tensors, self.facts)


@dataclass(frozen=True)
class Learner:
    """A strategy that is trained before it acts.

    does, needs: one line on each, for a person. in_the_loop: whether it learns among the simulated users (its figures
    hold a `return`), or from the scene's log alone. train: with the arguments of `train_strategy`. restore: makes of
    (tensors, facts, settings, scene) the agent that a `Trained` was. require: as `require_trainable`. phases: of the
    training under these settings.
    """

    does: str
    needs: str
    in_the_loop: bool
    train: Callable[[Scene, Settings, int, OnProgress, Progress], Trained]
    restore: Callable[[dict[str, Tensor], dict[str, Any], Settings, Scene], Agent]
    require: Callable[[Scene, Settings], None] = lambda scene, settings: None
    phases: Callable[[Settings], int] = lambda settings: 1


class Keeps(Protocol):
    """An agent that knows what has to be kept of it."""

    def act(self, observation: Observation) -> Decision:
        """See `zsr_sim.agents.protocol.Agent`."""

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts."""


def kept(
    kind: str, agent: Keeps, figures: dict[str, dict[str, float]], scene: Scene, settings: Settings, seed: int
) -> Trained:
    """The agent with its tensors under "agent." and its facts under "agent"."""
    tensors, own = agent.checkpoint()
    named = {f"agent.{name}": value for name, value in tensors.items()}
    return Trained(agent, named | space_tensors(scene), facts(kind, scene, settings, seed) | {"agent": own}, figures)


def item_keys(catalogue: Catalogue) -> NDArray[np.int64]:
    """By what an item is known again in another catalogue, where its id alone means nothing: a hash of id and text."""
    pairs = zip(catalogue.item_ids, catalogue.texts, strict=True)
    digests = (hashlib.sha256(f"{name}\0{text}".encode()).digest()[:8] for name, text in pairs)
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def space_tensors(scene: Scene) -> dict[str, Tensor]:
    """The spaces that the strategy sees texts in, and what its history encoder has learned."""
    reader, features = scene.retrieval.history, scene.retrieval.features
    learned = {f"history.{k}": v for k, v in reader.tensors().items()} if isinstance(reader, AttentionHistories) else {}
    told = {} if features is None else {f"features.{k}": v for k, v in features.space.tensors().items()}
    return {"space.components": torch.from_numpy(scene.space.components)} | learned | told


def facts(kind: str, scene: Scene, settings: Settings, seed: int) -> dict[str, Any]:
    """What every checkpoint tells; JSON."""
    features = scene.retrieval.features
    return ({} if features is None else {"features": features.space.facts()}) | {
        "kind": kind,
        "seed": seed,
        "data": scene.dataset.catalogue.name,
        "dimensions": scene.space.dimensions,
        "slate_size": scene.world.slate_size,
        "encoder": scene.encoder,
        "encoder_fingerprint": scene.encoder_fingerprint,
        "settings": settings.model_dump(mode="json"),
    }
