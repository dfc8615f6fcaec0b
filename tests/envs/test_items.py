"""Items of a world: topics are clusters, appeal is drawn per item."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import make_items, spherical_kmeans
from zsr_sim.envs.noise import Purpose, normals


def bundles(sizes: list[int], d: int = 8, spread: float = 0.05) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points around orthogonal directions, shuffled, and the direction of each."""
    rng = np.random.default_rng(0)
    directions = np.repeat(np.arange(len(sizes)), sizes)
    rng.shuffle(directions)
    points = unit(np.eye(d)[directions] + spread * rng.normal(size=(len(directions), d)))
    return points.astype(np.float32), directions


def test_clusters_are_found_whatever_their_size() -> None:
    points, directions = bundles([50, 3, 20, 7])
    centres, labels = spherical_kmeans(points, 4, 20)
    pairs = {(int(label), int(direction)) for label, direction in zip(labels, directions, strict=True)}
    assert len(pairs) == 4  # one label for each direction and one direction for each label
    assert len({label for label, _ in pairs}) == len({direction for _, direction in pairs}) == 4
    for label, direction in pairs:
        assert centres[label, direction] > 0.99


def test_centres_are_the_directions_of_their_points_means() -> None:
    points, _ = bundles([10, 10, 10], spread=0.5)
    centres, labels = spherical_kmeans(points, 3, 50)
    assert (centres.dtype.name, labels.dtype.name) == ("float32", "int32")
    for k in range(3):
        np.testing.assert_allclose(centres[k], unit(points[labels == k].astype(np.float64).sum(axis=0)), atol=1e-6)
    nearest = (points.astype(np.float64) @ centres.T.astype(np.float64)).argmax(axis=1)
    np.testing.assert_array_equal(labels, nearest)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 10), st.integers(0, 2**31))
def test_any_number_of_clusters_of_any_points(n: int, k: int, iterations: int, seed: int) -> None:
    points = unit(np.random.default_rng(seed).normal(size=(n, 3))).astype(np.float32)
    centres, labels = spherical_kmeans(points, k, iterations)
    assert centres.shape == (k, 3)
    assert labels.shape == (n,)
    assert 0 <= labels.min() <= labels.max() < k
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)


def test_one_cluster_is_the_mean_direction_and_no_randomness_is_needed() -> None:
    points, _ = bundles([4, 9, 2], spread=0.3)
    centres, labels = spherical_kmeans(points, 1, 5)
    np.testing.assert_allclose(centres[0], unit(points.astype(np.float64).sum(axis=0)), atol=1e-6)
    assert not labels.any()
    again, _ = spherical_kmeans(points, 1, 5)
    np.testing.assert_array_equal(centres, again)


def test_make_items_draws_appeal_by_item_and_caps_the_topics() -> None:
    points, _ = bundles([1000, 1000])
    items = make_items(points, n_topics=4, seed=5)
    assert (len(items), items.n_topics, items.appeal.dtype.name) == (2000, 4, "float32")
    expected = normals(5, np.arange(2000), 0, Purpose.QUALITY, 1)[:, 0]
    np.testing.assert_array_equal(items.appeal, expected.astype(np.float32))
    np.testing.assert_array_equal(items.appeal[:10], make_items(points[:10], n_topics=4, seed=5).appeal)
    assert stats.kstest(items.appeal, "norm").pvalue > 0.001
    assert make_items(points[:3], n_topics=24).n_topics == 3


def test_make_items_takes_a_given_appeal() -> None:
    points, directions = bundles([5, 5])
    appeal = np.arange(10, dtype=np.float32)
    items = make_items(points, appeal, n_topics=2)
    np.testing.assert_array_equal(items.appeal, appeal)
    assert len({(int(t), int(d)) for t, d in zip(items.topics, directions, strict=True)}) == 2


def test_equal_texts_share_a_topic() -> None:
    points, _ = bundles([6, 6, 6], spread=0.4)
    items = make_items(np.concatenate([points, points[:5]]), n_topics=5)
    np.testing.assert_array_equal(items.topics[-5:], items.topics[:5])


@pytest.mark.parametrize("seed", [0, 1])
def test_appeal_depends_on_the_seed(seed: int) -> None:
    points, _ = bundles([10])
    assert not np.array_equal(make_items(points, seed=seed).appeal, make_items(points, seed=2).appeal)
