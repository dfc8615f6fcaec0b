"""The oracles: what a page is worth, the best page now, and the best plan in a world that is solved exactly."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.envs.exact import BOREDOM, TinyWorld
from tests.envs.stages import tiny_stage
from zsr_sim.agents.baselines import Random
from zsr_sim.agents.oracle import PLANS, OracleMyopic, OraclePlanner, fill, page_values
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.envs.choice import examination
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.visits import SeesState, observe, simulate
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError


def test_values_add_up_to_the_expected_reward_of_a_page() -> None:
    """Position-based: sum of examination times value, with every kind of feedback counted; users mid-visit."""
    stage = tiny_stage(n=60)
    items = stage.world.items
    world = World(items, rewards=RewardWeights(1.0, 0.5, 3.0, 0.01), slate_size=3, shown_capacity=30)
    state = world.start(stage.population.visit(np.arange(50)), 5)
    pages = Random(stage.source.retrieval, 3)
    for _ in range(4):
        observation = observe(state)
        slates = pages.act(observation).slates
        values = np.take_along_axis(page_values(world, state), slates.astype(np.int64), axis=1)
        there = state.present.copy()
        found = world.step(state, slates).expected_reward
        looks = np.array([examination(math.log(1 + j), 0.5) for j in range(3)])
        np.testing.assert_allclose(found, np.where(there, values @ looks, 0), rtol=2e-4)


def test_plans_fill_pages_by_hand() -> None:
    """Items of topics 0, 0, 1, 1 by value; the quality of item 2 outweighs e of expected reward."""
    world = World(BOREDOM.world().items, slate_size=2, shown_capacity=4)  # quality 0, 0.5, 1, -0.5
    values = np.array([[0.4, 0.3, 0.2, 0.1]])
    pages = {plan: fill(values, world, np.array([row]))[0].tolist() for row, plan in enumerate(PLANS)}
    assert pages[PLANS[0]] == [0, 1]
    assert pages[PLANS[1]] == [0, 2]  # one of each topic
    assert pages[PLANS[4]] == [0, 1]  # 0.3 e^0.25 = 0.385, 0.2 e^0.5 = 0.33
    assert pages[PLANS[5]] == [2, 1]  # 0.2 e = 0.54, 0.3 e^0.5 = 0.49, 0.4
    assert pages[PLANS[8]] == [0, 3]  # the last position with the least


def _mean(tiny: TinyWorld, agent: SeesState, n: int = 1000) -> tuple[float, float]:
    visits = simulate(tiny.world(), tiny.users(), np.arange(n), agent, 0, tiny.horizon)  # type: ignore[arg-type]
    return float(visits.expected_returns.mean()), float(visits.expected_returns.std() / math.sqrt(n))


@pytest.mark.parametrize("repeat_penalty", [0.0, 2.0])
def test_the_planner_comes_near_the_optimum_where_myopic_does_not(repeat_penalty: float) -> None:
    tiny = replace(BOREDOM, traits=BOREDOM.traits.replace(repeat_penalty=repeat_penalty))
    best, _ = tiny.solve()
    myopic, error = _mean(tiny, OracleMyopic(tiny.world(), repeats=True))
    planned, planned_error = _mean(tiny, OraclePlanner(tiny.world(), tiny.horizon, tiny.horizon, 8, repeats=True))
    assert planned > 0.97 * best - 3 * planned_error
    assert planned < best + 3 * planned_error
    assert myopic < planned + 3 * error


@pytest.mark.parametrize("plan", range(len(PLANS)))
def test_without_repeats_a_page_holds_new_items_as_long_as_there_are_any(plan: int) -> None:
    stage = tiny_stage(n=60)
    world = World(stage.world.items, slate_size=5, shown_capacity=200)
    state = world.start(stage.population.visit(np.arange(40)), 5)
    for _ in range(12):
        observation = observe(state)
        slates = fill(page_values(world, state, repeats=False), world, np.full(40, plan))
        for row, page in enumerate(slates):
            old = {*observation.histories[row].tolist(), *observation.shown[row].tolist()} - {-1}
            assert len(set(page.tolist()) - old) == min(60 - len(old), 5)
        world.step(state, slates)


def test_where_nothing_is_new_the_best_old_items_come_first() -> None:
    """A small catalogue is shown through after a few pages; from then on a page is as good as repeats can be."""
    stage = tiny_stage(n=60)
    world = World(stage.world.items, slate_size=30, shown_capacity=200)
    state = world.start(stage.population.visit(np.arange(40)), 5)
    for page in (0, 30):
        world.step(state, np.tile(np.arange(page, page + 30, dtype=np.int32), (40, 1)))
    anyhow = page_values(world, state, repeats=True)
    values = page_values(world, state, repeats=False)
    stayed = (values < 0).all(axis=1)
    assert stayed.sum() > 10
    slates = fill(values, world, np.zeros(40, dtype=np.int64))
    np.testing.assert_array_equal(slates[stayed], np.argsort(-anyhow, axis=1, kind="stable")[stayed, :30])


def test_an_oracle_needs_the_state() -> None:
    agent = CheckedAgent("oracle-myopic", OracleMyopic(BOREDOM.world()), 1, 4)
    assert isinstance(agent, SeesState)
    with pytest.raises(InputError, match="agent oracle-myopic: it sees the users' hidden state"):
        agent.act(Observation.of_histories(np.full((2, 4), -1, dtype=np.int32)))


def test_planning_does_not_depend_on_the_batch_and_leaves_the_state_alone() -> None:
    stage = tiny_stage(n=300)
    state = stage.world.start(stage.population.visit(np.arange(70)), 5)
    before = state.copy()
    agent = OraclePlanner(stage.world, 10, 3, 2)
    observation = observe(state)
    together = agent.act_knowing(observation, state).slates
    for row in (0, 40, 69):
        alone = agent.act_knowing(observation.take(np.array([row])), state.take(np.array([row]))).slates
        np.testing.assert_array_equal(alone[0], together[row])
    np.testing.assert_array_equal(before.histories, state.histories)
    np.testing.assert_array_equal(before.satisfaction, state.satisfaction)
