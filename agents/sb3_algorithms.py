"""What stable-baselines3 (SB3) is told: its algorithms' arguments from our settings, and what of its log is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gymnasium import spaces

from zsr_sim.config import AgentSettings
from zsr_sim.envs.vector import (
    ProtoRecommendationVectorEnv,
    RecommendationVectorEnv,
    SlateRecommendationVectorEnv,
    VisitVectorEnv,
)

ENVIRONMENTS: dict[str, type[VisitVectorEnv]] = {
    "candidates": RecommendationVectorEnv,
    "slate": SlateRecommendationVectorEnv,
    "proto": ProtoRecommendationVectorEnv,
}
"""The environments by what is chosen in them: a candidate page, the items of a page one by one, a point in item space.
"""
_BUFFER = 20_000  # pages that off-policy algorithms remember: 100 MB of observations
_BATCH = 256
_PASSES_PER_PAGE = 0.02  # gradient steps of off-policy algorithms: one for every fifty pages shown


@dataclass(frozen=True)
class Algorithm:
    """arguments: of the algorithm, from (settings, steps of an update in each row, rows). figures: names of SB3's log.

    actions: the spaces that it can choose in. environment: where it is trained unless the settings say otherwise.
    """

    arguments: Callable[[AgentSettings, int, int], dict[str, Any]]
    figures: dict[str, str]
    actions: tuple[type[spaces.Space[Any]], ...]
    environment: str = "candidates"


_ANY = (spaces.Discrete, spaces.MultiDiscrete, spaces.Box)
_COMMON = {
    "value_loss": "train/value_loss",
    "entropy": "train/entropy_loss",
    "explained_variance": "train/explained_variance",
}


def _ppo(settings: AgentSettings, steps: int, rows: int) -> dict[str, Any]:
    """Minibatches divide an update's pages, or SB3 would leave a last one too small."""
    pages = steps * rows
    return {
        "n_steps": steps,
        "learning_rate": settings.learning_rate,
        "gamma": settings.discount,
        "gae_lambda": settings.gae_lambda,
        "clip_range": settings.clip,
        "ent_coef": settings.entropy,
        "n_epochs": settings.epochs,
        "batch_size": next(size for size in range(min(settings.minibatch, pages), 0, -1) if pages % size == 0),
    }


def _a2c(settings: AgentSettings, steps: int, rows: int) -> dict[str, Any]:
    return {
        "n_steps": next(size for size in range(min(5, steps), 0, -1) if steps % size == 0),
        "learning_rate": settings.learning_rate,
        "gamma": settings.discount,
        "gae_lambda": settings.gae_lambda,
        "ent_coef": settings.entropy,
    }


def _off_policy(settings: AgentSettings, steps: int, rows: int) -> dict[str, Any]:
    return {
        "learning_rate": settings.learning_rate,
        "gamma": settings.discount,
        "buffer_size": _BUFFER,
        "batch_size": _BATCH,
        "learning_starts": min(4 * _BATCH, steps * rows),
        "train_freq": 1,
        "gradient_steps": max(1, round(_PASSES_PER_PAGE * rows)),
    }


def _dqn(settings: AgentSettings, steps: int, rows: int) -> dict[str, Any]:
    """A tenth of the actions is random, throughout: SB3 would begin its schedule anew with each update."""
    explore = {"exploration_initial_eps": 0.1, "exploration_final_eps": 0.1}
    return _off_policy(settings, steps, rows) | explore | {"target_update_interval": 10 * rows}


ALGORITHMS = {
    "PPO": Algorithm(
        _ppo, _COMMON | {"policy_loss": "train/policy_gradient_loss", "clipped": "train/clip_fraction"}, _ANY
    ),
    "A2C": Algorithm(_a2c, _COMMON | {"policy_loss": "train/policy_loss"}, _ANY),
    "DQN": Algorithm(_dqn, {"value_loss": "train/loss"}, (spaces.Discrete,)),
    "SAC": Algorithm(
        _off_policy,
        {"policy_loss": "train/actor_loss", "value_loss": "train/critic_loss", "temperature": "train/ent_coef"},
        (spaces.Box,),
        "proto",
    ),
}
"""The SB3 algorithms that can be trained here."""
