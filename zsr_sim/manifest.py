"""The facts of a run: what was run, on what, with which versions, on what kind of machine; no path, name or person."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import zsr_sim
from zsr_sim.config import Settings

_PACKAGES = (
    *("gymnasium", "numba", "numpy", "pandas", "pyarrow", "safetensors", "scipy", "stable-baselines3"),
    *("torch", "transformers"),
)


def facts_of(command: list[str], settings: Settings, seeds: list[int], data: dict[str, Any]) -> dict[str, Any]:
    """What manifest.json says of a run that begins now."""
    return {
        "command": [without_paths(word) for word in command],
        "config": settings.model_dump(mode="json"),
        "seeds": [int(seed) for seed in seeds],
        "data": {key: without_paths(value) if isinstance(value, str) else value for key, value in data.items()},
        "packages": {"zsr-sim": zsr_sim.__version__} | {name: _version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
        "host": _host(),
        "start": now(),
        "end": None,
        "status": "running",
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the working directory, with "-dirty" where tracked files differ from it; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    quiet = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # several runs may ask at once
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=quiet, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _host() -> dict[str, Any]:
    """What a run's speed and last digits depend on; nothing that names a machine or a person."""
    import torch

    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)),
        "torch_threads": torch.get_num_threads(),
    }


def now() -> str:
    """The time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def without_paths(text: str) -> str:
    """The text with absolute paths cut to what tells nothing of the machine: they stand in reports that people share.

    Below the working directory a path becomes relative, below the home folder it begins with ~ (a shell still finds
    both), and of any other the last part stays.
    """
    if os.path.isabs(text):
        return _short_path(text)  # a whole argument, which may hold blanks
    return re.sub(r"(?<![\w.~/:])/[^\s/'\"]+/[^\s'\"]*", lambda match: _short_path(match[0]), text)


def _short_path(path: str) -> str:
    for root, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if Path(path).is_relative_to(root):
            return prefix + str(Path(path).relative_to(root))
    return Path(path).name


def first_difference(before: Any, after: Any, above: str = "") -> str:
    """Where two nested objects differ first, in words: "agent.updates 30 there, 20 here"."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *after]:
            if before.get(key) != after.get(key):
                return first_difference(before.get(key), after.get(key), f"{above}{key}.")
    return f"{above.rstrip('.')} {before} there, {after} here".strip()
