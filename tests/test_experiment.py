"""The scene of an experiment: other worlds of the same people."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.small_data import small_settings, write_items, write_log
from zsr_sim.encoders.cache import FOLDER_VARIABLE
from zsr_sim.envs.replicates import bootstrap
from zsr_sim.errors import InputError
from zsr_sim.experiment import make_scene

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


def test_other_worlds_need_a_log(tmp_path: Path) -> None:
    write_items(tmp_path / "data")
    with pytest.raises(InputError, match="data has no log, its users are made up; other worlds need a log"):
        make_scene(tmp_path / "data", WORLD, resample=partial(bootstrap, seed=0, replicate=1))
