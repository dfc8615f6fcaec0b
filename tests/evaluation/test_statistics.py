"""Statistics of a log, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsr_sim.envs.rhythm import sessions_of
from zsr_sim.evaluation.lines import compare_statistic, prediction_interval
from zsr_sim.evaluation.statistics import (
    Items,
    Statistic,
    gini,
    head_share,
    ks_distance,
    neighbours_in_sessions,
    statistics,
)
from zsr_sim.interactions import Interactions


def test_gini_by_hand() -> None:
    assert gini(np.array([3, 3, 3])) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 5])) == 0.75
    assert gini(np.array([1, 3])) == 0.25
    assert gini(np.array([30, 10])) == gini(np.array([1, 3]))


def test_the_head_is_one_item_in_a_hundred_and_at_least_one() -> None:
    assert head_share(np.array([1, 5, 2, 2])) == 0.5
    assert head_share(np.concatenate([np.ones(198, dtype=np.int64), [51, 51]])) == pytest.approx(102 / 300)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_ks_is_a_distance_of_distributions(a: list[int], b: list[int]) -> None:
    one, two = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
    apart = max(abs(np.mean(one <= x) - np.mean(two <= x)) for x in range(6))
    assert ks_distance(one, two) == pytest.approx(apart)
    assert ks_distance(one, np.repeat(one, 3)) == pytest.approx(0.0)


def test_a_stretch_by_hand() -> None:
    """a: two items at once and one a day later; b: one item, twice, an hour and more apart; c: nothing."""
    day = 86_400.0
    log = Interactions.from_columns(list("aaabb"), [0, 1, 2, 1, 1], [0, 60, 60 + day, 0, day / 2]).of_users([0, 1, 1])
    log = log.where(log.users < 2)
    texts = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    found = statistics(log, Items(texts, np.array([0, 0, 1], np.int32), 2), np.array([True, False, False]), heavy=2)
    value = {key: statistic.value for key, statistic in found.items()}
    assert value["users", "all"] == 2
    assert value["interactions per user", "all"] == 2.5
    assert (value["interactions per user", "heavy"], value["interactions per user", "light"]) == (3, 2)
    assert (value["interactions per user", "old"], value["interactions per user", "new"]) == (3, 2)
    assert value["sessions per user", "all"] == 2
    assert value["interactions per session", "all"] == 1.25
    assert value["days between sessions", "all"] == pytest.approx(0.75)
    assert value["similarity within a session", "all"] == pytest.approx(0.6)
    assert ("similarity within a session", "new") not in value
    assert value["share of repeats", "all"] == pytest.approx(1 / 5)
    assert value["share of the largest topic", "all"] == pytest.approx(4 / 5)
    assert value["entropy of topics (bits)", "all"] == pytest.approx(-0.8 * np.log2(0.8) - 0.2 * np.log2(0.2))
    sessions = sessions_of(log)
    assert neighbours_in_sessions(log.items, sessions, texts).tolist() == pytest.approx([0.6])


def test_a_stretch_without_anybody() -> None:
    log = Interactions.from_columns(["a"], [0], [0]).take(np.empty(0, dtype=np.int64))
    found = statistics(log, Items(np.eye(2, dtype=np.float32), np.zeros(2, np.int32), 1), np.array([True]), heavy=2)
    assert found == {("users", "all"): (0.0, None)}


def test_an_interval_holds_one_more_replication() -> None:
    """Of -1, 0, 1: standard deviation 1, t of 2 degrees 4.303, times sqrt(4 / 3); positive values by logarithms."""
    reach = 4.3027 * np.sqrt(4 / 3)
    assert prediction_interval(np.array([-1.0, 0.0, 1.0])) == pytest.approx((-reach, reach), abs=1e-3)
    assert prediction_interval(np.exp([-1.0, 0.0, 1.0])) == pytest.approx((np.exp(-reach), np.exp(reach)), rel=1e-3)


def test_a_line_says_what_is_inside_and_why_not() -> None:
    runs = [{("x", "all"): Statistic(value, np.array([value]))} for value in (-1.0, 0.0, 1.0)]
    line = compare_statistic(("x", "all"), Statistic(4.9, np.array([0.0])), runs, None)
    assert (line["simulated"], line["inside"], line["why"]) == (0.0, True, None)
    assert line["ks"] == pytest.approx(2 / 3)  # 1, 0, 1 from the samples of the runs
    missed = compare_statistic(("x", "all"), Statistic(5.1, None), runs, Statistic(2.5, None))
    assert not missed["inside"]
    assert missed["why"] == "it changed: 2.5 in as long a stretch before, 5.1 in the later part"
    other = compare_statistic(("x", "all"), Statistic(5.1, None), runs, Statistic(6.0, None))
    assert other["why"] == "the laws of the simulation do not have what makes it so"
    nobody = compare_statistic(("x", "all"), Statistic(5.1, None), [], None)
    assert (nobody["interval"], nobody["inside"]) == ([None, None], False)
