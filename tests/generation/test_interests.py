"""Where interests lie: all triples weighed by Bayes, written down here once more, and interests that were planted."""

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.generation.interests import SPOTS, find_interests

Vectors = NDArray[np.float32]


def _find(
    vectors: Vectors, history: list[int], clicked: tuple[int, ...] = (), crowd: Vectors | None = None
) -> tuple[Vectors, Vectors]:
    points = np.ones((SPOTS, vectors.shape[1]), dtype=np.float32)
    chances, page = np.ones(SPOTS, dtype=np.float32), np.full(len(vectors), -1, dtype=np.int32)
    page[list(clicked)] = 1
    if crowd is None:
        crowd = np.full(len(vectors), 1 / len(vectors), dtype=np.float32)
    find_interests(vectors, crowd, np.array(history, dtype=np.int32), page, points, chances)
    return points, chances


@pytest.mark.parametrize("seed", range(5))
def test_triples_are_weighed_by_bayes(seed: int) -> None:
    """Seven items, two of them consumed twice, two clicked in the visit; items near which everybody consumes."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(7, 3))).astype(np.float32)
    crowd = rng.uniform(0.01, 0.5, 7).astype(np.float32)
    history, weights = [-1, 0, 1, 2, 3, 4, 5, 6, 0, 1], np.array([2, 2, 1, 1, 1, 1 / 3, 1 / 3])
    points, chances = _find(vectors, history, (5, 6), crowd)
    cosines = (vectors @ vectors.T).astype(np.float64)
    likely = np.exp(16 * (cosines - 1)) / crowd[:, None] + 1e-4
    triples = list(combinations(range(7), 3))
    logs = np.array([weights @ np.log(likely[list(three)].sum(axis=0)) for three in triples])
    posterior = np.exp(logs - logs.max())
    posterior /= posterior.sum()
    expected = [sum(p for p, three in zip(posterior, triples, strict=True) if item in three) for item in range(7)]
    order = np.argsort(-np.exp(16 * (cosines - 1)) @ weights, kind="stable")  # most consumed around it first
    np.testing.assert_allclose(chances, [*np.array(expected)[order], 0], rtol=1e-3, atol=1e-6)
    assert chances.sum() == pytest.approx(3, rel=1e-5)
    means = unit(np.exp(3 * (cosines[order] - 1)) * weights @ vectors)
    np.testing.assert_allclose(points, [*means, np.zeros(3)], atol=1e-5)


def test_up_to_three_items_are_interests_and_nothing_is_none() -> None:
    vectors = np.eye(4, dtype=np.float32)
    points, chances = _find(vectors, [-1, 1, 1])
    np.testing.assert_allclose(points[:2], [[0, 1, 0, 0], [0, 0, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(chances, [1] + [0] * (SPOTS - 1))
    for nobody in ([-1, -1], []):
        points, chances = _find(vectors, nobody)
        assert not points.any()
        assert not chances.any()


def test_interests_that_were_planted_are_found() -> None:
    """200 users of three interests each, at random in 32 dimensions: 4 items around each, and 3 from anywhere."""
    rng, d = np.random.default_rng(0), 32
    cosines, by_mean = [], []
    for _ in range(200):
        planted = unit(rng.normal(size=(3, d)))
        around = unit(planted[:, None] + 0.6 * rng.normal(size=(3, 4, d)) / math.sqrt(d))
        vectors = np.concatenate([around.reshape(-1, d), unit(rng.normal(size=(3, d)))]).astype(np.float32)
        points, chances = _find(vectors, rng.permutation(len(vectors)).tolist())
        likeliest = points[np.argsort(-chances, kind="stable")[:3]]
        cosines.append((planted @ likeliest.T).max(axis=1))
        by_mean.append(planted @ unit(vectors.mean(axis=0)[None])[0])
    assert np.mean(cosines) > 0.85
    assert np.quantile(cosines, 0.1) > 0.8
    assert np.mean(by_mean) < 0.65  # one mean is near none of them


def test_what_everybody_consumes_says_little() -> None:
    """Of four items at right angles, each consumed once, the one in a crowd is the least likely interest."""
    vectors, crowd = np.eye(4, dtype=np.float32), np.array([0.01, 0.01, 0.01, 0.3], dtype=np.float32)
    _, chances = _find(vectors, [0, 1, 2, 3], (), crowd)
    assert chances[3] < 0.1 < 0.9 < chances[:3].min()
    likely = np.where(np.eye(4) > 0, 1.0, math.exp(-16)) / crowd[:, None] + 1e-4
    joint = [likely[[k for k in range(4) if k != out]].sum(axis=0).prod() for out in range(4)]  # without item `out`
    np.testing.assert_allclose(chances[3], 1 - joint[3] / sum(joint), rtol=1e-3)
