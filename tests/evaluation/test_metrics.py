"""Exposure concentration: known answers."""

import numpy as np
import pytest

from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.evaluation.metrics import concentration


def test_concentration_by_hand() -> None:
    # Shares: user 0 half on item 0, half on 1; user 1 all on 1; user 2 (one page of two) half on 1, half on 2.
    shown = np.array([[[0, 1], [0, 1]], [[1, 1], [1, 1]], [[1, 2], [-1, -1]]], dtype=np.int32)
    pairs = {(0, 1): 0.5, (0, 2): 0.25, (1, 2): 0.5}
    found = concentration(shown, 4)
    assert found.mean() == pytest.approx(np.mean(list(pairs.values())), rel=1e-12)
    own = [(0.5 + 0.25) / 2, (0.5 + 0.5) / 2, (0.25 + 0.5) / 2]
    assert found == pytest.approx(2 * np.array(own) - found.mean(), rel=1e-12)


def test_everybody_the_same_and_everybody_another() -> None:
    assert concentration(np.zeros((5, 2, 1), dtype=np.int32), 9) == pytest.approx(np.ones(5))
    assert concentration(np.arange(5, dtype=np.int32)[:, None, None], 9) == pytest.approx(np.zeros(5))


def test_interval_of_the_concentration_covers_it() -> None:
    """Skewed exposure over 20 items, the truth being the sum of squared shares."""
    rng = np.random.default_rng(3)
    shares = np.arange(1, 21) / 210
    truth, held = float((shares**2).sum()), 0
    for _ in range(1000):
        shown = rng.choice(20, (150, 1, 4), p=shares).astype(np.int32)
        low, high = estimate_mean(concentration(shown, 20), np.arange(150)).ci95
        held += low <= truth <= high
    assert 0.93 <= held / 1000 <= 0.97
