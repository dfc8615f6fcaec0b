"""Strategies that learn, in tiny worlds that are solved exactly: what share of the optimum they reach.

`python -m tests.agents.known_answers --seeds 0 1 2 3 4` prints it for each world, learner and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.envs.exact import BOREDOM, CLICKBAIT, TinyWorld
from zsr_sim.agents.policy_gradient import PolicyGradientTrainer
from zsr_sim.agents.protocol import Agent
from zsr_sim.agents.stable_baselines import StableBaselinesTrainer
from zsr_sim.config import AgentSettings, Settings
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.stage import Stage
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.envs.visits import simulate
from zsr_sim.envs.world import World
from zsr_sim.generation.candidates import SOURCES, Candidates
from zsr_sim.generation.retrieval import Retrieval

UPDATES = {("boredom", "policy-gradient"): 80, ("clickbait", "policy-gradient"): 40, ("boredom", "sb3:PPO"): 30,
           ("clickbait", "sb3:PPO"): 50}  # fmt: skip
WORLDS = {"boredom": BOREDOM, "clickbait": CLICKBAIT}
SETTINGS: AgentSettings = Settings().agent.model_copy(
    update={
        "users": 512, "hidden": 32, "minibatch": 512, "learning_rate": 5e-3, "entropy": 0.02, "discount": 1.0
    }
)  # fmt: skip
"""The optimum is that of the whole visit: discount 1. With less entropy the choice settles before it is learned."""


THEIR_SETTINGS = SETTINGS.model_copy(update={"epochs": 10, "minibatch": 256, "learning_rate": 3e-3, "entropy": 0.01})
"""SB3's network reads all candidates side by side: it takes more passes over the same visits to tell pages apart."""


@dataclass(frozen=True)
class EachItem:
    """The candidates are the items, one on a page, always all of them; popularity tells of their appeal."""

    retrieval: Retrieval
    slate_size: int = 1

    @property
    def n_candidates(self) -> int:
        return len(self.retrieval.vectors)

    def candidates(self, observation: Observation) -> Candidates:
        n, m = len(observation), self.n_candidates
        items = np.tile(np.arange(m, dtype=np.int32)[:, None], (n, 1, 1))
        return Candidates(
            items, np.full((n, m), SOURCES.index("neighbours"), np.int8), np.full((n, m), 0.5, np.float32)
        )


def source_of(tiny: TinyWorld) -> EachItem:
    """All items of a tiny world."""
    popularity = np.exp(2 * np.array(tiny.appeal, dtype=np.float32))
    return EachItem(Retrieval(tiny.world().items.vectors, popularity))


def ours(tiny: TinyWorld, updates: int, seed: int, world: World | None = None) -> Agent:
    """`policy-gradient` after so many updates."""
    trainer = PolicyGradientTrainer(
        world or tiny.world(), tiny.users(), source_of(tiny), SETTINGS, tiny.horizon, seed
    )  # fmt: skip
    for _ in range(updates):
        trainer.step()
    return trainer.agent


class Ending(RecommendationVectorEnv):
    """A visit ends after its last page. A time limit would cut it off, and PPO would count on pages that never come."""

    def step(self, actions: NDArray[Any]) -> Any:
        """See `VisitVectorEnv.step`."""
        observation, rewards, terminated, truncated, info = super().step(actions)
        return observation, rewards, terminated | truncated, np.zeros_like(truncated), info


def theirs(tiny: TinyWorld, updates: int, seed: int) -> Agent:
    """`sb3:PPO` likewise."""
    stage = Stage.of(tiny.world(), tiny.users(), source_of(tiny))
    env = Ending.on(stage, THEIR_SETTINGS.users, tiny.horizon)
    trainer = StableBaselinesTrainer("PPO", env, THEIR_SETTINGS, seed)
    for _ in range(updates):
        trainer.step()
    return trainer.agent


def earned(tiny: TinyWorld, agent: Agent, n: int = 20_000) -> tuple[float, float]:
    """Expected clicks of a visit under an agent, and their standard error."""
    visits = simulate(tiny.world(), tiny.users(), np.arange(n) + 2**40, agent, 77, tiny.horizon)
    return float(visits.expected_returns.mean()), float(visits.expected_returns.std() / np.sqrt(n))


LEARNERS: dict[str, Callable[[TinyWorld, int, int], Agent]] = {"policy-gradient": ours, "sb3:PPO": theirs}


def main() -> None:
    """Print the share of the optimum that each learner reaches in each world with each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS), choices=list(LEARNERS))
    asked = parser.parse_args()
    for world in asked.worlds:
        tiny = WORLDS[world]
        best = tiny.solve()[0]
        for name in asked.learners:
            learn = LEARNERS[name]
            for seed in asked.seeds:
                mean, error = earned(tiny, learn(tiny, UPDATES[world, name], seed))
                print(f"{world} {name} seed {seed}: {mean / best:.4f} +- {1.96 * error / best:.4f}", flush=True)


if __name__ == "__main__":
    main()
