"""Interests are found where what was consumed lies densest: by hand, and where they were planted."""

import math

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.generation.interests import N_INTERESTS, find_interests, nearest_interest

Vectors = NDArray[np.float32]


def _find(vectors: Vectors, history: list[int], clicked: tuple[int, ...] = ()) -> tuple[Vectors, Vectors]:
    points = np.ones((N_INTERESTS, vectors.shape[1]), dtype=np.float32)
    mass, page = np.ones(N_INTERESTS, dtype=np.float32), np.full(len(vectors), -1, dtype=np.int32)
    page[list(clicked)] = 1
    find_interests(vectors, np.array(history, dtype=np.int32), page, points, mass)
    return points, mass


def _overlap(cosine: float) -> float:
    return math.exp(3 * (cosine - 1))


def test_two_spots_by_hand() -> None:
    """Items 0 and 1 are the same, item 2 is at right angles to them and was clicked in the visit."""
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    points, mass = _find(vectors, [-1, 0, 2, 1], clicked=(2,))
    far = _overlap(0.0)
    np.testing.assert_allclose(mass[0], 3 + 3 + far, rtol=1e-6)  # what was sought counts threefold
    point = np.array([1.0, 0.0])
    for _ in range(2):  # the mean by how near each is, and again from there
        weights = np.array([3 * _overlap(point[0]), 3 * _overlap(point[0]), _overlap(point[1])])
        point = unit((weights @ vectors)[None])[0]
    np.testing.assert_allclose(points[0], point, rtol=1e-5)
    left = np.array([3, 3, 1]) * (1 - np.array([_overlap(point[0])] * 2 + [_overlap(point[1])]))
    np.testing.assert_allclose(mass[1], left[2] + (left[0] + left[1]) * far, rtol=1e-4)
    assert points[1, 1] > 0.99


def test_one_item_is_one_interest_and_nothing_is_none() -> None:
    vectors = np.eye(3, dtype=np.float32)
    points, mass = _find(vectors, [-1, 1])
    np.testing.assert_allclose(points, [[0, 1, 0], [0, 0, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(mass, [3, 0, 0], rtol=1e-6)
    for nobody in ([-1, -1], []):
        points, mass = _find(vectors, nobody)
        assert not points.any()
        assert not mass.any()


def test_interests_that_were_planted_are_found() -> None:
    """200 users of three interests each, at random in 32 dimensions: 5 items around each, and 3 from anywhere."""
    rng, d = np.random.default_rng(0), 32
    cosines, by_mean = [], []
    for _ in range(200):
        planted = unit(rng.normal(size=(3, d)))
        around = unit(planted[:, None] + 0.6 * rng.normal(size=(3, 5, d)) / math.sqrt(d))
        vectors = np.concatenate([around.reshape(-1, d), unit(rng.normal(size=(3, d)))]).astype(np.float32)
        points, mass = _find(vectors, rng.permutation(len(vectors)).tolist())
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
        assert (np.diff(mass) <= 0).all()
        cosines.append((planted @ points.T).max(axis=1))
        by_mean.append(planted @ unit(vectors.mean(axis=0)[None])[0])
    assert np.mean(cosines) > 0.9
    assert np.quantile(cosines, 0.05) > 0.75
    assert np.mean(by_mean) < 0.65  # one mean is near none of them


def test_the_nearest_interest() -> None:
    points = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    cosine, which = nearest_interest(np.array([0.6, 0.8], dtype=np.float32), points)
    assert which == 1
    np.testing.assert_allclose(cosine, 0.8, rtol=1e-6)
