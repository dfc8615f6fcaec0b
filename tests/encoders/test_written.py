"""Histories written down as text: what is written, who is read again, and what is kept."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.encoders.text import Progress, TextEncoder, Vectors, load_encoder
from zsr_sim.encoders.written import WrittenHistories

TEXTS = ["a heist", "a storm", "a wedding", "a duel", "a voyage"]


class Counting:
    """Encodes a text by how often each of five letters occurs in it; notes what it is asked."""

    name, fingerprint, dimensions, truncated = "counting", "0", 5, 0

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.read += texts
        return np.array([[text.count(letter) for letter in "aeiou"] for text in texts], dtype=np.float32)


def reader(encoder: Counting, memory: int = 1 << 20) -> WrittenHistories:
    return WrittenHistories(TEXTS, encoder, lambda vectors: vectors, "I saw: {items}!", 3, memory)


def histories(*rows: list[int]) -> NDArray[np.int32]:
    return np.array([[-1] * (4 - len(row)) + row for row in rows], dtype=np.int32)


def test_the_latest_come_first_and_only_so_many() -> None:
    own = reader(Counting())
    assert own.write(np.array([-1, 0, 1], dtype=np.int32)) == "I saw: a storm. a heist!"
    encoder = Counting()
    points = reader(encoder).encode(histories([0, 1, 2, 3]))
    assert points.tolist() == [[4.0, 2.0, 1.0, 1.0, 1.0]]  # letters of the text
    assert encoder.read == ["I saw: a duel. a wedding. a storm!"]


def test_nobody_is_zero_and_costs_nothing() -> None:
    encoder = Counting()
    assert reader(encoder).encode(histories([], [])).tolist() == [[0.0] * 5] * 2
    assert encoder.read == []
    assert reader(encoder).encode(np.zeros((0, 4), dtype=np.int32)).shape == (0, 5)


def test_only_changed_histories_are_read_again() -> None:
    encoder = Counting()
    own = reader(encoder)
    first = own.encode(histories([0], [1, 2], [1, 2]))
    assert len(encoder.read) == 2  # two users with one history are read once
    second = own.encode(histories([0], [1, 2, 3], [1, 2]))
    assert encoder.read[2:] == ["I saw: a duel. a wedding. a storm!"]
    np.testing.assert_array_equal(first[[0, 2]], second[[0, 2]])
    assert (own.reads.asked, own.reads.known) == (6, 2)


def test_memory_is_bounded_and_the_oldest_go() -> None:
    encoder = Counting()
    own = reader(encoder, memory=600)  # two of them
    for item in range(5):
        own.encode(histories([item]))
    assert own.reads.kept <= 600
    assert own.reads.forgotten == 3
    own.encode(histories([4], [3]))
    assert len(encoder.read) == 5
    own.encode(histories([0]))
    assert encoder.read[5:] == ["I saw: a heist!"]


def test_what_is_too_long_is_cut_and_said_once(tiny_causal: object, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_encoder(str(tiny_causal))
    assert isinstance(encoder, TextEncoder)
    long = ["word " * 400, "other " * 400]
    own = WrittenHistories(long, encoder, lambda vectors: vectors, "{items}", 2, 1 << 20)
    one = own.encode(np.array([[0, 1]], dtype=np.int32))
    own.encode(np.array([[1, 0]], dtype=np.int32))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "1 of the first 1 histories are longer than" in said[0]
    fitting = WrittenHistories(
        ["other " * 400 + ". " + "word " * 200], encoder, lambda vectors: vectors, "{items}", 1, 1
    )
    np.testing.assert_allclose(fitting.encode(np.zeros((1, 1), dtype=np.int32)), one, atol=1e-5)
