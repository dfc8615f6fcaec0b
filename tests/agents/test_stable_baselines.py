import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.envs.stages import tiny_stage
from tests.envs.tiny import SameUsers
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.sb3_algorithms import ALGORITHMS, ENVIRONMENTS
from zsr_sim.agents.stable_baselines import Batched, StableBaselines, StableBaselinesTrainer, environment_of
from zsr_sim.config import AgentSettings, Settings
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.recommendation import RecommendationEnv
from zsr_sim.envs.stage import Stage, page_observation
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.envs.visits import observe, simulate
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import SOURCES, Candidates, RetrievalCandidates
from zsr_sim.generation.retrieval import Retrieval


def _settings(**changes: Any) -> AgentSettings:
    return Settings().agent.model_copy(update={"hidden": 16, "minibatch": 64, **changes})


def _trainer(seed: int = 0, rows: int = 6, stage: Stage | None = None) -> StableBaselinesTrainer:
    env = RecommendationVectorEnv.on(stage or tiny_stage(), rows, 10)
    return StableBaselinesTrainer("PPO", env, _settings(), seed)


def _waiting(stage: Stage, n: int = 30) -> Observation:
    return observe(stage.world.start(stage.population.visit(np.arange(n)), 5))


def test_batched_is_what_stable_baselines_makes_of_single_environments() -> None:
    stage, n = tiny_stage(generated=2), 5

    def create(**_: Any) -> RecommendationEnv:
        return RecommendationEnv.on(stage)

    ours = Batched(RecommendationVectorEnv.on(stage, n, 6))
    theirs = DummyVecEnv([lambda: gymnasium.make(EnvSpec("Tiny-v0", entry_point=create, max_episode_steps=6))] * n)
    ours.seed(3)
    theirs.seed(3)
    first = theirs.reset()
    assert isinstance(first, dict)
    np.testing.assert_equal(ours.reset(), dict(first))
    rng, cut, left = np.random.default_rng(0), 0, 0
    for _ in range(60):
        actions = rng.integers(0, 5, n)
        observation, rewards, done, infos = ours.step(actions)
        other, other_rewards, other_done, other_infos = theirs.step(actions)
        assert isinstance(observation, dict)
        assert isinstance(other, dict)
        for name, values in observation.items():
            np.testing.assert_array_equal(values, other[name])
        np.testing.assert_array_equal(rewards, other_rewards)
        np.testing.assert_array_equal(done, other_done)
        for mine, info in zip(infos, other_infos, strict=True):
            assert mine["TimeLimit.truncated"] == info["TimeLimit.truncated"]
            np.testing.assert_equal(mine.get("terminal_observation"), info.get("terminal_observation"))
        cut += sum(info["TimeLimit.truncated"] for info in infos)
        left += int(done.sum())
    assert 5 < cut < left - 5
    assert ours.pages == 60 * n
    assert 0 < ours.generated < ours.pages


@dataclass(frozen=True)
class FixedPages:
    """Always the same two candidates: one that these users like, one that they do not; which is where, is drawn."""

    retrieval: Retrieval
    n_candidates: int = 2
    slate_size: int = 2

    def candidates(self, observation: Observation) -> Candidates:
        n = len(observation)
        good = (observation.users + observation.steps) % 2  # place of the liked page
        pages = np.array([[[0, 1], [2, 3]], [[2, 3], [0, 1]]], dtype=np.int32)[good]
        return Candidates(pages, np.full((n, 2), SOURCES.index("random"), np.int8), np.full((n, 2), 0.5, np.float32))


def test_finds_the_page_that_users_like() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [-1, 0], [-0.8, 0.6]], dtype=np.float32)
    items = WorldItems(vectors, np.zeros(4, np.float32), np.zeros(4, np.int32), 1)
    traits = Traits(affinity_weight=20.0, repeat_penalty=0.0, examination_decay=0.0, drift_rate=0.0)
    world = World(items, slate_size=2)
    users = SameUsers([1.0, 0.0], click_bias=0.0, boredom=0.0, leave_bias=-30.0, traits=traits)  # nobody leaves
    stage = Stage.of(world, users, FixedPages(Retrieval(vectors, np.ones(4, dtype=np.float32))))
    env = RecommendationVectorEnv.on(stage, 32, 5)
    trainer = StableBaselinesTrainer("PPO", env, _settings(learning_rate=5e-3), 0)
    for _ in range(25):
        trainer.step()
    assert trainer.model.num_timesteps == 32 * 5 * 25
    visits = simulate(world, users, np.arange(200) + 10**6, trainer.agent, seed=1, horizon=5)
    assert visits.returns.mean() > 9.9  # 10 clicks for the liked page always, none for the other; at random 5


def _weights(agent: StableBaselines) -> NDArray[np.float32]:
    weights, _ = agent.checkpoint()
    return np.concatenate([weights[name].numpy().ravel() for name in sorted(weights)])


def test_same_seed_same_weights_whatever_else_draws() -> None:
    first, again, other = _trainer(0), _trainer(0), _trainer(1)
    for _ in range(2):
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]  # noqa: NPY002
        figures = first.step()
        assert before[0] == random.getstate()
        assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
        assert torch.equal(before[2], torch.get_rng_state())
        random.random()
        torch.rand(3)
        assert again.step() == figures
        assert other.step() != figures
    np.testing.assert_array_equal(_weights(first.agent), _weights(again.agent))
    assert not np.array_equal(_weights(first.agent), _weights(other.agent))


def test_figures_are_those_of_the_visits_that_ended() -> None:
    trainer = _trainer(stage=tiny_stage(leave_bias=-30.0))  # nobody leaves: each row ends one visit of 10 pages
    figures = trainer.step()
    assert figures["visit_length"] == 10
    assert figures["click_rate"] == pytest.approx(figures["return"] / 30)
    assert figures["entropy"] == pytest.approx(np.log(5), rel=0.05)  # of five candidates, hardly learned
    assert figures["generated_share"] == 0
    assert trainer.model.num_timesteps == 60


def test_an_agent_does_not_change_when_training_goes_on() -> None:
    trainer = _trainer()
    agent = trainer.agent
    before = _weights(agent)
    trainer.step()
    np.testing.assert_array_equal(_weights(agent), before)


def test_acts_on_what_the_environment_shows_and_alike_in_any_batch() -> None:
    stage = tiny_stage(generated=2)
    trainer = _trainer(stage=stage)
    trainer.step()
    agent, waiting = trainer.agent, _waiting(stage)
    decision = agent.act(waiting)
    candidates = stage.source.candidates(waiting)
    seen = page_observation(waiting, candidates, stage.source.retrieval)
    actions, _ = trainer.model.predict(dict(seen), deterministic=True)
    np.testing.assert_array_equal(decision.slates, candidates.chosen(actions))
    assert decision.sources == tuple(SOURCES[s] for s in candidates.sources[np.arange(30), actions])
    for row in range(30):
        alone = agent.act(waiting.take(slice(row, row + 1)))
        np.testing.assert_array_equal(alone.slates[0], decision.slates[row])


def test_saves_and_loads_without_pickle(tmp_path: Path) -> None:
    stage = tiny_stage()
    trainer = _trainer(stage=stage)
    trainer.step()
    tensors, facts = trainer.agent.checkpoint()
    save_file(tensors, tmp_path / "weights.safetensors")
    facts = json.loads(json.dumps(facts))
    torch_state = torch.get_rng_state()
    restored = StableBaselines.restore(load_file(tmp_path / "weights.safetensors"), facts, stage)
    assert torch.equal(torch_state, torch.get_rng_state())
    waiting = _waiting(stage)
    np.testing.assert_array_equal(restored.act(waiting).slates, trainer.agent.act(waiting).slates)
    np.testing.assert_array_equal(_weights(restored), _weights(trainer.agent))
    fewer = RetrievalCandidates(stage.source.retrieval, stage.source.slate_size, 4)
    with pytest.raises(InputError, match=r"actions = Discrete\(5\), here there are Discrete\(4\)"):
        StableBaselines.restore(tensors, facts, replace(stage, source=fewer))


@pytest.mark.parametrize(
    ("algorithm", "environment", "figures"),
    [
        ("A2C", "candidates", {"policy_loss", "value_loss", "entropy"}),
        ("DQN", "candidates", {"value_loss"}),
        ("SAC", "proto", {"policy_loss", "value_loss", "temperature"}),
        ("PPO", "slate", {"policy_loss", "clipped"}),
        ("PPO", "proto", {"policy_loss", "clipped"}),
    ],
)
def test_every_algorithm_trains_acts_and_is_restored(algorithm: str, environment: str, figures: set[str]) -> None:
    stage = tiny_stage()
    env = ENVIRONMENTS[environment].on(stage, 40, 10)
    trainer = StableBaselinesTrainer(algorithm, env, _settings(), 0)
    for _ in range(3):
        found = trainer.step()
    assert figures <= set(found)
    assert all(np.isfinite(value) for value in found.values())
    agent = trainer.agent
    tensors, facts = agent.checkpoint()
    again = StableBaselines.restore(tensors, json.loads(json.dumps(facts)), stage)
    waiting = _waiting(stage)
    np.testing.assert_array_equal(again.act(waiting).slates, agent.act(waiting).slates)
    check_agent(agent, stage.source.retrieval, 3)


def test_where_an_algorithm_cannot_choose() -> None:
    assert [environment_of(name, _settings()) for name in ALGORITHMS] == ["candidates"] * 3 + ["proto"]
    assert environment_of("PPO", _settings(environment="slate")) == "slate"
    with pytest.raises(InputError, match=r"sb3:DQN cannot choose where agent.environment is slate .*candidates fits"):
        environment_of("DQN", _settings(environment="slate"))


def test_unknown_algorithm() -> None:
    env = RecommendationVectorEnv.on(tiny_stage(), 2, 10)
    with pytest.raises(InputError, match="unknown algorithm sb3:PP0; did you mean 'PPO'"):
        StableBaselinesTrainer("PP0", env, _settings(), 0)
    with pytest.raises(InputError, match="an update of one page"):
        StableBaselinesTrainer("PPO", RecommendationVectorEnv.on(tiny_stage(), 1, 1), _settings(), 0)
