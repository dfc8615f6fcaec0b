import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from tests.command_line import at, zsr_sim
from tests.small_data import ASSIGNMENTS, write_items, write_log
from zsr_sim.cli import app
from zsr_sim.cli_parts import repeat_flags
from zsr_sim.commands import comparing
from zsr_sim.config import Settings
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.envs.worlds import WORLDS
from zsr_sim.runs import read_manifest, read_metrics

BROKEN_AGENT = """
import numpy as np
from zsr_sim.envs.observation import Decision

class Broken:
    def __init__(self, retrieval, slate_size): ...

    def act(self, observation):
        return Decision(np.zeros((len(observation), 4), dtype=np.int32))
"""


TALKING_AGENT = """
from zsr_sim.envs.observation import Decision

print("hello")

class Talks:
    def __init__(self, retrieval, slate_size):
        self.retrieval, self.slate_size = retrieval, slate_size

    def act(self, observation):
        print("a page")
        return Decision(self.retrieval.by_popularity(observation, self.slate_size))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small data and bad data; beside it a vector cache."""
    place = tmp_path_factory.mktemp("cli")
    for name in ("data", "strangers"):
        write_items(place / name)
        write_log(place / name)
    log = place / "strangers" / "interactions.csv"
    log.write_text(re.sub(r",i(\d)", r",unknown-\1", log.read_text(encoding="utf-8")), encoding="utf-8")
    (place / "no-ids").mkdir()
    (place / "no-ids" / "items.csv").write_text("id,text\n1,a film\n", encoding="utf-8")
    (place / "tiny").mkdir()
    (place / "tiny" / "items.csv").write_text("item_id,text\n1,a film\n2,another film\n", encoding="utf-8")
    (place / "no-weights").mkdir()
    (place / "no-weights" / "config.json").write_text("{}", encoding="utf-8")
    (place / "broken_agent.py").write_text(BROKEN_AGENT, encoding="utf-8")
    return place


@pytest.fixture(scope="module", autouse=True)
def at_the_place(place: Path) -> Iterator[None]:
    with at(place):
        yield


def compare(out: str, *words: str, agents: tuple[str, ...] = ("similarity", "random")) -> dict[str, Any]:
    """Compare on the small data and return results.json."""
    zsr_sim(
        "compare", "--data", "data", "--agents", *agents, "--users", "50", "--out", out, *words, "--set", *ASSIGNMENTS
    )
    results: dict[str, Any] = json.loads(Path(out, "results.json").read_text(encoding="utf-8"))
    return results


def test_a_path_that_cannot_be_is_told_in_a_line() -> None:
    long = "x" * 300
    for words in (("data", "check", long), ("report", long)):
        assert "name too long" in zsr_sim(*words, code=2).output.lower()


def train(out: str, *words: str) -> Result:
    start = ("train", "--data", "data", "--agent", "policy-gradient", "--users", "50", "--out", out)
    return zsr_sim(*start, *words, "--set", *ASSIGNMENTS)


@pytest.fixture(scope="module")
def trained(at_the_place: None) -> Result:
    return train("runs/trained", "--seeds", "0", "1")


def test_training_leaves_a_whole_run_folder(trained: Result) -> None:
    run = Path("runs/trained")
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert names >= {
        *("manifest.json", "metrics.jsonl", "results.json", "report.html"),
        *("figures/reward_curve.png", "figures/generator.png", "figures/policy.png", "figures/comparison.png"),
        *(f"checkpoints/seed-{seed}/{name}" for seed in (0, 1) for name in ("weights.safetensors", "meta.json")),
    }
    assert {name.split("/")[1] for name in names if name.startswith("tensorboard/")} == {"seed-0", "seed-1"}
    manifest = read_manifest(run)
    assert (manifest["status"], manifest["seeds"]) == ("done", [0, 1])
    assert manifest["command"][:5] == ["zsr-sim", "train", "--data", "data", "--agent"]
    assert manifest["config"]["world"]["slate_size"] == 4
    assert manifest["data"]["items"] == 60
    steps = [(line["seed"], line["step"]) for line in read_metrics(run) if line["phase"] == "policy"]
    assert steps == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_training_says_what_it_does(trained: Result) -> None:
    lines = trained.stdout.splitlines()
    assert lines[0].startswith("data: 60 items, encoder all-MiniLM-L6-v2 (")
    assert lines[0].endswith("), users fitted to the log")
    assert [line.split(" [")[0].rstrip() for line in lines if "[=========>]" in line] == [
        *(
            "1/5 generator, seed 0",
            "2/5 policy, seed 0",
            "3/5 generator, seed 1",
            "4/5 policy, seed 1",
            "5/5 comparison",
        ),
    ]
    assert "50 users, the same luck for every strategy" in trained.stdout
    assert [line.split(" for ")[1].split(".")[0] for line in lines if line.startswith("Verdict: inconc")] in (
        ["policy-gradient, seed 0", "policy-gradient, seed 1"],
        ["policy-gradient, seed 0"],
        ["policy-gradient, seed 1"],
        [],
    )
    assert sum(line.startswith("Verdict: ") for line in lines) == 2
    assert lines[-2].startswith("How far to trust it: fitted to the log of data: tastes, appeal of the items, ")
    assert lines[-1] == "report runs/trained/report.html    reward curve runs/trained/figures/reward_curve.png"


def test_a_second_start_encodes_nothing(trained: Result) -> None:
    again = zsr_sim(
        "compare", "--data", "data", "--agents", "similarity", "random", "--users", "9", "--out", "runs/again"
    )
    assert again.stdout.startswith("data: 60 items, encoder all-MiniLM-L6-v2 (cached), users fitted to the log\n")


def test_the_same_command_and_seed_find_the_same_and_another_seed_something_else(trained: Result) -> None:
    train("runs/same", "--seeds", "0", "1")
    assert Path("runs/same/results.json").read_bytes() == Path("runs/trained/results.json").read_bytes()
    train("runs/other", "--seed", "1")
    one, other = (json.loads(Path(f"runs/{name}/results.json").read_text()) for name in ("trained", "other"))
    assert one["seed"] == 0
    assert other["seed"] == 1
    assert one["strategies"]["random"]["return"] != other["strategies"]["random"]["return"]  # other luck
    assert one["training"]["policy-gradient"]["1"] == other["training"]["policy-gradient"]["1"]  # the same training


def test_a_comparison_does_not_depend_on_the_batch_size(trained: Result) -> None:
    agents = ("similarity", "runs/trained/checkpoints/seed-0", "popularity", "random")
    results = [compare(f"runs/batch-{size}", "--batch-size", size, agents=agents) for size in ("7", "1000")]
    assert list(results[0]["strategies"]) == ["similarity", "trained/seed-0", "popularity", "random"]
    assert Path("runs/batch-7/results.json").read_bytes() == Path("runs/batch-1000/results.json").read_bytes()


def test_a_checkpoint_earns_in_a_comparison_what_it_earned_after_training(trained: Result) -> None:
    earned = json.loads(Path("runs/trained/results.json").read_text())["strategies"]["policy-gradient, seed 0"]
    compared = compare("runs/loaded", agents=("similarity", "runs/trained/checkpoints/seed-0"))
    assert compared["strategies"]["trained/seed-0"] == earned


def test_agents_that_learn_are_trained_once_and_kept() -> None:
    results = compare("runs/pg", "--seed", "5", agents=("policy-gradient", "similarity", "policy-gradient", "sb3:PPO"))
    assert list(results["strategies"]) == ["policy-gradient", "similarity", "policy-gradient#2", "sb3:PPO"]
    assert results["comparisons"][1]["candidate"] == "policy-gradient#2"
    assert results["comparisons"][1]["reason"] == "identical on every user"
    assert sorted(os.listdir("runs/pg/checkpoints")) == ["policy-gradient-seed-5", "sb3-PPO-seed-5"]
    phases = {line["phase"] for line in read_metrics(Path("runs/pg"))}
    assert phases == {"generator, policy-gradient", "policy, policy-gradient", "policy, sb3:PPO"}
    again = compare("runs/pg-again", "--seed", "5", agents=("similarity", "runs/pg/checkpoints/sb3-PPO-seed-5"))
    assert again["strategies"]["pg/sb3-PPO-seed-5"] == results["strategies"]["sb3:PPO"]


def test_a_strategy_against_itself_differs_by_exactly_zero() -> None:
    (comparison,) = compare("runs/aa", agents=("similarity", "similarity"))["comparisons"]
    assert comparison["candidate"] == "similarity#2"
    assert (comparison["difference"], comparison["ci95"], comparison["p_value"]) == (0, [0, 0], 1)
    assert comparison["luck"] == "same"


def test_a_strategy_against_itself_under_other_luck_covers_zero() -> None:
    (comparison,) = compare("runs/aa-luck", "--other-luck", "--users", "400", agents=("similarity",) * 2)["comparisons"]
    low, high = comparison["ci95"]
    assert low < 0 < high
    assert comparison["difference"] != 0
    assert comparison["luck"] == "independent"


def test_json_is_alone_on_stdout() -> None:
    words = ("--data", "data", "--agents", "random", "similarity", "--users", "20", "--out", "runs/json")
    result = zsr_sim("compare", *words, "--set", *ASSIGNMENTS, "--json")
    payload = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert payload["run"] == "runs/json"
    assert payload["report"] == "runs/json/report.html"
    found = json.loads(Path("runs/json/results.json").read_text(encoding="utf-8"))
    assert {key: payload[key] for key in found} == found
    assert "60 items" in result.stderr


def test_what_a_persons_own_code_prints_is_not_among_json() -> None:
    Path("talks.py").write_text(TALKING_AGENT, encoding="utf-8")
    words = ("--data", "data", "--agents", "random", "talks:Talks", "--users", "20", "--out", "runs/talks")
    result = zsr_sim("compare", *words, "--set", *ASSIGNMENTS, "--json")
    assert result.stdout.count("\n") == 1
    assert set(json.loads(result.stdout)["strategies"]) == {"random", "talks:Talks"}
    assert "hello" in result.stderr.splitlines()
    assert "a page" in result.stderr.splitlines()


def test_the_demo_numbers_its_folder_where_one_stands_and_tells_one_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)  # the films are encoded once for all tests
    words = ("demo", "--users", "20", "--set", *ASSIGNMENTS, "agent.users=8", "generator.likelihood_steps=2")
    first, second = (zsr_sim(*words) for _ in range(2))
    assert first.stdout.splitlines()[-1].startswith("report runs/demo/report.html    reward curve runs/demo/figures/")
    assert second.stdout.splitlines()[-1].startswith("report runs/demo-2/report.html    reward curve runs/demo-2/fig")
    assert Path("runs/demo/results.json").read_bytes() == Path("runs/demo-2/results.json").read_bytes()
    lines = first.stdout.splitlines()
    assert [line[:13] for line in lines if "[=========>]" in line] == [
        "1/3 generator",
        "2/3 policy   ",
        "3/3 compariso",
    ]
    table = lines.index("") + 1
    assert [line.split()[0] for line in lines[table : table + 5]] == [
        *("strategy", "random", "similarity", "policy-gradient", "popularity"),
    ]
    assert lines[table].endswith("against similarity")
    assert lines[table + 2].endswith("baseline")
    (verdict,) = [line for line in lines if line.startswith("Verdict: ")]
    assert "policy-gradient" in verdict
    assert lines[-2].startswith("How far to trust it: these users are made up, no log was given. A rehearsal, not evid")


BAD = {
    "no such data": (["--data", "nowhere"], r"no built-in data set and no folder 'nowhere'"),
    "a slip in the name": (["--data", "film"], r"did you mean 'films'\?"),
    "no item_id": (["--data", "no-ids"], "no-ids/items.csv.*item_id"),
    "strangers only": (["--data", "strangers"], "strangers/interactions.csv.*none of"),
    "less than a page": (["--data", "tiny"], r"tiny has 2 items, a page needs 4; add items or lower it with --set"),
    "unknown agent": (["--agents", "random", "similarty"], r"unknown agent 'similarty'; did you mean 'similarity'\?"),
    "one agent": (["--agents", "random"], "at least two are needed"),
    "broken agent": (
        ["--agents", "random", "broken_agent:Broken"],
        r"agent broken_agent:Broken, user 0, page 1 of the visit: its sl",
    ),
    "broken agents": (
        ["--agents", "random", "broken_agent:Broken", "broken_agent:Broken"],
        r"agent broken_agent:Broken, user 0, page 1 .* expected; agent broken_agent:Broken#2, user 0, page 1",
    ),
    "unknown setting": (
        ["--set", "agent.learnin_rate=1"],
        "unknown setting 'agent.learnin_rate'.*'agent.learning_rate'",
    ),
    "wrong setting": (["--set", "world.horizon=0"], "setting world.horizon: .*greater than or equal to 1, found 0"),
    "no config": (["--config", "nowhere.yaml"], "--config nowhere.yaml: cannot be read"),
    "no weights": (["--encoder", "./no-weights"], "encoder folder no-weights holds no weights"),
    "no encoder": (["--encoder", "./nowhere"], "encoder folder nowhere does not exist"),
    "a file as folder": (["--out", "broken_agent.py"], "--out broken_agent.py: expected a folder, found a file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_exits_with_2_and_leaves_nothing(case: str) -> None:
    words, says = BAD[case]
    given = {"--data": ["data"], "--agents": ["random", "similarity"], "--out": ["runs/bad"], "--set": []}
    if words[0] == "--set":
        given["--set"] = words[1:]
    else:
        given |= {words[0]: words[1:]}
    given["--set"] = [*ASSIGNMENTS, *given["--set"]]
    result = zsr_sim("compare", *(word for flag, values in given.items() for word in (flag, *values)), code=2)
    assert result.stdout.count("\n") <= 1  # what the data are, where it came that far
    assert 1 <= result.stderr.count("\n") <= 2, result.stderr
    assert result.stderr.startswith("zsr-sim: ")
    text = result.stderr.replace("\n", " ")
    assert re.search(says, text), text
    assert not Path("runs/bad").exists()


def test_a_folder_with_a_run_is_refused(trained: Result) -> None:
    before = Path("runs/trained/manifest.json").read_bytes()
    words = ("--data", "data", "--agents", "random", "similarity", "--out", "runs/trained")
    result = zsr_sim("compare", *words, code=2)
    assert result.stderr == "zsr-sim: --out runs/trained already holds a run; choose another --out or remove it\n"
    assert Path("runs/trained/manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--agent", "similarity"],
            "agent 'similarity' has nothing to learn; train takes policy-gradient, gan, hybrid",
        ),
        (["--agent", "policy-gradien"], "unknown agent 'policy-gradien'; did you mean 'policy-gradient'?"),
        (["--agent", "policy-gradient", "--seeds", "3", "3"], "--seeds 3 3: a seed occurs twice"),
        (["--agent", "policy-gradient", "--set", "generator.candidates=8"], "some candidates must be retrieved"),
    ],
)
def test_what_cannot_be_trained_is_refused(words: list[str], says: str) -> None:
    result = zsr_sim("train", "--data", "data", "--out", "runs/untrained", *words, code=2)
    assert says in result.stderr
    assert not Path("runs/untrained").exists()


@pytest.mark.parametrize(
    "words", [["compare"], ["nonsense"], ["demo", "--users", "1"], ["demo", "--seed", "-1"], ["train", "--agent", "x"]]
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    result = zsr_sim(*words, code=2)
    assert result.stdout == ""
    assert "Error: " in result.stderr


def test_an_interrupt_exits_with_130_and_a_bug_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(comparing, "demo", stop)
    assert zsr_sim("demo", code=130).stderr == "zsr-sim: interrupted\n"
    monkeypatch.setattr(comparing, "demo", fail)
    assert isinstance(zsr_sim("demo", code=1).exception, RuntimeError)


def test_reports_are_written_again(trained: Result) -> None:
    page = Path("runs/trained/report.html")
    page.unlink()
    assert zsr_sim("report", "runs/trained").stdout == "runs/trained/report.html\n"
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert json.loads(zsr_sim("report", "runs/trained", "--json").stdout) == {"reports": ["runs/trained/report.html"]}
    assert "manifest.json is missing" in zsr_sim("report", "runs", code=2).stderr


def test_data_are_checked_and_described() -> None:
    assert zsr_sim("data", "check", "data").stdout.splitlines()[:2] == [
        *("data: plain files (items and interactions)", "        60 items"),
    ]
    counts = json.loads(zsr_sim("data", "check", "data", "--json").stdout)["counts"]
    assert (counts["items"], counts["users"], counts["interactions"]) == (60, 60, 720)
    described = json.loads(zsr_sim("data", "describe", "data", "--json").stdout)
    assert described["interactions"]["users"] == 60
    assert "  number: 60\n" in zsr_sim("data", "describe", "data").stdout
    assert "no-ids/items.csv has no column 'item_id'" in zsr_sim("data", "check", "no-ids", code=2).stderr


def test_bench_gives_medians_between_minimum_and_maximum() -> None:
    result = zsr_sim("bench", "--data", "data", "--repetitions", "3", "--json", "--set", *ASSIGNMENTS)
    found = json.loads(result.stdout)
    assert list(found) == ["world", "single_env", "loop", "proposing", "encoder"]
    rates = {"user_steps_per_second": ["world", "single_env", "loop", "proposing"], "texts_per_second": ["encoder"]}
    for rate, names in rates.items():
        for name in names:
            assert 0 < found[name]["minimum"] <= found[name][rate] <= found[name]["maximum"]
    assert [found[name]["users"] for name in ("world", "single_env", "loop")] == [8192, 1, 24]
    assert all((found[name]["items"], found[name]["slate"]) == (60, 4) for name in ("world", "single_env", "loop"))
    assert [found["proposing"][name] for name in ("users", "items", "slate")] == [256, 10_000, 4]
    assert 4 < found["encoder"]["tokens_per_text"] < 12  # four or five words and two special tokens
    assert result.stderr.splitlines() == [f"measuring {name}" for name in found]


def test_lists_name_what_there_is() -> None:
    assert [line.split()[0] for line in zsr_sim("list", "agents").stdout.splitlines()[:3]] == [
        *("random", "popularity", "recency"),
    ]
    known = json.loads(zsr_sim("list", "agents", "--json").stdout)
    assert known["popularity"] == {"does": "what most people consumed", "needs": "a log"}
    envs = json.loads(zsr_sim("list", "envs", "--json").stdout)
    ids = [f"zsr_sim/{kind}Recommendation-v0" for kind in ("", "Slate", "Proto")]
    assert list(envs) == [*ids, *(f"world {name}" for name in WORLDS)]
    assert all(envs.values())
    assert zsr_sim("list", "data").stdout.startswith("films  ")
    settings = json.loads(zsr_sim("list", "settings", "--json").stdout)
    assert settings["world.horizon"] == "20: Pages after which a visit is cut off."
    assert settings["world.boredom_sd"] == "0.4: spread of boredom over users"
    tree = Settings().model_dump()
    assert list(settings) == [f"{section}.{name}" for section, values in tree.items() for name in values]


@pytest.mark.parametrize(
    ("words", "expanded"),
    [
        ("--agents a b c", "--agents a --agents b --agents c"),
        ("--agents a --agents b", "--agents a --agents b"),
        ("--agents a b --users 9 x", "--agents a --agents b --users 9 x"),
        ("--agents=a b", "--agents=a --agents b"),
        ("--json --agents a b --json", "--json --agents a --agents b --json"),
        ("--agents a -- b c", "--agents a -- b c"),
        ("--users 9 9", "--users 9 9"),
        ("--agents --users 9", "--agents --users 9"),
    ],
)
def test_a_flag_takes_several_values(words: str, expanded: str) -> None:
    assert repeat_flags(words.split(), {"--agents", "--set"}) == expanded.split()


def test_help_does_not_wait_for_torch(project: Path) -> None:
    code = "import sys, zsr_sim.cli; print({'torch', 'transformers', 'numba', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_program_itself_exits_with_2_and_no_traceback(project: Path) -> None:
    command = [sys.executable, "-m", "zsr_sim", "data", "check", "film"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "zsr-sim: no built-in data set and no folder 'film'; did you mean 'films'?\n"


def test_letters_that_the_terminal_has_not_are_written_as_escapes(project: Path, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title,名\n1,a lamp,x\n", encoding="utf-8")
    command = [sys.executable, "-m", "zsr_sim", "data", "check", str(tmp_path)]
    plain = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, cwd=project, env=plain, capture_output=True, text=True, check=True)
    assert r"note: columns beside the text: '\u540d'" in done.stdout


def test_every_command_explains_itself() -> None:
    def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from leaves(child, (*path, name))

    paths = list(leaves(typer.main.get_command(app), ()))
    assert len(paths) > 12
    for path in paths:
        assert zsr_sim(*path, "--help").stdout.startswith(f"Usage: {' '.join(('zsr-sim', *path))} [OPTIONS]")
