"""The Gymnasium ids.

Entry points are strings: what the environments need is imported by `gymnasium.make`, not by `import zsr_sim`.
"""

import gymnasium

RECOMMENDATION = "zsr_sim/Recommendation-v0"
MAX_EPISODE_STEPS = 20
"""Pages after which `gymnasium.make` cuts a visit off (`truncated`), unless it is told otherwise."""


def register() -> None:
    """Make the ids known to Gymnasium; `import zsr_sim` does it."""
    if RECOMMENDATION in gymnasium.registry:  # the package was imported anew, in a notebook say
        return
    gymnasium.register(
        RECOMMENDATION,
        entry_point="zsr_sim.envs.recommendation:RecommendationEnv",
        vector_entry_point="zsr_sim.envs.vector:RecommendationVectorEnv",
        max_episode_steps=MAX_EPISODE_STEPS,
    )


def known_envs() -> dict[str, str]:
    """The ids, and one line on what each is for."""
    return {RECOMMENDATION: "Discrete: show one of the candidate pages; for policy gradients and any SB3 agent"}
