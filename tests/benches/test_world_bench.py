"""`bench --world`: what is measured, on small worlds; rates themselves are not asserted."""

import importlib.util

import pytest
from typer.testing import CliRunner

from zsr_sim.benches import worlds
from zsr_sim.cli import app
from zsr_sim.errors import InputError

SMALL = {"many": (300, 50), "one": (1, 50), "large_catalogue": (300, 80)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "CASES", SMALL)


def test_rates_of_a_world() -> None:
    told: list[str] = []
    found = worlds.bench_world("everything", 3, told.append)
    assert (found["world"], found["slate"], found["repetitions"]) == ("everything", 10, 3)
    for case, (users, items) in SMALL.items():
        rates = found[case]
        assert 0 < rates["minimum"] <= rates["user_steps_per_second"] <= rates["maximum"]
        assert (rates["users"], rates["items"]) == (users, items)
    assert found["single"]["user_steps_per_second"] > 0
    assert (found["single"]["users"], found["single"]["items"]) == (1, 767)
    assert ("sardine" in found) == bool(importlib.util.find_spec("sardine"))
    assert told[-3:] == [f"repetition {i} of 3" for i in (1, 2, 3)]
    with pytest.raises(InputError, match="world 'bordom' is not known"):
        worlds.bench_world("bordom", 1, told.append)


@pytest.mark.parametrize(
    ("words", "world"),
    [(["--world"], "everything"), (["--world", "--json"], "everything"), (["--world", "static", "--json"], "static")],
)
def test_a_world_without_a_name_is_everything(words: list[str], world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "bench_world", lambda name, n, tell, device: {"world": name, "n": n, "on": device})
    result = CliRunner().invoke(app, ["bench", "--repetitions", "2", *words])
    assert result.exit_code == 0
    assert (f'"world": "{world}"' in result.stdout) or (f'world: "{world}"' in result.stdout)
