"""Data sets by name or folder: the built-in films and books, plain files, and known public layouts."""

from collections.abc import Sequence
from pathlib import Path

from zsr_sim.datasets.built_in import BUILT_IN, read_built_in
from zsr_sim.datasets.dataset import DataReport, Dataset
from zsr_sim.datasets.describe import describe
from zsr_sim.datasets.enriched import with_descriptions
from zsr_sim.datasets.generic import PLAIN
from zsr_sim.datasets.mind import MIND
from zsr_sim.datasets.movielens import LAYOUTS as MOVIELENS
from zsr_sim.datasets.online_retail import ONLINE_RETAIL
from zsr_sim.datasets.open_bandit import OPEN_BANDIT
from zsr_sim.datasets.recbole import RECBOLE
from zsr_sim.errors import InputError, nearest

__all__ = ["DataReport", "Dataset", "describe", "known", "layouts", "load"]

_LAYOUTS = (PLAIN, *MOVIELENS, RECBOLE, MIND, ONLINE_RETAIL, OPEN_BANDIT)  # the first that matches is taken
_NAMES_SHOWN = 5


def known() -> dict[str, str]:
    """Return the built-in data sets, name -> description in one line."""
    return dict(BUILT_IN)


def layouts() -> dict[str, str]:
    """Return the folder layouts that `load` recognises, name -> files by which it does."""
    return {layout.name: layout.files for layout in _LAYOUTS}


def load(name_or_path: str | Path, text_columns: Sequence[str] | None = None) -> Dataset:
    """Read a data set.

    Args:
        name_or_path: a built-in name (see `known`), or a folder in one of the known layouts (see `layouts`). A built-in
            name wins over a folder of that name; ``./films`` is always the folder.
        text_columns: the columns of a folder's items that are joined to an item's text, in this order; None for the
            declared order of the layout.

    Raises:
        InputError: no such data set, no known layout, or bad data; the message names file, line and remedy.
    """
    declared = None if text_columns is None else tuple(text_columns)
    if name_or_path in BUILT_IN:
        return read_built_in(str(name_or_path), declared)
    try:
        return _load_folder(Path(name_or_path), declared)
    except OSError as error:  # no permission, a name that is too long, a disk that fails
        raise InputError(f"cannot read {str(name_or_path)!r}: {error.strerror}") from error


def _load_folder(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    if folder.is_file():
        raise InputError(f"{folder} is a file, a folder is expected; give {folder.parent} if that holds the data set")
    if not folder.is_dir():
        raise InputError(f"no built-in data set and no folder {str(folder)!r}{_nearest(folder)}")
    for layout in _LAYOUTS:
        if layout.matches(folder):
            return with_descriptions(layout.read(folder, text_columns), folder)
    raise InputError(_unrecognised(folder))


def _nearest(folder: Path) -> str:
    """Suggest a built-in name, or a sibling of the folder that is missing."""
    siblings = folder.parent.iterdir() if folder.parent.is_dir() else ()
    return nearest(folder.name, [*BUILT_IN, *(sibling.name for sibling in siblings if sibling.is_dir())])


def _unrecognised(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    wanted = "; ".join(layout.files for layout in _LAYOUTS)
    return f"{folder} has no known layout; found: {found or 'nothing'}\nlooked for (each also with .gz): {wanted}"
