"""Run folders: what is in them, that they are whole or absent, and what a person is told when they are not."""

import json
import logging
import os
import platform
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zsr_sim
from zsr_sim.config import Settings
from zsr_sim.errors import InputError
from zsr_sim.runs import Run, load_checkpoint, read_manifest, read_metrics, read_results, write_whole


def begin(folder: Path, command: list[str] | None = None) -> Run:
    data = {"source": "films", "fingerprint": "ab12", "items": 612}
    return Run.create(folder, command or ["zsr-sim", "train", "--data", "films"], Settings(), [0, 1], data)


def test_the_manifest_says_what_was_run_and_how_it_ended(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with begin(tmp_path / "deep" / "run") as run:
        running = read_manifest(run.folder)
        assert (running["status"], running["end"]) == ("running", None)
    manifest = read_manifest(tmp_path / "deep" / "run")
    assert " ".join(manifest) == "command config seeds data packages git_commit host start end status"
    assert manifest["status"] == "done"
    assert manifest["command"] == ["zsr-sim", "train", "--data", "films"]
    assert manifest["seeds"] == [0, 1]
    assert manifest["data"] == {"source": "films", "fingerprint": "ab12", "items": 612}
    assert Settings.model_validate(manifest["config"]) == Settings()
    assert manifest["packages"]["zsr-sim"] == zsr_sim.__version__
    assert manifest["packages"]["torch"] == torch.__version__
    assert manifest["packages"]["numpy"] == np.__version__
    assert set(manifest["host"]) == {"platform", "python", "cpus", "torch_threads"}
    assert manifest["host"]["python"] == platform.python_version()
    start, end = (datetime.fromisoformat(manifest[key]) for key in ("start", "end"))
    assert before <= start <= end <= datetime.now(UTC)
    assert end.utcoffset() is not None


def test_the_manifest_names_no_person_machine_or_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home" / "alice", tmp_path / "work" / "project"
    here.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    command = ["/usr/local/bin/zsr-sim", "--data", f"{home}/my logs", f"--out={here}/runs/x"]
    command += ["--encoder", "/mnt/models/mini", "a/b", "https://hub/x/y"]
    data = {"source": str(home / "my logs"), "items": 3}
    run = Run.create(here / "runs" / "x", command, Settings(), [0], data)
    run.finish(f"failed: {home}/my_logs/items.csv, line 3: no title")
    manifest = read_manifest(run.folder)
    shortened = ["zsr-sim", "--data", "~/my logs", "--out=runs/x", "--encoder", "mini", "a/b", "https://hub/x/y"]
    assert manifest["command"] == shortened
    assert manifest["data"] == {"source": "~/my logs", "items": 3}
    assert manifest["status"] == "failed: ~/my_logs/items.csv, line 3: no title"
    text = (run.folder / "manifest.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "alice" not in text


def git(*words: str, cwd: Path) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert read_manifest(begin(tmp_path / "outside").folder)["git_commit"] is None
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "file").write_text("one")
    git("init", "-q", cwd=repository)
    monkeypatch.chdir(repository)
    assert read_manifest(begin(tmp_path / "unborn").folder)["git_commit"] is None
    git("add", "file", cwd=repository)
    git("commit", "-q", "-m", "one", cwd=repository)
    git("tag", "v1", cwd=repository)
    commit = git("rev-parse", "HEAD", cwd=repository)
    assert read_manifest(begin(tmp_path / "clean").folder)["git_commit"] == commit
    (repository / "file").write_text("two")
    assert read_manifest(begin(tmp_path / "changed").folder)["git_commit"] == f"{commit}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert read_manifest(begin(tmp_path / "no-git").folder)["git_commit"] is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (InputError("items.csv, line 3:\n expected a title"), "failed: items.csv, line 3: expected a title"),
        (RuntimeError("out of luck"), "failed: RuntimeError: out of luck"),
        (MemoryError(), "failed: MemoryError:"),
    ],
)
def test_an_exception_is_noted_and_passed_on(tmp_path: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)) as raised, begin(tmp_path):
        raise error
    assert raised.value is error
    manifest = read_manifest(tmp_path)
    assert manifest["status"] == status
    assert manifest["end"] is not None


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    begin(tmp_path / "run").finish("done")
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    with pytest.raises(InputError, match=r"run already holds a run; choose another --out or remove it$"):
        begin(tmp_path / "run", ["zsr-sim", "other"])
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
    metrics_only = tmp_path / "metrics-only"
    metrics_only.mkdir()
    (metrics_only / "metrics.jsonl").touch()
    with pytest.raises(InputError, match="already holds a run"):
        begin(metrics_only)


def test_a_folder_without_a_manifest_is_fine(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".manifest.json.unfinished").write_text('{"status": "ru')  # a kill during the very first write
    begin(tmp_path).finish("done")
    assert read_manifest(tmp_path)["status"] == "done"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"figures", "manifest.json", "notes.txt"}


def test_out_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="expected a folder, found a file; choose another --out"):
            begin(folder)
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that no one can write")
def test_out_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match=r"^--out /proc/zsr-sim-run cannot be written \(.+\); choose another --out$"):
        begin(Path("/proc/zsr-sim-run"))


def test_metrics_are_written_a_line_at_a_time(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.log(100, {"held_out_nll": 5.5}, phase="generator")
    assert read_metrics(tmp_path) == [{"phase": "generator", "seed": 0, "step": 100, "held_out_nll": 5.5}]
    run.log(1, {"return": np.float32(0.25), "explained_variance": float("nan")}, seed=1)  # type: ignore[dict-item]
    assert read_metrics(tmp_path)[1:] == [
        {"phase": "policy", "seed": 1, "step": 1, "return": 0.25, "explained_variance": None}
    ]
    run.finish("done")
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_figure_may_not_take_the_name_of_a_key(tmp_path: Path) -> None:
    run = begin(tmp_path)
    with pytest.raises(ValueError, match=r"may not be called \['step'\]"):
        run.log(1, {"step": 3.0})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_tensorboard_gets_the_same_curves(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with begin(tmp_path) as run:
        for step in (1, 2):
            for seed in (0, 1):
                run.log(step, {"return": step + seed / 2}, seed=seed)
    names = {str(path.relative_to(tmp_path)) for path in (tmp_path / "tensorboard").rglob("*") if path.is_file()}
    assert names == {f"tensorboard/seed-{seed}/events.out.tfevents.1" for seed in (0, 1)}
    assert not any(socket.gethostname() in name for name in names)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "seed-1")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("policy/return")] == [(1, 1.5), (2, 2.5)]


def test_no_warning_escapes_from_tensorboard(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from zsr_sim.config import Settings; from zsr_sim.runs import Run\n"
        f"with Run.create(Path({str(tmp_path)!r}), ['x'], Settings(), [0], {{}}) as run:\n"
        "    run.log(1, {'return': 1.0})\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_last_line_that_a_kill_cut_is_left_out_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = '{"phase": "policy", "seed": 0, "step": 1, "return": 2.0}'
    path.write_text(f'{whole}\n{{"phase": "policy", "seed": 0, "st')
    with caplog.at_level(logging.WARNING, "zsr_sim.runs"):
        assert read_metrics(tmp_path) == [{"phase": "policy", "seed": 0, "step": 1, "return": 2.0}]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}, line 2: half-written, the run was killed there; left out"
    ]
    caplog.clear()
    path.write_text(f"{whole}\n{whole}\n")
    assert len(read_metrics(tmp_path)) == 2
    assert not caplog.records
    path.write_text("")
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("broken", ['{"phase": "pol', "[1, 2]", "", '{"phase": "policy", "step": 2}'])
def test_any_other_broken_line_is_named(tmp_path: Path, broken: str) -> None:
    whole = '{"phase": "policy", "seed": 0, "step": 1}'
    (tmp_path / "metrics.jsonl").write_text(f"{whole}\n{broken}\n{whole}\n")
    with pytest.raises(InputError) as raised:
        read_metrics(tmp_path)
    expected = "expected a JSON object with phase, seed, step"
    assert str(raised.value) == f"{tmp_path / 'metrics.jsonl'}, line 2: {expected}, found {broken!r}; remove the line"


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json is missing; expected a folder that zsr-sim train"):
        read_manifest(tmp_path)
    with pytest.raises(InputError, match=r"metrics\.jsonl is missing"):
        read_metrics(tmp_path / "nowhere")
    assert read_results(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"command": [],\n "status" "done"}')
    with pytest.raises(InputError, match=r"manifest\.json, line 2: no valid JSON"):
        read_manifest(tmp_path)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(InputError, match=r"results\.json: expected a JSON object, found list"):
        read_results(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match=r"manifest\.json: no UTF-8 at byte 7"):
        read_manifest(tmp_path)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.write_json("results.json", {"b": 1, "a": "é"})
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("results.json", {"b": float("nan")})
    assert read_results(tmp_path) == {"b": 1, "a": "é"}


def test_a_name_that_is_no_text_comes_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")  # a file's name in ISO 8859-1
    with begin(tmp_path, ["zsr-sim", "train", "--out", name]) as run:
        run.write_json("results.json", {"out": name})
    assert read_results(tmp_path) == {"out": name}
    assert read_manifest(tmp_path)["command"][-1] == name


def test_a_half_written_file_is_not_taken_for_the_real_one(tmp_path: Path) -> None:
    (tmp_path / ".results.json.unfinished").write_text('{"world": {')
    assert read_results(tmp_path) is None
    write_whole(tmp_path / "results.json", b"{}")
    assert read_results(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_kill_during_the_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"old": true}')
    code = (
        "import os, signal; from pathlib import Path; from zsr_sim import runs\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"runs.write_whole(Path({str(tmp_path / 'results.json')!r}), b'new')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert read_results(tmp_path) == {"old": True}
    assert (tmp_path / ".results.json.unfinished").read_bytes() == b"new"  # the kill came where it was meant to


def tensors(value: float) -> dict[str, torch.Tensor]:
    weight = torch.full((3, 2), value)
    return {"weight": weight, "turned": weight.T, "steps": torch.tensor(7)}  # shared memory, not contiguous, a scalar


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.save_checkpoint("policy", tensors(1.5), {"agent": "policy-gradient", "hidden": 64})
    found, meta = load_checkpoint(tmp_path, "policy")
    assert meta == {"agent": "policy-gradient", "hidden": 64}
    assert set(found) == {"weight", "turned", "steps"}
    assert all(torch.equal(found[name], value) for name, value in tensors(1.5).items())
    folder = tmp_path / "checkpoints"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert names == {"policy", "policy/weights.safetensors", "policy/meta.json"}


@pytest.mark.parametrize("kills_at", [1, 2])
def test_a_kill_while_a_checkpoint_is_replaced_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills_at: int
) -> None:
    run = begin(tmp_path)
    run.save_checkpoint("policy", tensors(1), {"update": 1})
    renames: list[Path] = []
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        renames.append(target)
        if len(renames) == kills_at:
            raise SystemExit  # nothing of `save_checkpoint` runs after it, as after a kill
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(SystemExit):
            run.save_checkpoint("policy", tensors(2), {"update": 2})
    assert load_checkpoint(tmp_path, "policy")[1] == {"update": 1}
    run.save_checkpoint("policy", tensors(3), {"update": 3})
    found, meta = load_checkpoint(tmp_path, "policy")
    assert (meta, float(found["weight"][0, 0])) == ({"update": 3}, 3.0)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["policy"]


def test_a_half_written_checkpoint_does_not_exist(tmp_path: Path) -> None:
    aside = tmp_path / "checkpoints" / ".policy.unfinished"
    aside.mkdir(parents=True)
    (aside / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match=r"no checkpoint 'policy'; it has none$"):
        load_checkpoint(tmp_path, "policy")
    begin(tmp_path).save_checkpoint("last", tensors(1), {})
    with pytest.raises(InputError, match=r"no checkpoint 'policy'; it has last$"):
        load_checkpoint(tmp_path, "policy")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    begin(tmp_path).save_checkpoint("last", tensors(1), {})
    weights = tmp_path / "checkpoints" / "last" / "weights.safetensors"
    os.truncate(weights, 40)
    with pytest.raises(InputError, match=r"weights\.safetensors is broken \(.+\); take another checkpoint"):
        load_checkpoint(tmp_path, "last")
    weights.unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors is broken"):
        load_checkpoint(tmp_path, "last")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../x"])
def test_a_checkpoint_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a plain name"):
        begin(tmp_path).save_checkpoint(name, {}, {})
    with pytest.raises(InputError, match="expected a plain name"):
        load_checkpoint(tmp_path, name)


def test_the_same_findings_are_the_same_bytes(tmp_path: Path) -> None:
    findings: dict[str, Any] = {"seed": 0, "strategies": {"b": {"return": {"mean": 0.1 + 0.2}}, "a": {}}}
    for name in ("one", "two"):
        begin(tmp_path / name).write_json("results.json", findings)
    first, second = ((tmp_path / name / "results.json").read_bytes() for name in ("one", "two"))
    assert first == second
    assert json.loads(first) == findings
