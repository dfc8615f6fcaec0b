"""The data sets that come with the package: films and books, facts and one-line descriptions, no logs."""

from importlib import resources

from zsr_sim.datasets.assemble import assemble
from zsr_sim.datasets.dataset import Dataset
from zsr_sim.datasets.tables import read_table

BUILT_IN = {
    "films": "real films: title, genres, director, country, a one-line description; no log",
    "books": "real books: title, genres, author, country, a one-line description; no log",
}


def read_built_in(name: str, text_columns: tuple[str, ...] | None = None) -> Dataset:
    """Read ``films`` or ``books`` from the package; `text_columns` as for `zsr_sim.datasets.load`."""
    with resources.as_file(resources.files("zsr_sim.datasets") / "builtin" / f"{name}.csv") as path:
        items = read_table(path)
    return assemble(source=name, name=name, layout="built in", items=items, log=None, text_columns=text_columns)
