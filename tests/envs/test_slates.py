"""Which slates can be shown, against a set of each row."""

from typing import Any

import numpy as np
import pytest

from zsr_sim.envs.slates import find_bad_slates


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_bad_row_is_found_wherever_it_stands(kind: Any, size: int) -> None:
    """Around the number of rows compared at once; most rows are good, and share items with their neighbours."""
    generator = np.random.default_rng(size)
    below = -2 if kind is not np.uint64 else 0
    counts = []
    for n in (0, 1, 2, 63, 64, 65, 300):
        slates = generator.integers(0, 500, (n, 1)) % 90 + np.arange(size)
        rows = generator.random(n) < 0.05
        slates[rows] = generator.integers(below, 103, (int(rows.sum()), size))
        found = np.empty(n, dtype=np.bool_)
        find_bad_slates(100, found, slates.astype(kind))
        expected = [len(set(row)) < size or min(row) < 0 or max(row) >= 100 for row in slates.tolist()]
        np.testing.assert_array_equal(found, expected)
        counts.append(sum(expected))
    assert counts[-1] > 0


def test_a_pair_is_found_at_every_two_positions() -> None:
    pairs = [(a, b) for a in range(12) for b in range(a)]
    slates = np.tile(np.arange(12, dtype=np.int32), (len(pairs), 1))
    for row, (a, b) in enumerate(pairs):
        slates[row, a] = b
    found = np.empty(len(pairs), dtype=np.bool_)
    find_bad_slates(12, found, slates)
    assert len(pairs) == 66
    assert found.all()
