"""Products of matrices in tiles, held against NumPy's in double precision."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.products import add_products


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("n", "k", "m"),
    [(128, 24, 64), (5, 3, 31), (1, 16, 131), (4, 1, 32), (7, 9, 16), (3, 5, 49), (0, 2, 8), (2, 0, 9)],
)
def test_it_adds_the_product(n: int, k: int, m: int, transposed: bool, precision: type) -> None:
    rng = np.random.default_rng(n + m)
    arrays: list[NDArray[Any]] = [rng.normal(size=shape).astype(precision) for shape in ((n, k), (k, m), (n, m))]
    a, b, out = arrays
    expected = out + a.astype(np.float64) @ b
    add_products(np.ascontiguousarray(a.T).T if transposed else a, b, out)
    np.testing.assert_allclose(out, expected, atol=1e-5 if precision is np.float32 else 1e-13)


def test_a_row_and_a_column_are_the_same_to_the_bit_among_others_and_alone() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(11, 200)).astype(np.float32), rng.normal(size=(200, 64)).astype(np.float32)
    whole = np.zeros((11, 64), dtype=np.float32)
    add_products(a, b, whole)
    for i in range(11):
        alone = np.zeros((1, 64), dtype=np.float32)
        add_products(a[i : i + 1], b, alone)
        np.testing.assert_array_equal(alone[0], whole[i])
    b[:, 50] = b[:, 3]
    again = np.zeros((11, 64), dtype=np.float32)
    add_products(a, b, again)
    np.testing.assert_array_equal(again[:, 50], whole[:, 3])


def test_nothing_beside_the_result_is_written() -> None:
    wide = np.full((9, 80), 7.0, dtype=np.float32)
    a, b = np.ones((7, 2), dtype=np.float32), np.ones((2, 48), dtype=np.float32)
    add_products(a, b, wide[1:8, 16:64])
    inside = np.zeros(wide.shape, dtype=np.bool_)
    inside[1:8, 16:64] = True
    assert (wide[inside] == 9.0).all()
    assert (wide[~inside] == 7.0).all()
