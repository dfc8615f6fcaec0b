"""`bench --log`: what is measured, on a small log; times themselves are not asserted."""

import json
from pathlib import Path

from tests.command_line import at, zsr_sim


def test_the_evaluation_of_a_log_is_timed(tmp_path: Path) -> None:
    with at(tmp_path):
        result = zsr_sim("bench", "--log", "2500", "--json")
    found = json.loads(result.stdout)["log"]
    assert 2000 < found["impressions"] < 3200
    assert (found["draws"], found["estimators"]) == (1000, 28)  # 22 of pages and positions, six of whole visits
    assert found["impressions"] % 10 == 0
    assert min(found["wall_seconds"], found["cpu_seconds"], found["peak_gib"]) > 0
    assert "bootstrap draws" in result.stderr
