"""`zsr-sim evaluate encoders`: one table of text encoders and history encoders."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS
from zsr_sim.runs import read_manifest

SMALL = [*ASSIGNMENTS, "history.steps=10", "history.hidden=8"]
WORDS = ("evaluate", "encoders", "--data", "data", "--visits", "12", "--users", "20")
pytestmark = pytest.mark.usefixtures("small_place")


@pytest.fixture(scope="module")
def found(small_place: Path) -> dict[str, Any]:
    histories = ("--histories", "pooled", "pooled?decay=0.5", "text?items=2", "attention", "causal")
    done = zsr_sim(*WORDS, *histories, "--out", "runs/table", "--json", "--set", *SMALL)
    table: dict[str, Any] = json.loads(done.stdout)
    return table


def test_a_row_for_each_that_is_able(found: dict[str, Any]) -> None:
    assert [row["history"] for row in found["rows"]] == ["pooled", "pooled?decay=0.5", "text?items=2", "attention"]
    assert [row["label"] for row in found["left_out"]] == ["all-MiniLM-L6-v2, causal"]
    assert "reads in both directions" in found["left_out"][0]["why"]
    for row in found["rows"]:
        assert row["texts_per_second"] > 0
        assert row["return"]["ci95"][0] <= row["return"]["mean"] <= row["return"]["ci95"][1]
    hits = {row["history"]: row["cache_hits"] for row in found["rows"]}
    assert hits["pooled"] == hits["attention"] == 1  # nothing is read
    assert 0 < hits["text?items=2"] < 1
    assert found["rows"][2]["mib_kept"] > 0


def test_its_ranking_is_that_of_evaluate_ranking(found: dict[str, Any]) -> None:
    ranking = ("evaluate", "ranking", "--data", "data", "--agent", "similarity", "--users", "20", "--draws", "1")
    for row, settings in ((0, ()), (1, ("history.decay=0.5",)), (3, ("history.encoder=attention",))):
        alone = json.loads(zsr_sim(*ranking, "--json", "--set", *SMALL, *settings).stdout)
        for protocol in ("warm", "cold"):
            expected = alone["protocols"][protocol]["agents"]["similarity"]["metrics"]["hr@10"]["mean"]
            assert found["rows"][row]["ranking"][protocol]["hr@10"]["mean"] == expected


def test_each_is_held_against_the_first(found: dict[str, Any]) -> None:
    first, other = found["rows"][:2]
    assert first["against_first"] == {"warm": {}, "cold": {}}
    for protocol in ("warm", "cold"):
        told = other["against_first"][protocol]["hr@10"]
        means = [row["ranking"][protocol]["hr@10"]["mean"] for row in (other, first)]
        assert told["mean"] == pytest.approx(means[0] - means[1])
        assert told["ci95"][0] <= told["mean"] <= told["ci95"][1]


def test_it_leaves_a_run_folder(found: dict[str, Any]) -> None:
    results = json.loads(Path("runs/table/results.json").read_text(encoding="utf-8"))
    assert results["rows"] == found["rows"]
    assert read_manifest(Path("runs/table"))["status"] == "done"


@pytest.mark.parametrize(
    ("history", "says"),
    [
        ("poolled", "history.encoder is 'poolled'; one of pooled, attention, text, causal expected; did you mean"),
        ("pooled?dekay=1", "'dekay' is no setting; did you mean 'decay'?"),
        ("pooled?decay=2", "--histories pooled?decay=2: setting decay: input should be less than or equal to 1, found"),
        ("causal", "reads in both directions at once; name a causal model, such as --encoder smollm2"),
    ],
)
def test_bad_input_is_told_in_a_line_or_two(history: str, says: str) -> None:
    result = zsr_sim(*WORDS, "--histories", history, "--set", *SMALL, code=2)
    assert says in result.stderr.replace("\n", " ")
    assert 1 <= result.stderr.count("\n") <= 2


def test_history_encoders_are_listed() -> None:
    listed = zsr_sim("list", "histories").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["pooled", "attention", "text", "causal"]
