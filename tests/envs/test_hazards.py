"""Mixed hazards: planted ones come back, and one hazard for all is the special case."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from zsr_sim.envs.hazards import Durations, draw_durations, fit_hazard


def seen(level: float, spread: float, n: int = 20_000, longest: int = 100) -> Durations:
    """Durations of 2,000 users, ten each, cut off after 100 steps."""
    steps = draw_durations(level, spread, n, np.random.default_rng(0))
    return Durations(np.minimum(steps, longest), steps <= longest, np.arange(n) // 10)


@pytest.mark.parametrize(("level", "spread"), [(-1.0, 2.0), (2.0, 1.5), (-3.0, 1.0)])
def test_planted_hazards_come_back(level: float, spread: float) -> None:
    found = fit_hazard(seen(level, spread))
    assert (found.errors < 0.05).all()
    assert (np.abs(found.values - (level, spread)) < 3 * found.errors).all()


def test_without_spread_it_is_the_share_of_steps_after_which_things_end() -> None:
    """A geometric law: the estimate is ends per step, its error that of a proportion of users' sums."""
    durations = seen(-1.0, 0.0)
    found = fit_hazard(durations)
    share = durations.ended.sum() / durations.steps.sum()
    assert found.values[1] < 0.15
    assert expit(found.values[0]) == pytest.approx(share, abs=0.003)
    rows = np.full(50, 7)
    known = fit_hazard(Durations(np.ones(50, dtype=np.int64), rows > 0, rows))  # everything ends at once
    assert known.values[0] == pytest.approx(9.0, abs=2.5)


def test_drawn_durations_have_the_mixed_distribution() -> None:
    """P(T > t) is the mean of (1 - p) ** t over the log-odds of p, by quadrature."""
    drawn = draw_durations(-1.0, 1.5, 20_000, np.random.default_rng(1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    p = expit(-1.0 + 1.5 * nodes)
    lasting = [(weights * (1 - p) ** t).sum() / weights.sum() for t in range(9)]
    counts = np.bincount(np.minimum(drawn, 9), minlength=10)[1:]
    assert stats.chisquare(counts, 20_000 * np.append(-np.diff(lasting), lasting[-1])).pvalue > 0.001
