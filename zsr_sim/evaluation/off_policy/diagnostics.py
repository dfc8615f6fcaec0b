"""What to look at before any off-policy estimate is believed: does the log hold what the target would do?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.evaluation.off_policy.intervals import Interval, Resampled
from zsr_sim.evaluation.off_policy.terms import Floats, Terms

QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
FEWEST_EFFECTIVE, LEAST_SHARE, MOST_UNSUPPORTED = 100.0, 0.01, 0.05

RULE = (
    f"Diagnostics fail where the effective sample size is below {FEWEST_EFFECTIVE:g} or below {100 * LEAST_SHARE:g} % "
    "of the rows (Kong 1992), where the 95 % interval of the mean weight does not hold 1 (it is 1 when propensities "
    f"are right and the log covers the target), or where more than {100 * MOST_UNSUPPORTED:g} % of the target's "
    "probability lies where the log has none."
)


@dataclass(frozen=True)
class Diagnostics:
    """Of one kind of weights on n rows.

    effective: (sum w)^2 / sum w^2 (Kong 1992), in rows. mean, mean_ci95: of the weights. quantiles: of the weights.
    unsupported: share of the target's probability on what the log never shows, 0..1; NaN where it is not known.
    """

    rows: int
    effective: float
    mean: float
    mean_ci95: Interval
    quantiles: dict[str, float]
    unsupported: float

    @property
    def faults(self) -> list[str]:
        """What is wrong, by RULE, in words; empty where nothing is."""
        faults = []
        share = self.effective / self.rows
        if self.effective < FEWEST_EFFECTIVE or share < LEAST_SHARE:
            faults.append(f"effective sample size {self.effective:,.1f} of {self.rows:,} rows")
        low, high = self.mean_ci95
        if not low <= 1 <= high:
            faults.append(f"mean weight {self.mean:.3g} (95 % interval {low:.3g} to {high:.3g}), 1 expected")
        if self.unsupported > MOST_UNSUPPORTED:
            faults.append(f"{100 * self.unsupported:.1f} % of the target's probability has no support in the log")
        return faults

    def to_json(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "rows": self.rows,
            "effective_sample_size": self.effective,
            "mean_weight": self.mean,
            "mean_weight_ci95": list(self.mean_ci95),
            "weight_quantiles": self.quantiles,
            "unsupported_share": None if math.isnan(self.unsupported) else self.unsupported,
            "faults": self.faults,
        }


def diagnose(weight: Floats, clusters: NDArray[np.int64], groups: int, unsupported: float = math.nan) -> Diagnostics:
    """Diagnostics of weights (n,), rows of one cluster dependent; `unsupported` as in `Diagnostics`.

    A mean weight equal to 1 within rounding counts as 1 (a log of the target itself has no spread).
    """
    total, square = float(weight.sum()), float(weight @ weight)
    found = Resampled.of({"w": Terms.mean(weight)}, clusters, groups, draws=0).estimate("w")
    low, high = found.intervals["delta"]
    return Diagnostics(
        rows=len(weight),
        effective=total**2 / square if square > 0 else 0.0,
        mean=found.value,
        mean_ci95=(min(low, found.value - 1e-9), max(high, found.value + 1e-9)),
        quantiles={name: float(np.quantile(weight, share)) for name, share in QUANTILES.items()},
        unsupported=unsupported,
    )
