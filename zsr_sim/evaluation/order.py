"""Does one source order strategies as another does? Rank correlations, with the users of both resampled.

Whether a simulator's traffic looks like a log (realism) and whether it orders strategies as reality does (ranking
reliability) are two questions; this file answers the second.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST = 3  # strategies; two are in one order or in the other


class Ordered(NamedTuple):
    """What one source says of k strategies: values (k,); draws (m, k), the same with the source's users resampled."""

    values: Floats
    draws: Floats

    def take(self, rows: NDArray[np.int64]) -> Ordered:
        """Some of the strategies."""
        return Ordered(self.values[rows], self.draws[:, rows])

    def clear(self) -> NDArray[np.bool_]:
        """Pairs (k, k) whose difference is not 0 by its 95 % interval (percentiles of the draws)."""
        differences = self.draws[:, :, None] - self.draws[:, None, :]  # (m, k, k)
        low, high = np.quantile(differences, [0.025, 0.975], axis=0)
        return np.asarray((low > 0) | (high < 0))


def kendall(first: Floats, second: Floats) -> Floats:
    """Kendall's tau-b (Kendall 1945) between the last axes (..., k), -1..1; NaN where one of them is all ties.

    >>> round(float(kendall(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]))), 3)  # one of six pairs is turned
    0.667
    """
    return _correlation(np.sign(_differences(first)), np.sign(_differences(second)))


def spearman(first: Floats, second: Floats) -> Floats:
    """Spearman's rho between the last axes (..., k), ties at their mean rank, -1..1; NaN where one is all ties.

    >>> round(float(spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]))), 3)  # 1 - 6 * 2 / (4 * 15)
    0.8
    """
    return _correlation(*(_differences(np.sign(_differences(x)).sum(axis=-1)) for x in (first, second)))


def _differences(x: Floats) -> Floats:
    return np.asarray(x[..., :, None] - x[..., None, :])


def _correlation(a: Floats, b: Floats) -> Floats:
    """Of scores of pairs (..., k, k): sum(a b) / sqrt(sum(a^2) sum(b^2)) (Daniels 1944); both coefficients are such."""
    pairs = (-2, -1)
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=pairs) / np.sqrt((a * a).sum(axis=pairs) * (b * b).sum(axis=pairs)))


def agreement(first: Ordered, second: Ordered) -> dict[str, Any] | None:
    """How far two sources order the same strategies alike; JSON-ready. None for fewer than three, or all alike.

    spearman, kendall: value, and ci95 from the draws of both sources (percentiles; resampling adds noise of its own, so
    where strategies lie close the interval leans towards 0). pairs: of strategies; same: that stand in the same order
    in both. clear: pairs that both sources tell apart (`Ordered.clear`); clear_same: those of them in the same order.
    """
    k = len(first.values)
    if k < FEWEST or not np.isfinite(kendall(first.values, second.values)):
        return None
    found = {}
    for name, measure in (("spearman", spearman), ("kendall", kendall)):
        draws = np.nan_to_num(measure(first.draws, second.draws))  # a draw of ties only says nothing of the order
        low, high = np.quantile(draws, [0.025, 0.975])
        found[name] = {"value": float(measure(first.values, second.values)), "ci95": [float(low), float(high)]}
    upper = np.triu(np.ones((k, k), dtype=np.bool_), 1)
    same = np.sign(_differences(first.values)) == np.sign(_differences(second.values))
    clear = first.clear() & second.clear() & upper
    return found | {
        "pairs": int(upper.sum()),
        "same": int((same & upper).sum()),
        "clear": int(clear.sum()),
        "clear_same": int((same & clear).sum()),
    }
