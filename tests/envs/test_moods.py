"""The moods that a user's state keeps are those that the law draws."""

import numpy as np

from tests.envs.tiny import random_items, random_users
from zsr_sim.envs.noise import Purpose, normals
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.world import World


def test_moods_last_a_session() -> None:
    """They are the draw of (seed, user, session), also where one begins after an absence, and stay that within it."""
    world = World(random_items(), slate_size=3, shown_capacity=3, max_gap=1000)
    users = random_users(300, world.items, traits=Traits(leave_mood=1.0, return_mood=1.0, return_rate=0.5))
    state, generator = world.start(users, 5), np.random.default_rng(0)
    catalogue = np.tile(np.arange(len(world.items), dtype=np.int32), (300, 1))
    for _ in range(8):
        before = state.copy()
        gaps = world.step(state, generator.permuted(catalogue, axis=1)[:, :3]).gaps
        drawn = normals(state.seeds, users.ids, state.sessions.astype(np.int64), Purpose.MOOD, 2)
        np.testing.assert_allclose(state.moods, drawn, rtol=1e-12)
        np.testing.assert_array_equal((state.moods != before.moods).any(axis=1), gaps > 0)
    assert len(np.unique(state.sessions)) > 2
    state.seeds[:] = 6
    state.draw_moods()
    drawn = normals(6, users.ids, state.sessions.astype(np.int64), Purpose.MOOD, 2)
    np.testing.assert_allclose(state.moods, drawn, rtol=1e-12)
