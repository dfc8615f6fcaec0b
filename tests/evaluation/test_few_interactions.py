"""Learning curves over the number of interactions that are known of a user."""

from pathlib import Path

import numpy as np
import pytest

from tests.small_data import small_settings, write_items, write_log
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.evaluation.few_interactions import LearningCurve, last_of_each, learning_curves
from zsr_sim.experiment import make_scene
from zsr_sim.interactions import Interactions
from zsr_sim.reporting.few_interactions import learning_curve_figure


def test_the_last_interactions_of_each_user() -> None:
    log = Interactions.from_columns(["a", "a", "a", "b", "c", "c"], [3, 1, 2, 5, 4, 0], [1, 2, 3, 1, 1, 2])
    found = last_of_each(log, 2)
    assert found.items.tolist() == [1, 2, 5, 4, 0]
    assert found.users.tolist() == [0, 0, 1, 2, 2]
    assert found.user_ids == log.user_ids


def test_more_interactions_help_and_what_needs_none_does_not_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users of one topic each, with four strays: ten interactions tell the topic better than one does."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    write_items(tmp_path / "data")
    write_log(tmp_path / "data")
    settings = small_settings("few_shot.steps=5")
    scene = make_scene(tmp_path / "data", settings.world)
    told: list[tuple[int, int]] = []
    curves, failed = learning_curves(
        scene, settings, ("similarity", "few-shot"), (0, 1), (1, 10), lambda done, total: told.append((done, total))
    )
    assert told[-1] == (8, 8)
    assert failed == {}
    assert [curve.strategy for curve in curves] == ["similarity", "few-shot"]
    for curve in curves:
        assert curve.values.shape == (2, 2)
        assert curve.values[:, 1].mean() > curve.values[:, 0].mean()
    again, _ = learning_curves(scene, settings, ("few-shot",), (0,), (1,))
    assert again[0].values[0, 0] == curves[1].values[0, 0]


def test_the_figure_is_written(tmp_path: Path) -> None:
    curves = [LearningCurve(name, (1, 3), np.array([[0.1, 0.2], [0.15, 0.3]])) for name in ("a", "b")]
    path = learning_curve_figure(curves, tmp_path / "curves.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
