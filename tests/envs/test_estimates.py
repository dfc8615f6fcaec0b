"""Logistic regression, against closed forms."""

import numpy as np
import pytest

from zsr_sim.envs.estimates import logistic

ONES = np.ones((40, 1))
SHARE = np.arange(40) < 12  # 30 %


def test_an_intercept_is_the_log_odds_of_the_share() -> None:
    found = logistic(ONES, SHARE, np.arange(40), [None])
    assert found.values[0] == pytest.approx(np.log(0.3 / 0.7), abs=1e-4)
    assert found.errors[0] == pytest.approx(1 / np.sqrt(40 * 0.3 * 0.7), rel=1e-4)


def test_rows_said_twice_are_no_second_evidence() -> None:
    twice = logistic(np.repeat(ONES, 2, axis=0), np.repeat(SHARE, 2), np.repeat(np.arange(40), 2), [None])
    assert twice.errors[0] == pytest.approx(1 / np.sqrt(40 * 0.3 * 0.7), rel=1e-4)


def test_a_slope_is_the_log_odds_ratio_and_an_offset_is_known() -> None:
    x = np.stack([np.repeat([0.0, 1.0], 20), np.ones(40)], axis=1)
    y = np.tile(np.arange(20), 2) < np.repeat([5, 15], 20)  # 1/4 and 3/4: log-odds -log 3 and log 3
    found = logistic(x, y, np.arange(40), [None, None])
    np.testing.assert_allclose(found.values, [2 * np.log(3), -np.log(3)], atol=1e-3)
    known = logistic(x[:, 1:], y, np.arange(40), [None], offset=2 * np.log(3) * x[:, 0])
    assert known.values[0] == pytest.approx(-np.log(3), abs=1e-3)


def test_a_weight_stays_above_its_bound() -> None:
    x = np.stack([np.where(SHARE, -1.0, 1.0) * (1 + 0.1 * np.arange(40)), np.ones(40)], axis=1)
    assert logistic(x, SHARE, np.arange(40), [0.0, None]).values[0] == 0.0
