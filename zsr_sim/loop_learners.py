"""Strategies that learn among the simulated users, as entries of the table of learners."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zsr_sim.agents.bandit import Bandit, BanditTrainer, Kind
from zsr_sim.agents.top_k import LoggedPages, LoggedTopKTrainer, TopK, TopKTrainer
from zsr_sim.config import Settings
from zsr_sim.experiment import Scene
from zsr_sim.generation.candidates import RetrievalCandidates
from zsr_sim.log_files import REWARDS, logged_pages
from zsr_sim.progress import OnProgress, Progress, run_updates, under
from zsr_sim.trained import Learner, Trained, kept


def _proposals(scene: Scene, settings: Settings) -> RetrievalCandidates:
    return RetrievalCandidates(scene.retrieval, scene.world.slate_size, settings.agent.candidates)


def _train_bandit(
    kind: Kind, scene: Scene, settings: Settings, seed: int, report: OnProgress, progress: Progress
) -> Trained:
    trainer = BanditTrainer(
        kind, scene.world, scene.train, _proposals(scene, settings), settings.bandit, settings.agent,
        settings.world.horizon, seed,
    )  # fmt: skip
    figures = run_updates(trainer, settings.agent.updates, report, progress)
    return kept(kind, trainer.agent, {"policy": figures}, scene, settings, seed)


def _restore_bandit(tensors: dict[str, Tensor], facts: dict[str, Any], settings: Settings, scene: Scene) -> Bandit:
    return Bandit.restore(under("agent", tensors), facts["agent"], _proposals(scene, settings))


def train_top_k(
    kind: str, scene: Scene, settings: Settings, seed: int, report: OnProgress, progress: Progress
) -> Trained:
    """The policy gradient that learns off-policy, item by item; under the name `kind`.

    From the log `agent.log` where one is named, else from one that it makes itself, of evenly drawn pages.
    """
    source, own = _proposals(scene, settings), settings.agent
    if own.log:
        trainer: TopKTrainer = LoggedTopKTrainer(
            scene.world, scene.train, source, own, settings.world.horizon, seed, _logged(Path(own.log), scene)
        )
    else:
        trainer = TopKTrainer(scene.world, scene.train, source, own, settings.world.horizon, seed)
    figures = run_updates(trainer, settings.agent.updates, report, progress)
    return kept(kind, trainer.agent, {"policy": figures}, scene, settings, seed)


def _logged(path: Path, scene: Scene) -> LoggedPages:
    log, observed = logged_pages(path, scene)
    return LoggedPages(observed, log.items, log.reward(REWARDS), log.propensity, log.users.astype(np.int64))


def restore_top_k(tensors: dict[str, Tensor], settings: Settings, scene: Scene) -> TopK:
    """The agent of such a training."""
    return TopK.restore(under("agent", tensors), settings.agent.hidden, _proposals(scene, settings))


LOOP_LEARNERS = {
    "linucb": Learner(
        "a contextual bandit that is optimistic about what it knows little of", "the loop", True,
        partial(_train_bandit, "linucb"), _restore_bandit,
    ),
    "thompson": Learner(
        "a contextual bandit that acts on what it draws from its beliefs", "the loop", True,
        partial(_train_bandit, "thompson"), _restore_bandit,
    ),
}  # fmt: skip
