"""Figures of written sequences beside real ones, by hand."""

import doctest

import numpy as np
import pytest

from zsr_sim.generation import monitors
from zsr_sim.generation.monitors import features, frechet_distance, health


def test_examples_of_the_docstrings() -> None:
    found = doctest.testmod(monitors)
    assert (found.attempted, found.failed) == (1, 0)


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    """N(0, diag(1, 4)) and N((3, 4), diag(9, 1)): 25 + (1 - 3)^2 + (2 - 1)^2; the same after a rotation of both."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 200_000, 2))
    one, two = one * [1, 2], two * [3, 1] + [3, 4]
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert frechet_distance(one, two) == pytest.approx(30, rel=0.01)
    assert frechet_distance(one @ turn, two @ turn) == pytest.approx(frechet_distance(one, two), rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_features_tell_the_order_of_a_sequence() -> None:
    a, b = np.eye(2, dtype=np.float32)
    found = features(np.stack([[a, a, b, b], [a, b, a, b]]))
    np.testing.assert_allclose(found, [[0.5, 0.5, 1 / 3, 1 / 3], [0.5, 0.5, 0, 0]])


def test_health_of_a_collapse() -> None:
    """Real pages hold 6 different items of 8; written ones are all the same, or as different as can be."""
    vectors = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    real = np.array([[0, 1], [2, 3], [4, 5]])
    same, different = health(real, np.array([[6, 7]] * 3), vectors), health(real, real, vectors)
    assert (same["coverage"], same["distinct_items"], same["self_overlap"]) == (2 / 8, 2 / 6, 1)
    assert (different["coverage"], different["distinct_items"], different["self_overlap"]) == (6 / 8, 1, 0)
    assert different["frechet"] == pytest.approx(0, abs=1e-6)
    assert same["frechet"] > 0.1
