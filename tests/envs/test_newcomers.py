"""People of whom there is a text and no history: they visit, strategies see the text, and it is worth something."""

from dataclasses import replace

import numpy as np
import pytest

from tests.small_data import KINDS, N_USERS, TOPICS, small_settings, write_items, write_log
from zsr_sim.agents.similarity import Similarity
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.envs.newcomers import Described, with_newcomers
from zsr_sim.envs.population import FittedPopulation
from zsr_sim.envs.visits import observe
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.interactions import id_keys
from zsr_sim.other_worlds import other_users

NEWCOMERS = 30
TOPIC_OF = {key: row % len(TOPICS) for name, n in (("u", N_USERS), ("new", NEWCOMERS))
            for row, key in enumerate(id_keys([f"{name}{i}" for i in range(n)]).tolist())}  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The people of the log and thirty newcomers, each described by a favourite topic."""
    folder = tmp_path_factory.mktemp("described")
    write_items(folder)
    write_log(folder)
    names = [f"u{i}" for i in range(N_USERS)] + [f"new{i}" for i in range(NEWCOMERS)]
    rows = [
        f"{name},somebody who loves {TOPICS[TOPIC_OF[key]]}"
        for name, key in zip(names, id_keys(names).tolist(), strict=True)
    ]
    (folder / "users.csv").write_text("\n".join(["user_id,text", *rows]) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder / "cache"))
        return make_scene(folder, small_settings().world)


def parts(scene: Scene) -> tuple[FittedPopulation, FittedPopulation]:
    assert isinstance(scene.train, FittedPopulation)
    assert isinstance(scene.test, FittedPopulation)
    return scene.train, scene.test


def test_newcomers_join_both_sides_without_a_history(scene: Scene) -> None:
    assert sum(population.people or 0 for population in parts(scene)) == N_USERS + NEWCOMERS
    for population in parts(scene):
        fresh = population.codes < 0
        assert fresh.any()
        assert (np.diff(population.keys) > 0).all()
        assert ((population.histories < 0).all(axis=1) == fresh).all()
        np.testing.assert_allclose(np.linalg.norm(population.profiles, axis=1), fresh, atol=1e-5)
    log, train = scene.dataset.interactions, parts(scene)[0]
    assert log is not None
    assert len(scene.log) == len(log.of_users(train.codes[train.codes >= 0]))  # learned from: people of the log alone


def test_who_is_described_alike_likes_alike(scene: Scene) -> None:
    everybody = [
        person for part in parts(scene) for person in zip(part.keys.tolist(), part.codes, part.tastes, strict=True)
    ]
    of_topic = [[taste for key, code, taste in everybody if code >= 0 and TOPIC_OF[key] == topic] for topic in range(6)]
    for key, code, taste in everybody:
        if code < 0:
            assert any(np.array_equal(taste, lent) for lent in of_topic[TOPIC_OF[key]])


def test_a_strategy_sees_the_text_in_place_of_the_history(scene: Scene) -> None:
    population = parts(scene)[0]
    rows = np.flatnonzero(population.codes < 0)
    topics = np.array([TOPIC_OF[key] for key in population.keys[rows].tolist()])
    observation = observe(scene.world.start(population.visit(rows), 0))
    strategy = Similarity(scene.retrieval, 4)
    own = strategy.act(observation).slates // len(KINDS) == topics[:, None]
    assert own.mean() > 0.9
    blind = strategy.act(replace(observation, profiles=None)).slates
    assert (blind == blind[0]).all()  # popular items, the same for everybody: one topic in six is right


def test_other_worlds_have_newcomers(scene: Scene) -> None:
    population = other_users(scene, 0)
    assert isinstance(population, FittedPopulation)
    assert (population.codes < 0).any()


def test_nobody_to_lend_a_taste_and_nobody_new(scene: Scene) -> None:
    population = parts(scene)[1]
    of_log = population._only(population.codes >= 0)
    vector = np.eye(16, dtype=np.float32)[:1]
    assert with_newcomers(of_log, Described(id_keys(["stranger"]), vector)) is of_log
    assert with_newcomers(of_log, Described(of_log.keys[:1], vector)) is of_log
