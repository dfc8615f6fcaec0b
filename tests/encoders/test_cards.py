"""A model whose vectors are all known is not read again; whatever changes it, or damages its card, has it read."""

import json
from pathlib import Path

import numpy as np
import pytest

from zsr_sim.encoders import TextEncoder, load_encoder, text
from zsr_sim.encoders.cache import VectorCache, encode_texts
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.encoders.models import read_model


@pytest.fixture
def readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of models read so far, with a cache of the test's own."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    found: list[Path] = []

    def noting(folder: Path, device: str) -> object:
        found.append(folder)
        return read_model(folder, device)

    monkeypatch.setattr(text, "read_model", noting)
    return found


def facts(encoder: TextEncoder) -> tuple[str, int, int]:
    return encoder.fingerprint, encoder.dimensions, encoder.max_length


def test_a_model_is_read_once_and_then_only_for_a_text_that_the_cache_lacks(tiny: Path, readings: list[Path]) -> None:
    first = load_encoder(str(tiny))
    vectors, _ = encode_texts(["a film", "a book"], first, VectorCache())
    assert readings == [tiny]
    again = load_encoder(str(tiny))
    assert facts(again) == facts(first)
    assert facts(first)[1:] == (8, 48)
    cached, report = encode_texts(["a book", "a film"], again, VectorCache())
    assert (report.encoded, report.cached, readings) == (0, 2, [tiny])
    np.testing.assert_array_equal(cached, vectors[::-1])
    fresh, _ = encode_texts(["a lamp"], again, VectorCache())
    assert readings == [tiny, tiny]
    np.testing.assert_array_equal(fresh, first.encode(["a lamp"]))


def test_other_files_or_another_recipe_are_another_model(tiny: Path, readings: list[Path]) -> None:
    plain = load_encoder(str(tiny))
    assert load_encoder(f"{tiny}?dimensions=4").dimensions == 4
    settings = json.loads((tiny / "tokenizer_config.json").read_text())
    (tiny / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 20}))
    shorter = load_encoder(str(tiny))
    assert (shorter.max_length, len(readings)) == (20, 3)
    assert shorter.fingerprint != plain.fingerprint


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"max_length": 48}', '{"max_length": 48, "dimensions": -8}'])
def test_a_damaged_card_is_written_anew(damage: str, tiny: Path, tmp_path: Path, readings: list[Path]) -> None:
    whole = load_encoder(str(tiny))
    (card,) = (tmp_path / "cache").glob("*.card.json")
    written = card.read_text()
    card.write_text(damage)
    assert facts(load_encoder(str(tiny))) == facts(whole)
    assert (card.read_text(), len(readings)) == (written, 2)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [card.name]


def test_a_cache_that_cannot_be_written_costs_no_run(
    tiny: Path, tmp_path: Path, readings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file"))
    assert load_encoder(str(tiny)).dimensions == load_encoder(str(tiny)).dimensions == 8
    assert len(readings) == 2
