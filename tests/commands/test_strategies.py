"""`zsr-sim evaluate strategies`: every strategy that has a name trains and plays, and one that fails is named."""

import json
import re
from pathlib import Path

import pytest

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS
from zsr_sim.commands.strategies import every_strategy, over_worlds, table

OWN = """
class Raises:
    def __init__(self, retrieval, slate_size):
        pass

    def act(self, observation):
        raise KeyError("nothing")


class RaisesScores(Raises):
    def scores(self, observation):
        raise KeyError("nothing")
"""


@pytest.fixture(scope="module", autouse=True)
def own_strategy(small_place: Path) -> None:
    (small_place / "failing.py").write_text(OWN, encoding="utf-8")


def test_every_strategy_by_name_and_one_that_fails(small_place: Path) -> None:
    names = every_strategy()
    assert {"random", "policy-gradient", "gan", "sb3:SAC", "linucb", "few-shot"} < set(names)
    said = zsr_sim(
        *("evaluate", "strategies", "--data", "data", "--agents", *names, "failing:Raises", "--worlds", "boredom"),
        *("--users", "20", "--out", "runs/all", "--json", "--set", *ASSIGNMENTS, "oracle.rollouts=1"),
    )
    found = json.loads(said.stdout)
    world = found["worlds"]["boredom"]
    assert list(world["strategies"]) == names
    assert list(world["failed"]) == ["failing:Raises"]
    assert "agent failing:Raises, user" in world["failed"]["failing:Raises"]
    assert world["strategies"]["oracle-planner"]["gap_closed"]["mean"] == pytest.approx(1.0)
    for row in world["strategies"].values():
        assert row["return"]["ci95"][0] <= row["return"]["mean"] <= row["return"]["ci95"][1]
    lines = (small_place / "runs/all/table.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(names) + 1
    assert lines[-1] == "| `failing:Raises` | failed |  |"


def test_the_table_and_the_share_over_worlds_by_hand() -> None:
    def row(closed: float) -> dict[str, object]:
        plain = {"mean": 2.0, "ci95": [1.5, 2.5]}
        return {
            "return": plain, "click_rate": {"mean": 0.1}, "visit_length": {"mean": 12.0}, "diversity": {"mean": 0.5},
            "gap_closed": {"mean": closed}, "gap_closed_by_seed": [closed, closed],
        }  # fmt: skip

    worlds = {"a": {"strategies": {"x": row(0.2)}, "failed": {}}, "b": {"strategies": {"x": row(0.6)}, "failed": {}}}
    joined = over_worlds(worlds)
    assert joined == {"x": {"interquartile_mean": pytest.approx(0.4), "ci95": pytest.approx([0.4, 0.4])}}
    assert table({"worlds": worlds, "over_worlds": joined}) == [
        "| strategy | a | b | gap, all worlds |",
        "|---|---|---|---|",
        "| `x` | 2.00 ± 0.50 · 10.0 % · 12.0 · 0.50 · 20 % | 2.00 ± 0.50 · 10.0 % · 12.0 · 0.50 · 60 % | 40 % |",
    ]


def test_why_a_strategy_failed_is_said_below_the_table() -> None:
    said = zsr_sim(
        *("evaluate", "strategies", "--data", "data", "--agents", "popularity", "failing:Raises", "--worlds", "static"),
        *("--users", "4", "--out", "runs/one-fails", "--set", *ASSIGNMENTS, "oracle.depth=1", "oracle.rollouts=1"),
    ).stdout
    assert "| `failing:Raises` | failed |" in said
    assert "failed in static: agent failing:Raises, user 0, page 1 of the visit: " in said


def test_few_shot_curves_by_one_command(small_place: Path) -> None:
    said = zsr_sim(
        *("evaluate", "few-shot", "--data", "data", "--sizes", "1", "3", "--seeds", "0", "1", "--out", "runs/few"),
        *("--json", "--set", *ASSIGNMENTS),
    )
    found = json.loads(said.stdout)
    assert list(found["strategies"]) == ["popularity", "similarity", "hybrid", "few-shot"]
    few = found["strategies"]["few-shot"]
    for size in (0, 1):
        seeds = [row[size] for row in few["seeds"]]
        assert few["interquartile_mean"][size] == pytest.approx(sum(seeds) / 2)
        assert [few["ci95"][0][size], few["ci95"][1][size]] == pytest.approx([min(seeds), max(seeds)])
    assert (small_place / "runs/few/figures/few_interactions.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_one_seed_has_no_band(small_place: Path) -> None:
    said = zsr_sim(
        *("evaluate", "few-shot", "--data", "data", "--agents", "popularity", "--sizes", "3", "--seeds", "0"),
        *("--out", "runs/one-seed", "--set", *ASSIGNMENTS),
    )
    head, _, row = said.stdout.splitlines()[-4:-1]
    assert head == "NDCG at 10 after so many interactions of each user (one seed, so without a band)"
    assert re.fullmatch(r"popularity +0\.\d{3}", row)


def test_few_shot_goes_on_without_an_agent_that_fails() -> None:
    words = ("evaluate", "few-shot", "--data", "data", "--sizes", "1", "--seeds", "0", "--set", *ASSIGNMENTS)
    said = zsr_sim(*words, "--agents", "failing:RaisesScores", "popularity", "--out", "runs/few-failed", "--json")
    found = json.loads(said.stdout)
    assert list(found["strategies"]) == ["popularity"]
    assert found["failed"].keys() == {"failing:RaisesScores"}
    assert "agent failing:RaisesScores, user" in found["failed"]["failing:RaisesScores"]
    said = zsr_sim(*words, "--agents", "failing:RaisesScores", "--out", "runs/few-none", code=2)
    assert "agent failing:RaisesScores, user" in said.stderr


def test_an_agent_without_scores_cannot_be_ranked(small_place: Path) -> None:
    said = zsr_sim(
        *("evaluate", "few-shot", "--data", "data", "--agents", "sb3:PPO", "--sizes", "1", "--out", "runs/none"),
        *("--set", *ASSIGNMENTS), code=2,
    )  # fmt: skip
    assert "sb3:PPO has no scores to rank by" in said.output


def test_top_k_learns_from_a_log_that_was_written(small_place: Path) -> None:
    small = ("--set", *ASSIGNMENTS)
    zsr_sim(
        *("log", "--data", "data", "--agent", "similarity", "--explore", "0.5", "--users", "30"),
        *("--out", "log.csv", *small),
    )
    said = zsr_sim(
        *("train", "--data", "data", "--agent", "policy-gradient", "--users", "20", "--out", "runs/logged", "--json"),
        *(*small, "agent.algorithm=top-k", "agent.log=log.csv"),
    )
    figures = json.loads(said.stdout)["training"]["policy-gradient"]["0"]["policy"]
    told = json.loads((small_place / "log.json").read_text(encoding="utf-8"))
    assert figures["return"] * 30 == pytest.approx(told["clicks_per_page"]["mean"] * told["pages"])
    said = zsr_sim(
        *("train", "--data", "data", "--agent", "policy-gradient", "--users", "20", "--out", "runs/other", *small),
        *("agent.algorithm=top-k", "agent.log=log.csv", "world.slate_size=3"), code=2,
    )  # fmt: skip
    assert "pages of 4 items; whole pages of 3 items of data expected" in said.output
