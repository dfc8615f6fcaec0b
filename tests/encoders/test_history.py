"""Histories as vectors: the recency-decayed mean, user by user."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from zsr_sim.encoders import history
from zsr_sim.encoders.history import pooled, pooled_twice
from zsr_sim.encoders.space import unit

VECTORS = unit(np.random.default_rng(0).normal(size=(50, 16))).astype(np.float32)


def random_histories(n: int, length: int = 12) -> NDArray[np.int32]:
    rng = np.random.default_rng(1)
    items = rng.integers(0, 50, (n, length))
    return np.where(np.arange(length) < rng.integers(0, length + 1, (n, 1)), -1, items).astype(np.int32)


def test_the_example_of_the_docstring() -> None:
    found = doctest.DocTestFinder().find(pooled, "pooled", globs={"pooled": pooled, "np": np})
    runner = doctest.DocTestRunner()
    for example in found:
        runner.run(example)
    assert (runner.summarize(verbose=False).attempted, runner.summarize(verbose=False).failed) == (1, 0)
    assert history.__doc__ is not None


def test_two_decays_at_once_are_each_alone_to_the_bit() -> None:
    histories = random_histories(20)
    for both, decay in zip(pooled_twice(histories, VECTORS, 0.95, 0.6), (0.95, 0.6), strict=True):
        np.testing.assert_array_equal(both, pooled(histories, VECTORS, decay))


def test_by_hand() -> None:
    eye = np.eye(3, dtype=np.float32)
    histories = np.array([[-1, 0, 1, 2]], dtype=np.int32)
    np.testing.assert_allclose(
        pooled(histories, eye, 0.5), np.array([[0.25, 0.5, 1]]) / np.sqrt(0.0625 + 0.25 + 1), atol=1e-7
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(1, 8))
def test_is_the_weighted_mean_scaled(seed: int, decay: float, length: int) -> None:
    rng = np.random.default_rng(seed)
    histories = rng.integers(0, 50, (4, length)).astype(np.int32)
    weights = decay ** np.arange(length - 1, -1, -1.0)
    expected = unit((weights[None, :, None] * VECTORS[histories].astype(float)).sum(axis=1))
    np.testing.assert_allclose(pooled(histories, VECTORS, decay), expected, atol=1e-5)


def test_a_decay_of_0_is_the_last_item_and_of_1_the_plain_mean() -> None:
    histories = random_histories(100)
    some = histories[:, -1] >= 0
    np.testing.assert_allclose(pooled(histories, VECTORS, 0.0)[some], VECTORS[histories[some, -1]], atol=1e-6)
    there = (histories >= 0)[:, :, None]
    expected = unit((VECTORS[histories].astype(float) * there).sum(axis=1))
    np.testing.assert_allclose(pooled(histories, VECTORS, 1.0), expected, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 5])
def test_nobody_without_a_history_has_a_direction(length: int) -> None:
    found = pooled(np.full((3, length), -1, dtype=np.int32), VECTORS)
    np.testing.assert_array_equal(found, np.zeros((3, 16), dtype=np.float32), strict=True)


def test_does_not_depend_on_the_batch_or_on_the_padding() -> None:
    histories = random_histories(5000)
    together = pooled(histories, VECTORS)
    order = np.random.default_rng(2).permutation(5000)
    np.testing.assert_array_equal(pooled(histories[order], VECTORS), together[order])
    for rows in (order[:1], order[:7], order[:64]):
        np.testing.assert_array_equal(pooled(histories[rows], VECTORS), together[rows])
    wider = np.concatenate([np.full((5000, 9), -1, dtype=np.int32), histories], axis=1)
    np.testing.assert_array_equal(pooled(wider, VECTORS), together)


def test_what_lies_before_the_padding_does_not_count() -> None:
    """Padding is on the left: a gap ends the history."""
    with_gap = np.array([[7, -1, 3]], dtype=np.int32)
    np.testing.assert_allclose(pooled(with_gap, VECTORS)[0], VECTORS[3], atol=1e-6)
