"""LLM users where people meet them: an environment, a comparison, and what is said with every use."""

import json
import logging
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import zsr_sim  # it registers the environments
from tests.command_line import at
from tests.command_line import zsr_sim as command
from tests.small_data import ASSIGNMENTS, small_settings, write_impressions, write_items, write_log
from zsr_sim.config import WorldSettings
from zsr_sim.errors import InputError
from zsr_sim.experiment import make_scene

WORLD = small_settings("world.base_click_rate=0.5", "world.leave_bias=-30").world


def visit(data: Path, users: str, seed: int) -> list[tuple[float, bool]]:
    env = gymnasium.make("zsr_sim/Recommendation-v0", data=str(data), settings=WORLD, users=users)
    env.reset(seed=seed)
    steps = [env.step(np.int64(page % 8))[1:3] for page in range(8)]
    return [(float(reward), bool(left)) for reward, left in steps]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llm") / "data"
    write_items(folder)
    write_log(folder)
    (folder / "users.csv").write_text("user_id,text\nu3,a keen diver\n", encoding="utf-8")
    return folder


def test_an_environment_of_llm_users_replays(
    data: Path, tiny_causal: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert zsr_sim.__version__
    with at(tmp_path), caplog.at_level(logging.WARNING):
        users = f"llm:{tiny_causal}?precision=fp32"
        first = visit(data, users, 3)
        assert visit(data, users, 3) == first
        assert sum(reward for reward, _ in first) > 0
        assert visit(data, "laws", 3) != first
        assert "LLM users" in caplog.text  # the agreeableness check
        with pytest.raises(InputError, match="observe is 'state', but what users='llm' are like inside"):
            gymnasium.make("zsr_sim/Recommendation-v0", data=str(data), users=users, observe="state")
    with pytest.raises(InputError, match="users is 'lllm'"):
        gymnasium.make("zsr_sim/Recommendation-v0", data=str(data), users="lllm")


@pytest.mark.parametrize("kind", ["llm", "distilled"])
def test_a_comparison_on_users_who_are_asked(kind: str, data: Path, tiny_causal: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(data), "--agents", "similarity", "random", "--users", "12", "--json", "--set"]
    with at(tmp_path):
        users = f"world.users={kind}:{tiny_causal}?precision=fp32"
        found = [command(*words, *ASSIGNMENTS, users, "--out", out).stdout for out in ("a", "b")]
    results, again = (json.loads(text) for text in found)
    assert results["strategies"] == again["strategies"]
    asked = results["world"]["asked"]
    assert asked["kind"] == kind
    assert asked["agreeableness"]["declared"] == WorldSettings().base_click_rate
    assert "language model" in results["world"]["trust"]
    assert (results["learnable"] is None) == (kind == "llm")
    assert ("agreement" in asked) == (kind == "distilled")
    assert "LLM users (causal" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")


def test_users_that_are_not_known_are_named(data: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(data), "--agents", "similarity", "random", "--set", "world.users=robots"]
    with at(tmp_path):
        assert "setting world.users" in command(*words, code=2).stderr


def test_bench_tells_slates_per_second(data: Path, tiny_causal: Path, tmp_path: Path) -> None:
    with at(tmp_path):
        words = ["bench", "--data", str(data), "--llm-users", f"{tiny_causal}?precision=fp32", "--repetitions", "2"]
        found = json.loads(command(*words, "--json").stdout)
    assert found["slate"] == 10
    for name in ("visit", "first_page", "later_pages", "known"):
        rates = found[name]
        assert 0 < rates["minimum"] <= rates["slates_per_second"] <= rates["maximum"]
    assert found["known"]["minimum"] > found["visit"]["maximum"]  # nothing is asked twice


def test_users_who_are_asked_click_as_often_as_logged_pages_say(tmp_path: Path, tiny_causal: Path) -> None:
    write_items(tmp_path / "data")
    write_impressions(tmp_path / "data")
    settings = small_settings(f"world.users=llm:{tiny_causal}?precision=fp32").world
    with at(tmp_path):
        scene = make_scene(tmp_path / "data", settings)
    assert scene.asked is not None
    told: Any = scene.asked.told["agreeableness"]
    assert told["declared"] == {line.name: line.value for line in scene.fit_report}["base_click_rate"]
    assert abs(told["declared"] - 1 / 3) < 0.02  # of the items that are looked at; of those shown fewer were clicked
