"""`zsr-sim log` and `zsr-sim evaluate policy` as a person meets them."""

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS, N_ITEMS
from zsr_sim.runs import read_results

USERS = 150
pytestmark = pytest.mark.usefixtures("small_place")


def write(out: str, *words: str, agent: str = "similarity", code: int = 0) -> Result:
    common = ("--data", "data", "--agent", agent, "--users", str(USERS), "--out", out)
    return zsr_sim("log", *common, *words, "--set", *ASSIGNMENTS, code=code)


def evaluate(log: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zsr_sim("evaluate", "policy", "--log", log, *words, "--json").stdout)
    return found


@pytest.fixture(scope="module")
def facts(small_place: Path) -> dict[str, Any]:
    words = ("--explore", "0.4", "--value-of", "similarity", "random", "--json")
    found: dict[str, Any] = json.loads(write("log.parquet", *words).stdout)
    return found


@pytest.fixture(scope="module")
def found(facts: dict[str, Any]) -> dict[str, Any]:
    return evaluate("log.parquet", "--agent", "similarity", "--draws", "200", "--out", "runs/policy")


def test_the_log_keeps_to_the_contract(facts: dict[str, Any]) -> None:
    frame = pd.read_parquet("log.parquet")
    assert frame.columns.tolist() == [
        "user_id", "timestamp", "slate_id", "item_id", "position", "feedback", "propensity", "slate_propensity",
        "prefix_propensity",
    ]  # fmt: skip
    assert len(frame) == facts["impressions"] == 4 * facts["pages"]
    assert frame["user_id"].nunique() == facts["users"] == USERS
    pages = frame.groupby("slate_id", sort=False)
    assert pages["position"].apply(list).map(lambda row: row == [1, 2, 3, 4]).all()
    assert pages["item_id"].nunique().eq(4).all()
    assert set(frame["feedback"]) <= {"", "skip", "click", "like", "purchase"}
    clicks = frame["feedback"].isin(["click", "like", "purchase"]).sum() / facts["pages"]
    assert clicks == pytest.approx(facts["clicks_per_page"]["mean"])
    # A page is the agent's, 0.6 and the little that an even draw adds, or an even draw.
    share = (frame.groupby("slate_id")["slate_propensity"].first() > 0.5).mean()
    assert share == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / facts["pages"]))
    last = frame[frame["position"] == 4]
    np.testing.assert_allclose(last["prefix_propensity"], last["slate_propensity"])
    assert sorted(p.name for p in Path().glob("log*")) == ["log.histories.parquet", "log.json", "log.parquet"]


def test_a_log_again_is_the_same_whatever_the_format(facts: dict[str, Any]) -> None:
    write("again.jsonl.gz", "--explore", "0.4")
    with gzip.open("again.jsonl.gz") as file:
        again = pd.DataFrame([json.loads(line) for line in file])
    pd.testing.assert_frame_equal(again, pd.read_parquet("log.parquet"), check_dtype=False)
    assert evaluate("again.jsonl.gz", "--agent", "random", "--draws", "100")["users"] == USERS


def test_what_was_logged_is_met_again(found: dict[str, Any]) -> None:
    """Weights of the logging agent without its exploring: 1 / (0.6 + a little) where it was followed, else 0."""
    d = found["targets"]["similarity"]["diagnostics"]
    assert set(d) == {"position", "cascade", "page"}
    assert d["page"]["weight_quantiles"]["max"] == pytest.approx(1 / 0.6, rel=1e-4)
    assert d["page"]["mean_weight_ci95"][0] < 1 < d["page"]["mean_weight_ci95"][1]
    assert d["page"]["faults"] == []
    assert found["best"] == "page-sndr"


def test_estimates_hold_the_truth_of_the_simulation(facts: dict[str, Any], found: dict[str, Any]) -> None:
    truth = facts["value_of"]["similarity"]["clicks_per_page"]["mean"]
    assert found["truth"] == {"similarity": facts["value_of"]["similarity"]}
    estimates = found["targets"]["similarity"]["estimates"]
    for name in ("ips", "snips", "dr", "sndr", "iips", "rips", "sips", "cascade-dr", "page-sndr"):
        error = estimates[name]["value"] - truth
        assert abs(error) < 4 * estimates[name]["standard_error"], name
    assert found["verdict"] in {"ship", "inconclusive"}
    assert found["difference"]["value"] == pytest.approx(
        estimates["page-sndr"]["value"] - found["logging_policy"]["value"]
    )
    assert read_results(Path("runs/policy")) == {k: v for k, v in found.items() if k != "run"}


def test_every_estimator_is_there_with_every_interval(found: dict[str, Any]) -> None:
    estimates = found["targets"]["similarity"]["estimates"]
    assert set(estimates) == {
        "replay", "ips", "clipped-ips", "snips", "dm", "dr", "clipped-dr", "sndr", "switch-dr", "dros", "sg-ips",
        "sg-dr", "mips", "iips", "sniips", "rips", "snrips", "cascade-dr", "sips", "snsips", "page-dr", "page-sndr",
    }  # fmt: skip
    assert all(set(e["intervals"]) == {"delta", "percentile", "bca", "anytime"} for e in estimates.values())
    assert set(found["visits"]["estimates"]) == {
        "logging policy", "trajectory-is", "sn-trajectory-is", "per-decision-is", "sn-per-decision-is", "visit-dr",
    }  # fmt: skip


def test_a_target_that_the_log_does_not_hold_is_inconclusive(facts: dict[str, Any]) -> None:
    write("greedy.csv")  # no exploring: nothing is known of other pages
    found = evaluate("greedy.csv", "--agent", "random", "--draws", "100")
    assert found["verdict"] == "inconclusive"
    assert found["reason"].startswith("the log cannot tell (random: ")
    told = zsr_sim("evaluate", "policy", "--log", "greedy.csv", "--agent", "random", "--draws", "100").output
    assert told.index("WARNING, position") < told.index("logging policy, its own value")
    same = evaluate("greedy.csv", "--agent", "similarity", "--draws", "100")
    assert same["targets"]["similarity"]["estimates"]["ips"]["value"] == pytest.approx(same["logging_policy"]["value"])
    assert same["difference"]["ci95"] == pytest.approx([0, 0], abs=1e-9)
    assert same["verdict"] == "inconclusive"


def test_another_kind_of_feedback_is_called_by_its_name(facts: dict[str, Any]) -> None:
    found = evaluate("log.parquet", "--agent", "similarity", "--reward", "like", "--draws", "100")
    assert (found["unit"], found["visits"]["unit"]) == ("likes per page", "likes per visit")
    assert "truth" not in found  # the simulation was asked for clicks
    assert "likes per page from logging policy" in found["reason"]


def test_against_a_baseline_on_the_same_log(facts: dict[str, Any]) -> None:
    found = evaluate("log.parquet", "--agent", "similarity", "--baseline", "similarity", "--draws", "100")
    assert list(found["targets"]) == ["similarity", "similarity#2"]
    assert found["difference"]["ci95"] == [0, 0]


def test_missing_propensities_are_estimated_and_that_is_said(facts: dict[str, Any]) -> None:
    frame = pd.read_parquet("log.parquet").drop(columns=["propensity", "slate_propensity", "prefix_propensity"])
    frame.to_csv("bare.csv", index=False)
    found = evaluate(
        "bare.csv", "--agent", "random", "--data", "data", "--histories", "log.histories.parquet", "--draws", "100"
    )
    assert any("ESTIMATED" in note for note in found["notes"])
    out = zsr_sim("evaluate", "policy", "--log", "bare.csv", "--agent", "random", "--data", "data", "--draws", "100")
    assert "were ESTIMATED" in out.output


def test_estimated_propensities_of_even_draws_are_even(facts: dict[str, Any]) -> None:
    """Each of 60 items equally likely at each position: the mean weight of a random target stays near 1."""
    write("logs/of/even.csv", agent="random")  # in folders that are not there yet
    frame = pd.read_csv("logs/of/even.csv", dtype=str).drop(
        columns=["propensity", "slate_propensity", "prefix_propensity"]
    )
    assert frame["item_id"].nunique() == N_ITEMS
    frame.to_csv("even-bare.csv", index=False)
    words = ("--data", "data", "--histories", "logs/of/even.histories.csv", "--draws", "100")
    found = evaluate("even-bare.csv", "--agent", "random", *words)
    position = found["targets"]["random"]["diagnostics"]["position"]
    assert position["mean_weight"] == pytest.approx(1, abs=0.15)
    assert found["targets"]["random"]["estimates"]["snips"]["value"] == pytest.approx(
        found["logging_policy"]["value"], rel=0.25
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--log", "bare.csv", "--agent", "random"), "whose items are these? name their catalogue with --data"),
        (("--log", "data", "--agent", "random"), "data holds no impressions"),
        (("--log", "log.parquet", "--agent", "rnadom"), "did you mean 'random'"),
        (("--log", "log.parquet", "--agent", "random", "--reward", "buy"), "no feedback of the log is buy"),
        (("--log", "missing.csv", "--agent", "random", "--data", "data"), "missing.csv"),
    ],
)
def test_what_cannot_be_is_told(facts: dict[str, Any], words: tuple[str, ...], message: str) -> None:
    assert message in zsr_sim("evaluate", "policy", *words, code=2).output


def test_a_log_that_cannot_be(facts: dict[str, Any]) -> None:
    assert "expected a name that ends in" in write("log.txt", code=2).output
    assert "a file in a folder is expected" in write("log.parquet/log.csv", code=2).output
    assert "has to be trained first" in write("x.csv", agent="policy-gradient", code=2).output
    if importlib.util.find_spec("minari") is None:
        assert "pip install 'zsr-sim[minari]'" in write("x.csv", "--minari", "a/b-v0", code=2).output


def test_minari(facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari", reason="needs the extra: pip install 'zsr-sim[minari]'")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path("minari").resolve()))
    write("visits.parquet", "--minari", "data/log-v0", "--explore", "0.4")
    dataset = minari.load_dataset("data/log-v0")
    frame = pd.read_parquet("visits.parquet")
    episodes = list(dataset.iterate_episodes())
    assert len(episodes) == USERS
    assert sum(len(e.rewards) for e in episodes) == len(frame) // 4
    clicks = frame["feedback"].isin(["click", "like", "purchase"]).sum()
    assert sum(e.rewards.sum() for e in episodes) == clicks
    for episode in episodes[:20]:
        assert len(episode.observations) == len(episode.rewards) + 1
        assert dataset.observation_space.contains(episode.observations[0])
        assert dataset.action_space.contains(episode.actions[0])
        assert (episode.terminations | episode.truncations).tolist() == [False] * (len(episode.rewards) - 1) + [True]
    assert "an id such as films/log-v0 expected" in write("y.csv", "--minari", "data", code=2).output
    assert "there is a data set of that name" in write("y.csv", "--minari", "data/log-v0", code=2).output
