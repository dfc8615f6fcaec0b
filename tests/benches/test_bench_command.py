"""`zsr-sim bench`: one measurement at a time, and no option that does not bear on it."""

import pytest

from tests.command_line import zsr_sim
from zsr_sim.benches.rates import spread


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoders", "--histories"], "one thing at a time, found --histories and --encoders"),
        (["--world", "--log", "10"], "found --world and --log"),
        (["--encoders", "--set", "world.boredom=0"], "bench --encoders has no use for --config and --set"),
        (["--world", "static", "--data", "books"], "bench --world has no use for --data"),
        (["--log", "10", "--repetitions", "2"], "bench --log has no use for --repetitions"),
        (["--llm-users", "smollm2", "--set", "seed=1"], "bench --llm-users has no use for --config and --set"),
    ],
)
def test_options_that_clash_are_named(words: list[str], said: str) -> None:
    assert said in zsr_sim("bench", *words, code=2).stderr


def test_spread() -> None:
    assert spread("rate", [5.0, 1.0, 2.0, 4.0]) == {"rate": 3.0, "minimum": 1.0, "maximum": 5.0}
