"""The exponential function as arithmetic, held against NumPy's."""

import numpy as np
import pytest
from scipy.special import expit, ndtr

from zsr_sim.envs.exponential import cosine_of_turns, exponential, exponential32, gelu, logarithm, sigmoid, tanh


def test_it_is_the_exponential_function() -> None:
    points = np.concatenate([np.linspace(-699.9, 699.9, 4001), np.linspace(-2, 2, 401)])
    found = np.array([exponential(x) for x in points])
    np.testing.assert_allclose(found, np.exp(points), rtol=1e-13)
    assert exponential(0.0) == 1.0


def test_extreme_exponents() -> None:
    assert exponential(-708.0) == pytest.approx(np.exp(-708.0), rel=1e-13)
    assert exponential(709.0) == pytest.approx(np.exp(709.0), rel=1e-13)
    assert [exponential(x) for x in (-709.0, -1e9, 710.0, 1e9)] == [0.0, 0.0, np.inf, np.inf]


def test_it_is_the_logarithm() -> None:
    near = 1 + np.concatenate([-np.logspace(-16, -1, 400), np.logspace(-15, -1, 400)])
    points = np.concatenate([np.logspace(-307, 308, 4001), np.linspace(0.001, 2, 4001), near, [2.0**-33, 0.5**0.5]])
    np.testing.assert_allclose([logarithm(x) for x in points], np.log(points), rtol=1e-13)
    assert logarithm(1.0) == 0.0


def test_it_is_the_cosine_of_a_turn() -> None:
    points = np.concatenate([np.linspace(0, 1, 4001), 0.25 + np.logspace(-17, -2, 200)])
    np.testing.assert_allclose([cosine_of_turns(x) for x in points], np.cos(2 * np.pi * points), rtol=0, atol=1e-13)
    assert [cosine_of_turns(x) for x in (0.25, 0.75)] == [0.0, 0.0]


def test_the_hyperbolic_tangent_in_single_precision() -> None:
    points = np.concatenate([np.linspace(-12, 12, 4001), np.linspace(-0.1, 0.1, 401)]).astype(np.float32)
    found = np.array([tanh(x) for x in points])
    np.testing.assert_allclose(found, np.tanh(points.astype(np.float64)), atol=2e-7)
    assert [tanh(np.float32(x)) for x in (0.0, 1e9, -1e9)] == [0.0, pytest.approx(1), pytest.approx(-1)]


def test_the_exponential_function_in_single_precision() -> None:
    points = np.concatenate([np.linspace(-87, 87, 4001), np.linspace(-2, 2, 401)]).astype(np.float32)
    found = np.array([exponential32(x) for x in points], dtype=np.float64)
    exact = np.exp(points.astype(np.float64))
    assert (np.abs(found / exact - 1) < 2e-7 + 3e-8 * np.abs(points)).all()
    assert [exponential32(np.float32(x)) for x in (0.0, -88.1, -1e9, -np.inf)] == [1.0, 0.0, 0.0, 0.0]


def test_sigmoid_and_gelu_are_those_of_scipy() -> None:
    points = np.linspace(-12, 12, 4001, dtype=np.float32)
    exact = points.astype(np.float64)
    np.testing.assert_allclose([sigmoid(x) for x in points], expit(exact), atol=2e-7)
    np.testing.assert_allclose([gelu(x) for x in points], exact * ndtr(exact), atol=2e-6)
    assert [sigmoid(np.float32(x)) for x in (0.0, 1e9, -1e9)] == [0.5, 1.0, pytest.approx(0, abs=1e-30)]
    assert gelu(np.float32(0.0)) == 0
