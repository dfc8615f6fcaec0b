"""Encoders and history encoders from a folder, with the network cut; and texts that nobody would expect."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command_line import at, zsr_sim
from tests.small_data import ASSIGNMENTS, write_items, write_log
from zsr_sim.config import HistorySettings
from zsr_sim.encoders.histories import Items, make_history
from zsr_sim.encoders.space import ItemSpace
from zsr_sim.encoders.text import load_encoder
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

HISTORIES = ("pooled", "attention", "text", "causal")
ODD = [
    "🎬🧟",
    "שלום עולם",
    "مرحبا بالعالم English 日本の映画",
    "null\0byte",
    "long " * 20_000,
    "\u202eright to left\u202c",
    "e\u0301galite\u0301",
    "x",
    "%s {items} {0}",
    "a film",
]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whoever asks for an address or a connection is noted and refused."""
    asked: list[Any] = []

    def refuse(*words: Any, **named: Any) -> None:
        asked.append(words)
        raise OSError("the network is cut")

    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


def test_everything_runs_without_a_network(tmp_path: Path, tiny_causal: Path, no_network: list[Any]) -> None:
    write_items(tmp_path / "data")
    write_log(tmp_path / "data")
    words = ("evaluate", "encoders", "--data", "data", "--encoders", str(tiny_causal), "built-in")
    small = ("--users", "12", "--visits", "8", "--set", *ASSIGNMENTS, "history.steps=4", "history.items=2")
    with at(tmp_path):
        found = json.loads(zsr_sim(*words, "--histories", *HISTORIES, "--json", *small).stdout)
    assert [row["history"] for row in found["rows"]] == [*HISTORIES, *HISTORIES[:3]]
    causal = found["rows"][3]
    assert 0 < causal["cache_hits"] < 1
    assert causal["mib_kept"] > 0
    assert no_network == []


def test_a_missing_model_is_named_in_a_line_or_two(tmp_path: Path, no_network: list[Any]) -> None:
    write_items(tmp_path / "data")
    with at(tmp_path):
        for name, says in (("./nowhere", "encoder folder nowhere does not exist"), ("nobody/nothing", "is no folder")):
            words = ("evaluate", "encoders", "--data", "data", "--encoders", name, "--set", *ASSIGNMENTS)
            stderr = zsr_sim(*words, code=2).stderr
            assert says in stderr
            assert 1 <= stderr.count("\n") <= 2


def items(folder: Path, texts: list[str]) -> tuple[Items, Interactions]:
    encoder = load_encoder(str(folder))
    vectors = encoder.encode(texts)
    space = ItemSpace.fit(vectors, 6)
    users = [f"u{user}" for user in range(20) for _ in range(4)]
    log = Interactions.from_columns(users, np.arange(80) % len(texts), np.arange(80.0))
    return Items(texts, texts, space.project(vectors), space, encoder), log


@pytest.mark.parametrize("name", HISTORIES[1:])
def test_odd_texts_give_finite_points_of_length_1(name: str, tiny_causal: Path) -> None:
    own, log = items(tiny_causal, ODD)
    history = make_history(HistorySettings.model_validate({"encoder": name, "steps": 3, "hidden": 8}), own, log)
    assert history is not None
    rows = np.array([[-1, -1, -1], *([-1, -1, item] for item in range(len(ODD))), [0, 3, 4]], dtype=np.int32)
    lengths = np.linalg.norm(history.encode(rows), axis=1)
    np.testing.assert_allclose(lengths, [0, *[1] * (len(ODD) + 1)], atol=1e-5)


def test_a_title_without_any_token_is_named(tiny_causal: Path) -> None:
    own, log = items(tiny_causal, ["\u200b", *ODD])
    causal = HistorySettings.model_validate({"encoder": "causal"})
    with pytest.raises(InputError, match=r"causal\d* finds no token in the title '.u200b'"):
        make_history(causal, own, log)  # whose centre is taken over random items


def test_an_empty_text_is_a_vector_where_the_model_has_an_opening_token_and_an_answer_where_not(
    tiny_causal: Path,
) -> None:
    encoder = load_encoder(str(tiny_causal))
    assert np.isfinite(encoder.encode(["", " ", "\n"])).all()
    encoder._parts = (lambda texts, **_: {"input_ids": [[] for _ in texts]}, encoder.model)  # of a model without any
    with pytest.raises(InputError, match=r"finds no token in the text ''; give that item a text"):
        encoder.encode([""])
