"""The laws of change, against closed forms, and their directions."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.dynamics import absence, drift, leave_hazard, page_success, satisfied


def drifted(interest: NDArray[np.float32], item: NDArray[np.float32], rate: float) -> None:
    """`drift` of one interest of one user, in place."""
    drift(interest[None, None], 0, 0, item[None], 0, rate)


POINTS = arrays(np.float32, (2, 6), elements=st.floats(-1, 1, width=32))
RATES = st.floats(0, 1)


def test_drift_by_hand() -> None:
    interest, item = np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32)
    drifted(interest, item, 0.25)  # (0.75, 0.25) / sqrt(0.625)
    np.testing.assert_allclose(interest, [0.9486833, 0.31622777], atol=1e-7)
    np.testing.assert_array_equal(item, [0, 1])


@settings(deadline=None, max_examples=200)
@given(POINTS, st.floats(0.01, 0.99))
def test_drift_moves_the_cosine_by_the_documented_amount(points: NDArray[np.float32], rate: float) -> None:
    """From cosine c to ((1 - r) c + r) / sqrt((1 - r)^2 + r^2 + 2 r (1 - r) c), along the great circle."""
    interest, item = unit(points.astype(np.float64))
    c = float(interest @ item)
    assume(np.linalg.norm(interest) > 0.99 and np.linalg.norm(item) > 0.99 and c > -0.9)
    moved = interest.astype(np.float32)
    drifted(moved, item.astype(np.float32), rate)
    length = math.sqrt((1 - rate) ** 2 + rate**2 + 2 * rate * (1 - rate) * c)
    assert float(moved @ item) == pytest.approx(((1 - rate) * c + rate) / length, abs=1e-5)
    assert float(moved @ interest) == pytest.approx(((1 - rate) + rate * c) / length, abs=1e-5)
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-6)
    assert float(moved @ item) >= c - 1e-6


@settings(deadline=None, max_examples=50)
@given(POINTS)
def test_drift_at_its_ends(points: NDArray[np.float32]) -> None:
    interest, item = unit(points)
    assume(np.linalg.norm(item) > 0.99)
    same = interest.copy()
    drifted(same, item, 0.0)
    np.testing.assert_array_equal(same, interest)  # switched off: not even a rounding error
    drifted(same, item, 1.0)
    np.testing.assert_allclose(same, item, atol=1e-6)


def test_drift_comes_to_the_item_geometrically_in_the_end() -> None:
    """For small angles, each click leaves the share 1 - rate of the angle."""
    interest, item = np.array([math.cos(0.01), math.sin(0.01)], dtype=np.float32), np.array([1, 0], dtype=np.float32)
    angles = []
    for _ in range(4):
        drifted(interest, item, 0.2)
        angles.append(float(interest[1]))
    assert angles == pytest.approx([0.01 * 0.8**t for t in (1, 2, 3, 4)], rel=1e-3)


def test_page_success_halves_what_is_missing_with_each_click() -> None:
    assert [page_success(clicks) for clicks in range(5)] == pytest.approx([0, 1 / 2, 3 / 4, 7 / 8, 15 / 16], abs=1e-15)
    assert page_success(0) == 0.0


@settings(deadline=None, max_examples=100)
@given(RATES, RATES, st.lists(st.integers(0, 10), max_size=12))
def test_satisfaction_is_the_moving_average_of_page_success(first: float, memory: float, pages: list[int]) -> None:
    """s_T = m^T s_0 + (1 - m) sum_t m^(T - t) (1 - 2^-clicks_t)."""
    satisfaction = first
    for clicks in pages:
        satisfaction = satisfied(satisfaction, page_success(clicks), memory)
        assert 0 <= satisfaction <= 1
    last = len(pages)
    expected = memory**last * first + (1 - memory) * sum(
        memory ** (last - t) * (1 - 2.0**-clicks) for t, clicks in enumerate(pages, start=1)
    )
    assert satisfaction == pytest.approx(expected, abs=1e-12)


def test_satisfaction_at_its_ends() -> None:
    assert satisfied(0.3, page_success(5), 1.0) == pytest.approx(0.3, abs=1e-15)  # a memory of 1 switches the law off
    assert satisfied(0.3, page_success(1), 0.0) == 0.5
    assert satisfied(0.5, page_success(0), 0.7) == pytest.approx(0.35, abs=1e-15)
    assert satisfied(0.5, page_success(2), 0.7) == pytest.approx(0.35 + 0.3 * 0.75, abs=1e-15)


def test_leave_hazard_by_hand() -> None:
    assert leave_hazard(0.5, -0.5, 5.0) == pytest.approx(1 / (1 + math.exp(3)), abs=1e-15)  # 0.04743
    assert leave_hazard(0.0, -0.5, 5.0) == pytest.approx(0.3775406687981454, abs=1e-15)
    assert leave_hazard(0.9, -0.5, 0.0) == leave_hazard(0.1, -0.5, 0.0)  # a slope of 0 switches satisfaction off


@settings(deadline=None, max_examples=100)
@given(RATES, RATES, st.floats(-5, 5), st.floats(0, 20))
def test_who_is_satisfied_stays(a: float, b: float, bias: float, slope: float) -> None:
    low, high = sorted((a, b))
    assert 0 < leave_hazard(high, bias, slope) <= leave_hazard(low, bias, slope) < 1
    if (high - low) * slope > 1e-6:
        assert leave_hazard(high, bias, slope) < leave_hazard(low, bias, slope)


@pytest.mark.parametrize("days", [0, 1, 5, 30, 365])
def test_absence_is_a_power(days: int) -> None:
    for daily in (0.0, 0.1, 0.9, 1.0):
        assert absence(daily, days) == pytest.approx((1 - daily) ** days, rel=1e-12)
