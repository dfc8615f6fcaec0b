"""Meaning and words on common axes, by hand."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.encoders.features import FeatureSpace, features_of
from zsr_sim.encoders.space import ItemSpace, unit

TEXTS = ["heat crime", "casino crime", "rose garden", "tulip garden"]


def test_half_of_a_cosine_is_of_meaning_and_half_of_words() -> None:
    """Meaning tells the first from the second item of each pair, words tell the pairs: two and two axes of equal width.

    Centred, a place is (meaning, words) / sqrt(2) with meaning and words each at -1 or 1 on an axis of their own.
    """
    meaning = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.float32)
    places = features_of(TEXTS, meaning, 2)
    expected = [[1, 0, 0, -1], [0, 1, -1, 0], [0, -1, 1, 0], [-1, 0, 0, 1]]
    np.testing.assert_allclose(places @ places.T, expected, atol=1e-6)
    np.testing.assert_array_equal(places, features_of(TEXTS, 3 * meaning, 2))


def test_without_shared_words_only_meaning_is_left() -> None:
    meaning = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    places = features_of([f"w{i}" for i in range(12)], meaning, 6)
    centred = unit(unit(meaning) - unit(meaning).mean(axis=0))
    # Centred once more after it was scaled: the rows of the item space of those directions.
    expected = ItemSpace.fit(centred, 6).project(centred)
    np.testing.assert_allclose(places @ places.T, expected @ expected.T, atol=1e-5)


@pytest.mark.parametrize(("n", "dimensions", "columns"), [(12, 6, 11), (12, 64, 64), (400, 6, 192)])
def test_leading_axes_have_length_one_and_zeros_fill_up(n: int, dimensions: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in rng.integers(0, 90, 8)) for _ in range(n)]
    places = features_of(texts, rng.normal(size=(n, 256)).astype(np.float32), dimensions)
    assert places.shape == (n, columns)
    np.testing.assert_allclose(np.linalg.norm(places[:, :dimensions], axis=1), 1, rtol=1e-5)
    widths = (places**2).sum(axis=0)
    assert widths[:3].min() > widths[min(columns, n) - 4 : min(columns, n) - 1].max()


def test_another_catalogue_on_the_same_axes() -> None:
    """What the first catalogue's own features are, it says again; a text without known words has its meaning only."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 5)).astype(np.float32)
    space = FeatureSpace.fit(TEXTS, vectors, 2)
    np.testing.assert_array_equal(space.project(TEXTS, vectors), features_of(TEXTS, vectors, 2)[:, : len(space.axes)])
    np.testing.assert_array_equal(
        space.project(["new", "words", "say", "nothing"], vectors), _of_meaning(space, vectors)
    )
    np.testing.assert_array_equal(space.project(TEXTS[::-1], vectors[::-1])[::-1], space.project(TEXTS, vectors))


def _of_meaning(space: FeatureSpace, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = unit(unit(vectors.astype(np.float64)) - unit(vectors.astype(np.float64)).mean(axis=0)) / np.sqrt(2)
    places = (centred - centred.mean(axis=0)) @ space.axes[:, :5].T.astype(np.float64)
    return np.asarray(places / np.linalg.norm(places[:, :2], axis=1, keepdims=True), dtype=np.float32)


def test_a_space_is_read_back_as_it_was() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    space = FeatureSpace.fit(TEXTS, vectors, 2)
    again = FeatureSpace.restore(space.tensors(), json.loads(json.dumps(space.facts())))
    np.testing.assert_array_equal(again.project(TEXTS, vectors), space.project(TEXTS, vectors))
    assert again.facts() == {"words": ["crime", "garden"], "dimensions": 2}
