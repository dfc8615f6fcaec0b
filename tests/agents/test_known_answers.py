"""Learning in worlds that are solved exactly: nearly the optimum where there is one, nothing where there is nothing."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.agents.known_answers import UPDATES, WORLDS, earned, ours
from tests.envs.exact import CLICKBAIT
from zsr_sim.agents.oracle import OracleMyopic
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.world import World, WorldState


@pytest.mark.parametrize("world", WORLDS)
def test_nearly_the_optimum_where_today_and_tomorrow_disagree(world: str) -> None:
    """One seed of five, without sb3:PPO, which is slow: `python -m tests.agents.known_answers` tries them all."""
    tiny = WORLDS[world]
    best = tiny.solve()[0]
    always_first = tiny.solve((0,) * tiny.horizon)[0]  # item 0 is the best on each single page
    assert always_first < 0.9 * best
    mean, error = earned(tiny, ours(tiny, UPDATES[world, "policy-gradient"], 1))
    assert mean > 0.95 * best
    assert mean < best + 3 * error


STATIC = dataclasses.replace(
    CLICKBAIT, traits=CLICKBAIT.traits.replace(leave_bias=-30.0, leave_slope=0.0, quality_share=0.0)
)


def test_without_long_term_effects_the_myopic_oracle_is_the_optimum_and_nobody_beats_it() -> None:
    best = STATIC.solve()[0]
    assert earned(STATIC, OracleMyopic(STATIC.world(), repeats=True), 200)[0] == pytest.approx(best, rel=1e-5)
    mean, error = earned(STATIC, ours(STATIC, 20, 0))
    assert 0.95 * best < mean < best + 3 * error + 1e-5


class Shuffled(World):
    """A world that tells each user another one's reward."""

    def step(
        self, state: WorldState, slates: NDArray[np.int32], answers: NDArray[np.float32] | None = None
    ) -> Feedback:
        feedback = super().step(state, slates, answers)
        order = np.random.default_rng(int(state.steps.max())).permutation(len(slates))
        return dataclasses.replace(feedback, reward=feedback.reward[order])


def test_with_shuffled_rewards_nothing_beats_random() -> None:
    """Users are all alike: whose reward it is tells nothing of what was shown. Each training ends with some item."""
    world = STATIC.world()
    shuffled = Shuffled(world.items, slate_size=1, shown_capacity=STATIC.horizon)
    learned = [earned(STATIC, ours(STATIC, 10, seed, shuffled), 2000)[0] for seed in range(5)]
    error = np.std(learned, ddof=1) / np.sqrt(5)
    even = np.mean([STATIC.solve((item,) * STATIC.horizon)[0] for item in range(4)])
    assert np.mean(learned) - even < 2.78 * error  # Student's t, 4 degrees of freedom, 95 %
