"""The environments side by side: what holds for one of the ids must hold for all."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

from zsr_sim.envs.recommendation import ProtoRecommendationEnv, RecommendationEnv, SlateRecommendationEnv, VisitEnv
from zsr_sim.envs.stage import Stage
from zsr_sim.envs.vector import (
    ProtoRecommendationVectorEnv,
    RecommendationVectorEnv,
    SlateRecommendationVectorEnv,
    VisitVectorEnv,
)


@dataclass(frozen=True)
class Kind:
    """One of the environments, single and batched, with options that suit a tiny stage."""

    single: type[VisitEnv[Any]]
    batched: type[VisitVectorEnv]
    options: dict[str, Any] = field(default_factory=dict)

    def make(self, stage: Stage, max_episode_steps: int | None = 20, **options: Any) -> Any:
        """What `gymnasium.make` returns for the id, on a stage made by hand."""

        def create(**given: Any) -> gymnasium.Env[Any, Any]:
            return self.single.on(stage, **self.options, **given)

        spec = EnvSpec("Tiny-v0", entry_point=create, max_episode_steps=max_episode_steps)
        return gymnasium.make(spec, **options)

    def make_vec(self, stage: Stage, n: int, max_episode_steps: int | None = 20, **options: Any) -> VisitVectorEnv:
        """The batched environment on a stage made by hand."""
        return self.batched.on(stage, n, max_episode_steps, **self.options, **options)


KINDS = {
    "pages": Kind(RecommendationEnv, RecommendationVectorEnv),
    "pool": Kind(SlateRecommendationEnv, SlateRecommendationVectorEnv, {"n_pool": 7}),
    "catalogue": Kind(SlateRecommendationEnv, SlateRecommendationVectorEnv, {"n_pool": None}),
    "point": Kind(ProtoRecommendationEnv, ProtoRecommendationVectorEnv),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
