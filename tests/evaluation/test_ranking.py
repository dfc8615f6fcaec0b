"""Ranking metrics: by hand, as properties, and under ties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zsr_sim.evaluation.ranking import (
    CUTOFFS,
    Bootstrap,
    Standings,
    accuracy,
    coverage,
    diversity,
    interval,
    novelty,
    precision_recall,
    roc_curve,
)


def standings(*rows: tuple[int, int, int]) -> Standings:
    return Standings(*np.array(rows, dtype=np.int64).T)


@st.composite
def any_standing(draw: st.DrawFn) -> Standings:
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        others = draw(st.integers(1, 60))
        above = draw(st.integers(0, others))
        rows.append((above, draw(st.integers(0, others - above)), others))
    return standings(*rows)


def test_each_metric_by_hand() -> None:
    """Ranks 1, 7 and 12 of 101 candidates."""
    found = accuracy(standings((0, 0, 100), (6, 0, 100), (11, 0, 100)))
    assert found["hr@5"].tolist() == [1, 0, 0]
    assert found["hr@10"].tolist() == found["recall@10"].tolist() == [1, 1, 0]
    assert found["hr@20"].tolist() == [1, 1, 1]
    assert found["ndcg@10"] == pytest.approx([1, 1 / 3, 0])  # log2(8) = 3
    assert found["ndcg@20"] == pytest.approx([1, 1 / 3, 1 / math.log2(13)])
    assert found["precision@10"] == pytest.approx([0.1, 0.1, 0])
    assert found["f1@10"] == pytest.approx([2 / 11, 2 / 11, 0])  # 2 * 1 * 0.1 / 1.1
    assert found["mrr"] == pytest.approx([1, 1 / 7, 1 / 12])
    assert found["roc_auc"] == pytest.approx([1, 0.94, 0.89])


def test_ties_are_averaged_over_all_orders() -> None:
    """Two items above, three tied with the hidden one: it is 3rd, 4th, 5th or 6th, a quarter of the times each."""
    found = {name: values[0] for name, values in accuracy(standings((2, 3, 9))).items()}
    each = [accuracy(standings((above, 0, 9))) for above in (2, 3, 4, 5)]
    assert found == pytest.approx({name: np.mean([one[name][0] for one in each]) for name in found})
    assert found["hr@5"] == 0.75


def test_a_scorer_that_finds_all_alike_is_worth_a_random_one() -> None:
    found = accuracy(standings((0, 999, 999)))
    assert found["hr@10"][0] == pytest.approx(10 / 1000)
    assert found["roc_auc"][0] == 0.5


@given(any_standing())
def test_metrics_lie_where_they_must(given_: Standings) -> None:
    found = accuracy(given_)
    for name, values in found.items():
        assert (values >= 0).all(), name
        assert (values <= 1 + 1e-12).all(), name
    for low, high in itertools.pairwise(CUTOFFS):
        assert (found[f"hr@{low}"] <= found[f"hr@{high}"] + 1e-12).all()
        assert (found[f"ndcg@{low}"] <= found[f"ndcg@{high}"] + 1e-12).all()
    for k in CUTOFFS:
        assert (found[f"ndcg@{k}"] <= found[f"hr@{k}"] + 1e-12).all()
        assert (found[f"precision@{k}"] <= found[f"f1@{k}"] + 1e-12).all()
    assert (found["mrr"] <= found["ndcg@20"] + 1 / 21 + 1e-12).all()


@given(any_standing())
def test_the_area_under_the_averaged_roc_curve_is_the_averaged_area(given_: Standings) -> None:
    weights = np.full(len(given_), 1 / len(given_))
    rates = np.arange(20_001) / 20_000
    curve = roc_curve(given_, weights, rates)
    area = ((curve[1:] + curve[:-1]) / 2).sum() / 20_000
    assert area == pytest.approx(accuracy(given_)["roc_auc"].mean(), abs=1e-4)
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[-1] == pytest.approx(1)


def test_the_precision_recall_curve_by_hand() -> None:
    """Hidden at ranks 1, 3 and 3. Recall 1/3, 1/3, 1; precision 1/3, 1/6, 1/3."""
    recall, area = precision_recall(standings((0, 0, 9), (2, 0, 9), (2, 0, 9)), np.full(3, 1 / 3))
    assert recall == pytest.approx([1 / 3, 1 / 3, 1])
    assert area == pytest.approx(1 / 3 * 1 / 3 + 2 / 3 * 1 / 3)


@given(any_standing())
def test_recall_at_each_length_is_the_hit_rate(given_: Standings) -> None:
    weights = np.full(len(given_), 1 / len(given_))
    recall, area = precision_recall(given_, weights)
    for k in range(1, len(recall) + 1):
        assert recall[k - 1] == pytest.approx(accuracy(given_, (k,))[f"hr@{k}"].mean())
    assert recall[-1] == pytest.approx(1)
    assert 0 < area <= 1 + 1e-12


LISTS = np.array([[0, 1], [1, 2], [3, -1], [-1, -1]], dtype=np.int32)


def test_coverage_novelty_and_diversity_by_hand() -> None:
    assert coverage(LISTS, 8) == 0.5
    popularity = np.array([7, 3, 1, 0], dtype=np.float32)  # of 7 users: 0, 1, 2 and 3 bits
    assert novelty(LISTS, popularity, 7).tolist() == [0.5, 1.5, 3, 0]
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0]], dtype=np.float32)
    assert diversity(LISTS, vectors) == pytest.approx([0.4, 0.2, 0, 0])
    three = np.array([[0, 1, 2]], dtype=np.int32)  # cosines 0.6, 0.8 and 0
    assert diversity(three, vectors) == pytest.approx([1 - 1.4 / 3])


def test_every_user_weighs_the_same() -> None:
    bootstrap = Bootstrap(np.array([4, 4, 4, 9]), seed=0, draws=50)
    values = np.array([0.0, 0.3, 0.6, 1.0])
    assert bootstrap.means(values)[0] == pytest.approx((0.3 + 1.0) / 2)
    assert bootstrap.weights @ values == pytest.approx(0.65)
    assert set(np.round(bootstrap.means(values)[1:], 6)) == {0.3, 0.65, 1.0}  # two users redrawn: both, or one twice


def test_the_interval_is_that_of_the_mean() -> None:
    """2,000 users, one ranking each: normal theory."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 2000)
    means = Bootstrap(np.arange(2000), seed=0).means(values)
    low, high = interval(means)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert (means[0] - low, high - means[0]) == pytest.approx((half, half), rel=0.12)
    assert means[0] == pytest.approx(values.mean())


def test_the_same_seed_redraws_the_same_users() -> None:
    values: NDArray[np.float64] = np.random.default_rng(2).normal(size=40)
    users = np.repeat(np.arange(20), 2)
    again = Bootstrap(users, seed=3).means(values)
    assert (Bootstrap(users, seed=3).means(values) == again).all()
    assert (Bootstrap(users, seed=4).means(values) != again).any()


def test_areas_of_the_bootstrap_begin_with_the_area_itself() -> None:
    some = standings((0, 0, 9), (2, 0, 9), (2, 0, 9))
    areas = Bootstrap(np.arange(3), seed=0, draws=200).areas(some)
    assert areas[0] == pytest.approx(1 / 3)
    assert areas.max() == pytest.approx(1)  # the first user three times
    assert areas.min() == pytest.approx(1 / 3)  # ranks 3, 3, 3
