"""Other worlds that the same knowledge allows: a verdict that holds in one of them only says little of a strategy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zsr_sim.agents.oracle import OracleMyopic, OraclePlanner
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.config import WorldSettings
from zsr_sim.envs.noise import Purpose, normals
from zsr_sim.envs.population import FittedPopulation, MadeUpPopulation
from zsr_sim.envs.replicates import bootstrap
from zsr_sim.envs.world import World
from zsr_sim.experiment import TEST_SHARE, WORLD_SEED, Scene, joined_by, population_of

UNKNOWN = (
    "boredom",
    "drift_rate",
    "leave_slope",
    "examination_decay",
    "appeal_weight",
    "quality_slope",
    "return_slope",
)
"""What no log of consumption shows, and users differ in little: drawn anew for each world, by a factor."""
SPREAD = 0.3  # of the logarithm of that factor: two worlds in three lie within 26 % below and 35 % above
LEAVE_SPREAD = 0.3  # of the log-odds of leaving


def agents_in(world: World, agents: Mapping[str, CheckedAgent]) -> dict[str, CheckedAgent]:
    """The agents as they are in another world: those that know the laws and the items know the ones that hold there."""
    return {
        name: replace(checked, agent=replace(checked.agent, world=world))
        if isinstance(checked.agent, OracleMyopic | OraclePlanner)
        else checked
        for name, checked in agents.items()
    }


def other_users(scene: Scene, replicate: int) -> MadeUpPopulation | FittedPopulation:
    """The users of another world, for evaluation; replicates count from 0.

    Users of a log: fitted to a bootstrap sample of its users (`zsr_sim.envs.replicates`), with the items as these see
    them (`items`). Made-up users: other people.
    In both cases the parameters that no such log shows are drawn anew around their settings (`drawn_settings`).
    """
    shown = {line.name for line in scene.fit_report if line.fitted}
    settings, log = drawn_settings(scene.settings, replicate, shown), scene.dataset.interactions
    resampled = None if log is None else bootstrap(log, WORLD_SEED, replicate)
    population = population_of(
        scene.items, scene.features, resampled, settings, scene.shown, WORLD_SEED + 1 + replicate
    )
    return joined_by(scene.described, population).split(TEST_SHARE, WORLD_SEED)[1]


def drawn_settings(settings: WorldSettings, replicate: int, shown: Collection[str] = ()) -> WorldSettings:
    """Settings with what a log cannot show drawn anew: log-normal factors, the log-odds of leaving a normal step.

    What is switched off (0) stays off; what the log has `shown` is left to the fit.
    """
    z = normals(WORLD_SEED, np.array([replicate]), 0, Purpose.OTHER_WORLD, len(UNKNOWN) + 1)[0]
    factors = np.exp(SPREAD * z[1:])
    changes: dict[str, Any] = {
        name: getattr(settings, name) * float(factor) for name, factor in zip(UNKNOWN, factors, strict=True)
    }
    changes |= {"drift_rate": min(changes["drift_rate"], 1.0), "leave_bias": settings.leave_bias + LEAVE_SPREAD * z[0]}
    return settings.model_copy(update={name: value for name, value in changes.items() if name not in shown})
