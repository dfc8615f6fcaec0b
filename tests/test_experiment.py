"""The scene of an experiment: other worlds of the same people."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.small_data import small_settings, write_impressions, write_items, write_log
from zsr_sim.agents.baselines import Random
from zsr_sim.agents.oracle import OracleMyopic
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.config import with_users
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.envs.replicates import bootstrap
from zsr_sim.envs.traits import Trait
from zsr_sim.errors import InputError
from zsr_sim.experiment import make_scene
from zsr_sim.other_worlds import agents_in, other_users

WORLD = small_settings().world


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))


def test_another_world_is_made_of_a_sample_of_the_same_people(tmp_path: Path) -> None:
    write_items(tmp_path / "data")
    write_log(tmp_path / "data")
    plain = make_scene(tmp_path / "data", WORLD)
    other = make_scene(tmp_path / "data", WORLD, resample=partial(bootstrap, seed=0, replicate=1))
    assert plain.dataset.interactions is not None
    drawn = bootstrap(plain.dataset.interactions, seed=0, replicate=1)
    assert set(other.log.user_ids) == set(plain.log.user_ids) & set(drawn.user_ids)
    assert len(other.log.user_ids) > len(set(other.log.user_ids))
    assert not np.array_equal(other.world.items.quality, plain.world.items.quality)
    np.testing.assert_array_equal(other.vectors, plain.vectors)


def test_users_can_be_made_up_beside_a_log_too_small_to_fit(tmp_path: Path) -> None:
    """What strategies may learn from is the whole log, then: none of its people visits."""
    write_items(tmp_path / "data")
    (tmp_path / "data" / "interactions.csv").write_text("user_id,item_id,timestamp\nu,i01,1\nu,i02,2\nv,i02,3\n")
    with pytest.raises(InputError, match="0 users have 5 interactions or more"):
        make_scene(tmp_path / "data", WORLD)
    scene = make_scene(tmp_path / "data", with_users(WORLD, "made-up"))
    assert list(scene.log.user_ids) == ["u", "v"]
    assert scene.retrieval.popularity.nonzero()[0].tolist() == [1, 2]
    assert not scene.fitted
    assert scene.trust.startswith("These users are made up, the log was not fitted.")
    assert (scene.train.people, scene.test.people) == (None, None)


def test_items_that_no_text_tells_apart_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = "".join(f"i{number},a lamp\n" for number in range(40))
    (tmp_path / "data" / "items.csv").write_text(f"item_id,title\n{rows}")
    with pytest.raises(InputError, match="data: all 40 items have the same text, 'a lamp'; texts that tell items"):
        make_scene(tmp_path / "data", WORLD)


def test_other_worlds_need_a_log(tmp_path: Path) -> None:
    write_items(tmp_path / "data")
    with pytest.raises(InputError, match="data has no log, its users are made up; other worlds need a log"):
        make_scene(tmp_path / "data", WORLD, resample=partial(bootstrap, seed=0, replicate=1))


@pytest.mark.parametrize("logged", [True, False])
def test_logged_pages_say_how_far_down_users_look(tmp_path: Path, logged: bool) -> None:
    """Fitted and made-up users alike take position bias and click level from them; what is set counts more."""
    write_items(tmp_path / "data")
    write_impressions(tmp_path / "data")
    if logged:
        write_log(tmp_path / "data")
    scene = make_scene(tmp_path / "data", WORLD)
    fitted = {line.name: line for line in scene.fit_report if line.fitted}
    assert abs(fitted["examination_decay"].value - 1.0) < 3 * (fitted["examination_decay"].standard_error or 0)
    assert abs(fitted["base_click_rate"].value - 1 / 3) < 3 * (fitted["base_click_rate"].standard_error or 0)
    assert ("affinity_weight" in fitted) == logged
    decays = scene.test.visit(np.arange(5)).traits[:, Trait.EXAMINATION_DECAY]
    assert decays == pytest.approx(fitted["examination_decay"].value)
    if logged:
        return
    given = make_scene(tmp_path / "data", WORLD.model_copy(update={"examination_decay": 0.25}))
    assert given.test.visit(np.arange(5)).traits[:, Trait.EXAMINATION_DECAY] == pytest.approx(0.25)


def test_who_knows_the_world_knows_the_one_that_is_played(tmp_path: Path) -> None:
    write_items(tmp_path / "data")
    write_log(tmp_path / "data")
    scene = make_scene(tmp_path / "data", WORLD)
    users = other_users(scene, 0)
    assert not np.array_equal(users.items.appeal, scene.world.items.appeal)
    there = replace(scene.world, items=users.items)
    agents = {
        "oracle": CheckedAgent("oracle", OracleMyopic(scene.world), 4, 60),
        "random": CheckedAgent("random", Random(scene.retrieval, 4), 4, 60),
    }
    found = agents_in(there, agents)
    assert found["random"] is agents["random"]
    assert found["oracle"].agent == OracleMyopic(there)
