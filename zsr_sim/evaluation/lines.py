"""One line of the report of realism: a real number beside what a simulation says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from zsr_sim.evaluation.statistics import SIMILARITY, Statistic, ks_distance

EARLIER = 0.7  # of a log: what the simulation may learn from
Key = tuple[str, str]
"""Name of a statistic, and whose it is."""
_WHY = {
    SIMILARITY: "a session follows a list or a subject that the pull of the last item does not know",
    "days between sessions": "people come back in rhythms that people who came as often before did not have",
    "users": "people arrive at another rate than in any block of the earlier part",
}
_WHY_ELSE = "the laws of the simulation do not have what makes it so"


def prediction_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Where one more of n values (n,), n > 1, lies in 95 %: mean +- t sd sqrt(1 + 1 / n).

    On the log scale where all of them are positive, as counts, means of counts and shares are.
    """
    positive = bool((values > 0).all())
    x = np.log(values) if positive else values
    n = len(x)
    reach = stdtrit(n - 1, 0.975) * x.std(ddof=1) * np.sqrt(1 + 1 / n)
    low, high = float(x.mean() - reach), float(x.mean() + reach)
    return (float(np.exp(low)), float(np.exp(min(high, 700.0)))) if positive else (low, high)


def compare_statistic(
    key: Key, real: Statistic, runs: list[dict[Key, Statistic]], earlier: Statistic | None
) -> dict[str, Any]:
    """A line of the report, ready for JSON; earlier: the same in a stretch before, None where there is none."""
    found = [run[key] for run in runs if key in run]
    values = np.array([one.value for one in found])
    low, high = prediction_interval(values) if len(values) > 1 else (None, None)

    def holds(value: float) -> bool:
        slack = 1e-9 * max(abs(value), 1.0)
        return low is not None and high is not None and low - slack <= value <= high + slack

    distances = [
        ks_distance(real.sample, one.sample) for one in found if one.sample is not None and real.sample is not None
    ]
    if holds(real.value):
        why = None
    elif low is None:
        why = "the simulation has too few people in this segment"
    elif earlier is not None and holds(earlier.value):
        why = f"it changed: {earlier.value:.3g} in as long a stretch before, {real.value:.3g} in the later part"
    else:
        why = _WHY.get(key[0], _WHY_ELSE)
    return {
        "statistic": key[0],
        "segment": key[1],
        "real": real.value,
        "simulated": float(values.mean()) if len(values) > 1 else None,
        "interval": [low, high],
        "inside": why is None,
        "ks": float(np.mean(distances)) if distances else None,
        "earlier": None if earlier is None else earlier.value,
        "why": why,
    }
