"""The built-in data sets load whole, without a file of the person's own."""

import csv
from importlib import resources

import pytest

from zsr_sim.datasets import known, load


@pytest.mark.parametrize(("name", "least"), [("films", 500), ("books", 300)])
def test_every_row_is_an_item(name: str, least: int) -> None:
    dataset = load(name)
    file = resources.files("zsr_sim.datasets") / "builtin" / f"{name}.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert len(dataset.catalogue) == len(rows) >= least
    assert dataset.catalogue.item_ids == tuple(row["item_id"] for row in rows)
    assert dataset.catalogue.titles == tuple(row["title"] for row in rows)
    assert dataset.interactions is None
    assert {number for key, number in dataset.report.counts.items() if key != "items"} == {0}


@pytest.mark.parametrize(("name", "maker"), [("films", "director"), ("books", "author")])
def test_a_text_is_title_genres_maker_country_description(name: str, maker: str) -> None:
    catalogue = load(name).catalogue
    file = resources.files("zsr_sim.datasets") / "builtin" / f"{name}.csv"
    row = next(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    parts = [row["title"], row["genres"].replace("|", ", "), row[maker], row["country"], row["description"]]
    assert catalogue.texts[0] == ". ".join(parts)
    assert list(catalogue.columns.columns) == ["year"]


def test_a_built_in_name_wins_over_a_folder(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    assert load("films").report.layout == "built in"
    with pytest.raises(ValueError, match="films has no known layout"):
        load("./films")


def test_text_columns_apply_to_built_in_data_too() -> None:
    catalogue = load("films", text_columns=["title"]).catalogue
    assert catalogue.texts == catalogue.titles


def test_known_names_load() -> None:
    assert all(load(name).catalogue.name == name for name in known())
