"""Run folders: one place that writes what a run did, and reads it again.

    manifest.json    what was run, on what, when, and how it ended
    metrics.jsonl    one line per update
    results.json     what the run found (the caller's; the same for the same command and seed, so without times)
    figures/         pictures
    checkpoints/     weights without pickle (safetensors + json)
    progress/        how far a training has come, until the run is done (safetensors + json)
    tensorboard/     the same curves as metrics.jsonl, live, one folder per seed

A run may be killed at any moment: every file but metrics.jsonl is written aside and moved into place, so it is whole or
absent, and of metrics.jsonl at most the last line is lost. No user id of a log and no absolute path gets in here.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from zsr_sim.config import Settings
from zsr_sim.errors import InputError
from zsr_sim.manifest import facts_of, first_difference, now, without_paths

if TYPE_CHECKING:  # torch takes seconds to import, and reading a manifest does not need it
    from torch import Tensor
    from torch.utils.tensorboard.writer import SummaryWriter

logger = logging.getLogger(__name__)

MANIFEST, METRICS, RESULTS, WALKS = "manifest.json", "metrics.jsonl", "results.json", "walks.json"
CHECKPOINTS, PROGRESS, _BOARDS = "checkpoints", "progress", "tensorboard"
METRIC_KEYS = ("phase", "seed", "step")
"""Of every line of metrics.jsonl, before its figures."""


class Run:
    """A run that is being written. As a context manager it notes how the run ended; begin one with `create`."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self._manifest = manifest
        self._boards: dict[int, SummaryWriter] = {}

    @classmethod
    def create(
        cls, folder: Path, command: list[str], settings: Settings, seeds: list[int], data: dict[str, Any]
    ) -> Run:
        """Begin a run in a folder that holds none yet, with status "running".

        Args:
            folder: made with its parents where it does not exist.
            command: the words of the command line; absolute paths among them are shortened.
            settings: all settings.
            seeds: those trained or compared with.
            data: what the data were, with their fingerprint.

        Raises:
            InputError: the folder already holds a run, is a file, or cannot be written.
        """
        require_free(folder)
        run = cls(folder, facts_of(command, settings, seeds, data))
        try:
            run.figures.mkdir(parents=True, exist_ok=True)
            run.write_json(MANIFEST, run._manifest)
        except (FileExistsError, NotADirectoryError):
            raise _not_a_folder(folder) from None
        except OSError as error:
            raise InputError(f"--out {folder} cannot be written ({error.strerror}); choose another --out") from None
        return run

    @classmethod
    def resume(cls, folder: Path, settings: Settings, seeds: list[int], data: dict[str, Any]) -> Run:
        """Go on with a run that was stopped: metrics.jsonl ends where the progress of its training does.

        Raises InputError where the run is done, or was begun with other settings, seeds or data.
        """
        begun, given = read_manifest(folder), facts_of([], settings, seeds, data)
        if begun["status"] == "done":
            raise InputError(f"--resume: {folder} is done; choose another --out, or leave --resume out to begin anew")
        for key in ("seeds", "data", "config", "packages"):
            if begun[key] != given[key]:
                raise InputError(
                    f"--resume: {folder} was begun with other {key} ({first_difference(begun[key], given[key])}); give "
                    "the same, or another --out"
                )
        resumed = [*begun.get("resumed", []), now()]
        run = cls(folder, begun | {"status": "running", "end": None, "resumed": resumed})
        run.write_json(MANIFEST, run._manifest)
        kept = [
            load_checkpoint(folder, p.name, PROGRESS)[1]["metrics_bytes"] for p in (folder / PROGRESS).glob("[!.]*")
        ]
        shutil.rmtree(folder / _BOARDS, ignore_errors=True)
        if (folder / METRICS).exists():
            os.truncate(folder / METRICS, max(kept, default=0))
            for row in read_metrics(folder):
                values = {
                    key: math.nan if value is None else value for key, value in row.items() if key not in METRIC_KEYS
                }
                run._draw(row["step"], values, row["seed"], row["phase"])
        return run

    @property
    def figures(self) -> Path:
        """The folder for pictures."""
        return self.folder / "figures"

    def log(self, step: int, figures: dict[str, float], seed: int = 0, phase: str = "policy") -> None:
        """Add one line to metrics.jsonl, at once, and the same figures to TensorBoard as phase/name.

        A figure that is not finite becomes null in metrics.jsonl. Raises ValueError for a figure named phase, seed or
        step.
        """
        if reserved := set(METRIC_KEYS) & figures.keys():
            raise ValueError(f"figures may not be called {sorted(reserved)}: every line has those keys already")
        values = {name: float(value) for name, value in figures.items()}
        line = {"phase": phase, "seed": seed, "step": step}
        line |= {name: value if math.isfinite(value) else None for name, value in values.items()}
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        self._draw(step, values, seed, phase)

    def _draw(self, step: int, values: dict[str, float], seed: int, phase: str) -> None:
        if seed not in self._boards:
            self._boards[seed] = _open_board(self.folder / _BOARDS / f"seed-{seed}")
        for name, value in values.items():
            self._boards[seed].add_scalar(f"{phase}/{name}", value, step)

    def write_json(self, name: str, payload: Any) -> None:
        """Write a JSON file, whole or not at all. Raises ValueError where the payload holds NaN or infinity."""
        write_whole(self.folder / name, _json(payload))

    def save_progress(self, name: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Write progress/<name> as `save_checkpoint` does, with how long metrics.jsonl is by now."""
        metrics = self.folder / METRICS
        meta = meta | {"metrics_bytes": metrics.stat().st_size if metrics.exists() else 0}
        self.save_checkpoint(name, tensors, meta, PROGRESS)

    def save_checkpoint(
        self, name: str, tensors: dict[str, Tensor], meta: dict[str, Any], among: str = CHECKPOINTS
    ) -> None:
        """Write checkpoints/<name>/{weights.safetensors, meta.json}: the folder is whole or absent.

        A checkpoint of that name is replaced; until the new one stands the old one can be loaded.
        """
        import safetensors.torch

        target = _checkpoint(self.folder, name, among)
        aside, previous = _beside(target, "unfinished"), _beside(target, "previous")
        shutil.rmtree(aside, ignore_errors=True)  # what a killed run left
        aside.mkdir(parents=True)
        # safetensors refuses tensors that share memory, so each is a copy.
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        write_whole(aside / "weights.safetensors", safetensors.torch.save(plain))
        write_whole(aside / "meta.json", _json(meta))
        if target.exists():
            shutil.rmtree(previous, ignore_errors=True)
            target.rename(previous)
        aside.rename(target)
        shutil.rmtree(previous, ignore_errors=True)

    def finish(self, status: str) -> None:
        """Close TensorBoard's files and note end time and status: "done", "failed: ..." or "interrupted"."""
        for seed, board in self._boards.items():
            board.close()
            _without_host_names(self.folder / _BOARDS / f"seed-{seed}")
        self._boards.clear()
        if status == "done":
            shutil.rmtree(self.folder / PROGRESS, ignore_errors=True)
        self._manifest |= {"end": now(), "status": without_paths(status)}
        self.write_json(MANIFEST, self._manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish("done")
        elif isinstance(error, KeyboardInterrupt):
            self.finish("interrupted")
        else:
            name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.finish(" ".join(f"failed: {name}{error}".split())[:500])


def holds_run(folder: Path) -> bool:
    """Whether a run has begun in this folder."""
    return any((folder / name).exists() for name in (MANIFEST, METRICS))


def require_free(folder: Path) -> None:
    """Raise InputError where a run cannot begin in this folder, because it holds one or is a file."""
    if holds_run(folder):
        raise InputError(f"--out {folder} already holds a run; choose another --out or remove it")
    if folder.exists() and not folder.is_dir():
        raise _not_a_folder(folder)


def _not_a_folder(folder: Path) -> InputError:
    return InputError(f"--out {folder}: expected a folder, found a file; choose another --out")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run. Raises InputError where the folder holds no run or the file is broken."""
    return _read_object(folder, MANIFEST)


def read_results(folder: Path) -> dict[str, Any] | None:
    """What the run found, or None where it has not come to that. Raises InputError where the file is broken."""
    return _read_object(folder, RESULTS) if (folder / RESULTS).exists() else None


def read_walks(folder: Path) -> dict[str, Any]:
    """Visits page by page, for each candidate; empty where there are none. Raises InputError for a broken file."""
    return _read_object(folder, WALKS) if (folder / WALKS).exists() else {}


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl: each has phase, seed, step and its figures (float, or None where not finite).

    A last line that a kill left half-written is left out, and logged. Raises InputError for any other broken line, and
    where the file is missing.
    """
    path = folder / METRICS
    *lines, rest = _read_text(path).split("\n")  # a whole line ends with a newline
    metrics = [_metrics_row(path, number, line) for number, line in enumerate(lines, 1)]
    if rest:
        logger.warning("%s, line %d: half-written, the run was killed there; left out", path, len(lines) + 1)
    return metrics


def load_checkpoint(folder: Path, name: str, among: str = CHECKPOINTS) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the meta of a run's checkpoint. Raises InputError where it is missing or broken."""
    import safetensors
    import safetensors.torch

    found = _checkpoint(folder, name, among)
    if not found.is_dir():
        found = _beside(found, "previous")  # a kill between the two renames of `save_checkpoint`
    if not found.is_dir():
        known = sorted(p.name for p in (folder / among).glob("*") if not p.name.startswith("."))
        raise InputError(f"{folder}: no checkpoint {name!r}; it has {', '.join(known) or 'none'}")
    try:
        tensors = safetensors.torch.load_file(found / "weights.safetensors")
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{found / 'weights.safetensors'} is broken ({error}); take another checkpoint") from None
    return tensors, _read_object(found, "meta.json")


def require_file(out: Path) -> None:
    """Raises InputError where no file can be written at --out."""
    if out.is_dir() or any(parent.is_file() for parent in out.parents):
        raise InputError(f"--out {out}: a file in a folder is expected; choose another name")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and move it into place: a kill leaves the old file, or none, never half of one.

    Its folder is made where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _beside(path, "unfinished")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _json(payload: Any) -> bytes:
    """Bytes of a file's name that the locale cannot read are no characters: JSON's escapes say them."""
    text = json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")


def _metrics_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not all(key in row for key in METRIC_KEYS):
        expected = f"expected a JSON object with {', '.join(METRIC_KEYS)}"
        raise InputError(f"{path}, line {number}: {expected}, found {line[:60]!r}; remove the line")
    return row


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def holds_progress(folder: Path, name: str) -> bool:
    """Whether a training of that name was stopped on its way."""
    found = _checkpoint(folder, name, PROGRESS)
    return found.is_dir() or _beside(found, "previous").is_dir()


def _checkpoint(folder: Path, name: str, among: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise InputError(f"checkpoint {name!r}: expected a plain name of letters, digits, '.', '_' and '-'")
    return folder / among / name


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        payload = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: no valid JSON ({error.msg}); was it edited?") from None
    if not isinstance(payload, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(payload).__name__}")
    return payload


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} is missing; expected a folder that zsr-sim train, compare or demo wrote") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no UTF-8 at byte {error.start}; was it edited?") from None


def _open_board(folder: Path) -> SummaryWriter:
    with warnings.catch_warnings():  # its import warns of its own dependencies; nothing a person here could act on
        warnings.simplefilter("ignore")
        from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder), flush_secs=10)


def _without_host_names(folder: Path) -> None:
    """TensorBoard names its files events.out.tfevents.<time>.<host>.<process>; only the first part is needed."""
    for path in sorted(folder.glob("events.out.tfevents.*.*")):
        number = len(list(folder.glob("events.out.tfevents.*")))
        path.rename(folder / f"events.out.tfevents.{number}")
