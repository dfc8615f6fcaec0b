"""Other worlds that the same knowledge allows: a verdict that holds in one of them only says little of a strategy."""

from __future__ import annotations

from typing import Any

import numpy as np

from zsr_sim.config import WorldSettings
from zsr_sim.envs.fitting import fit
from zsr_sim.envs.noise import Purpose, normals
from zsr_sim.envs.population import MadeUpPopulation, Population
from zsr_sim.envs.replicates import bootstrap
from zsr_sim.experiment import TEST_SHARE, WORLD_SEED, Scene

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


def other_users(scene: Scene, replicate: int) -> Population:
    """The users of another world, for evaluation; replicates count from 0.

    Users of a log: fitted to a bootstrap sample of its users (`zsr_sim.envs.replicates`). Made-up users: other people.
    In both cases the parameters that no such log shows are drawn anew around their settings (`drawn_settings`).
    """
    settings, log = drawn_settings(scene.settings, replicate), scene.dataset.interactions
    items, seed = scene.world.items, WORLD_SEED
    if log is None:
        made_up = MadeUpPopulation.create(items, settings, seed + 1 + replicate, settings.interests)
        return made_up.split(TEST_SHARE, seed)[1]
    return fit(items, bootstrap(log, seed, replicate), settings, seed, settings.interests).split(TEST_SHARE, seed)[1]


def drawn_settings(settings: WorldSettings, replicate: int) -> WorldSettings:
    """Settings with what a log cannot show drawn anew: log-normal factors, the log-odds of leaving a normal step.

    What is switched off (0) stays off.
    """
    z = normals(WORLD_SEED, np.array([replicate]), 0, Purpose.OTHER_WORLD, len(UNKNOWN) + 1)[0]
    factors = np.exp(SPREAD * z[1:])
    changes: dict[str, Any] = {
        name: getattr(settings, name) * float(factor) for name, factor in zip(UNKNOWN, factors, strict=True)
    }
    changes |= {"drift_rate": min(changes["drift_rate"], 1.0), "leave_bias": settings.leave_bias + LEAVE_SPREAD * z[0]}
    return WorldSettings.model_validate(settings.model_dump() | changes)
