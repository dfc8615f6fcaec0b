"""The laws of choice, against numbers worked out by hand, and their directions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.choice import affinity, examination, relevance, sigmoid
from zsr_sim.envs.traits import N_TRAITS, Trait

LOGITS = st.floats(-50, 50)


def f32(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


def nearest(tastes: NDArray[np.float32], item: list[float] | NDArray[np.float32]) -> tuple[float, int]:
    """`affinity` of one user and one item, the second of each."""
    users, items = np.stack([-tastes, tastes]), np.stack([np.zeros_like(tastes[0]), np.array(item, dtype=np.float32)])
    return affinity(users, 1, items, 1)


def test_affinity_is_the_cosine_with_the_nearest_interest() -> None:
    tastes = f32([[1, 0, 0], [0, 0.6, 0.8], [0, 0, -1]])
    assert nearest(tastes, [0, 1, 0]) == pytest.approx((0.6, 1), abs=1e-7)
    assert nearest(tastes, [0.8, 0.6, 0]) == pytest.approx((0.8, 0), abs=1e-7)
    assert nearest(tastes, [0, 0, -1]) == (1.0, 2)
    assert nearest(tastes[:1], [-1, 0, 0]) == (-1.0, 0)  # even the farthest interest is somebody's nearest


def test_equally_near_interests_go_to_the_first() -> None:
    assert nearest(f32([[0, 1], [1, 0], [1, 0]]), [1, 0]) == (1.0, 1)


@settings(deadline=None, max_examples=100)
@given(arrays(np.float32, (4, 5), elements=st.floats(-1, 1, width=32)), st.permutations(range(3)))
def test_affinity_does_not_depend_on_the_order_of_interests(points: NDArray[np.float32], order: list[int]) -> None:
    points = unit(points)
    best, which = nearest(points[:3], points[3])
    again, where = nearest(points[:3][order], points[3])
    assert again == best
    cosines = points[:3].astype(np.float64) @ points[3].astype(np.float64)
    assert best == pytest.approx(cosines.max(), abs=1e-6)
    assert cosines[which] == pytest.approx(cosines[order[where]], abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_affinity_for_any_number_of_interests(k: int) -> None:
    """Three have code of their own; repeating one of them must change nothing there, nor where there are four."""
    rng = np.random.default_rng(k)
    for _ in range(50):
        tastes = unit(rng.normal(size=(k, 21))).astype(np.float32)
        item = unit(rng.normal(size=(1, 21)))[0].astype(np.float32)
        cosines = tastes.astype(np.float64) @ item.astype(np.float64)
        best, which = nearest(tastes, item)
        again, where = nearest(np.concatenate([tastes, tastes[:1]]), item)
        assert which == where == cosines.argmax()
        assert best == pytest.approx(cosines.max(), abs=1e-6)
        assert again == pytest.approx(best, abs=1e-6)


def row(
    bias: float,
    affinity: float = 6.0,
    appeal: float = 0.5,
    repeat: float = 4.0,
    boredom: float = 1.0,
    season: float = 2.0,
) -> NDArray[np.float32]:
    """The traits of one user, (1, N_TRAITS)."""
    traits = np.zeros((1, N_TRAITS), dtype=np.float32)
    values = {
        Trait.CLICK_BIAS: bias, Trait.AFFINITY_WEIGHT: affinity, Trait.APPEAL_WEIGHT: appeal,
        Trait.REPEAT_PENALTY: repeat, Trait.BOREDOM: boredom, Trait.SEASON_WEIGHT: season,
    }  # fmt: skip
    traits[0, list(values)] = list(values.values())
    return traits


def test_relevance_by_hand() -> None:
    # -4 + 6 * 0.5 + 0.5 * 2 - 1 * 0.75 = -0.75, 2 * 0.25 more in season, and 4 less for an item consumed before
    assert relevance(row(-4.0), 0, 0.5, 2.0, 0.75, 0.0, False) == pytest.approx(-0.75, abs=1e-12)
    assert relevance(row(-4.0), 0, 0.5, 2.0, 0.75, 0.25, False) == pytest.approx(-0.25, abs=1e-12)
    assert relevance(row(-4.0), 0, 0.5, 2.0, 0.75, 0.0, True) == pytest.approx(-4.75, abs=1e-12)
    assert sigmoid(-0.75) == pytest.approx(0.32082130082460703, abs=1e-15)


@settings(deadline=None, max_examples=100)
@given(LOGITS, st.floats(-1, 1), st.floats(-3, 3), st.floats(0, 10), st.floats(-1, 1), st.floats(0.01, 1))
def test_directions(bias: float, cosine: float, appeal: float, bored: float, season: float, more: float) -> None:
    here = relevance(row(bias), 0, cosine, appeal, bored, season, False)
    assert relevance(row(bias + more), 0, cosine, appeal, bored, season, False) > here
    assert relevance(row(bias), 0, cosine + more, appeal, bored, season, False) > here
    assert relevance(row(bias), 0, cosine, appeal + more, bored, season, False) > here
    assert relevance(row(bias), 0, cosine, appeal, bored + more, season, False) < here
    assert relevance(row(bias), 0, cosine, appeal, bored, season + more, False) > here
    assert relevance(row(bias), 0, cosine, appeal, bored, season, True) < here


def test_a_weight_of_zero_switches_its_law_off() -> None:
    off = row(-1.25, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert relevance(off, 0, 0.9, 2.5, 3.0, 0.7, True) == -1.25
    assert [seen(j, 0.0) for j in range(1, 100)] == [1.0] * 99


def seen(position: int, decay: float) -> float:
    return examination(math.log(position), decay)


def test_examination_by_hand() -> None:
    assert [seen(j, 0.5) for j in (1, 4, 9)] == pytest.approx([1, 1 / 2, 1 / 3], abs=1e-15)
    assert [seen(j, 1.0) for j in range(1, 6)] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5], abs=1e-15)
    assert seen(1, 7.0) == 1.0


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 1000), st.floats(0.01, 3))
def test_later_positions_are_seen_less(position: int, decay: float) -> None:
    assert 0 < seen(position + 1, decay) < seen(position, decay) <= 1


@settings(deadline=None, max_examples=100)
@given(LOGITS)
def test_sigmoid_is_the_logistic_function(logit: float) -> None:
    assert sigmoid(logit) == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-12)
    assert sigmoid(logit) + sigmoid(-logit) == pytest.approx(1, abs=1e-12)


def test_sigmoid_at_the_ends() -> None:
    assert (sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)) == (0.5, 0.0, 1.0)
