"""`compare --reality`: the order of strategies here, by off-policy estimate there, and in truth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS

OWN = """
from zsr_sim.envs.observation import Decision

class Worst:
    def __init__(self, retrieval, slate_size):
        self.retrieval, self.slate_size = retrieval, slate_size

    def act(self, observation):
        return Decision(self.retrieval.by_popularity(observation, 12)[:, -self.slate_size:].copy())
"""
AGENTS = ("popularity", "random", "similarity", "worst:Worst")


@pytest.fixture(scope="module", autouse=True)
def own_strategy(small_place: Path) -> None:
    (small_place / "worst.py").write_text(OWN, encoding="utf-8")


def compare(*words: str, agents: tuple[str, ...] = AGENTS, code: int = 0) -> str:
    given = ("compare", "--data", "data", "--agents", *agents, "--users", "300", *words, "--set", *ASSIGNMENTS)
    return zsr_sim(*given, code=code).output


@pytest.fixture(scope="module")
def drawn(small_place: Path) -> tuple[str, dict[str, Any]]:
    said = compare("--reality", "drawn", "--follow", "--out", "runs/drawn")
    results: dict[str, Any] = json.loads(Path("runs/drawn/results.json").read_text(encoding="utf-8"))
    return said, results


def test_three_sources_say_what_each_strategy_earns(drawn: tuple[str, dict[str, Any]]) -> None:
    _, results = drawn
    found = results["reality"]
    assert list(found["strategies"]) == list(AGENTS)
    for name, entry in found["strategies"].items():
        here = results["strategies"][name]["return"]
        assert entry["simulated, return per visit"]["mean"] == pytest.approx(here.get("plain", here)["mean"], rel=1e-9)
        estimate, true = entry["off-policy, clicks per page"], entry["true, clicks per page"]
        reach = sum(side["ci95"][1] - side["ci95"][0] for side in (estimate, true))
        assert abs(estimate["mean"] - true["mean"]) < reach  # two intervals of 95 %, twice their widths
    assert found["estimator"] == "page-sndr"
    assert found["assumes"] == "nothing of how positions act on each other"


def test_the_agreement_of_each_pair_of_sources(drawn: tuple[str, dict[str, Any]]) -> None:
    said, results = drawn
    pairs = results["reality"]["agreement"]
    assert [(pair["first"].split(",")[0], pair["second"].split(",")[0]) for pair in pairs] == [
        ("simulated", "off-policy"), ("simulated", "off-policy"), ("simulated", "true"), ("off-policy", "true"),
    ]  # fmt: skip
    for pair in pairs:
        low, high = pair["found"]["kendall"]["ci95"]
        assert -1 <= low <= high <= 1
        assert pair["found"]["pairs"] == 6
        assert pair["found"]["clear_same"] <= pair["found"]["clear"] <= 6
    assert "Order of 4 strategies, simulated here against off-policy estimate in the world 'drawn'" in said
    assert "Audit, against the true order there, Spearman: simulated " in said


def test_the_log_of_that_reality_lies_in_the_run_and_can_be_asked_again(drawn: tuple[str, dict[str, Any]]) -> None:
    _, results = drawn
    frame = pd.read_parquet("runs/drawn/reality.parquet")
    assert frame["slate_id"].nunique() == results["reality"]["pages"]
    assert frame["user_id"].nunique() == results["reality"]["users"] == 300
    shares = frame.groupby("slate_id")["slate_propensity"].first()
    assert shares.max() <= 0.9 + 0.1  # all four may show the same page
    words = ("--log", "runs/drawn/reality.parquet", "--agent", "popularity", "--draws", "100", "--json")
    again = json.loads(zsr_sim("evaluate", "policy", *words).stdout)
    assert again["pages"] == results["reality"]["pages"]
    estimate = again["targets"]["popularity"]["estimates"]["page-sndr"]["value"]
    noted = results["reality"]["strategies"]["popularity"]["off-policy, clicks per page"]["mean"]
    assert estimate == pytest.approx(noted, rel=1e-9)


def test_a_log_of_ones_own_is_a_reality_without_truth(drawn: tuple[str, dict[str, Any]]) -> None:
    log = ("log", "--data", "data", "--agent", "random", "--users", "200", "--out", "own.csv")
    zsr_sim(*log, "--set", *ASSIGNMENTS)
    said = compare("--reality", "own.csv", "--out", "runs/own")
    found = json.loads(Path("runs/own/results.json").read_text(encoding="utf-8"))["reality"]
    assert found["where"] == "the log own.csv"
    assert len(found["agreement"]) == 2
    assert set(found["strategies"]["random"]) == {
        "simulated, clicks per page", "simulated, return per visit", "off-policy, clicks per page", "faults",
    }  # fmt: skip
    assert "Audit" not in said
    page = Path("runs/own/report.html").read_text(encoding="utf-8")
    assert "the one hardly predicts the other" in page
    assert "Ranking reliability" in page


def test_following_users_changes_the_adjusted_returns_alone(drawn: tuple[str, dict[str, Any]]) -> None:
    _, results = drawn
    compare("--out", "runs/plain")
    plain = json.loads(Path("runs/plain/results.json").read_text(encoding="utf-8"))
    for followed, usual in zip(results["comparisons"], plain["comparisons"], strict=True):
        assert followed["plain"] == usual["plain"]
        assert followed["difference"] != usual["difference"]
        assert abs(followed["difference"] - usual["difference"]) < np.ptp(usual["ci95"])


@pytest.mark.parametrize(
    ("words", "agents", "expected"),
    [
        (["drwan"], AGENTS, "no such file, and no world of that name; did you mean 'drawn'?"),
        (["drawn"], AGENTS[:2], "2 strategies have no order to speak of; name 3 or more"),
        (["boredom"], (*AGENTS, "oracle-myopic"), "oracle-myopic knows what no log tells"),
        (["small.csv"], AGENTS, "its pages have 1 items, those here 4; --set world.slate_size=1"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    words: list[str], agents: tuple[str, ...], expected: str
) -> None:
    rows = [{"user_id": f"u{u}", "timestamp": u, "slate_id": f"s{u}", "item_id": "i0", "position": 1} for u in range(5)]
    items = pd.read_csv("data/items.csv", dtype=str)["item_id"]
    pd.DataFrame(rows).assign(item_id=items[0], feedback="click").to_csv("small.csv", index=False)
    assert expected in " ".join(compare("--reality", *words, "--out", "runs/none", agents=agents, code=2).split())
    assert not Path("runs/none").exists()
