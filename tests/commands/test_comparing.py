"""Comparisons as commands: an arm that fails, looking until decided, planning, other worlds, segments, two learners."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.small_data import ASSIGNMENTS, small_settings, write_items, write_log
from zsr_sim.cli import app
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.evaluation.across import across_worlds, order_agreement
from zsr_sim.experiment import make_scene
from zsr_sim.other_worlds import UNKNOWN, drawn_settings, other_users

OWN = """
import numpy as np
from zsr_sim.envs.observation import Decision

class Tires:
    def __init__(self, retrieval, slate_size):
        self.retrieval, self.slate_size = retrieval, slate_size

    def act(self, observation):
        if (late := observation.users[observation.steps >= 2]).size:
            raise KeyError(f"no page {late[0]}")
        return Decision(self.retrieval.by_popularity(observation, self.slate_size))


class Unready(Tires):
    def __init__(self, retrieval, slate_size):
        raise OSError("no weights")


class Unranked(Tires):
    def scores(self, observation):
        scores = np.zeros((len(observation), len(self.retrieval.vectors)))
        scores[3, 7] = np.nan
        return scores
"""


@pytest.fixture(scope="module", autouse=True)
def at_a_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with small data, one set with a log and one without, and an agent that fails on the third page."""
    place = tmp_path_factory.mktemp("comparing")
    for name in ("data", "no-log"):
        write_items(place / name)
    write_log(place / "data")
    (place / "own.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv(FOLDER_VARIABLE, str(place / "cache"))
        patch.setattr(sys, "path", list(sys.path))  # commands add the current folder
        yield


def run(*words: str, data: str = "data", code: int = 0) -> str:
    """What `compare` says."""
    given = ("compare", "--data", data, *words, "--set", *ASSIGNMENTS)
    result = CliRunner().invoke(app, given)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def everything(at_a_place: None) -> tuple[str, dict[str, Any]]:
    """A comparison with all that it offers; the fourth agent fails on the third page."""
    agents = ("similarity", "random", "popularity", "own:Tires")
    said = run(
        "--agents", *agents, "--users", "2500", "--until-decided", "--worlds", "2", "--out", "runs/all", data="no-log"
    )
    return said, json.loads(Path("runs/all/results.json").read_text(encoding="utf-8"))


def test_an_arm_that_fails_is_marked_and_the_others_go_on(everything: tuple[str, dict[str, Any]]) -> None:
    said, results = everything
    (failure,) = results["failed"].values()
    assert list(results["strategies"]) == ["similarity", "random", "popularity"]
    assert (failure["agent"], failure["step"]) == ("own:Tires", 2)
    assert failure["error"].startswith(f"agent own:Tires, user {failure['user']}, page 3 of the visit: ")
    assert f"Failed and left out: {failure['error']}." in said
    assert "own:Tires" in Path("runs/all/report.html").read_text(encoding="utf-8")


def test_a_baseline_that_fails_ends_the_run() -> None:
    said = run("--agents", "own:Tires", "random", "popularity", "--users", "50", "--out", "runs/failed", code=2)
    assert "agent own:Tires, user " in said
    manifest = json.loads(Path("runs/failed/manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"].startswith("failed: agent own:Tires, user ")


def test_an_arm_that_cannot_be_made_is_marked_and_the_others_go_on() -> None:
    agents = ("random", "own:Unready", "popularity")
    run("--agents", *agents, "--users", "50", "--out", "runs/unready")
    results = json.loads(Path("runs/unready/results.json").read_text(encoding="utf-8"))
    assert list(results["strategies"]) == ["random", "popularity"]
    error = "agent own:Unready: it cannot be made: no weights (OSError in __init__, own.py line "
    assert results["failed"]["own:Unready"]["error"].startswith(error)
    said = run("--agents", *agents[:2], "--users", "50", "--out", "runs/nobody", code=2)
    assert error in said
    assert not Path("runs/nobody").exists()


def test_a_ranking_goes_on_without_the_one_that_fails_and_names_the_user() -> None:
    words = ("evaluate", "ranking", "--data", "data", "--protocol", "warm", "--json", "--set", *ASSIGNMENTS)
    result = CliRunner().invoke(app, [*words, "--agents", "random", "own:Unranked", "popularity"])
    assert result.exit_code == 0, result.output
    warm = json.loads(result.stdout)["protocols"]["warm"]
    assert list(warm["agents"]) == ["random", "popularity"]
    says = r"failed: agent own:Unranked, user u\d+, page 1 of the visit: the score of item 7 is nan; a finite float32.*"
    assert re.fullmatch(says, warm["left_out"]["own:Unranked"])


def test_it_stops_when_every_verdict_stands(everything: tuple[str, dict[str, Any]]) -> None:
    said, results = everything
    looks = results["looks"]
    assert (looks["every"], looks["most"]) == (1000, 2500)
    assert results["users"] == min(1000 * looks["count"], 2500)
    assert looks["decided"] == all(c["verdict"] != "inconclusive" for c in results["comparisons"])
    assert f"Looked {looks['count']} times, every 1,000 users, " in said


def test_intervals_under_peeking_are_wider_than_for_one_look(everything: tuple[str, dict[str, Any]]) -> None:
    _, results = everything
    users = str(results["users"])
    run("--agents", "similarity", "random", "popularity", "--users", users, "--out", "runs/once", data="no-log")
    once = json.loads(Path("runs/once/results.json").read_text(encoding="utf-8"))
    for looked, one in zip(results["comparisons"], once["comparisons"], strict=True):
        assert looked["difference"] == one["difference"]
        assert 1.4 < np.ptp(looked["ci95"]) / np.ptp(one["ci95"]) < 2.2


def test_effects_in_other_worlds(everything: tuple[str, dict[str, Any]]) -> None:
    said, results = everything
    worlds = results["worlds"]
    assert (worlds["count"], [w["candidate"] for w in worlds["candidates"]]) == (2, ["random", "popularity"])
    for found in worlds["candidates"]:
        differences = [effect["difference"] for effect in found["effects"]]
        assert len(set(differences)) == 2
        assert found["mean"] == pytest.approx(np.mean(differences))
        assert found["wins"] == np.mean(np.array(differences) > 0)
    assert said.count("In 2 other worlds it earns more in ") == 2
    assert len(worlds["order"]["kendall"]) == 2
    assert "Order of the 3 strategies here and in 2 other worlds: Kendall's tau " in said


def test_the_baseline_stands_beside_the_oracles(everything: tuple[str, dict[str, Any]]) -> None:
    said, results = everything
    found = results["learnable"]
    assert (found["users"], found["baseline"]) == (30, "similarity")
    assert found["returns"]["oracle-myopic"]["mean"] > found["returns"]["similarity"]["mean"]
    assert found["knowing"]["ci95"][0] > 0
    assert "Is there anything to learn here? On 30 users similarity is expected to earn " in said


def test_segments_are_parts_of_the_users_worst_first(everything: tuple[str, dict[str, Any]]) -> None:
    _, results = everything
    for name in ("random", "popularity"):
        rows = [row for row in results["segments"] if row["candidate"] == name]
        assert {"history", "clicks"} <= {row["kind"] for row in rows}
        differences = [row["difference"] for row in rows]
        assert differences == sorted(differences)
        whole = next(c for c in results["comparisons"] if c["candidate"] == name)
        halves = [row for row in rows if row["kind"] == "clicks"]
        mean = sum(row["users"] * row["difference"] for row in halves) / sum(row["users"] for row in halves)
        assert mean == pytest.approx(whole["difference"], rel=1e-9)
        assert all(row["p_value"] <= row["p_value_holm"] <= 1 for row in rows)


def test_walks_show_what_results_count(everything: tuple[str, dict[str, Any]]) -> None:
    walks = json.loads(Path("runs/all/walks.json").read_text(encoding="utf-8"))
    assert list(walks) == ["random", "popularity"]
    for walk in (walk for three in walks.values() for walk in three):
        clicks = {
            side: sum(clicked for page in walk[side] for _, clicked in page["items"])
            for side in ("baseline", "candidate")
        }
        assert clicks["candidate"] - clicks["baseline"] == walk["difference"]
        assert all(len(page["items"]) == 4 for page in walk["baseline"])
        assert not any(page["left"] for page in walk["baseline"][:-1])


def test_planning_writes_nothing_and_says_what_will_be_found() -> None:
    words = ("--agents", "similarity", "random", "--users", "40000", "--plan", "--json")
    planned = json.loads(run(*words).splitlines()[-1])["plan"]["random"]
    assert (planned["pilot_users"], planned["users"]) == (1000, 40000)
    needed = planned["users_needed"]
    assert needed["1 %"] == pytest.approx(100 * needed["10 %"], rel=0.05)
    # As many users as an effect of 1 % needs find just 1 %.
    assert planned["relative"] * np.sqrt(40000 / needed["1 %"]) == pytest.approx(0.01, rel=1e-3)
    assert not Path("runs").exists() or not list(Path("runs").glob("compare-*"))
    said = run("--agents", "similarity", "policy-gradient", "--plan", code=2)
    assert "--plan takes strategies that are ready; train policy-gradient first" in said


def test_other_worlds_have_other_users_and_other_unknowns() -> None:
    settings = small_settings().world
    drawn = [drawn_settings(settings, replicate) for replicate in range(200)]
    logs = np.log([[getattr(d, name) / getattr(settings, name) for name in UNKNOWN] for d in drawn])
    assert logs.mean(axis=0) == pytest.approx(np.zeros(len(UNKNOWN)), abs=0.08)
    assert logs.std(axis=0) == pytest.approx(np.full(len(UNKNOWN), 0.3), abs=0.06)
    assert drawn_settings(settings.model_copy(update={"boredom": 0.0}), 3).boredom == 0.0
    assert drawn_settings(settings, 3) == drawn[3]
    for data in ("data", "no-log"):
        scene = make_scene(data, settings)
        ids = np.arange(5, dtype=np.int64)
        users = [population.visit(ids) for population in (scene.test, other_users(scene, 0), other_users(scene, 1))]
        assert not np.array_equal(users[0].traits, users[1].traits)
        assert not np.array_equal(users[1].traits, users[2].traits)
        assert np.array_equal(other_users(scene, 1).visit(ids).tastes, users[2].tastes)


def test_across_worlds_by_hand() -> None:
    def world(*differences: float) -> dict[str, Any]:
        keys = {"relative": None, "relative_ci95": None, "baseline": "a"}
        return {
            "comparisons": [
                keys | {"candidate": name, "difference": d, "ci95": [d - 1, d + 1], "verdict": "ship"}
                for name, d in zip("bc", differences, strict=False)
            ]
        }

    b, c = across_worlds([world(2.0, 0.5), world(-1.0, 0.5), world(5.0)])
    assert (b["wins"], b["shown"], b["ships"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 1.0)
    assert (b["mean"], b["spread"], b["worst"]) == (2.0, 3.0, -1.0)
    assert (c["wins"], c["shown"], c["spread"], len(c["effects"])) == (1.0, 0.0, 0.0, 2)


def test_order_agreement_by_hand() -> None:
    def world(*means: float) -> dict[str, Any]:
        return {"strategies": {name: {"return": {"mean": mean}} for name, mean in zip("abcd", means, strict=False)}}

    here = world(1.0, 2.0, 3.0, 4.0)
    # The same order; one of six pairs turned; the reverse; three strategies left, one of three pairs turned.
    found = order_agreement(here, [world(2, 3, 4, 9), world(1, 3, 2, 4), world(4, 3, 2, 1), world(1, 3, 2)])
    assert found is not None
    assert found["kendall"] == pytest.approx([1.0, 4 / 6, -1.0, 1 / 3])
    assert found["mean"] == pytest.approx(0.25)
    assert order_agreement(world(1.0, 2.0), [world(1.0, 2.0)]) is None
