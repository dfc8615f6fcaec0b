"""The command in a folder of a test's own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from zsr_sim.cli import app
from zsr_sim.encoders.cards import FOLDER_VARIABLE


@contextmanager
def at(place: Path) -> Iterator[None]:
    """Be in a folder, with a cache of vectors there, as somebody who starts the command is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv(FOLDER_VARIABLE, str(place / "cache"))
        patch.setattr(sys, "path", [path for path in sys.path if path])  # commands add the current folder
        yield


def zsr_sim(*words: str, code: int = 0) -> Result:
    """Run the command; it must end with this exit code."""
    result = CliRunner().invoke(app, list(words), prog_name="zsr-sim")
    assert result.exit_code == code, result.output
    return result
