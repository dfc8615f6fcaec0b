"""The promises of a comparison, among a few users: what is counted, and that nothing is found where nothing is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import at
from zsr_sim.adversary import main as ablate
from zsr_sim.false_alarms import LOOKS, main, promises


@pytest.mark.parametrize("program", [main, ablate])
def test_a_missing_data_set_is_told_in_a_line(
    program: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        program(["--data", "nothere"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "zsr-sim: no built-in data set and no folder 'nothere'\n"


def test_what_is_counted(tmp_path: Path) -> None:
    with at(tmp_path):
        found = promises(repetitions=2 * LOOKS, users=40)
    assert {name: share.tries for name, share in found.items()} == {
        "A/A, as it came": 20,
        "at the stated effect, as it came": 20,
        "A/A, known luck taken out": 20,
        "at the stated effect, known luck taken out": 20,
        "A/A, 10 looks, fixed test": 2,
        "A/A, 10 looks, as it peeks": 2,
    }
    for words in ("as it came", "known luck taken out"):
        assert found[f"A/A, {words}"].found <= 0.25  # of 20 at 5 %: more than 5 in one of 3,000
        assert found[f"at the stated effect, {words}"].found >= 0.5  # of 20 at 80 %: fewer than 10 in one of 1,700
    assert found["A/A, 10 looks, as it peeks"].found <= found["A/A, 10 looks, fixed test"].found
