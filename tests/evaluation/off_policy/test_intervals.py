"""Intervals against closed forms, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from zsr_sim.errors import InputError
from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.evaluation.off_policy import bandit, intervals
from zsr_sim.evaluation.off_policy.coverage import Truth, coverage
from zsr_sim.evaluation.off_policy.diagnostics import diagnose
from zsr_sim.evaluation.off_policy.intervals import Resampled
from zsr_sim.evaluation.off_policy.terms import Floats, Terms


def rows(n: int = 400, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).exponential(size=n)


def test_the_delta_method_of_a_mean_is_students_interval_over_clusters() -> None:
    x, people = rows(), np.arange(400) // 5
    found = Resampled.of({"x": Terms.mean(x)}, people, 80, draws=0).estimate("x")
    same = estimate_mean(x, people)
    assert found.value == pytest.approx(same.mean)
    assert found.standard_error == pytest.approx(same.standard_error)
    assert found.intervals["delta"] == pytest.approx(same.ci95)
    assert found.ci95 == found.intervals["delta"]


def test_bootstrap_intervals_against_scipys() -> None:
    x = rows(60)
    found = Resampled.of({"x": Terms.mean(x)}, np.arange(60), 60, draws=20_000).estimate("x")
    for ours, theirs in (("percentile", "percentile"), ("bca", "BCa")):
        same = stats.bootstrap((x,), np.mean, n_resamples=20_000, method=theirs, rng=np.random.default_rng(1))
        interval = same.confidence_interval
        assert found.intervals[ours] == pytest.approx((interval.low, interval.high), abs=0.1 * found.standard_error)
    assert found.intervals["bca"] > found.intervals["percentile"]  # the exponential leans to the right
    assert found.ci95 == found.intervals["bca"]


def test_groups_of_clusters_have_the_same_sums_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(5000)
    terms = {"x": Terms.mean(x), "r": Terms.ratio(x, x + 1)}
    whole = Resampled.of(terms, np.arange(5000), 5000, draws=2000)
    monkeypatch.setattr(intervals, "MOST_UNITS", 500)
    grouped = Resampled.of(terms, np.arange(5000), 5000, draws=2000)
    for name in terms:
        assert intervals.group(whole.sums, 0)[name].columns.sum(axis=0) == pytest.approx(
            whole.sums[name].columns.sum(axis=0)
        )
        assert grouped.draws[name].std() == pytest.approx(whole.draws[name].std(), rel=0.1)
        assert grouped.estimate(name).value == whole.estimate(name).value


def test_differences_are_paired() -> None:
    """Two targets that nearly agree: the difference is far more certain than either value."""
    rng = np.random.default_rng(0)
    reward, weight = rng.random(2000), rng.gamma(2, 0.5, 2000)
    resampled = Resampled.of(
        {"a": bandit.snips(reward, weight), "b": bandit.snips(reward, weight * (1 + 0.01 * reward))},
        np.arange(2000), 2000,
    )  # fmt: skip
    found = resampled.difference("b", "a")
    assert found.value == pytest.approx(resampled.estimate("b").value - resampled.estimate("a").value)
    assert found.standard_error < resampled.estimate("a").standard_error / 20
    assert found.ci95[0] > 0
    alike = resampled.difference("a", "a")
    assert (alike.value, alike.standard_error, alike.ci95) == (0, 0, (0, 0))


def test_bounds_by_hand() -> None:
    x = np.array([0.0, 1.0, 1.0, 0.0])
    reach = math.sqrt(math.log(40) / 8)
    assert intervals.hoeffding_interval(x, 0, 1) == pytest.approx((0.5 - reach, 0.5 + reach))
    log_term = math.log(80)
    reach = math.sqrt(2 * (1 / 3) * log_term / 4) + 7 * log_term / 9
    assert intervals.empirical_bernstein_interval(x, 0, 1) == pytest.approx((0.5 - reach, 0.5 + reach))
    with pytest.raises(InputError, match=r"rows lie in \[0, 1\] and are 4; at least 2 within \[0, 0\.5\] expected"):
        intervals.hoeffding_interval(x, 0, 0.5)


def test_bernstein_is_narrower_than_hoeffding_where_rows_vary_little() -> None:
    x = np.random.default_rng(0).beta(50, 50, 5000)
    wide, narrow = intervals.hoeffding_interval(x, 0, 1), intervals.empirical_bernstein_interval(x, 0, 1)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


def test_sequences_hold_at_all_times() -> None:
    """Looked at every 100 rows of 200 logs: a fixed interval fails in more than 5 % of them, these do not."""
    truth = Truth.of()
    failed = {"delta": 0, "asymptotic": 0, "betting": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        kind = rng.integers(8, size=1000)
        action = (truth.logging[kind].cumsum(axis=1) < rng.random((1000, 1))).sum(axis=1).clip(max=9)
        reward = (rng.random(1000) < truth.clicks[kind, action]).astype(np.float64)
        weight = truth.target[kind, action] / truth.logging[kind, action]
        wrong = dict.fromkeys(failed, False)
        for n in range(100, 1001, 100):
            value = float((weight[:n] * reward[:n]).mean())
            influence = (weight[:n] * reward[:n] - value) / n
            for name, (low, high) in {
                "delta": intervals.delta_interval(value, influence),
                "asymptotic": intervals.asymptotic_sequence(value, influence),
            }.items():
                wrong[name] |= not low <= truth.value <= high
        low, high = intervals.betting_interval(reward, weight)
        wrong["betting"] = not low <= truth.value <= high
        for name in failed:
            failed[name] += wrong[name]
    assert failed["delta"] > stats.binom.isf(0.001, 200, 0.05)
    assert failed["asymptotic"] <= stats.binom.isf(0.001, 200, 0.05)
    assert failed["betting"] <= stats.binom.isf(0.001, 200, 0.05)


def test_betting_narrows_with_the_log() -> None:
    rng = np.random.default_rng(0)
    reward = (rng.random(4000) < 0.3).astype(np.float64)
    short, long = (intervals.betting_interval(reward[:n], np.ones(n)) for n in (200, 4000))
    assert short[0] < long[0] < 0.3 < long[1] < short[1]
    assert long[1] - long[0] < 0.1
    with pytest.raises(InputError, match=r"rewards lie in \[0, 2\]"):
        intervals.betting_interval(2 * reward, np.ones(4000))


def test_coverage_on_logs_with_a_known_truth() -> None:
    """100 logs here; `python -m zsr_sim.evaluation.off_policy.coverage` does 1,000. Bounds: 1 in 10,000 by chance."""
    found = coverage(100, users=500, draws=300)
    least = stats.binom.ppf(0.0001, 100, 0.93) / 100
    for name in ("ips", "snips", "dr", "sndr"):
        for method in ("delta", "percentile", "bca"):
            assert found[name][method]["covered"] >= least, (name, method)
    assert found["sndr"]["delta"]["width"] < found["snips"]["delta"]["width"] < found["ips"]["delta"]["width"]
    assert found["dr"]["anytime"]["width"] > found["dr"]["delta"]["width"]


def test_rows_of_one_user_are_not_independent() -> None:
    """Each row ten times: clusters know it, rows alone would shrink the interval by sqrt(10)."""
    x, ten = np.repeat(rows(200), 10), np.repeat(np.arange(200), 10)
    whole = Resampled.of({"x": Terms.mean(x)}, ten, 200, draws=500).estimate("x")
    alone = Resampled.of({"x": Terms.mean(x)}, np.arange(2000), 2000, draws=500).estimate("x")
    assert whole.standard_error / alone.standard_error == pytest.approx(math.sqrt(10), rel=0.01)
    width = [high - low for low, high in (whole.intervals["bca"], alone.intervals["bca"])]
    assert width[0] / width[1] == pytest.approx(math.sqrt(10), rel=0.15)


def test_diagnostics_by_hand() -> None:
    weight = np.array([0.0, 1.0, 1.0, 2.0])
    found = diagnose(weight, np.arange(4), 4, unsupported=0.2)
    assert (found.effective, found.mean, found.quantiles["max"]) == (16 / 6, 1.0, 2.0)
    assert found.faults == [
        "effective sample size 2.7 of 4 rows", "20.0 % of the target's probability has no support in the log"
    ]  # fmt: skip
    fine = diagnose(np.random.default_rng(0).gamma(2, 0.5, 5000), np.arange(5000), 5000)
    assert fine.faults == []
    assert fine.to_json()["unsupported_share"] is None
    wrong = 1.2 * np.random.default_rng(0).gamma(2, 0.5, 5000)
    off = diagnose(wrong, np.arange(5000), 5000)
    assert off.faults[0].startswith(f"mean weight {wrong.mean():.3g} (95 % interval")
