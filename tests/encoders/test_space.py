"""The item space: principal axes of centred directions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from zsr_sim.encoders.space import ItemSpace, unit
from zsr_sim.errors import InputError


def texts(n: int = 80, d: int = 20, seed: int = 0) -> NDArray[np.float32]:
    """Vectors as of sentences: a large mean, and a spread that differs by axis."""
    rng = np.random.default_rng(seed)
    return (3 + rng.normal(size=(n, d)) * np.linspace(2, 0.5, d)).astype(np.float32)


def similarities(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors @ vectors.T


def test_item_vectors_have_length_1() -> None:
    x = texts()
    for dimensions in (1, 5, 20):
        items = ItemSpace.fit(x, dimensions).project(x)
        assert (items.shape, items.dtype.name) == ((80, dimensions), "float32")
        np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-6)


def test_axes_are_the_principal_ones() -> None:
    x = texts()
    space = ItemSpace.fit(x, 6)
    centred = unit(x.astype(float))
    centred -= centred.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    np.testing.assert_allclose(np.abs(space.components @ vectors[:, ::-1][:, :6]), np.eye(6), atol=1e-5)
    np.testing.assert_allclose(space.components @ space.components.T, np.eye(6), atol=1e-6)
    spread = ((centred @ space.components.T) ** 2).sum(axis=0)
    np.testing.assert_allclose(spread, values[::-1][:6], rtol=1e-5)


def test_the_largest_entry_of_an_axis_is_positive() -> None:
    for seed in range(5):
        components = ItemSpace.fit(texts(seed=seed), 10).components
        assert (components[np.arange(10), np.abs(components).argmax(axis=1)] > 0).all()


def test_all_dimensions_keep_all_cosines() -> None:
    """Axes only turn the space: with all of them, similarities are those of the centred directions."""
    x = texts()
    centred = unit(x.astype(float))
    centred = unit(centred - centred.mean(axis=0))
    np.testing.assert_allclose(similarities(ItemSpace.fit(x, 20).project(x)), centred @ centred.T, atol=1e-5)


def test_the_length_of_a_text_vector_does_not_matter() -> None:
    x = texts()
    lengths = np.random.default_rng(1).uniform(0.1, 10, (80, 1)).astype(np.float32)
    space, scaled = ItemSpace.fit(x, 8), ItemSpace.fit(x * lengths, 8)
    np.testing.assert_allclose(scaled.components, space.components, atol=1e-5)
    np.testing.assert_allclose(space.project(x * lengths), space.project(x), atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_all_texts_have_in_common_is_removed(share: float) -> None:
    """Directions share * common + the rest of their own, orthogonal to it: the share drops out."""
    rng = np.random.default_rng(2)
    own = unit(np.concatenate([rng.normal(size=(60, 10)), np.zeros((60, 1))], axis=1))
    common = np.eye(11)[10]
    expected = unit(own - own.mean(axis=0))
    x = (share * common + np.sqrt(1 - share**2) * own).astype(np.float32)
    items = ItemSpace.fit(x, 11).project(x)
    np.testing.assert_allclose(similarities(items), expected @ expected.T, atol=1e-5)


def test_the_order_of_items_does_not_matter() -> None:
    x = texts()
    order = np.random.default_rng(3).permutation(80)
    space, permuted = ItemSpace.fit(x, 12), ItemSpace.fit(x[order], 12)
    np.testing.assert_allclose(permuted.components, space.components, atol=1e-6)
    np.testing.assert_allclose(permuted.project(x[order]), space.project(x)[order], atol=1e-6)


def test_another_catalogue_is_centred_on_its_own_mean() -> None:
    space = ItemSpace.fit(texts(), 20)
    other = texts(n=30, seed=9) - 5
    centred = unit(other.astype(float))
    expected = unit(centred - centred.mean(axis=0))
    np.testing.assert_allclose(similarities(space.project(other)), expected @ expected.T, atol=1e-5)


@pytest.mark.parametrize(
    ("n", "d", "asked", "expected"),
    [(80, 20, 64, 20), (80, 20, 20, 20), (80, 20, 3, 3), (10, 20, 64, 9), (2, 20, 64, 1), (9, 8, 64, 8)],
)
def test_no_more_dimensions_than_the_texts_span(n: int, d: int, asked: int, expected: int) -> None:
    """Centred points span one dimension less than there are; an axis beyond is rounding error."""
    space = ItemSpace.fit(texts(n, d), asked)
    assert space.dimensions == expected
    assert space.components.shape == (expected, d)


def test_repeated_texts_add_no_dimension() -> None:
    x = texts(5, 20)
    space = ItemSpace.fit(np.tile(x, (4, 1)), 64)
    assert space.dimensions == 4
    items = space.project(np.tile(x, (4, 1)))
    np.testing.assert_array_equal(items[:5], items[5:10])


@pytest.mark.parametrize("n", [1, 3])
def test_texts_that_are_all_alike_have_no_direction(n: int) -> None:
    x = np.tile(texts(1, 20), (n, 1))
    space = ItemSpace.fit(x, 64)
    assert space.dimensions == 1
    np.testing.assert_allclose(space.project(x), np.zeros((n, 1)), atol=1e-3)


def test_vectors_of_another_encoder_are_refused() -> None:
    space = ItemSpace.fit(texts(d=20), 8)
    with pytest.raises(InputError, match="text vectors have 21 dimensions, this item space was made for 20; use the"):
        space.project(texts(d=21))


@settings(deadline=None, max_examples=100)
@given(arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3).filter(lambda v: v == 0 or abs(v) > 1e-3)))
def test_unit_has_length_1_or_0_and_the_same_direction(points: NDArray[np.float64]) -> None:
    lengths = np.linalg.norm(points, axis=1)
    found = unit(points)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), lengths > 0, atol=1e-12)
    np.testing.assert_allclose(found * lengths[:, None], points, atol=1e-9)
    assert unit(points.astype(np.float32)).dtype.name == "float32"


def test_without_centring_all_texts_look_alike() -> None:
    """Two sentences share most of their direction; with all axes cosines are those of the raw vectors."""
    x = texts()
    raw = ItemSpace.fit(x, 20, centred=False)
    np.testing.assert_allclose(similarities(raw.project(x)), similarities(unit(x)), atol=1e-5)
    assert similarities(raw.project(x)).min() > 0.5
    centred = similarities(ItemSpace.fit(x, 20).project(x))
    assert abs((centred.sum() - 80) / (80 * 79)) < 0.03  # of pairs, on average
    assert (raw.centre(x) == 0).all()


def test_without_normalising_texts_far_from_the_mean_are_longer() -> None:
    x = texts()
    plain, scaled = ItemSpace.fit(x, 20, normalised=False), ItemSpace.fit(x, 20)
    directions = unit(x.astype(float))
    distances = np.linalg.norm(directions - directions.mean(axis=0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(plain.project(x), axis=1), distances, atol=1e-5)
    np.testing.assert_allclose(unit(plain.project(x)), scaled.project(x), atol=1e-5)


def test_texts_that_are_no_catalogue_take_its_centre() -> None:
    x = texts()
    space = ItemSpace.fit(x, 6)
    np.testing.assert_allclose(space.project(x[:3], space.centre(x)), space.project(x)[:3], atol=1e-6)
    np.testing.assert_allclose(space.project(x[:1]), 0, atol=1e-6)  # alone it is its own mean
