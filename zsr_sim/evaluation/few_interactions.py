"""How well strategies do when there is little to go on: ranking of the next item after 1, 3, 10, ... interactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.next_items import NextItems, last_items, ndcg
from zsr_sim.agents.protocol import AgentError, Scoring
from zsr_sim.agents.registry import find_agent
from zsr_sim.config import Settings
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene
from zsr_sim.interactions import Interactions

SIZES = (1, 3, 10, 30)
TEST_SHARE = 0.2  # of the users, on whom the rankings are tried


@dataclass(frozen=True)
class LearningCurve:
    """Mean NDCG at 10 of one strategy.

    sizes: interactions a user. values: float64 (seeds, sizes), one row for each training.
    """

    strategy: str
    sizes: tuple[int, ...]
    values: NDArray[np.float64]


def learning_curves(
    scene: Scene,
    settings: Settings,
    strategies: Sequence[str] = ("popularity", "similarity", "hybrid", "few-shot"),
    seeds: Sequence[int] = (0, 1, 2),
    sizes: tuple[int, ...] = SIZES,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[LearningCurve], dict[str, AgentError]]:
    """Learning curves over the number of interactions that are known of each user; and who failed, with the reason.

    For each size k every strategy learns from the last k + 1 interactions of each training user alone; then it ranks
    all new items for users that it has not met, of whom the k interactions before the last one are known. What it has
    to find, and for whom, is the same for all k. `progress` is called with (trainings done, trainings in all).

    Raises InputError for strategies that cannot learn from such a log, or that have no scores; AgentError where all
    fail.
    """
    done, total = 0, len(strategies) * len(seeds) * len(sizes)
    failed: dict[str, AgentError] = {}
    values = {name: np.zeros((len(seeds), len(sizes))) for name in strategies}
    for row, seed in enumerate(seeds):
        test, train = scene.log.split_users(TEST_SHARE, seed)
        wanted = last_items(test)
        for column, size in enumerate(sizes):
            log = last_of_each(train, size + 1)
            part = scene.learning_from(log).reading(settings.history)
            known = NextItems(wanted.histories[:, -size:], wanted.targets)
            for name in strategies:
                if name not in failed:
                    try:
                        values[name][row, column] = _trained(name, part, settings, seed, known)
                    except AgentError as error:
                        failed[name] = error
                        if len(failed) == len(values):
                            raise
                done += 1
                if progress:
                    progress(done, total)
    return [LearningCurve(name, sizes, values[name]) for name in values if name not in failed], failed


def _trained(name: str, scene: Scene, settings: Settings, seed: int, known: NextItems) -> float:
    """NDCG at 10 of one strategy that learned from the scene's log."""
    agent = find_agent(name).build(scene, settings, seed)
    if not isinstance(agent, Scoring):
        raise InputError(f"agent {name} has no scores to rank by; name one that has, such as similarity or few-shot")
    return ndcg(agent, known)


def last_of_each(log: Interactions, most: int) -> Interactions:
    """The last `most` interactions of each user."""
    ends = log.starts[1:][log.users]  # (m,), where each row's user ends
    return log.where(np.arange(len(log)) >= ends - most)
