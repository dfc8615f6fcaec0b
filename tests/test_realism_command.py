"""`zsr-sim evaluate realism` on a data set of sixty items."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.small_data import KINDS, TOPICS, write_items
from zsr_sim.cli import app

USERS = 80


def write_ratings(folder: Path) -> None:
    """Eighty users who come for two hours of a minute an item on some days of a year, and rate their own topic high."""
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = [("user_id", "item_id", "timestamp", "value")]
    for user in range(USERS):
        begin = 1_600_000_000 + 86_400 * int(rng.integers(300))
        items = [(user % len(TOPICS), k) for k in rng.permutation(len(KINDS))[:7]]
        items += [(t, k) for t, k in rng.integers(0, (len(TOPICS), len(KINDS)), (8, 2)) if t != user % len(TOPICS)]
        for place, row in enumerate(rng.permutation(len(items))):
            topic, kind = items[row]
            when = begin + 86_400 * (place // 5) + 60 * place
            rows.append((f"u{user}", f"i{topic}{kind}", when, 5 - 2 * (topic != user % len(TOPICS)) + rng.integers(2)))
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with ratings, and beside it one without a log."""
    root = tmp_path_factory.mktemp("realism")
    for name in ("data", "no-log"):
        write_items(root / name)
    write_ratings(root / "data")
    return root


def test_a_small_log_end_to_end(folder: Path) -> None:
    words = ["evaluate", "realism", "--data", str(folder / "data"), "--replications", "3", "--json"]
    ran = CliRunner().invoke(app, [*words, "--out", str(folder / "run")])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert json.loads((folder / "run" / "results.json").read_text()) == {k: v for k, v in found.items() if k != "run"}
    assert {path.name for path in (folder / "run" / "figures").iterdir()} == {"realism.png", "preference.png"}
    realism, (ours, *others) = found["realism"], found["preference"]["rows"]
    inside = [line["inside"] for line in realism["statistics"]]
    assert inside == sorted(inside)  # misses first
    assert realism["inside"] == pytest.approx(np.mean(inside))
    for line in realism["statistics"]:
        low, high = line["interval"]
        assert line["inside"] == (low is not None and low <= line["real"] <= high) or low == high
        assert (line["why"] is None) == line["inside"]
    lengths, gaps = realism["habits"]
    assert (lengths["statistic"], gaps["statistic"]) == ("interactions per session", "days between sessions")
    assert lengths["spread"] == pytest.approx(0, abs=0.05)  # five items each: nothing that has lasted is likely to last
    assert gaps["spread"] > 1  # two come after a day, and then nobody ever does
    users = next(line for line in realism["statistics"] if (line["statistic"], line["segment"]) == ("users", "all"))
    assert 0 < users["real"] < USERS
    # Whoever reads the texts tells a user's own topic from the others; popularity knows nothing of it.
    assert ours["model"] == "simulated users"
    popularity = next(row for row in others if row["model"] == "popularity")
    assert ours["warm"]["liked"]["auc"] > popularity["warm"]["liked"]["auc"] + 0.2
    assert ours["cold"]["liked"]["auc"] > 0.7
    fitted = {line["name"] for line in found["fit"] if line["standard_error"] is not None}
    assert {"affinity_weight", "appeal_weight", "like_rate", "like_slope"} <= fitted
    assert "boredom" not in fitted


def test_the_same_seed_gives_the_same_results(folder: Path) -> None:
    words = ["evaluate", "realism", "--data", str(folder / "data"), "--replications", "2", "--json", "--seed", "5"]
    assert CliRunner().invoke(app, words).stdout == CliRunner().invoke(app, words).stdout


def test_without_a_log_there_is_nothing_to_hold_it_against(folder: Path) -> None:
    ran = CliRunner().invoke(app, ["evaluate", "realism", "--data", str(folder / "no-log")])
    assert ran.exit_code == 2
    assert "no-log has no log to hold a simulation against" in ran.stderr
