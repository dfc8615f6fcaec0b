"""Bags of words by hand: weights, cosines with a history, and what each history item adds."""

import math

import numpy as np
import pytest

from zsr_sim.encoders.words import Words, WordSpace, words_of

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


def test_places_keep_the_cosines_of_bags_where_there_are_axes_for_all() -> None:
    """Latent semantic analysis of full rank is a rotation, but for words that stand in one text alone."""
    texts = ("heat crime", "casino crime", "heat casino heat", "crime", "casino")
    places, bags = WordSpace.fit(texts).project(texts), Words(texts)
    cosines = bags.cosines(np.arange(5, dtype=np.int32)[:, None], 1.0)
    np.testing.assert_allclose(places @ places.T, cosines, atol=1e-6)
    assert WordSpace.fit(texts).axes.shape == (3, 3)


def test_words_that_occur_together_are_near_on_few_axes() -> None:
    """Five texts of one subject and five of another: on two axes, two texts without a common word are as one."""
    texts = ["car engine", "engine wheel", "wheel car", "car road", "road engine"]
    texts += ["rose tulip", "tulip lily", "lily rose", "rose garden", "garden tulip"]
    space = WordSpace.fit(texts, 2)
    places = space.project(["wheel", "road", "lily", "garden", "unknown", "lily lily unknown"])
    np.testing.assert_allclose(places @ places.T, [
        [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 1], [0, 0, 1, 1, 0, 1], [0] * 6, [0, 0, 1, 1, 0, 1],
    ], atol=1e-4)  # fmt: skip


def test_a_word_space_is_the_same_again_with_signs_fixed() -> None:
    one, two = WordSpace.fit(TEXTS), WordSpace.fit(TEXTS)
    np.testing.assert_array_equal(one.axes, two.axes)
    assert one.words == ("1995", "crime", "heat")
    assert (np.take_along_axis(one.axes, np.abs(one.axes).argmax(axis=1)[:, None], axis=1) > 0).all()
    # Where there is 1995, there is crime, so they span one direction, and heat the other.
    np.testing.assert_allclose(one.axes @ one.axes.T, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(one.axes[:, 0], one.axes[:, 1], atol=1e-6)
    np.testing.assert_allclose(one.idf, [PAIR] * 3)


def test_texts_that_share_no_word_have_no_place() -> None:
    space = WordSpace.fit(("one", "two", "three"))
    assert (space.words, space.project(("one", "four")).shape) == ((), (2, 0))
