"""Descriptions: beside the original, bounded, resumed where they stopped, and never half there."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.command_line import at, zsr_sim
from tests.small_data import N_ITEMS, write_items
from zsr_sim.commands import enrich as command
from zsr_sim.commands.enrich import Request, described, enrich
from zsr_sim.console import Screen
from zsr_sim.datasets import load
from zsr_sim.errors import InputError
from zsr_sim.readers.model import CausalModel

KEYS = np.arange(3, dtype=np.int64)
PROMPTS = ["a film about the sea is", "heat is", "the long and winding road to the castle is"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_items(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def writer(tiny_causal: Path) -> CausalModel:
    return CausalModel(tiny_causal, "tiny", precision="fp32")


class Writer(CausalModel):
    """Says what is asked about; stops the run at the call `dies`."""

    def __init__(self, folder: Path, dies: int = 100) -> None:
        super().__init__(folder, "tiny")
        self.calls, self.dies = 0, dies

    def write(
        self, prompts: Sequence[str], most: int, keys: NDArray[np.int64], seed: int = 0, temperature: float = 0.0
    ) -> list[str]:
        self.calls += 1
        if self.calls == self.dies:
            raise KeyboardInterrupt
        return [f'It tells, "of" {prompt.splitlines()[1][7:]}, at length.\nTitle: x' for prompt in prompts]


def run(folder: Path, model: CausalModel, **more: float) -> dict[str, object]:
    with (folder.parent / "screen").open("w") as file:
        return enrich(Request(str(folder), **more), Screen(file), model)  # type: ignore[arg-type]


def test_what_is_written_does_not_depend_on_its_company(writer: CausalModel) -> None:
    for temperature in (0.0, 1.0):
        together = writer.write(PROMPTS, 8, KEYS, 3, temperature)
        assert together == writer.write(PROMPTS, 8, KEYS, 3, temperature)
        alone = [writer.write([PROMPTS[row]], 8, KEYS[row : row + 1], 3, temperature)[0] for row in range(3)]
        assert alone == together
        assert all(together)
    assert writer.write(PROMPTS, 8, KEYS, 4, 1.0) != together


def test_descriptions_stand_beside_the_items(folder: Path, tiny_causal: Path) -> None:
    before, original = load(folder).catalogue, (folder / "items.csv").read_bytes()
    found = run(folder, Writer(tiny_causal))
    assert found["items"] == N_ITEMS
    assert found["invalid"] == 0
    assert (folder / "items.csv").read_bytes() == original
    data = load(folder)
    assert data.catalogue.texts[0] == f'{before.texts[0]}. It tells, "of" {before.texts[0]}, at length.'
    assert data.catalogue.titles == before.titles
    assert "60 texts with a description written by tiny" in data.report.notes[-1]
    with (folder / "enriched.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["prompt"] for row in rows} == {command.PROMPT}
    assert {(row["model"], row["seed"]) for row in rows} == {("tiny", "0")}
    with pytest.raises(InputError, match="is there already; remove it"):
        run(folder, Writer(tiny_causal))
    (folder / "enriched.csv").unlink()
    assert load(folder).catalogue.texts == before.texts


def test_a_run_that_was_killed_goes_on_and_ends_the_same(folder: Path, tiny_causal: Path) -> None:
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    with pytest.raises(KeyboardInterrupt):
        run(folder, Writer(tiny_causal, dies=2))
    half = folder / ".enriched.csv.unfinished"
    half.write_bytes(half.read_bytes()[:-30])  # the kill came while a row was written
    assert not (folder / "enriched.csv").exists()
    assert not any("description" in note for note in load(folder).report.notes)
    again = Writer(tiny_causal)
    run(folder, again)
    run(other, Writer(tiny_causal))
    assert again.calls == 1
    assert sorted((folder / "enriched.csv").read_text().splitlines()) == sorted(
        (other / "enriched.csv").read_text().splitlines()
    )
    assert not half.exists()


def test_another_seed_does_not_go_on_from_this_one(folder: Path, tiny_causal: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder, Writer(tiny_causal, dies=2), seed=1)
    whole = Writer(tiny_causal)
    run(folder, whole, seed=2)
    assert whole.calls == 2  # 60 items, 32 at a time: none was taken over


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (" It is a film about the sea.\nTitle: Heat", "It is a film about the sea."),
        ("It is a film about the sea. And then it", "It is a film about the sea."),
        ("A man\x00 goes\x07 to the sea", "A man goes to the sea"),
        ("Heat (1995).", ""),
        ("", ""),
        ("\n\nlate", ""),
        ("Heat and dust and rain.", "Heat and dust and rain."),
        ("Heat and dust and rain", ""),
    ],
)
def test_what_is_no_description_is_left_empty(said: str, kept: str) -> None:
    assert described(said, "Heat and dust and rain" if kept == "" else "Heat") == kept


def test_a_description_is_bounded() -> None:
    assert len(described("word " * 5000, "Heat")) <= command.DESCRIPTION


def test_only_bare_texts_are_described_and_the_number_is_kept(folder: Path, tiny_causal: Path) -> None:
    assert run(folder, Writer(tiny_causal), shorter_than=5)["items"] == 10  # a guide to football, ...
    (folder / "enriched.csv").unlink()
    assert run(folder, Writer(tiny_causal), items=7)["items"] == 7


def test_data_without_a_folder_and_foreign_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with at(tmp_path):
        assert "films is no folder" in zsr_sim("data", "enrich", "films", code=2).stderr
        (folder / "enriched.csv").write_text("item_id,text\ni00,x\n", encoding="utf-8")
        assert "has no column 'description'" in zsr_sim("data", "check", "data", code=2).stderr
