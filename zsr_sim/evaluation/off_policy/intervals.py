"""95 % intervals around off-policy estimates: delta method, bootstrap, and bounds that hold at any sample size.

Rows of one user are not independent, so users (clusters) are what is resampled and what variances are taken over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.terms import Floats, Sums, Terms

Interval = tuple[float, float]

MOST_UNITS = 20_000
"""Above this many clusters the bootstrap draws groups of them; sums of independent clusters are independent, too."""
_BLOCK = 50  # draws at once


def standard_error(influence: Floats) -> float:
    """sqrt(G / (G - 1) sum(influence^2)) from G clusters (Liang and Zeger 1986); NaN for fewer than two.

    Where every row is a cluster and the estimate a mean, that is s / sqrt(n).
    """
    g = len(influence)
    return math.sqrt(g / (g - 1) * float(influence @ influence)) if g > 1 else math.nan


def delta_interval(value: float, influence: Floats, level: float = 0.95) -> Interval:
    """Student's interval with the standard error of the delta method, G - 1 degrees of freedom."""
    reach = float(stdtrit(len(influence) - 1, (1 + level) / 2)) * standard_error(influence)
    return value - reach, value + reach


def group(sums: Mapping[str, Sums], seed: int) -> dict[str, Sums]:
    """The same sums over at most MOST_UNITS groups of clusters, put together at random, alike for all estimators."""
    g = max((len(s.columns) for s in sums.values()), default=0)
    if g <= MOST_UNITS:
        return dict(sums)
    unit = np.random.default_rng(seed).permutation(g) % MOST_UNITS
    order = np.argsort(unit, kind="stable")
    starts = np.searchsorted(unit[order], np.arange(MOST_UNITS))
    return {name: Sums(np.add.reduceat(s.columns[order], starts, axis=0), s.k) for name, s in sums.items()}


def bootstrap(sums: Mapping[str, Sums], draws: int, seed: int) -> dict[str, Floats]:
    """Estimates on `draws` resamples of the clusters, (draws,) for each name; the same resamples for all names.

    Numerators and normalisers are resampled together. All estimators stand side by side in one matrix, so a block of
    resamples is one product of multinomial counts (draws, G) with cluster sums (G, columns).
    """
    grouped = group(sums, seed)
    names = list(grouped)
    columns = np.concatenate([grouped[name].columns for name in names], axis=1)  # (G, all columns)
    widths = np.cumsum([grouped[name].columns.shape[1] for name in names])[:-1]
    rng, g = np.random.default_rng(seed), len(columns)
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for begin in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - begin)
        counts = np.stack([np.bincount(rng.integers(0, g, g), minlength=g) for _ in range(size)])  # (size, G)
        resampled = counts.astype(np.float64) @ columns  # (size, all columns)
        for name, part in zip(names, np.split(resampled, widths, axis=1), strict=True):
            found[name].append(Sums(part, grouped[name].k).values())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def percentile_interval(resampled: Floats, level: float = 0.95) -> Interval:
    """The middle `level` of the resampled estimates (Efron 1979); NaN where a resample has no support."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bca_interval(value: float, resampled: Floats, influence: Floats, level: float = 0.95) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987).

    z0 from the share of resamples below the estimate (ties count half), acceleration a = sum(u^3) / (6 sum(u^2)^1.5)
    from the influence u of each cluster. Without any spread: the estimate itself.
    """
    square = float((influence**2).sum())
    if not np.isfinite(resampled).all() or not square > 0:
        return percentile_interval(resampled, level)
    below = float((resampled < value).mean() + 0.5 * (resampled == value).mean())
    z0 = float(ndtri(np.clip(below, 0.5 / len(resampled), 1 - 0.5 / len(resampled))))
    acceleration = float((influence**3).sum()) / (6 * square**1.5)
    tails = z0 + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    shares = ndtr(z0 + tails / (1 - acceleration * tails))
    low, high = np.quantile(resampled, shares)
    return float(low), float(high)


def hoeffding_interval(rows: Floats, low: float, high: float, level: float = 0.95) -> Interval:
    """Hoeffding 1963, for independent rows in [low, high]: mean -/+ (high - low) sqrt(log(2 / alpha) / (2 n))."""
    mean = _bounded_mean(rows, low, high)
    reach = (high - low) * math.sqrt(math.log(2 / (1 - level)) / (2 * len(rows)))
    return mean - reach, mean + reach


def empirical_bernstein_interval(rows: Floats, low: float, high: float, level: float = 0.95) -> Interval:
    """Empirical Bernstein bound (Maurer and Pontil 2009, theorem 4), both sides, for independent rows in [low, high].

    reach = sqrt(2 v L / n) + 7 (high - low) L / (3 (n - 1)), v the sample variance, L = log(4 / alpha)
    """
    mean, n, log_term = _bounded_mean(rows, low, high), len(rows), math.log(4 / (1 - level))
    variance = float(rows.var(ddof=1))
    reach = math.sqrt(2 * variance * log_term / n) + 7 * (high - low) * log_term / (3 * (n - 1))
    return mean - reach, mean + reach


def _bounded_mean(rows: Floats, low: float, high: float) -> float:
    if len(rows) < 2 or not (low <= rows.min() and rows.max() <= high):
        raise InputError(
            f"rows lie in [{rows.min(initial=math.inf):g}, {rows.max(initial=-math.inf):g}] and are {len(rows)}; at "
            f"least 2 within [{low:g}, {high:g}] expected"
        )
    return float(rows.mean())


def asymptotic_sequence(value: float, influence: Floats, level: float = 0.95, tuned_for: int = 500) -> Interval:
    """An interval that holds at all sample sizes at once, so that one may look as often as one likes (asymptotic).

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024 ("Time-uniform central limit theory and asymptotic confidence
    sequences"), eq. 1, tightest near `tuned_for` clusters (their eq. 10):

        value -/+ s sqrt(2 (n rho^2 + 1) / (n^2 rho^2) log(sqrt(n rho^2 + 1) / alpha)),   s^2 = n se^2
    """
    n, alpha = len(influence), 1 - level
    log_term = -2 * math.log(alpha)
    rho2 = (log_term + math.log(log_term + 1)) / tuned_for
    spread = standard_error(influence) * math.sqrt(n)
    reach = spread * math.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))
    return value - reach, value + reach


def betting_lower_bound(rows: Floats, alpha: float = 0.025, points: int = 1000) -> float:
    """A lower bound for the mean of rows >= 0 in the order in which they came, valid at all times at once.

    No upper bound on the rows is needed, which is what importance-weighted rewards ask for (Waudby-Smith, Wu, Ramdas,
    Karampatziakis and Mineiro 2024, "Anytime-valid off-policy inference for contextual bandits"). A gambler bets that
    the mean exceeds m: the wealth prod_i (1 + b_i (x_i - m)), 0 <= b_i < 1 / m, is a martingale at the true mean, so
    by Ville's inequality it reaches 1 / alpha with probability at most alpha. Means at which it did are excluded.
    Bets b_i = min(sqrt(2 log(1 / alpha) / (v_(i-1) i log(i + 1))), 1 / (2 m)) know only rows before i, v their variance
    (Waudby-Smith and Ramdas 2024, eq. 26). The means tried are `points` even steps from 0 to the sample mean.
    """
    if len(rows) == 0 or rows.min() < 0:
        raise InputError(f"{len(rows)} rows, least {rows.min(initial=math.inf):g}; at least one, all >= 0, expected")
    means = np.linspace(0, rows.mean(), points + 1)[1:]
    bets = _predictable_bets(rows, alpha)
    wealth, highest = np.zeros(points), np.zeros(points)
    for begin in range(0, len(rows), 256):
        x, bet = rows[begin : begin + 256, None], np.minimum(bets[begin : begin + 256, None], 0.5 / means)
        path = wealth + np.log1p(bet * (x - means)).cumsum(axis=0)  # (256, points)
        highest = np.maximum(highest, path.max(axis=0))
        wealth = path[-1]
    alive = highest < math.log(1 / alpha)
    return float(means[alive.argmax()]) if alive.any() else float(means[-1])


def _predictable_bets(rows: Floats, alpha: float) -> Floats:
    """Bets (n,) from the rows before each; one made-up row of variance 1 / 4 of the first mean starts them."""
    n = np.arange(1, len(rows) + 1)
    mean = (0.5 + rows.cumsum()) / (n + 1)
    variance = (0.25 + ((rows - mean) ** 2).cumsum()) / (n + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * math.log(1 / alpha) / (before * n * np.log(n + 1))))


def betting_interval(reward: Floats, weight: Floats, alpha: float = 0.05) -> Interval:
    """Anytime-valid interval for the value of a policy from rewards in [0, 1] and weights >= 0 of mean 1, both (n,).

    The lower bound bets on w r, whose mean is the value; the upper one on w (1 - r), whose mean is 1 minus the value.
    Rows must be independent given those before.
    """
    if reward.min() < 0 or reward.max() > 1:
        raise InputError(f"rewards lie in [{reward.min():g}, {reward.max():g}]; [0, 1] expected")
    low = betting_lower_bound(weight * reward, alpha / 2)
    return low, max(1 - betting_lower_bound(weight * (1 - reward), alpha / 2), low)


@dataclass(frozen=True)
class Found:
    """An estimate with its standard error (delta method) and 95 % intervals, by name."""

    value: float
    standard_error: float
    intervals: dict[str, Interval]

    @property
    def ci95(self) -> Interval:
        """The interval that verdicts use: BCa where there are resamples, else the delta method's."""
        return self.intervals.get("bca", self.intervals["delta"])


@dataclass(frozen=True)
class Resampled:
    """Cluster sums of several estimators on one log, and the same resamples of all of them: {} without a bootstrap."""

    sums: dict[str, Sums]
    draws: dict[str, Floats]

    @classmethod
    def of(
        cls, terms: Mapping[str, Terms], clusters: NDArray[np.int64], groups: int, draws: int = 1000, seed: int = 0
    ) -> Resampled:
        """Rows of the same cluster (n,) in 0..groups - 1 are dependent; `draws` bootstrap resamples, 0 for none."""
        return cls.of_sums({name: t.sums(clusters, groups) for name, t in terms.items()}, draws, seed)

    @classmethod
    def of_sums(cls, sums: dict[str, Sums], draws: int = 1000, seed: int = 0) -> Resampled:
        """From sums over the same clusters, whatever rows they were of."""
        return cls(sums, bootstrap(sums, draws, seed) if draws else {})

    def estimate(self, name: str) -> Found:
        """An estimate with its intervals; NaN throughout where nothing supports it (a ratio of zeros)."""
        sums = self.sums[name]
        value = float(Sums(sums.columns.sum(axis=0, keepdims=True), sums.k).values()[0])
        return _with_intervals(value, sums.influence(), self.draws.get(name))

    def difference(self, first: str, second: str) -> Found:
        """First minus second, paired: what they share on the same log cancels."""
        a, b = self.estimate(first), self.estimate(second)
        influence = self.sums[first].influence() - self.sums[second].influence()
        draws = self.draws[first] - self.draws[second] if self.draws else None
        return _with_intervals(a.value - b.value, influence, draws)


def _with_intervals(value: float, influence: Floats, resampled: Floats | None) -> Found:
    intervals = {"delta": delta_interval(value, influence)}
    if resampled is not None:
        intervals["percentile"] = percentile_interval(resampled)
        intervals["bca"] = bca_interval(value, resampled, influence)
    intervals["anytime"] = asymptotic_sequence(value, influence)
    return Found(value, standard_error(influence), intervals)
