"""What feedback updates add to the generator: nothing where there are none; the click level of what is shown."""

from dataclasses import replace

import numpy as np
import pytest

from tests.command_line import at
from zsr_sim.config import load_settings
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.feedback_updates import WORLDS, effect, shown
from zsr_sim.learning import train_gans

SETTINGS = load_settings(
    None, ["generator.likelihood_steps=10", "generator.adversarial_steps=0", "agent.users=20", "world.horizon=4"]
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    with at(tmp_path_factory.mktemp("feedback")):
        return make_scene("films", SETTINGS.world)


def test_no_updates_make_no_difference(scene: Scene) -> None:
    rows = effect(scene, SETTINGS, seed=0, users=30, rounds=0)
    assert list(rows) == [f"{world}: {figure}" for world in WORLDS for figure in ("return", "written")]
    for row in rows.values():
        assert row.without.mean > 0
        assert row.without == row.fed
        assert row.difference.ci95 == (0, 0)
    assert rows["as in the log: return"].without != rows["appeal reversed: return"].without
    assert rows["as in the log: written"].without.mean <= 1


def test_what_drew_repels(scene: Scene) -> None:
    """The world of the log stays as it is, and with it those whom the generator learned from."""
    before = scene.world.items.appeal.copy()
    turned = WORLDS["appeal reversed"](scene.world)
    assert np.array_equal(turned.items.appeal, -before)
    assert np.array_equal(turned.items.quality, -scene.world.items.quality)
    assert turned.items.vectors is scene.world.items.vectors
    assert np.array_equal(scene.world.items.appeal, before)
    assert WORLDS["as in the log"](scene.world) is scene.world


def test_each_world_begins_with_the_trained_generator(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    both = effect(scene, SETTINGS, seed=0, users=30, rounds=1)
    monkeypatch.delitem(WORLDS, "as in the log")
    alone = effect(scene, SETTINGS, seed=0, users=30, rounds=1)
    assert alone["appeal reversed: return"] == both["appeal reversed: return"]
    assert alone["appeal reversed: return"].difference.standard_error > 0


def test_what_users_are_shown_and_click(scene: Scene) -> None:
    """Of pages that the gate lets pass; where users are eager, most of what they see is clicked."""
    _, gan, trainer = train_gans(scene, SETTINGS, seed=0)
    ids = np.arange(20)
    found = shown(scene.world, scene, ids, gan, seed=0)
    n = len(found.pages)
    assert 20 < n <= 80
    assert found.histories.shape == (n, scene.train.visit(ids).histories.shape[1])
    assert found.pages.shape == found.clicks.shape == (n, 10)
    assert all(len(set(page)) == 10 for page in found.pages.tolist())
    assert 0 < found.clicks.mean() < 0.5
    gan.source.renew(replace(trainer.gan, threshold=2.0))  # nothing passes: nothing is the generator's
    assert not len(shown(scene.world, scene, ids, gan, seed=0).pages)
