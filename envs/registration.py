"""The Gymnasium ids.

Entry points are strings: what the environments need is imported by `gymnasium.make`, not by `import zsr_sim`.
"""

import gymnasium

RECOMMENDATION = "zsr_sim/Recommendation-v0"
SLATE_RECOMMENDATION = "zsr_sim/SlateRecommendation-v0"
PROTO_RECOMMENDATION = "zsr_sim/ProtoRecommendation-v0"
MAX_EPISODE_STEPS = 20
"""Pages after which `gymnasium.make` cuts a visit off (`truncated`), unless it is told otherwise."""

_CLASSES = {
    RECOMMENDATION: "Recommendation",
    SLATE_RECOMMENDATION: "SlateRecommendation",
    PROTO_RECOMMENDATION: "ProtoRecommendation",
}


def register() -> None:
    """Make the ids known to Gymnasium; `import zsr_sim` does it."""
    if RECOMMENDATION in gymnasium.registry:  # the package was imported anew, in a notebook say
        return
    for name, stem in _CLASSES.items():
        gymnasium.register(
            name,
            entry_point=f"zsr_sim.envs.recommendation:{stem}Env",
            vector_entry_point=f"zsr_sim.envs.vector:{stem}VectorEnv",
            max_episode_steps=MAX_EPISODE_STEPS,
        )


def known_envs() -> dict[str, str]:
    """The ids, and one line on what each is for."""
    return {
        RECOMMENDATION: "Discrete: show one of the candidate pages; for policy gradients and any SB3 agent",
        SLATE_RECOMMENDATION: "MultiDiscrete: compose the page from a pool of items; for slate agents",
        PROTO_RECOMMENDATION: "Box: a point in item space, whose nearest items are shown; for continuous control",
    }
