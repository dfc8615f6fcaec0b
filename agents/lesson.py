"""What an agent of a person's own learns from before it acts: the log, the closed loop, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.agents.protocol import Agent, CheckedAgent
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import observe, show
from zsr_sim.envs.world import World
from zsr_sim.interactions import Interactions

NEEDS = ("a log", "the loop", "the loop, a log")
"""What a class may say that it needs."""

Told = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Page:
    """What users were shown at one step of their visits, and what came of it: a row for each who was still there.

    observation: before the page. slates: int32 (k, slate_size). clicks: bool, likewise. rewards: float64 (k,). users:
    int64 (k,), which of the visits each row is, 0 .. n - 1.
    """

    observation: Observation
    slates: NDArray[np.int32]
    clicks: NDArray[np.bool_]
    rewards: NDArray[np.float64]
    users: NDArray[np.int64]


@dataclass
class Lesson:
    """Handed to `Learning.learn`.

    name: of the agent. log: what the training users consumed before any recommender, rows of the catalogue. seed: of
    the training. updates, users: how often the settings want it to play, and how many visits each time
    (`agent.updates`, `agent.users`). played: how often it has.
    """

    name: str
    log: Interactions
    seed: int
    updates: int
    users: int
    world: World
    population: Population
    horizon: int
    told: Told
    played: int = 0

    def play(self, agent: Agent) -> list[Page]:
        """Visits of users whom nobody has met yet, under an agent as it acts now: a page for each step.

        The mean return of the visits is noted as a point of the reward curve. Raises AgentError where a page cannot be
        shown.
        """
        ids = np.arange(self.users, dtype=np.int64) + self.played * self.users
        state = self.world.start(self.population.visit(ids), self.seed)
        checked = CheckedAgent(self.name, agent, self.world.slate_size, len(self.world.items))
        pages: list[Page] = []
        for _ in range(self.horizon):
            here = np.flatnonzero(state.present)
            if not len(here):
                break
            observation = observe(state).take(here)
            slates = np.ascontiguousarray(checked.act(observation).slates, dtype=np.int32)
            feedback = show(self.world, state, here, slates)
            pages.append(Page(observation, slates, feedback.clicks[here], feedback.reward[here].astype(float), here))
        self.played += 1
        total, shown = sum(page.rewards.sum() for page in pages), sum(len(page.users) for page in pages)
        clicks = sum(int(page.clicks.sum()) for page in pages)
        self.told(
            self.played,
            {
                "return": total / self.users,
                "visit_length": shown / self.users,
                "click_rate": clicks / (shown * self.world.slate_size),
            },
        )
        return pages


@runtime_checkable
class Learning(Protocol):
    """An agent of your own that is trained before it acts: `train`, `compare` and the others train and keep it.

    needs: one of NEEDS, an attribute of the class.
    """

    needs: str

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Learn from `lesson.log`, from `lesson.play(self)`, or from both; returns figures of the end, finite."""

    def checkpoint(self) -> tuple[dict[str, Tensor | NDArray[Any]], dict[str, Any]]:
        """All that was learned: tensors or arrays by name, and facts, ready for JSON."""

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Put back what `checkpoint` gave into a new agent, which may be of another catalogue."""
