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


@pytest.mark.parametrize("wrong", [("--users", "1"), ("--seeds", "-1")])
def test_wrong_numbers_are_told(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        ablate(["--data", "nothere", *wrong])
    assert stop.value.code == 2
    assert f"{wrong[0]} must be {0 if wrong[0] == '--seeds' else 2} or more, got {wrong[1]}" in capsys.readouterr().err


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
