"""Small batches run on the caller's thread, large ones in pieces on several: nobody must notice."""

import os
import signal

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim import compiled
from zsr_sim.compiled import LARGE, aligned, batched, fetch, law
from zsr_sim.encoders.history import pooled


@law
def _length(vector: NDArray[np.float32]) -> float:
    total = 0.0
    for j in range(vector.shape[0]):
        total += vector[j] * vector[j]
    return total


@batched
def _lengths(begin: int, end: int, vectors: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    for i in range(begin, end):
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


@batched
def _note(begin: int, end: int, out: NDArray[np.int64]) -> None:
    for i in range(begin, end):
        out[i] += i * (end - begin)


def test_every_row_is_done_once_and_large_batches_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_THREADS", 2)
    few, many = np.zeros(255, dtype=np.int64), np.zeros(1001, dtype=np.int64)
    _note(few)
    _note(many)
    np.testing.assert_array_equal(few, np.arange(255) * 255)
    np.testing.assert_array_equal(many, np.arange(1001) * np.repeat([250, 250, 250, 251], [250, 250, 250, 251]))


def test_what_a_piece_raises_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    @batched
    def refuse(begin: int, end: int, out: NDArray[np.int64]) -> None:
        if begin > 0:
            raise ValueError("not this one")

    monkeypatch.setattr(compiled, "_THREADS", 2)
    with pytest.raises(ValueError, match="not this one"):
        refuse(np.zeros(1000, dtype=np.int64))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads and fork, which is what is tested
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_THREADS", 2)
    out = np.zeros(1000, dtype=np.int64)
    _note(out)  # the threads of this process are there
    child = os.fork()
    if not child:
        signal.alarm(30)  # a lock that nobody opens would hold it for ever
        _note(out)
        os._exit(0 if out[999] == 2 * 999 * 250 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@law
def _fetch_all(array: NDArray[np.float32]) -> float:
    total = 0.0
    for i in range(array.shape[0]):
        fetch(array, (i + 1, 0))  # also beyond the end: a hint never fails
        for j in range(array.shape[1]):
            fetch(array, (i, j))
            total += array[i, j]
    return total


def test_fetching_changes_nothing() -> None:
    array = np.arange(60, dtype=np.float32).reshape(6, 10)
    assert _fetch_all(array) == 1770.0
    assert _fetch_all(array[:0]) == 0.0


def test_an_aligned_copy_is_equal_and_begins_at_a_line_of_the_cache() -> None:
    for shape in ((3, 5, 7), (1, 1), (0, 4), (LARGE // 4, 1)):
        array = np.random.default_rng(0).random(shape).astype(np.float32)
        copy = aligned(array)
        np.testing.assert_array_equal(copy, array)
        assert copy.dtype == array.dtype
        begins_at = 2**21 if copy.nbytes >= LARGE else 64  # of a large one: a huge page
        assert copy.ctypes.data % begins_at == 0 or not copy.size
        assert copy.flags.c_contiguous
        assert not np.shares_memory(copy, array)
