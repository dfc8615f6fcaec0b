"""A mean with its uncertainty, when several visits may be one person's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from zsr_sim.errors import InputError
from zsr_sim.evaluation.sequential import anytime_p, boundary, tuned


def power_factor(alpha: float) -> float:
    """How many standard errors away an effect must be for a two-sided test at alpha to find it 4 times out of 5."""
    return float(ndtri(1 - alpha / 2) + ndtri(0.80))


POWER_FACTOR = power_factor(0.05)
"""How many standard errors away an effect must be for a two-sided 5 % test to find it in 80 % of experiments: 2.80."""


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error (both in the metric's unit) and the degrees of freedom of that standard error.

    information: None for an estimate that is looked at once. Else how much is known by now, as a multiple of what the
    mixture of a confidence sequence is tuned to (`zsr_sim.evaluation.sequential`): interval and p-value then hold at
    all looks together, however often the data are looked at.
    """

    mean: float
    standard_error: float
    freedom: int
    information: float | None = field(default=None, repr=False)

    @property
    def quantile(self) -> float:
        """How many standard errors the 95 % interval reaches: Student's t, or a confidence sequence's boundary."""
        if self.information is None:
            return float(stdtrit(self.freedom, 0.975))
        return boundary(self.information, 0.05)

    @property
    def reach(self) -> float:
        """Half the width of the 95 % interval."""
        return self.quantile * self.standard_error

    @property
    def ci95(self) -> tuple[float, float]:
        """The 95 % interval (low, high)."""
        return self.mean - self.reach, self.mean + self.reach

    def at_look(self, first_error: float, share: float) -> Estimate:
        """The estimate as it stands at one of many looks (`zsr_sim.evaluation.sequential`).

        first_error: its standard error at the first look. share: how many users the first look had, as a share of those
        at which the mixture is to be tightest. An estimate without any spread at the first look is left as it is.
        """
        if first_error == 0 or self.standard_error == 0:
            return self
        return replace(self, information=tuned() * share * (first_error / self.standard_error) ** 2)

    def figures(self) -> dict[str, Any]:
        """{"mean": .., "ci95": [low, high]}, as it stands in results.json."""
        return {"mean": self.mean, "ci95": list(self.ci95)}

    @property
    def p_value(self) -> float:
        """Two-sided p-value, 0..1, of Student's t test that the mean is zero; 1 for a mean of 0 without any spread."""
        if self.standard_error == 0:
            return 1.0 if self.mean == 0 else 0.0
        z = abs(self.mean) / self.standard_error
        return float(2 * stdtr(self.freedom, -z)) if self.information is None else anytime_p(z, self.information)

    def p_above(self, threshold: float) -> float:
        """One-sided p-value, 0..1, of the hypothesis that the true mean lies at or below a threshold."""
        if self.standard_error == 0:
            return 0.0 if self.mean > threshold else 1.0
        z = (self.mean - threshold) / self.standard_error
        if self.information is None:
            return float(stdtr(self.freedom, -z))
        return anytime_p(z, self.information) if z > 0 else 1.0

    @property
    def minimum_detectable_effect(self) -> float:
        """The true mean that a two-sided 5 % test would find in 80 % of such experiments, in the metric's unit.

        (z[0.975] + z[0.80]) * standard error (Bloom 1995, "Minimum detectable effects").
        """
        return POWER_FACTOR * self.standard_error


def estimate_mean(values: NDArray[np.float64], people: NDArray[np.int64]) -> Estimate:
    """The mean of `values` (n,), where rows of the same person in `people` (n,) are not independent.

    The standard error is robust to any dependence within a person (Liang and Zeger 1986; Cameron and Miller 2015, for
    a regression on a constant alone, with their correction c = G / (G - 1)):

        se^2 = G / (G - 1) * sum over people of (sum over their rows of (value - mean))^2 / n^2,   G = number of people

    Where everybody has one row this is the classical s / sqrt(n). Intervals use Student's t with G - 1 degrees of
    freedom.

    >>> estimate_mean(np.array([1.0, 3.0, 2.0, 6.0]), np.array([7, 7, 8, 9]))  # sums of deviations: -2, -1, 3
    Estimate(mean=3.0, standard_error=1.14564392373896, freedom=2)

    Raises InputError for fewer than two people, ValueError for a value that is not finite.
    """
    names, person = np.unique(people, return_inverse=True)  # person: (n,), 0 to G - 1
    groups, n = len(names), len(values)
    if groups < 2:
        raise InputError(
            f"an interval needs visits of at least 2 different people, found {groups}; simulate more users"
        )
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"finite values expected, found {values[row]} in row {row}")
    mean = float(values.mean())
    sums = np.bincount(person, weights=values - mean, minlength=groups)  # (G,)
    return Estimate(mean, math.sqrt(groups / (groups - 1) * float(sums @ sums)) / n, groups - 1)


def relative_effect(
    baseline: Estimate, candidate: Estimate, difference: Estimate
) -> tuple[float | None, tuple[float, float] | None]:
    """The difference as a share of the baseline, and its 95 % interval; all three means are over the same rows.

    Fieller's interval (Fieller 1954): all ratios r for which a t test of mean(difference - r * baseline) = 0 does not
    reject,

        (d - r a)^2 <= t^2 (v_d - 2 r c + r^2 v_a),   c = cov(difference, baseline) = (v_b - v_d - v_a) / 2

    so it excludes zero exactly where the interval of the difference does, which the delta method does not promise.
    With a baseline many standard errors from zero the two agree. The share is None for a baseline of 0; the interval
    is None where the baseline's own interval holds 0 (the set of ratios is then unbounded).
    """
    if baseline.mean == 0:
        return None, None
    share = difference.mean / baseline.mean
    a, d, t2 = baseline.mean, difference.mean, difference.quantile**2
    v_a, v_b, v_d = (e.standard_error**2 for e in (baseline, candidate, difference))
    square, linear, constant = a * a - t2 * v_a, a * d - t2 * (v_b - v_d - v_a) / 2, d * d - t2 * v_d
    if square <= 0:
        return share, None
    root = math.sqrt(max(linear * linear - square * constant, 0.0))  # never negative but for rounding
    return share, ((linear - root) / square, (linear + root) / square)
