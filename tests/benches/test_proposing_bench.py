"""`bench --proposing`: what is measured, on small catalogues; rates themselves are not asserted."""

import json

import pytest
from typer.testing import CliRunner

from zsr_sim.benches import proposing
from zsr_sim.cli import app

SMALL = {"proposing": (5, 60), "large_catalogue": (3, 90)}


def test_rates_of_proposing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "CASES", SMALL)
    result = CliRunner().invoke(app, ["bench", "--proposing", "--repetitions", "3", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == list(SMALL)
    for case, (users, items) in SMALL.items():
        rates = found[case]
        assert 0 < rates["minimum"] <= rates["user_steps_per_second"] <= rates["maximum"]
        assert rates["user_steps_per_cpu_second"] > 0
        assert [rates[name] for name in ("users", "items", "slate", "repetitions")] == [users, items, 10, 3]
