"""Several trainings in one number, with a band: interquartile mean and stratified bootstrap.

Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), "Deep reinforcement learning at the edge of the statistical
precipice" (the library rliable): a few seeds are too few for a mean that one lucky or unlucky training moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CUT = 0.25  # of the scores, at each end
DRAWS = 2000


def interquartile_mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the middle half of all scores (runs, tasks, ...) together, (...); of fewer than four it is the mean.

    A quarter of the scores, rounded down, is cut off at each end (Agarwal et al. 2021, section 4.3, as `trim_mean` of
    SciPy does it). NaN where any score is.

    >>> float(interquartile_mean(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])))
    2.0
    """
    together = np.sort(scores.reshape(-1, *scores.shape[2:]), axis=0)  # (runs * tasks, ...), NaN last
    cut = int(CUT * len(together))
    middle = together[cut : len(together) - cut].mean(axis=0)
    return np.asarray(np.where(np.isnan(together[-1]), np.nan, middle))


def stratified_band(
    scores: NDArray[np.float64], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bootstrap interval of `interquartile_mean`, (...) each: lower and upper end.

    Runs are drawn with replacement within each task (Agarwal et al. 2021, section 4.2): that tasks differ widens
    nothing. A run is drawn as a whole, so a band over the steps of a curve is pointwise. From two runs of one task it
    reaches from the lower to the higher one.
    """
    runs, tasks = scores.shape[:2]
    rows = np.random.default_rng(seed).integers(runs, size=(draws, runs, tasks))
    found = np.stack([interquartile_mean(scores[drawn, np.arange(tasks)]) for drawn in rows])  # (draws, ...)
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail], axis=0)
    return low, high
