"""How long the policy gradient takes to earn what stable-baselines3's PPO comes to, among the same candidate pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zsr_sim.config import Settings
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.learning import POLICY_GRADIENT, train_strategy

PEER = "sb3:PPO"
WINDOW = 3  # updates that a return is averaged over


def bench_training(data: str, settings: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Train both on the same users, retrieved candidates only, for `agent.updates` updates each.

    `level`: the mean return of the peer's last WINDOW updates. Of each: `return`, its own of the last WINDOW updates;
    seconds and CPU seconds (of all threads) of the whole training, and until the mean over WINDOW updates first came to
    the level (None: never); `user_steps_per_second` over the whole training. `ratio`: of the CPU seconds until then,
    the peer's over ours; None where ours never came to it.
    """
    only_retrieved = {
        "generator": settings.generator.model_copy(update={"candidates": 0}),
        "agent": settings.agent.model_copy(update={"composed": 0}),
    }
    settings = settings.model_copy(update=only_retrieved)
    once = settings.model_copy(update={"agent": settings.agent.model_copy(update={"updates": 1})})
    scene = make_scene(data, settings.world)
    curves = {}
    for name in (PEER, POLICY_GRADIENT):
        train_strategy(name, scene, once, 0)  # compiles, and fills caches
        tell(f"training {name}")
        curves[name] = _Curve(name, scene, settings)
    level = curves[PEER].ends_at
    found = {name: curve.figures(level) for name, curve in curves.items()}
    ours, peer = (found[name]["cpu_seconds_to_level"] for name in (POLICY_GRADIENT, PEER))
    sizes = {"users": settings.agent.users, "updates": settings.agent.updates, "items": len(scene.vectors)}
    return sizes | {"level": level} | found | {"ratio": None if ours is None else peer / ours}


class _Curve:
    """A training, with the time at which each update ended."""

    def __init__(self, name: str, scene: Scene, settings: Settings) -> None:
        self._returns, self._pages = list[float](), 0.0
        self._seconds, self._cpu = list[float](), list[float]()
        begin, cpu = time.perf_counter(), time.process_time()

        def report(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
            self._seconds.append(time.perf_counter() - begin)
            self._cpu.append(time.process_time() - cpu)
            self._returns.append(figures["return"])
            self._pages += figures["visit_length"] * settings.agent.users

        train_strategy(name, scene, settings, 0, report)

    @property
    def ends_at(self) -> float:
        """Mean return of the last WINDOW updates."""
        return float(np.mean(self._returns[-WINDOW:]))

    def figures(self, level: float) -> dict[str, Any]:
        there = first_at(self._returns, level)
        return {
            "return": self.ends_at,
            "seconds": self._seconds[-1],
            "cpu_seconds": self._cpu[-1],
            "seconds_to_level": None if there is None else self._seconds[there],
            "cpu_seconds_to_level": None if there is None else self._cpu[there],
            "user_steps_per_second": self._pages / self._seconds[-1],
        }


def first_at(returns: Sequence[float], level: float) -> int | None:
    """The first update after which the mean of the latest WINDOW returns is at `level` or above; None: never.

    >>> first_at([1.0, 2.0, 3.0, 4.0, 8.0], 3.0)
    3
    """
    for last in range(WINDOW - 1, len(returns)):
        if np.mean(returns[last + 1 - WINDOW : last + 1]) >= level:
            return last
    return None
