"""`zsr-sim bench`: one measurement at a time, and no option that does not bear on it."""

import json
from pathlib import Path

import pytest

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS
from zsr_sim.benches.rates import spread
from zsr_sim.benches.trainings import first_at


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoders", "--histories"], "one thing at a time, found --histories and --encoders"),
        (["--world", "--log", "10"], "found --world and --log"),
        (["--encoders", "--set", "world.boredom=0"], "bench --encoders has no use for --config and --set"),
        (["--device", "cuda"], "bench has no use for --device"),
        (["--world", "static", "--device", "gpu"], "--device is 'gpu'; one of cpu, cuda expected"),
        (["--world", "static", "--data", "books"], "bench --world has no use for --data"),
        (["--proposing", "--data", "books"], "bench --proposing has no use for --data"),
        (["--log", "10", "--repetitions", "2"], "bench --log has no use for --repetitions"),
        (["--training", "--repetitions", "2"], "bench --training has no use for --repetitions"),
        (["--llm-users", "smollm2", "--set", "seed=1"], "bench --llm-users has no use for --config and --set"),
    ],
)
def test_options_that_clash_are_named(words: list[str], said: str) -> None:
    assert said in zsr_sim("bench", *words, code=2).stderr


def test_spread() -> None:
    assert spread("rate", [5.0, 1.0, 2.0, 4.0]) == {"rate": 3.0, "minimum": 1.0, "maximum": 5.0}


def test_the_first_update_at_a_level() -> None:
    returns = [1.0, 2.0, 3.0, 4.0, 8.0]  # means of three: 2, 3, 5
    assert [first_at(returns, level) for level in (0.0, 2.0, 2.5, 3.0, 5.0, 5.1)] == [2, 2, 3, 3, 4, None]
    assert first_at(returns[:2], 0.0) is None


def test_training_beside_its_peer(small_place: Path) -> None:
    words = ("bench", "--data", "data", "--training", "--json", "--set", *ASSIGNMENTS, "agent.updates=3")
    found = json.loads(zsr_sim(*words).stdout)
    assert (found["users"], found["updates"], found["items"]) == (24, 3, 60)
    ours, peer = found["policy-gradient"], found["sb3:PPO"]
    assert found["level"] == peer["return"] > 0
    assert peer["cpu_seconds_to_level"] == peer["cpu_seconds"] > 0  # three updates: one mean
    if ours["return"] >= found["level"]:
        assert found["ratio"] == pytest.approx(peer["cpu_seconds"] / ours["cpu_seconds"])
    else:
        assert found["ratio"] is ours["seconds_to_level"] is None
