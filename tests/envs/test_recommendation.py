import itertools
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import zsr_sim.envs.stage
from tests.envs.stages import tiny_stage
from zsr_sim.config import Settings
from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.recommendation import RecommendationEnv
from zsr_sim.envs.registration import RECOMMENDATION
from zsr_sim.envs.stage import Stage, make_stage
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import RetrievalCandidates
from zsr_sim.generation.retrieval import Retrieval


def _make(stage: Stage, max_episode_steps: int | None = 20) -> Any:
    """What `gymnasium.make` returns for the id, on a stage made by hand."""

    def create(**_: Any) -> RecommendationEnv:
        return RecommendationEnv.on(stage)

    return gymnasium.make(EnvSpec("Tiny-v0", entry_point=create, max_episode_steps=max_episode_steps))


def _rollout(env: Any, seed: int, steps: int = 40) -> list[Any]:
    """All that the environment gives away under actions that follow one pattern, and the state of its generator."""
    story: list[Any] = [env.reset(seed=seed)]
    for step in range(steps):
        answer = env.step(step % 5)
        story.append(answer)
        if answer[2] or answer[3]:
            story.append(env.reset())
    return [*story, env.unwrapped.np_random.bit_generator.state]


@pytest.mark.parametrize("generated", [0, 3])
def test_obeys_gymnasium_and_stable_baselines(generated: int) -> None:
    env = _make(tiny_stage(generated=generated))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env)


@pytest.mark.parametrize("generated", [0, 3])
def test_same_seed_same_story(generated: int) -> None:
    stage = tiny_stage(generated=generated)
    first, again, other = (_rollout(_make(stage), seed) for seed in (7, 7, 8))
    assert data_equivalence(first, again, exact=True)
    assert not data_equivalence(first[:-1], other[:-1])
    assert first[-1] != other[-1]


def test_a_second_visit_is_by_another_user() -> None:
    env = _make(tiny_stage())
    first, _ = env.reset(seed=3)
    second, _ = env.reset()
    assert not np.array_equal(first["history"], second["history"])


def test_time_limit_truncates_and_the_user_is_still_there() -> None:
    env = _make(tiny_stage(leave_bias=-30.0), max_episode_steps=3)  # nobody leaves
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_the_user_terminates_and_never_truncates() -> None:
    env = _make(tiny_stage(leave_bias=30.0), max_episode_steps=3)  # everybody leaves at once
    env.reset(seed=0)
    *_, terminated, truncated, _ = env.step(0)
    assert (terminated, truncated) == (True, False)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)


def test_what_is_shown_is_the_candidate_and_the_reward_is_its_clicks() -> None:
    stage = tiny_stage()
    env = RecommendationEnv.on(stage)
    observation, _ = env.reset(seed=1)
    vectors = stage.world.items.vectors
    rewards = []
    for action in itertools.islice(itertools.cycle(range(5)), 200):
        following, reward, terminated, _, info = env.step(action)
        np.testing.assert_array_equal(
            vectors[info["items"]].mean(axis=0), observation["candidates"].reshape(5, -1)[action]
        )
        assert info["source"] == ["similarity", "neighbours", "popularity", "contrast", "popular contrast"][action]
        assert reward == info["clicks"].sum() == info["reward_parts"]["click"]
        rewards.append(reward)
        observation = env.reset()[0] if terminated else following
    assert 0 < np.mean(rewards) < 3


def test_items_are_called_by_their_ids() -> None:
    stage = tiny_stage(n=12)
    names = ["0007", "a film with a long name", *"cdefghijkl"]
    env = RecommendationEnv.on(Stage.of(stage.world, stage.population, stage.source, names))
    env.reset(seed=0)
    shown = {str(name) for _ in range(30) for name in env.stage.item_ids[_shown(env)]}
    assert shown <= set(names)
    assert "a film with a long name" in shown


def _shown(env: RecommendationEnv) -> Any:
    _, _, terminated, _, info = env.step(4)
    if terminated:
        env.reset()
    return info["items"]


@settings(max_examples=15, deadline=None)
@given(d=st.integers(2, 12), slate=st.integers(1, 5), generated=st.sampled_from([0, 2]), seed=st.integers(0, 2**32 - 1))
def test_observations_lie_in_their_space(d: int, slate: int, generated: int, seed: int) -> None:
    env = RecommendationVectorEnv.on(tiny_stage(12, d, slate, generated=generated, seed=seed % 5), 16)
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    for _ in range(25):
        assert env.observation_space.contains(observation)
        observation, *_ = env.step(rng.integers(0, 5, 16))


def test_bounds_hold_for_equal_texts_whose_cosine_rounds_above_one() -> None:
    stage = tiny_stage(n=30, d=33)
    point = unit(np.random.default_rng(4).normal(size=(1, 33)).astype(np.float32))
    items = WorldItems(np.repeat(point, 30, axis=0), stage.world.items.quality, stage.world.items.topics, 5)
    source = RetrievalCandidates(Retrieval(items.vectors, np.ones(30, dtype=np.float32)), 3, 5)
    env = RecommendationEnv.on(Stage.of(World(items, slate_size=3), stage.population, source))
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(observation["relations"].reshape(5, -1)[:, :5], 1, rtol=1e-6)
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("action", [-1, 5, 1.0, "1", None, np.array([1])])
def test_an_action_that_is_no_candidate(action: Any) -> None:
    env = RecommendationEnv.on(tiny_stage())
    env.reset(seed=0)
    with pytest.raises(InputError, match="an integer 0 to 4 expected"):
        env.step(action)


def test_step_before_reset() -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        RecommendationEnv.on(tiny_stage()).step(0)


def test_parts_that_do_not_belong_together() -> None:
    stage, other = tiny_stage(), tiny_stage(n=20)
    with pytest.raises(InputError, match="40 items, candidates are made of 20"):
        Stage.of(stage.world, stage.population, other.source)
    with pytest.raises(InputError, match="2 item ids"):
        Stage.of(stage.world, stage.population, stage.source, ["a", "b"])
    with pytest.raises(InputError, match="pages have 4 items, the world's pages 3"):
        Stage.of(stage.world, stage.population, tiny_stage(slate=4).source)
    long = RetrievalCandidates(Retrieval(2 * stage.world.items.vectors, np.ones(40, dtype=np.float32)), 3)
    with pytest.raises(InputError, match="item 0 has length 2"):
        Stage.of(stage.world, stage.population, long)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": "trian"}, "one of train, test expected; did you mean 'train'"),
        ({"n_candidates": 1}, "n_candidates is 1; an integer of at least 2"),
        ({"settings": {"slate_size": 5}}, "WorldSettings expected"),
        ({"generator": "runs/x"}, "a trained SequenceGan expected"),
        ({"data": "flims"}, "did you mean 'films'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RecommendationEnv(**arguments)


def _same(a: Any, b: Any) -> bool:
    return bool(data_equivalence(a, b, exact=True))


@pytest.mark.parametrize("generated", [0, 3])
def test_batched_equals_one_by_one(generated: int) -> None:
    stage, n, limit = tiny_stage(generated=generated), 7, 6
    batched = RecommendationVectorEnv.on(stage, n, limit)
    one_by_one = SyncVectorEnv([lambda: _make(stage, limit)] * n)
    assert batched.observation_space == one_by_one.observation_space
    assert batched.action_space == one_by_one.action_space
    assert batched.metadata["autoreset_mode"] is one_by_one.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert _same(batched.reset(seed=11), one_by_one.reset(seed=11))
    rng = np.random.default_rng(0)
    ends = np.zeros(2)
    for _ in range(60):
        actions = rng.integers(0, 5, n)
        ours, theirs = batched.step(actions), one_by_one.step(actions)
        assert _same(ours, theirs)
        ends += ours[2].sum(), (ours[3] & ~ours[2]).sum()
    assert min(ends) >= 5  # both ways to end, and an autoreset after each
    mask = np.arange(n) % 3 == 0
    assert _same(
        batched.reset(options={"reset_mask": mask.copy()}), one_by_one.reset(options={"reset_mask": mask.copy()})
    )
    seeds: list[int | None] = [5, None, 5, 1, 2, 3, None]
    assert _same(batched.reset(seed=seeds), one_by_one.reset(seed=seeds))
    assert _same(batched.step(np.zeros(n, dtype=np.int64)), one_by_one.step(np.zeros(n, dtype=np.int64)))


def test_a_user_is_the_same_in_any_batch() -> None:
    stage = tiny_stage()
    few, many = RecommendationVectorEnv.on(stage, 2), RecommendationVectorEnv.on(stage, 50)
    few.reset(seed=0)
    many.reset(seed=0)
    for _ in range(10):
        ours, theirs = few.step(np.ones(2, dtype=np.int64)), many.step(np.ones(50, dtype=np.int64))
        for name, values in ours[0].items():
            np.testing.assert_array_equal(values, theirs[0][name][:2])
        for mine, other in zip(ours[1:4], theirs[1:4], strict=True):
            np.testing.assert_array_equal(mine, other[:2])


def test_what_was_returned_is_never_written_again() -> None:
    env = RecommendationVectorEnv.on(tiny_stage(), 4, 3)
    kept, _ = env.reset(seed=0)
    before = {name: values.copy() for name, values in kept.items()}
    for _ in range(5):
        env.step(np.zeros(4, dtype=np.int64))
    assert _same(kept, before)


def test_no_time_limit() -> None:
    env = RecommendationVectorEnv.on(tiny_stage(leave_bias=-30.0), 2, None)
    env.reset(seed=0)
    assert not any(env.step(np.zeros(2, dtype=np.int64))[3].any() for _ in range(40))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 5], "the action of row 1 is 5; an integer 0 to 4"),
        ([-1, 0], "the action of row 0 is -1"),
        ([0], r"shape \(1,\).*integers \(2,\) expected"),
        ([0.0, 1.0], "float64; integers"),
    ],
)
def test_actions_that_are_no_candidates(actions: list[Any], message: str) -> None:
    env = RecommendationVectorEnv.on(tiny_stage(), 2)
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


def test_stable_baselines_learns_unmodified() -> None:
    env = _make(tiny_stage())
    model = stable_baselines3.PPO("MultiInputPolicy", env, n_steps=128, seed=0, device="cpu").learn(256)
    assert model.num_timesteps == 256
    action, _ = model.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action)


def test_import_is_light_and_registers() -> None:
    code = (
        "import sys, gymnasium, zsr_sim\n"
        f"assert {RECOMMENDATION!r} in gymnasium.registry\n"
        "print(sorted({'torch', 'numba', 'transformers', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_made_by_id_on_the_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSR_SIM_CACHE", str(tmp_path))
    zsr_sim.envs.stage._scene.cache_clear()
    env = gymnasium.make(RECOMMENDATION)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
    batched = gymnasium.make_vec(RECOMMENDATION, num_envs=3)
    assert isinstance(batched.unwrapped, RecommendationVectorEnv)
    assert batched.unwrapped.max_episode_steps == 20
    observation, _ = env.reset(seed=5)
    row, _ = batched.reset(seed=[5, 6, 7])  # type: ignore[arg-type]  # as SyncVectorEnv takes them
    for name, values in observation.items():
        np.testing.assert_array_equal(values, row[name][0])
    test = make_stage(population="test")
    assert test.world is batched.unwrapped.stage.world  # read and fitted once
    trained, kept = (s.population.visit(np.arange(20)).people for s in (batched.unwrapped.stage, test))
    assert not set(trained.tolist()) & set(kept.tolist())
    smaller = Settings().world.model_copy(update={"slate_size": 4, "dimensions": 8})
    assert make_stage(settings=smaller).world.items.vectors.shape[1] == 8
