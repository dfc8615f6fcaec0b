"""Bags of words by hand: weights, cosines with a history, and what each history item adds."""

import math

import numpy as np
import pytest

from zsr_sim.encoders.words import Words, words_of

TEXTS = ("Heat (1995). Crime", "Casino (1995). Crime", "Heat wave", "🎬", "Paris, Texas (1984)")
LONE, PAIR = 1 + math.log(6 / 2), 1 + math.log(6 / 3)  # weights of a word that stands in one of the five texts, in two


def test_what_counts_as_a_word() -> None:
    assert words_of("Paris, Texas (1984)") == ["paris", "texas", "1984"]
    assert words_of("🎬!") == ["🎬!"]


def test_cosines_by_hand() -> None:
    words = Words(TEXTS)
    heat, casino, wave = math.sqrt(3 * PAIR**2), math.sqrt(2 * PAIR**2 + LONE**2), math.hypot(PAIR, LONE)
    first = [1.0, 2 * PAIR**2 / (heat * casino), PAIR**2 / (heat * wave), 0.0, 0.0]
    assert words.cosines(np.array([[-1, 0]], dtype=np.int32), 0.9)[0] == pytest.approx(first)
    # Half of item 3 and then item 2: nothing in common, so the sum has length sqrt(1 + 1/4).
    found = words.cosines(np.array([[3, 2], [-1, -1]], dtype=np.int32), 0.5)
    assert found[0] == pytest.approx(np.array([PAIR**2 / (heat * wave), 0, 1, 0.5, 0]) / math.sqrt(1.25))
    assert not found[1].any()


def test_a_word_that_is_said_twice_weighs_less_than_two() -> None:
    found = Words(("dance dance", "dance floor")).cosines(np.array([[0]], dtype=np.int32), 0.9)[0]
    lone = 1 + math.log(3 / 2)
    assert found == pytest.approx([1.0, 1 / math.hypot(1.0, lone)])
    bags = Words(("dance dance floor", "floor")).cosines(np.array([[1]], dtype=np.int32), 0.9)[0]
    assert bags[0] == pytest.approx(1 / math.hypot(1.0, (1 + math.log(2)) * lone))


def test_parts_sum_to_the_cosine_and_padding_has_none() -> None:
    words = Words(TEXTS)
    histories = np.array([[-1, 0, 1], [4, 2, 2]], dtype=np.int32)
    items = np.array([2, 0], dtype=np.int32)
    parts = words.parts(histories, items, 0.7)
    assert parts.sum(axis=1) == pytest.approx(words.cosines(histories, 0.7)[[0, 1], items])
    assert (parts[0, 0], parts[0, 2], parts[1, 0]) == (0, 0, 0)
    assert parts[1, 1] == pytest.approx(0.7 * parts[1, 2])
