from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.small_data import N_ITEMS, small_settings, write_items, write_log
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.protocol import Agent
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.visits import observe
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.learning import (
    count_phases,
    learners,
    load_trained,
    require_trainable,
    train_strategy,
)
from zsr_sim.runs import Run
from zsr_sim.trained import Trained

SETTINGS = small_settings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_items(folder / "data")
    write_log(folder / "data")
    write_items(folder / "other", ("lions", "trains", "gardens", "dance", "winter", "ships"))
    return folder


@pytest.fixture(scope="module")
def scene(folder: Path) -> Scene:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder / "cache"))
        return make_scene(folder / "data", SETTINGS.world)


@pytest.fixture(scope="module")
def other(folder: Path) -> Scene:
    """Other items, and users who are made up, in a space of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder / "cache"))
        return make_scene(folder / "other", small_settings("world.dimensions=9", "world.slate_size=5").world)


@pytest.fixture(
    scope="module", params=["policy-gradient", "gan", "hybrid", "few-shot", "linucb", "thompson", "sb3:PPO"]
)
def trained(request: pytest.FixtureRequest, scene: Scene) -> Trained:
    return train_strategy(request.param, scene, SETTINGS, seed=3)


@pytest.fixture(scope="module")
def run(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    with Run.create(folder, ["zsr-sim"], SETTINGS, [3], {}) as run:
        trained.save(run, "seed-3")
    return folder


def waiting(scene: Scene, n: int = 40) -> Observation:
    return observe(scene.world.start(scene.test.visit(np.arange(n)), 7))


def same(one: Agent, two: Agent, observation: Observation) -> bool:
    a, b = one.act(observation), two.act(observation)
    return np.array_equal(a.slates, b.slates) and a.sources == b.sources


def test_a_checkpoint_acts_as_what_was_saved(trained: Trained, run: Path, scene: Scene) -> None:
    assert same(load_trained(run, "seed-3", scene), trained.agent, waiting(scene))


def test_a_checkpoint_sees_items_as_in_training_whatever_space_the_users_live_in(
    trained: Trained, run: Path, scene: Scene
) -> None:
    vectors = scene.vectors[:, :5]
    elsewhere = replace(scene, vectors=vectors, space=type(scene.space)(scene.space.components[:5]))
    assert same(load_trained(run, "seed-3", elsewhere), trained.agent, waiting(scene))


def test_a_checkpoint_serves_another_catalogue(run: Path, other: Scene) -> None:
    agent, again = (load_trained(run, "seed-3", other) for _ in range(2))
    observation = waiting(other)
    slates = agent.act(observation).slates
    assert slates.shape == (40, 5)
    assert slates.min() >= 0
    assert slates.max() < N_ITEMS
    assert all(len(set(slate)) == 5 for slate in slates.tolist())
    assert same(agent, again, observation)
    parts = [agent.act(observation.take(slice(begin, begin + 9))).slates for begin in range(0, 40, 9)]
    assert np.array_equal(np.concatenate(parts), slates)


def test_another_encoder_is_refused(run: Path, scene: Scene) -> None:
    with pytest.raises(InputError, match=r"trained with the encoder all-MiniLM-L6-v2, .* by another .*--encoder"):
        load_trained(run, "seed-3", replace(scene, encoder="another", encoder_fingerprint="0"))


def test_what_learns_in_the_scene_keeps_the_contract(trained: Trained, scene: Scene) -> None:
    check_agent(trained.agent, scene.retrieval, 4)


def test_a_checkpoint_of_another_version_is_refused(trained: Trained, scene: Scene, tmp_path: Path) -> None:
    with Run.create(tmp_path / "old", ["zsr-sim"], SETTINGS, [3], {}) as run:
        replace(trained, facts=trained.facts | {"settings": {"agents": 1}}).save(run, "settings")
        replace(trained, tensors={"space.components": trained.tensors["space.components"]}).save(run, "weights")
    for name in ("settings", "weights"):
        with pytest.raises(InputError, match=f"old, checkpoint {name} does not fit this version of zsr-sim"):
            load_trained(tmp_path / "old", name, scene)


def test_the_same_seed_learns_the_same_and_another_seed_something_else(trained: Trained, scene: Scene) -> None:
    name = trained.facts["kind"]
    again, another = (train_strategy(name, scene, SETTINGS, seed) for seed in (3, 4))
    assert again.figures == trained.figures != another.figures
    assert all((again.tensors[key] == value).all() for key, value in trained.tensors.items())


def test_every_phase_is_reported_up_to_its_end(scene: Scene) -> None:
    seen: list[tuple[str, int, int]] = []
    train_strategy(
        "policy-gradient", scene, SETTINGS, 0, lambda phase, done, total, _: seen.append((phase, done, total))
    )
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == ["generator", "policy"]
    assert seen[-2:] == [("policy", 1, 2), ("policy", 2, 2)]
    assert count_phases("policy-gradient", SETTINGS) == 2


def test_without_a_generator_there_is_one_phase_and_no_gate(scene: Scene, tmp_path: Path) -> None:
    settings = small_settings("generator.candidates=0")
    trained = train_strategy("policy-gradient", scene, settings, 0)
    assert trained.facts["gate"] is None
    assert list(trained.figures) == ["policy"]
    assert trained.figures["policy"]["generated_share"] == 0
    assert {count_phases(name, settings) for name in learners()} == {1}
    with Run.create(tmp_path / "run", ["zsr-sim"], settings, [0], {}) as run:
        trained.save(run, "seed-0")
    assert same(load_trained(tmp_path / "run", "seed-0", scene), trained.agent, waiting(scene))


def test_a_figure_that_is_not_finite_is_none_in_json(trained: Trained) -> None:
    odd = replace(trained, figures={"policy": {"return": 1.5, "explained_variance": float("nan")}})
    assert odd.final_figures() == {"policy": {"return": 1.5, "explained_variance": None}}


def test_all_candidates_generated_is_refused(scene: Scene) -> None:
    settings = small_settings("generator.candidates=4", "agent.candidates=8")
    with pytest.raises(
        InputError,
        match=r"generator\.candidates is 4, agent\.composed 4, agent\.candidates 8; some candidates must be retr",
    ):
        require_trainable("policy-gradient", scene, settings)
    require_trainable("sb3:PPO", scene, settings)


def test_a_log_too_short_for_the_generator_is_refused(scene: Scene) -> None:
    short = replace(scene, log=scene.log.of_users([0, 1]))
    with pytest.raises(
        InputError, match=r"gives 11 sequences .* 1 to hold out; at least 20 .* --set generator.candidates=0"
    ):
        require_trainable("policy-gradient", short, SETTINGS)
