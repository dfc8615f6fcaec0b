"""Which clip, switch or shrinkage: chosen from the log, by estimated error or by Lepski's principle (SLOPE)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import stdtrit

from zsr_sim.evaluation.off_policy.terms import Floats, Terms

LAMBDAS = (5.0, 10.0, 50.0, 100.0, 1000.0, math.inf)
_LEPSKI = math.sqrt(6) - 1


def tune_slope(candidates: Sequence[Terms], delta: float = 0.1) -> int:
    """Which candidate SLOPE takes (Su, Srinath and Krishnamurthy 2020; Tucker and Lee 2021).

    Candidates are put in order of their uncertainty c (half the width of Student's interval at level 1 - delta), widest
    first: the least biased. Taken is the last in that order for which all before it agree with it,

        |value_j - value_i| <= c_i + (sqrt(6) - 1) c_j   for all j before i

    candidates: the same estimator with other parameters. Returns the row of the one taken.
    """
    values = np.array([c.value for c in candidates])
    widths = np.array([_half_width(c, delta) for c in candidates])
    order = np.argsort(-widths, kind="stable")
    taken = int(order[0])
    for i in range(1, len(order)):
        here, before = order[i], order[:i]
        if (np.abs(values[before] - values[here]) > widths[here] + _LEPSKI * widths[before]).any():
            break
        taken = int(here)
    return taken


def _half_width(terms: Terms, delta: float) -> float:
    n = len(terms)
    return float(stdtrit(n - 1, 1 - delta) * terms.contributions.std() / math.sqrt(n - 1))


def estimated_mse(terms: Terms, weight: Floats, used_weight: Floats, residual: Floats, delta: float = 0.1) -> float:
    """Estimated mean squared error of an estimator that uses other weights than w (after Su et al. 2020).

        var(contributions) / n + (|mean((w - w') residual)| + b)^2

    The first part of the bias is its estimate; b, a Bernstein bound on that estimate's own error at level delta
    (sqrt(2 mean(w^2) log(2 / delta) / n) + 2 max(w) log(2 / delta) / (3 n)), does not depend on w'. residual: r for
    IPS, r - q for DR.
    """
    n, level = len(weight), math.log(2 / delta)
    bias = abs(float(((weight - used_weight) * residual).mean()))
    bias += math.sqrt(2 * float((weight**2).mean()) * level / n) + 2 * float(weight.max()) * level / (3 * n)
    return float(terms.contributions.var()) / n + bias**2


def tune_mse(
    build: Callable[[float], Terms],
    used: Callable[[float], Floats],
    weight: Floats,
    residual: Floats,
    lambdas: Sequence[float] = LAMBDAS,
) -> float:
    """The parameter with the least `estimated_mse`; of equals the largest, which changes the weights least."""
    errors = {lam: estimated_mse(build(lam), weight, used(lam), residual) for lam in lambdas}
    least = min(errors.values())
    return max(lam for lam, error in errors.items() if error <= least * (1 + 1e-12))
