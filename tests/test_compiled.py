"""Small batches run in a plain loop, large ones in a parallel loop that is compiled apart: nobody must notice."""

import numba
import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.encoders.history import pooled


@law
def _length(vector: NDArray[np.float32]) -> float:
    total = 0.0
    for j in range(vector.shape[0]):
        total += vector[j] * vector[j]
    return total


@batched
def _lengths(vectors: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    for i in numba.prange(out.shape[0]):
        out[i] = _length(vectors[i])


def test_a_row_is_the_same_to_the_bit_in_small_and_large_batches() -> None:
    vectors = np.random.default_rng(0).normal(size=(1000, 61)).astype(np.float32)
    whole, one = np.empty(1000), np.empty(1)
    _lengths(vectors, whole)
    np.testing.assert_allclose(whole, (vectors.astype(np.float64) ** 2).sum(axis=1), rtol=1e-6)
    for i in range(1000):
        _lengths(vectors[i : i + 1], one)
        assert one[0] == whole[i]


def test_a_pooled_history_is_the_same_to_the_bit_in_small_and_large_batches() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(50, 33)).astype(np.float32)
    histories = rng.integers(-1, 50, (600, 9)).astype(np.int32)
    alone = np.concatenate([pooled(histories[i : i + 1], vectors) for i in range(600)])
    np.testing.assert_array_equal(pooled(histories, vectors), alone)
