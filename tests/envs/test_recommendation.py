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
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import zsr_sim.envs.stage
from tests.envs.kinds import KINDS, Kind, every_kind
from tests.envs.stages import tiny_stage
from zsr_sim.config import Settings, WorldSettings
from zsr_sim.encoders.space import unit
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.recommendation import RecommendationEnv
from zsr_sim.envs.registration import RECOMMENDATION, known_envs
from zsr_sim.envs.stage import Stage, make_stage
from zsr_sim.envs.traits import Trait
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import RetrievalCandidates
from zsr_sim.generation.retrieval import Retrieval


def _rollout(env: Any, seed: int, steps: int = 40) -> list[Any]:
    """All that the environment gives away under actions that follow one pattern, and the state of its generator."""
    story: list[Any] = [env.reset(seed=seed)]
    env.action_space.seed(1)
    for _ in range(steps):
        answer = env.step(env.action_space.sample())
        story.append(answer)
        if answer[2] or answer[3]:
            story.append(env.reset())
    return [*story, env.unwrapped.np_random.bit_generator.state]


@every_kind
@pytest.mark.parametrize("generated", [0, 3])
def test_obeys_gymnasium_and_stable_baselines(kind: Kind, generated: int) -> None:
    env = kind.make(tiny_stage(generated=generated))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env)


@every_kind
def test_same_seed_same_story(kind: Kind) -> None:
    stage = tiny_stage(generated=3)
    first, again, other = (_rollout(kind.make(stage), seed) for seed in (7, 7, 8))
    assert data_equivalence(first, again, exact=True)
    assert not data_equivalence(first[:-1], other[:-1])
    assert first[-1] != other[-1]


def test_a_second_visit_is_by_another_user() -> None:
    env = RecommendationEnv.on(tiny_stage())
    first, _ = env.reset(seed=3)
    second, _ = env.reset()
    assert not np.array_equal(first["history"], second["history"])


@every_kind
def test_time_limit_truncates_and_the_user_is_still_there(kind: Kind) -> None:
    env = kind.make(tiny_stage(leave_bias=-30.0), max_episode_steps=3)  # nobody leaves
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


@every_kind
def test_the_user_terminates_and_never_truncates(kind: Kind) -> None:
    env = kind.make(tiny_stage(leave_bias=30.0), max_episode_steps=3)  # everybody leaves at once
    env.reset(seed=0)
    *_, terminated, truncated, _ = env.step(env.action_space.sample())
    assert (terminated, truncated) == (True, False)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(env.action_space.sample())


def test_what_is_shown_is_the_candidate_and_the_reward_is_its_clicks() -> None:
    stage = tiny_stage()
    env = RecommendationEnv.on(stage)
    observation, _ = env.reset(seed=1)
    vectors = stage.world.items.vectors
    rewards = []
    for action in itertools.islice(itertools.cycle(range(5)), 200):
        following, reward, terminated, _, info = env.step(action)
        mean = vectors[info["items"]].mean(axis=0)
        np.testing.assert_allclose(observation["candidates"].reshape(5, -1)[action], mean, atol=1e-6)
        assert info["source"] == ["similarity", "neighbours", "popularity", "contrast", "popular contrast"][action]
        assert reward == info["clicks"].sum() == info["reward_parts"]["click"] == sum(info["reward_parts"].values())
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


def test_bounds_hold_for_equal_texts_whose_cosine_rounds_above_one() -> None:
    stage = tiny_stage(n=30, d=33)
    point = unit(np.random.default_rng(4).normal(size=(1, 33)).astype(np.float32))
    items = WorldItems(np.repeat(point, 30, axis=0), stage.world.items.quality, stage.world.items.topics, 5)
    source = RetrievalCandidates(Retrieval(items.vectors, np.ones(30, dtype=np.float32)), 3, 5)
    env = RecommendationEnv.on(Stage.of(World(items, slate_size=3), stage.population, source))
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(observation["relations"].reshape(5, -1)[:, :5], 1, rtol=1e-6)
    assert env.observation_space.contains(observation)


NO_ACTIONS: list[tuple[str, str, list[Any]]] = [
    ("pages", "an integer 0 to 4 expected", [-1, 5, 1.0, "1", None, np.array([1]), [[1], 2]]),
    ("pool", "3 integers 0 to 6 expected", [[0, 1, 7], [0, -1, 1], [0, 1], 1, [0.0, 1.0, 2.0]]),
    ("catalogue", "3 integers 0 to 39 expected", [[0, 1, 40]]),
    ("point", "6 numbers -1 to 1 expected", [[1.5] * 6, [np.nan] * 6, [0.0] * 5, "x", None]),
]


@pytest.mark.parametrize(
    ("kind", "message", "action"), [(kind, message, action) for kind, message, all_ in NO_ACTIONS for action in all_]
)
def test_what_is_no_action(kind: str, message: str, action: Any) -> None:
    env = KINDS[kind].make(tiny_stage()).unwrapped
    env.reset(seed=0)
    with pytest.raises(InputError, match=message):
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
        ({"observe": "stat"}, "did you mean 'state'"),
        ({"world": "bordom"}, "did you mean 'boredom'"),
        ({"world": "boredom", "settings": WorldSettings()}, r"settings=WorldSettings.named\('boredom', ...\) alone"),
        ({"render_mode": "human"}, "'ansi' expected"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RecommendationEnv(**arguments)


@every_kind
def test_the_reward_is_the_sum_of_its_parts(kind: Kind) -> None:
    rewards = RewardWeights(click=0.5, like=2.0, purchase=7.0, dwell=0.01)
    stage = tiny_stage(base_click_rate=0.6, rewards=rewards, like_rate=0.6, purchase_rate=0.5)
    env = kind.make(stage).unwrapped
    env.action_space.seed(0)
    totals = np.zeros(4)
    for seed in range(40):
        env.reset(seed=seed)
        _, reward, _, _, info = env.step(env.action_space.sample())
        parts = info["reward_parts"]
        amounts = [info[name].sum() for name in ("clicks", "likes", "purchases", "dwell")]
        np.testing.assert_allclose(list(parts.values()), np.multiply(amounts, rewards), rtol=1e-6)
        assert reward == pytest.approx(sum(parts.values()), rel=1e-6)
        assert not (info["clicks"] & info["skips"]).any()
        assert not (info["likes"] & ~info["clicks"]).any()
        totals += list(parts.values())
    assert list(parts) == ["click", "like", "purchase", "dwell"]
    assert (totals > 0).all()


@every_kind
def test_the_hidden_state_can_be_observed(kind: Kind) -> None:
    stage = tiny_stage(observe="state", patience=4.0, patience_sd=0.2, purchase_delay=3.0)
    env = kind.make(stage)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env)
    plain = kind.make(tiny_stage())
    assert set(env.observation_space) == set(plain.observation_space) | {"state"}
    assert plain.unwrapped.state_columns == {}
    seen, _ = env.reset(seed=0)
    satisfaction = seen["state"][env.unwrapped.state_columns["satisfaction"]]
    np.testing.assert_array_equal(satisfaction, env.unwrapped._audience.state.satisfaction)


@pytest.mark.parametrize("name", ["pages", "pool", "catalogue"])
def test_masks_are_told_as_gymnasium_and_sb3_contrib_want_them(name: str) -> None:
    env = KINDS[name].make(tiny_stage(lifetime=3))
    _, info = env.reset(seed=0)
    for _ in range(5):
        mask = info["action_mask"]
        assert mask.dtype == np.int8
        positions = env.get_wrapper_attr("action_masks")()
        if name == "pages":
            assert env.action_space.contains(env.action_space.sample(mask=mask))
            np.testing.assert_array_equal(positions, mask)
        else:
            action = env.action_space.sample(mask=(mask,) * 3)
            assert mask[action].all()
            np.testing.assert_array_equal(positions.reshape(3, -1), np.tile(mask, (3, 1)))
        _, _, terminated, _, info = env.step(env.action_space.sample())
        if terminated:
            _, info = env.reset()


def test_points_have_no_mask() -> None:
    env = KINDS["point"].make(tiny_stage()).unwrapped
    assert "action_mask" not in env.reset(seed=0)[1]
    with pytest.raises(InputError, match="nothing to mask"):
        env.action_masks()


LEARNERS = [
    ("pages", "PPO", {"n_steps": 32, "batch_size": 32}),
    ("pages", "A2C", {}),
    ("pages", "DQN", {"learning_starts": 10, "buffer_size": 100}),
    ("pool", "PPO", {"n_steps": 32, "batch_size": 32}),
    ("pool", "A2C", {}),
    ("point", "PPO", {"n_steps": 32, "batch_size": 32}),
    ("point", "SAC", {"learning_starts": 10, "buffer_size": 100}),
]


@pytest.mark.parametrize(("kind", "learner", "settings"), LEARNERS)
def test_stable_baselines_learns_unmodified(kind: str, learner: str, settings: dict[str, Any]) -> None:
    env = KINDS[kind].make(tiny_stage())
    with torch.random.fork_rng(devices=[]):
        model = getattr(stable_baselines3, learner)("MultiInputPolicy", env, seed=0, device="cpu", **settings).learn(64)
    assert model.num_timesteps >= 64
    action, _ = model.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action)
    env.step(action)


def test_import_is_light_and_registers() -> None:
    code = (
        "import sys, gymnasium, zsr_sim\n"
        f"assert not {set(known_envs())!r} - set(gymnasium.registry)\n"
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
    bored: Any = gymnasium.make("zsr_sim/ProtoRecommendation-v0", world="boredom", render_mode="ansi").unwrapped
    assert bored.reset(seed=0)[0]["history"].shape == (64,)
    assert str(bored.render()).startswith("User ")
    assert (bored._audience.state.users.traits[:, Trait.LEAVE_SLOPE] == 0).all()
    smaller = Settings().world.model_copy(update={"slate_size": 4, "dimensions": 8})
    assert make_stage(settings=smaller).world.items.vectors.shape[1] == 8
