"""Every command and code block of the README runs, with small sizes; the two that install are run by `.ci/run`."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.small_data import write_items, write_log
from zsr_sim.cli import app

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
SMALL = [
    *("agent.updates=2", "agent.users=16", "generator.likelihood_steps=4", "generator.adversarial_steps=1"),
    "world.horizon=3",
]
OWN = {"my_strategy": "HalfAndHalf", "my_learner": "Direction"}  # classes of the README, and where it has them saved
IN_CI = ("pip install -c constraints.txt . && zsr-sim demo", 'pip install -c constraints.txt ".[test]" && pytest')


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line]


@pytest.fixture(scope="module", autouse=True)
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a person's own: data, and the strategies of the README."""
    home = tmp_path_factory.mktemp("home")
    write_items(home / "my-data")
    write_log(home / "my-data")
    for module, name in OWN.items():
        (own,) = (block for block in blocks("python") if f"class {name}" in block)
        (home / f"{module}.py").write_text(own, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "path", [path for path in sys.path if path])
        yield home


def test_ci_runs_the_two_commands_of_the_first_screen() -> None:
    assert commands()[:2] == list(IN_CI)
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert IN_CI[1] in script
    assert "zsr-sim demo" in script


def smaller(line: str) -> list[str]:
    words = shlex.split(re.sub(r"--users \d+", "--users 24", line))[1:]
    if words[0] in ("train", "compare", "log", "recommend", "evaluate"):
        words += ["--set", *SMALL]
    if words[0] == "train":
        words += ["--users", "24"]
    if words[0] == "bench":
        words += ["--repetitions", "1", "--set", *SMALL]
    return words


@pytest.mark.parametrize("line", [line for line in commands() if line not in IN_CI])
def test_command_runs(line: str) -> None:
    """In order: a later command may use the run of an earlier one."""
    assert line.startswith("zsr-sim ")
    result = CliRunner().invoke(app, smaller(line), prog_name="zsr-sim")
    assert result.exit_code == 0, result.output
    out = re.search(r"--out (\S+)", line)
    if out and Path(out[1]).suffix:
        assert Path(out[1]).stat().st_size > 0
    elif out:
        written = {path.name for path in Path(out[1]).iterdir()}
        assert {"manifest.json", "results.json"} <= written
        assert ("report.html" in written) == (line.split()[1] in ("train", "compare"))


@pytest.mark.parametrize("code", [block for block in blocks("python") if "\nclass " not in block])
def test_python_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert re.fullmatch(r"\d+ clicks in this visit\n|\d\.\d+\n", capsys.readouterr().out)


def test_every_named_file_is_there() -> None:
    linked = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert linked
    assert [name for name in linked if not (PROJECT / name).is_file()] == []
    sketch = README[README.index("## The architecture") :].split("```")[1]
    named = set(re.findall(r"\b[a-z_]+\.py\b", sketch))
    present = {path.name for folder in ("zsr_sim", "envs", "agents") for path in (PROJECT / folder).rglob("*.py")}
    assert named - present == set()
