"""Estimators by hand, and what must hold of them on any log."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from zsr_sim.evaluation.off_policy import bandit, slate, visit
from zsr_sim.evaluation.off_policy.terms import Floats, Terms, number_clusters

N = 12


@st.composite
def columns(draw: st.DrawFn, rows: int = N, width: int = 0) -> Floats:
    """Rewards, or weights, between 0 and 20 with some zeros."""
    shape = (rows, width) if width else (rows,)
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    return np.asarray(rng.gamma(0.7, 2.0, shape) * (rng.random(shape) < 0.8) + 1e-3)


def test_doctests() -> None:
    assert doctest.testmod(bandit).failed == 0


def test_by_hand() -> None:
    r, w, q, v = np.array([1.0, 0, 1]), np.array([2.0, 0.5, 4]), np.array([0.5, 0.5, 1]), np.array([0.2, 0.4, 0.6])
    assert bandit.replay(r, np.array([True, True, False])).value == 0.5
    assert bandit.ips(r, w).value == 2.0
    assert bandit.ips(r, w, clip=3).value == pytest.approx(5 / 3)
    assert bandit.snips(r, w).value == pytest.approx(6 / 6.5)
    assert bandit.dm(v).value == pytest.approx(0.4)
    assert bandit.dr(r, w, q, v).value == pytest.approx(0.4 + (1 - 0.25 + 0) / 3)
    assert bandit.sndr(r, w, q, v).value == pytest.approx(0.4 + 0.75 / 6.5)
    assert bandit.switch_dr(r, w, q, v, switch=1).value == pytest.approx(0.4 - 0.25 / 3)
    assert bandit.dros(r, w, q, v, shrinkage=4).value == pytest.approx(0.4 + (8 / 8 * 0.5 - 2 / 4.25 * 0.5) / 3)
    assert bandit.sg_ips(r, w, lam=0.5).value == pytest.approx((2 / 1.5 + 4 / 2.5) / 3)


def test_slates_by_hand() -> None:
    reward = np.array([[1.0, 1.0], [0.0, 1.0]])
    position, prefix = np.array([[2.0, 0.5], [1.0, 1.5]]), np.array([[2.0, 3.0], [1.0, 0.5]])
    assert slate.sips(reward, prefix[:, -1]).value == pytest.approx((3 * 2 + 0.5) / 2)
    assert slate.iips(reward, position).value == pytest.approx((2.5 + 1.5) / 2)
    assert slate.rips(reward, prefix).value == pytest.approx((5 + 0.5) / 2)
    assert slate.snsips(reward, prefix[:, -1]).value == pytest.approx(6.5 / 3.5)
    assert slate.sniips(reward, position).value == pytest.approx(2 / 3 + 2 / 2)
    assert slate.snrips(reward, prefix).value == pytest.approx(2 / 3 + 3.5 / 3.5)


def test_visits_by_hand() -> None:
    """Two visits of two pages; the second ends after one."""
    reward, weight = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[2.0, 0.5], [0.5, 1.0]])
    assert visit.trajectory_is(reward, weight).value == pytest.approx((1 * 3 + 0.5 * 3) / 2)
    assert visit.per_decision_is(reward, weight).value == pytest.approx((2 + 2 + 1.5) / 2)
    assert visit.sn_trajectory_is(reward, weight).value == pytest.approx(4.5 / 1.5)
    assert visit.sn_per_decision_is(reward, weight).value == pytest.approx(3.5 / 2.5 + 2 / 1.5)
    q, v = np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[1.5, 0.5], [1.0, 0.0]])
    by_hand = [(1.5 + 0) + 2 * 0.5 + 1 * (2 - 1), 1.0 + 0.5 * 1]
    assert visit.visit_dr(reward, weight, q, v).value == pytest.approx(np.mean(by_hand))


@given(reward=columns(), q=columns(), table=columns(width=3), q_table=columns(width=3))
@settings(max_examples=25, deadline=None)
def test_where_target_and_logging_agree_every_estimator_is_the_mean_reward(
    reward: Floats, q: Floats, table: Floats, q_table: Floats
) -> None:
    """Weights are 1; the direct method's own part of DR cancels where it says the same of logged and target action."""
    one, ones = np.ones(N), np.ones((N, 3))
    for terms in (
        bandit.replay(reward, np.ones(N, dtype=np.bool_)), bandit.ips(reward, one), bandit.snips(reward, one),
        bandit.dr(reward, one, q, q), bandit.sndr(reward, one, q, q), bandit.switch_dr(reward, one, q, q, 1.0),
        bandit.sg_ips(reward, one, 0.3), bandit.sg_dr(reward, one, q, q, 0.3), bandit.mips(reward, one),
    ):  # fmt: skip
        assert terms.value == pytest.approx(reward.mean())
    for terms in (
        slate.sips(table, one), slate.iips(table, ones), slate.rips(table, ones), slate.snsips(table, one),
        slate.sniips(table, ones), slate.snrips(table, ones), slate.cascade_dr(table, ones, q_table, q_table),
        visit.trajectory_is(table, ones), visit.per_decision_is(table, ones), visit.sn_trajectory_is(table, ones),
        visit.sn_per_decision_is(table, ones), visit.visit_dr(table, ones, q_table, q_table),
    ):  # fmt: skip
        assert terms.value == pytest.approx(table.sum(axis=1).mean())


@given(reward=columns(), weight=columns(), q=columns(), v=columns(), factor=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_properties(reward: Floats, weight: Floats, q: Floats, v: Floats, factor: float) -> None:
    near = pytest.approx
    assert bandit.snips(reward, factor * weight).value == near(bandit.snips(reward, weight).value)
    assert bandit.snips(reward + factor, weight).value == near(bandit.snips(reward, weight).value + factor)
    correction = float((weight * (reward - q)).mean())
    assert bandit.dr(reward, weight, q, v).value == near(bandit.dm(v).value + correction)
    assert bandit.dr(reward, weight, np.zeros(N), np.zeros(N)).value == near(bandit.ips(reward, weight).value)
    dr, dm = bandit.dr(reward, weight, q, v).value, bandit.dm(v).value
    assert bandit.switch_dr(reward, weight, q, v, np.inf).value == near(dr)
    assert bandit.switch_dr(reward, weight, q, v, 0.0).value == near(dm)
    assert bandit.dros(reward, weight, q, v, np.inf).value == near(dr)
    assert bandit.dros(reward, weight, q, v, 0.0).value == near(dm)
    assert bandit.sg_ips(reward, weight, 0.0).value == near(bandit.ips(reward, weight).value)
    assert bandit.ips(reward, weight, clip=1.0).value <= bandit.ips(reward, weight).value
    assert bandit.sndr(reward, weight, np.full(N, factor), np.full(N, factor)).value == near(
        bandit.snips(reward, weight).value
    )


@given(reward=columns(width=3), weight=columns(width=3))
@settings(max_examples=25, deadline=None)
def test_pages_and_visits_without_a_model_are_importance_sampling(reward: Floats, weight: Floats) -> None:
    none = np.zeros((N, 3))
    assert slate.cascade_dr(reward, weight, none, none).value == pytest.approx(slate.rips(reward, weight).value)
    assert visit.visit_dr(reward, weight, none, none).value == pytest.approx(
        visit.per_decision_is(reward, weight).value
    )
    assert visit.per_decision_is(reward, weight).value == pytest.approx(
        slate.rips(reward, weight.cumprod(axis=1)).value
    )


def enumerated() -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Actions 0 to 3, each as often as the logging policy takes it in 100 rounds; target, and click rates 0 or 1."""
    actions = np.repeat(np.arange(4), [10, 20, 30, 40])
    return actions, np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.0, 0.0, 1.0, 1.0])


def test_exact_on_a_log_that_is_its_own_expectation() -> None:
    actions, pi_0, pi_e, clicks = enumerated()
    reward, weight, model = clicks[actions], (pi_e / pi_0)[actions], np.array([0.3, 0.2, 0.9, 0.4])
    truth, q_target = float(pi_e @ clicks), np.full(100, pi_e @ model)
    for terms in (bandit.ips(reward, weight), bandit.snips(reward, weight)):
        assert terms.value == pytest.approx(truth)
    for terms in (
        bandit.dr(reward, weight, model[actions], q_target), bandit.sndr(reward, weight, model[actions], q_target)
    ):  # fmt: skip
        assert terms.value == pytest.approx(truth)


def test_mips_where_the_embedding_says_all() -> None:
    """Items 0 and 1 are alike, so are 2 and 3: weights of the pairs are exact, milder, and give the same mean."""
    actions, pi_0, pi_e, _ = enumerated()
    embedding, clicks = np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 0.5, 0.5])
    w = bandit.marginal_weights(embedding, actions, np.tile(pi_e, (100, 1)), np.tile(pi_0, (100, 1)))
    np.testing.assert_allclose(np.unique(w), [0.3 / 0.7, 0.7 / 0.3])
    assert bandit.mips(clicks[actions], w).value == pytest.approx(float(pi_e @ clicks))
    assert w.max() < (pi_e / pi_0).max()


def test_terms_add_up_over_clusters_and_scale() -> None:
    rng = np.random.default_rng(0)
    reward, weight, v = rng.random(50), rng.gamma(1, 1, 50), rng.random(50)
    clusters, groups = number_clusters([f"u{k}" for k in rng.integers(0, 9, 50)])
    assert clusters[0] == 0
    assert groups == 9
    assert (np.diff(np.maximum.accumulate(clusters)) <= 1).all()
    terms = Terms.ratio(weight * reward, weight, v)
    sums = terms.sums(clusters, groups)
    assert sums.columns.sum(axis=0) == pytest.approx(terms.sums().columns[0])
    assert terms.contributions.mean() == pytest.approx(terms.value)
    assert sums.influence().sum() == pytest.approx(0, abs=1e-12)
    assert terms.scaled(3).value == pytest.approx(3 * terms.value)


def test_influence_is_the_derivative_of_the_estimate() -> None:
    """Weighing one cluster by 1 + h moves the estimate by h times its influence."""
    rng = np.random.default_rng(1)
    terms = Terms.ratio(rng.random((40, 2)), rng.gamma(1, 1, (40, 2)), rng.random(40))
    sums = terms.sums(np.arange(40) // 4, 10)
    h = 1e-6
    for g in (0, 7):
        moved = type(sums)(sums.columns * (1 + h * (np.arange(10) == g))[:, None], sums.k)
        value = float(type(sums)(moved.columns.sum(axis=0, keepdims=True), sums.k).values()[0])
        assert (value - terms.value) / h == pytest.approx(sums.influence()[g], rel=1e-4)


def test_nothing_supports_a_ratio_of_zeros() -> None:
    assert np.isnan(bandit.snips(np.ones(3), np.zeros(3)).value)
