import numpy as np

from tests.envs.stages import tiny_stage
from zsr_sim.envs.hidden import HiddenState
from zsr_sim.envs.noise import Purpose, normals
from zsr_sim.envs.step import MAX_DELAY
from zsr_sim.envs.traits import Trait


def test_each_part_stands_where_columns_says() -> None:
    stage = tiny_stage(patience=4.0, purchase_delay=3.0, purchase_rate=0.9, leave_mood=0.5, return_mood=2.0)
    hidden = HiddenState(stage.world, stage.population)
    state = stage.world.start(stage.population.visit(np.arange(6)), 0)
    for page in range(4):
        stage.world.step(state, np.tile(np.arange(3, dtype=np.int32) + 3 * page, (6, 1)))
    seen = {name: hidden.observe(state)[:, columns] for name, columns in hidden.columns.items()}
    np.testing.assert_array_equal(seen["tastes"].reshape(6, 3, 6), np.clip(state.tastes, -1, 1))
    np.testing.assert_array_equal(seen["boredom"], state.boredom)
    np.testing.assert_array_equal(seen["satisfaction"][:, 0], state.satisfaction)
    np.testing.assert_array_equal(seen["patience"][:, 0], state.patience)
    np.testing.assert_array_equal(seen["sessions"][:, 0], state.sessions)
    np.testing.assert_array_equal(seen["traits"], state.users.traits)
    luck = normals(state.seeds, state.users.ids, state.sessions.astype(np.int64), Purpose.MOOD, 2)
    np.testing.assert_allclose(seen["mood"], luck * (0.5, 2.0), rtol=1e-6)
    assert seen["traits"][0, Trait.PURCHASE_DELAY] == 3
    for user in range(6):
        for ahead in range(MAX_DELAY):
            assert seen["arriving"][user, ahead] == state.pending[user, (state.steps[user] + ahead) % MAX_DELAY]


def test_a_purchase_comes_nearer_page_by_page() -> None:
    stage = tiny_stage(purchase_delay=3.0, purchase_rate=0.99, base_click_rate=0.9, leave_bias=-30.0)
    hidden = HiddenState(stage.world, stage.population)
    arriving = hidden.columns["arriving"]
    state = stage.world.start(stage.population.visit(np.arange(5)), 0)
    bought = stage.world.step(state, np.tile(np.arange(3, dtype=np.int32), (5, 1))).purchases.sum(axis=1)
    assert bought.sum() > 0
    np.testing.assert_array_equal(hidden.observe(state)[:, arriving][:, 2], bought)  # the third page from now
    stage.world.step(state, np.tile(np.arange(3, 6, dtype=np.int32), (5, 1)))
    np.testing.assert_array_equal(hidden.observe(state)[:, arriving][:, 1], bought)


def test_bounds_hold_in_every_direction() -> None:
    stage = tiny_stage(patience=1.0, boredom=5.0, boredom_memory=1.0, leave_bias=-30.0, base_click_rate=0.9)
    hidden = HiddenState(stage.world, stage.population)
    state = stage.world.start(stage.population.visit(np.arange(20)), 0)
    for page in range(10):
        stage.world.step(state, np.tile(np.arange(3, dtype=np.int32) + page, (20, 1)))
        observed = hidden.observe(state)
        assert all(hidden.space.contains(row) for row in observed)
    assert observed[:, hidden.columns["patience"]].min() < 0 < observed[:, hidden.columns["boredom"]].max()
