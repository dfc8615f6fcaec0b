"""Strategies that learn from the scene's log alone, as entries of the table of learners.

They learn in a minute or so: one that was stopped begins again.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zsr_sim.agents.few_shot import FewShot, train_few_shot
from zsr_sim.agents.hybrid import Hybrid, train_hybrid
from zsr_sim.agents.next_items import split_for_validation
from zsr_sim.config import Settings
from zsr_sim.experiment import Scene
from zsr_sim.progress import OnProgress, Progress, under
from zsr_sim.trained import Learner, Trained, item_keys, kept

_PHASE = "log"


def _train_hybrid(scene: Scene, settings: Settings, seed: int, report: OnProgress, _: Progress) -> Trained:
    agent, figures = train_hybrid(
        scene.log, scene.retrieval, scene.world.slate_size, item_keys(scene.dataset.catalogue), settings.hybrid, seed,
        lambda done, total, now: report(_PHASE, done, total, now),
    )  # fmt: skip
    return kept("hybrid", agent, {_PHASE: figures}, scene, settings, seed)


def _restore_hybrid(tensors: dict[str, Tensor], facts: dict[str, Any], settings: Settings, scene: Scene) -> Hybrid:
    own, size = under("agent", tensors), scene.world.slate_size
    return Hybrid.restore(own, facts["agent"], scene.retrieval, size, item_keys(scene.dataset.catalogue))


def _train_few_shot(scene: Scene, settings: Settings, seed: int, report: OnProgress, _: Progress) -> Trained:
    agent, figures = train_few_shot(
        scene.log, scene.retrieval, scene.world.slate_size, settings.few_shot, seed,
        lambda done, total, now: report(_PHASE, done, total, now),
    )  # fmt: skip
    return kept("few-shot", agent, {_PHASE: figures}, scene, settings, seed)


def _restore_few_shot(tensors: dict[str, Tensor], facts: dict[str, Any], settings: Settings, scene: Scene) -> FewShot:
    own, size = under("agent", tensors), scene.world.slate_size
    return FewShot.restore(own, facts["agent"], scene.retrieval, size, settings.few_shot)


LOG_LEARNERS = {
    "hybrid": Learner(
        "what others consumed together, plus what texts have in common, trained together", "a log", False,
        _train_hybrid, _restore_hybrid, lambda scene, _: _require_users(scene, "hybrid"),
    ),
    "few-shot": Learner(
        "a sequence model over text vectors, and the taste of people like you", "a log", False,
        _train_few_shot, _restore_few_shot, lambda scene, _: _require_users(scene, "few-shot"),
    ),
}  # fmt: skip


def _require_users(scene: Scene, who: str) -> None:
    split_for_validation(scene.log, 0, who)
