"""What tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import at
from tests.small_data import write_items, write_log

# Before numba and torch load their OpenMP: threads that wait must not spin on a machine that others use (see cli.main).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; a test that asks for it is skipped where there is none."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the public data sets in ../shared/data, beside the checkout")
    return folder


@pytest.fixture(scope="module")
def small_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with small data (`data`) in which a module's tests are, as somebody who starts the command is."""
    place = tmp_path_factory.mktemp("place")
    write_items(place / "data")
    write_log(place / "data")
    with at(place):
        yield place
