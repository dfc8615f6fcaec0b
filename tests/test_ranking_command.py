"""`zsr-sim evaluate ranking` as a person meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS, N_ITEMS, N_USERS, write_items
from zsr_sim.runs import read_manifest

NOT_FINITE = """
import numpy as np

class Broken:
    def __init__(self, retrieval, slate_size):
        self.n_items = len(retrieval.vectors)

    def act(self, observation):
        raise NotImplementedError

    def scores(self, observation):
        return np.full((len(observation), self.n_items), np.nan, dtype=np.float32)
"""


@pytest.fixture(scope="module", autouse=True)
def more_files(small_place: Path) -> None:
    write_items(small_place / "items-only")
    (small_place / "not_finite.py").write_text(NOT_FINITE, encoding="utf-8")


def ranking(*words: str, data: str = "data", code: int = 0) -> Result:
    return zsr_sim("evaluate", "ranking", "--data", data, *words, "--set", *ASSIGNMENTS, code=code)


@pytest.fixture(scope="module")
def found(small_place: Path) -> dict[str, Any]:
    agents = ("--agents", "similarity", "random", "popularity")
    found: dict[str, Any] = json.loads(ranking(*agents, "--out", "runs/ranked", "--json").stdout)
    return found


def test_who_is_tried_on_what(found: dict[str, Any]) -> None:
    warm, cold = found["protocols"]["warm"], found["protocols"]["cold"]
    assert (warm["users"], warm["trials"], warm["candidates"], warm["draws"]) == (N_USERS, N_USERS, N_ITEMS, 1)
    assert (cold["users"], cold["candidates"], cold["draws"]) == (N_USERS, N_ITEMS // 5, 5)
    assert sum(draw["trials"] for draw in cold["agents"]["random"]["by_draw"]) == cold["trials"]
    assert cold["trials"] > 0.8 * 12 * N_USERS  # all interactions but those before any warm item


def test_texts_help_where_popularity_cannot(found: dict[str, Any]) -> None:
    """Two thirds of what a user takes is of one topic in six; cold items are popular with nobody."""
    for protocol in found["protocols"].values():
        hits = {name: agent["metrics"]["hr@5"]["mean"] for name, agent in protocol["agents"].items()}
        assert hits["similarity"] > 1.3 * hits["random"]
    cold = found["protocols"]["cold"]
    popularity = cold["agents"]["popularity"]["metrics"]
    assert popularity["roc_auc"]["mean"] == pytest.approx(0.5)
    assert popularity["hr@20"]["mean"] == pytest.approx(1.0)  # of at most 12 candidates
    worse = next(d for d in cold["differences"] if d["candidate"] == "random" and d["metric"] == "roc_auc")
    assert worse["ci95"][1] < 0
    assert worse["baseline"] == "similarity"


def test_every_metric_has_an_interval_around_it(found: dict[str, Any]) -> None:
    for protocol in found["protocols"].values():
        for agent in protocol["agents"].values():
            assert set(agent["metrics"]) >= {
                *(f"{name}@{k}" for k in (5, 10, 20) for name in ("hr", "ndcg", "recall", "precision", "f1")),
                *("mrr", "roc_auc", "pr_auc", "novelty@10", "diversity@10"),
            }
            for name, metric in agent["metrics"].items():
                low, high = metric["ci95"]
                assert low - 1e-9 <= metric["mean"] <= high + 1e-9 or name == "pr_auc"
            assert 0 < agent["coverage"]["coverage@5"] <= agent["coverage"]["coverage@20"] <= 1


def test_the_run_folder_holds_the_results_and_a_figure(found: dict[str, Any]) -> None:
    results = json.loads(Path("runs/ranked/results.json").read_text(encoding="utf-8"))
    assert results == {name: value for name, value in found.items() if name not in ("seconds", "run")}
    assert Path("runs/ranked/figures/ranking.png").stat().st_size > 10_000
    assert read_manifest(Path("runs/ranked"))["status"] == "done"
    assert "already holds a run" in ranking("--agent", "random", "--out", "runs/ranked", code=2).stderr


def test_the_same_seed_gives_the_same_numbers(found: dict[str, Any]) -> None:
    words = ("--agents", "similarity", "random", "popularity", "--json")
    again = json.loads(ranking(*words).stdout)
    assert again["protocols"] == found["protocols"]
    other = json.loads(ranking(*words, "--seed", "1").stdout)
    assert other["protocols"]["cold"]["agents"] != found["protocols"]["cold"]["agents"]


def test_a_table_for_people() -> None:
    lines = ranking("--agents", "similarity", "random", "--protocol", "warm", "--users", "20").stdout.splitlines()
    head = next(row for row, line in enumerate(lines) if line.startswith("strategy"))
    assert "warm: the last item of 20 users" in lines[head - 1]
    assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["similarity", "random"]
    assert "20 of 60 users are tried (--users); all are learned from." in lines
    assert not any(line.startswith("cold") for line in lines)


def test_made_up_users_find_what_they_would_have_taken() -> None:
    words = ("--agents", "similarity", "random", "--protocol", "warm", "--json")
    result = ranking(*words, "--users", "200", data="items-only")
    found = json.loads(result.stdout)
    assert "made-up users" in found["notes"][0]
    hits = {name: agent["metrics"]["hr@5"]["mean"] for name, agent in found["protocols"]["warm"]["agents"].items()}
    assert hits["similarity"] > 2 * hits["random"]


def test_a_trained_run_is_tried_on_users_it_has_not_learned_from() -> None:
    train = ("train", "--data", "data", "--agent", "policy-gradient", "--users", "20", "--out", "runs/trained")
    zsr_sim(*train, "--set", *ASSIGNMENTS, "generator.candidates=0")
    found = json.loads(ranking("--agents", "runs/trained", "similarity", "--json").stdout)
    warm, cold = found["protocols"]["warm"], found["protocols"]["cold"]
    assert warm["users"] < N_USERS / 2
    assert list(warm["agents"]) == ["trained", "similarity"]
    assert list(cold["agents"]) == ["similarity"]
    assert "not cold" in cold["left_out"]["trained"]
    assert "trained learned from the training users of this log" in found["notes"][0]


def test_what_learns_in_the_loop_is_trained_there_and_tried_on_others() -> None:
    small = ("--set", *ASSIGNMENTS, "generator.candidates=0")
    words = ("evaluate", "ranking", "--data", "data", "--agents", "linucb", "policy-gradient", "similarity", "--json")
    found = json.loads(zsr_sim(*words, *small).stdout)
    warm, cold = found["protocols"]["warm"], found["protocols"]["cold"]
    assert list(warm["agents"]) == ["linucb", "policy-gradient", "similarity"]
    assert list(cold["agents"]) == ["similarity"]
    assert 2 <= warm["users"] < N_USERS / 2
    assert found["notes"][0].startswith("linucb, policy-gradient learned from the training users of this log, so only")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--agents", "similarty"], "unknown agent 'similarty'; did you mean 'similarity'?"),
        (["--agent", "linucb", "--protocol", "cold"], "--protocol cold: linucb has been trained with these items"),
        (["--agent", "oracle-myopic"], "oracle-myopic"),
        (["--agent", "not_finite:Broken"], "agent not_finite:Broken"),
        (["--agent", "random", "--min-interactions", "40"], "0 users have interactions with 40 different items"),
        (["--agent", "item-knn", "--protocol", "cold"], "--protocol cold: item-knn knows items by their id"),
    ],
)
def test_bad_input_is_told_in_a_line_or_two(words: list[str], says: str) -> None:
    result = ranking(*words, code=2)
    assert says in result.stderr.replace("\n", " ")
    assert 1 <= result.stderr.count("\n") <= 2


def test_a_peer_is_tried_on_items_that_it_knows_only() -> None:
    found = json.loads(ranking("--agents", "random", "item-knn", "--draws", "1", "--json").stdout)
    warm, cold = found["protocols"]["warm"], found["protocols"]["cold"]
    assert list(warm["agents"]) == ["random", "item-knn"]
    assert list(cold["agents"]) == ["random"]
    assert cold["draws"] == 1
    assert cold["left_out"] == {"item-knn": "knows items by their id: a cold item is nothing to it"}


def test_wrong_usage_exits_with_2() -> None:
    for words in (["--agent", "random", "--protocol", "hot"], ["--agent", "random", "--draws", "6"], []):
        assert "Error: " in ranking(*words, code=2).stderr
