"""Learning in worlds that are solved exactly: nearly the optimum where there is one, nothing where there is nothing."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.envs.exact import BOREDOM, CLICKBAIT, TinyWorld
from zsr_sim.agents.oracle import OracleMyopic
from zsr_sim.agents.policy_gradient import PolicyGradientTrainer
from zsr_sim.agents.protocol import Agent
from zsr_sim.agents.stable_baselines import StableBaselinesTrainer
from zsr_sim.config import AgentSettings, Settings
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.stage import Stage
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.envs.visits import simulate
from zsr_sim.envs.world import World, WorldState
from zsr_sim.generation.candidates import SOURCES, Candidates
from zsr_sim.generation.retrieval import Retrieval

UPDATES = 40


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
    popularity = np.exp(2 * np.array(tiny.appeal, dtype=np.float32))
    return EachItem(Retrieval(tiny.world().items.vectors, popularity))


def settings(**changes: object) -> AgentSettings:
    small = {"users": 256, "hidden": 32, "minibatch": 256, "learning_rate": 5e-3, "entropy": 0.003, "discount": 1.0}
    return Settings().agent.model_copy(update=small | changes)


def ours(tiny: TinyWorld, seed: int, world: World | None = None) -> Agent:
    trainer = PolicyGradientTrainer(
        world or tiny.world(), tiny.users(), source_of(tiny), settings(), tiny.horizon, seed
    )
    for _ in range(UPDATES):
        trainer.step()
    return trainer.agent


def theirs(tiny: TinyWorld, seed: int) -> Agent:
    stage = Stage.of(tiny.world(), tiny.users(), source_of(tiny))
    env = RecommendationVectorEnv.on(stage, 256, tiny.horizon)
    trainer = StableBaselinesTrainer("PPO", env, settings(), seed)
    for _ in range(UPDATES):
        trainer.step()
    return trainer.agent


def earned(tiny: TinyWorld, agent: Agent, n: int = 4000) -> tuple[float, float]:
    """Expected clicks of a visit under an agent, and their standard error."""
    visits = simulate(tiny.world(), tiny.users(), np.arange(n) + 2**40, agent, 77, tiny.horizon)
    return float(visits.expected_returns.mean()), float(visits.expected_returns.std() / math.sqrt(n))


@pytest.mark.parametrize("train", [ours, theirs])
@pytest.mark.parametrize("tiny", [BOREDOM, CLICKBAIT], ids=["boredom", "clickbait"])
def test_nearly_the_optimum_where_today_and_tomorrow_disagree(tiny: TinyWorld, train: object) -> None:
    best = tiny.solve()[0]
    always_first = tiny.solve((0,) * tiny.horizon)[0]  # item 0 is the best on each single page
    assert always_first < 0.9 * best
    mean, error = earned(tiny, train(tiny, 0))  # type: ignore[operator]
    assert mean > 0.95 * best - 2 * error
    assert mean < best + 3 * error


STATIC = dataclasses.replace(
    CLICKBAIT, traits=CLICKBAIT.traits.replace(leave_bias=-30.0, leave_slope=0.0, quality_share=0.0)
)


def test_without_long_term_effects_the_myopic_oracle_is_the_optimum_and_nobody_beats_it() -> None:
    best = STATIC.solve()[0]
    assert earned(STATIC, OracleMyopic(STATIC.world()), 200)[0] == pytest.approx(best, rel=1e-5)
    mean, error = earned(STATIC, ours(STATIC, 0))
    assert mean < best + 3 * error + 1e-5


class Shuffled(World):
    """A world that tells each user another one's reward."""

    def step(self, state: WorldState, slates: NDArray[np.int32]) -> Feedback:
        feedback = super().step(state, slates)
        order = np.random.default_rng(int(state.steps.max())).permutation(len(slates))
        return dataclasses.replace(feedback, reward=feedback.reward[order])


def test_with_shuffled_rewards_nothing_is_learned() -> None:
    """Users are all alike: whose reward it is tells nothing of what was shown. An even policy earns the mean item."""
    world = STATIC.world()
    shuffled = Shuffled(world.items, slate_size=1, shown_capacity=STATIC.horizon)
    learned = earned(STATIC, ours(STATIC, 0, shuffled))[0]
    by_item = [STATIC.solve((item,) * STATIC.horizon)[0] for item in range(4)]
    assert min(by_item) - 1e-6 <= learned <= max(by_item)
    gain = learned / np.mean(by_item) - 1
    assert earned(STATIC, ours(STATIC, 0))[0] > 0.95 * max(by_item)
    assert abs(gain) < 0.5 * (max(by_item) / np.mean(by_item) - 1)
