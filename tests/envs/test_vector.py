import copy
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envs.kinds import KINDS, Kind, every_kind
from tests.envs.stages import tiny_stage
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.errors import InputError


def _same(a: Any, b: Any) -> bool:
    return bool(data_equivalence(a, b, exact=True))


@every_kind
@pytest.mark.parametrize("generated", [0, 3])
def test_batched_equals_one_by_one(kind: Kind, generated: int) -> None:
    observe = "state" if generated else "partial"
    stage, n, limit = tiny_stage(generated=generated, observe=observe, lifetime=7, return_rate=0.1), 7, 6
    batched = kind.make_vec(stage, n, limit, render_mode="ansi")
    one_by_one = SyncVectorEnv([lambda: kind.make(stage, limit, render_mode="ansi")] * n)
    assert batched.observation_space == one_by_one.observation_space
    assert batched.action_space == one_by_one.action_space
    assert batched.metadata["autoreset_mode"] is one_by_one.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert _same(batched.reset(seed=11), one_by_one.reset(seed=11))
    batched.action_space.seed(0)
    ends = np.zeros(2)
    for _ in range(60):
        actions = batched.action_space.sample()
        ours, theirs = batched.step(actions), one_by_one.step(actions)
        assert _same(ours, theirs)
        assert batched.render() == one_by_one.render()
        ends += ours[2].sum(), (ours[3] & ~ours[2]).sum()
    assert min(ends) >= 5  # both ways to end, and an autoreset after each
    mask = np.arange(n) % 3 == 0
    assert _same(
        batched.reset(options={"reset_mask": mask.copy()}), one_by_one.reset(options={"reset_mask": mask.copy()})
    )
    seeds: list[int | None] = [5, None, 5, 1, 2, 3, None]
    assert _same(batched.reset(seed=seeds), one_by_one.reset(seed=seeds))
    actions = batched.action_space.sample()
    assert _same(batched.step(actions), one_by_one.step(actions))


@pytest.mark.parametrize(("kind", "n"), [("pages", 50), ("pool", 300), ("catalogue", 50), ("point", 50)])
def test_a_user_is_the_same_in_any_batch(kind: str, n: int) -> None:
    stage = tiny_stage()
    few, many = KINDS[kind].make_vec(stage, 2), KINDS[kind].make_vec(stage, n)  # 300 run in a parallel loop
    few.reset(seed=0)
    many.reset(seed=0)
    many.action_space.seed(0)
    for _ in range(10):
        actions = many.action_space.sample()
        ours, theirs = few.step(actions[:2]), many.step(actions)
        for name, values in ours[0].items():
            np.testing.assert_array_equal(values, theirs[0][name][:2])
        for mine, other in zip(ours[1:4], theirs[1:4], strict=True):
            np.testing.assert_array_equal(mine, other[:2])


@every_kind
def test_what_was_returned_is_never_written_again(kind: Kind) -> None:
    env = kind.make_vec(tiny_stage(), 4, 3)
    kept = [env.reset(seed=0), env.step(env.action_space.sample())]
    before = copy.deepcopy(kept)
    for _ in range(5):
        env.step(env.action_space.sample())
    assert _same(kept, before)


def test_no_time_limit() -> None:
    env = RecommendationVectorEnv.on(tiny_stage(leave_bias=-30.0), 2, None)
    env.reset(seed=0)
    assert not any(env.step(np.zeros(2, dtype=np.int64))[3].any() for _ in range(40))


@pytest.mark.parametrize(
    ("kind", "actions", "message"),
    [
        ("pages", [0, 5], "the action of row 1 is 5; an integer 0 to 4"),
        ("pages", [-1, 0], "the action of row 0 is -1"),
        ("pages", [0], r"shape \(1,\).*\(2,\) expected"),
        ("pages", [0.0, 1.0], "float64.*an integer"),
        ("pages", 0, r"shape \(\).*\(2,\) expected"),
        ("pool", [[0, 1, 2], [0, 1, 7]], r"row 1 is \[0 1 7\]; 3 integers 0 to 6"),
        ("pool", [0, 1], r"shape \(2,\).*\(2, 3\) expected"),
        ("point", [[0.0] * 6, [np.inf] * 6], "row 1.*6 numbers -1 to 1"),
    ],
)
def test_what_is_no_action(kind: str, actions: Any, message: str) -> None:
    env = KINDS[kind].make_vec(tiny_stage(), 2)
    env.reset(seed=0)
    with pytest.raises(InputError, match=message):
        env.step(np.array(actions))


def test_bad_batches_and_resets() -> None:
    stage = tiny_stage()
    with pytest.raises(InputError, match="num_envs is 0"):
        RecommendationVectorEnv.on(stage, 0)
    with pytest.raises(InputError, match="max_episode_steps is 0"):
        RecommendationVectorEnv.on(stage, 1, 0)
    env = RecommendationVectorEnv.on(stage, 2)
    with pytest.raises(ResetNeeded, match="before step"):
        env.step(np.zeros(2, dtype=np.int64))
    with pytest.raises(ResetNeeded, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(InputError, match="3 seeds for 2"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(InputError, match="at least one True"):
        env.reset(options={"reset_mask": np.array([False, False])})


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS.values())),
    d=st.integers(2, 12),
    slate=st.integers(1, 5),
    generated=st.sampled_from([0, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_observations_lie_in_their_space(kind: Kind, d: int, slate: int, generated: int, seed: int) -> None:
    env = kind.make_vec(tiny_stage(12, d, slate, generated=generated, seed=seed % 5), 16)
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    for _ in range(25):
        assert env.observation_space.contains(observation)
        observation, *_ = env.step(env.action_space.sample())
