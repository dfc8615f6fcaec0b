"""Taking known luck out of an outcome: control variates whose mean is exactly zero, whatever the strategy.

The world knows what each page was expected to earn and how likely the user was to leave after it. What came instead,
minus that expectation, is luck: its mean is zero given everything before it, so it may be regressed out without moving
what is estimated (martingale control variates: Henderson and Glynn 2002, "Approximating martingales for variance
reduction in Markov process simulation"; as CUPED of Deng, Xu, Kohavi and Walker 2013, but with a covariate whose mean
is known).
"""

import math

import numpy as np
from numpy.typing import NDArray

PEOPLE_PER_COVARIATE = 50  # fewer, and the fitted slopes would add noise of their own


def adjust(values: NDArray[np.float64], luck: NDArray[np.float64], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Outcomes (n,) without what luck (n, k) explains of them, by least squares; their mean estimates the same thing.

        adjusted = values - luck @ b,   b: slopes of values on luck, fitted with an intercept

    The intercept of that regression is the adjusted mean; it is unbiased up to a term of order 1 / n, because b is
    estimated. Spread around the mean is widened, with G people and k slopes, by the square root of

        (G - 1) / (G - 1 - k)    for the freedom that the slopes took from the residuals, times
        (G - 2) / (G - 2 - k)    for the noise of the slopes themselves (Lavenberg, Moeller and Welch 1982,
                                 "Statistical results on control variables with application to queueing network
                                 simulation": the loss factor).

    The values come back untouched where luck has no columns, or fewer than 50 people for each.
    """
    groups, k = len(np.unique(people)), luck.shape[1]
    if not k or groups < PEOPLE_PER_COVARIATE * k:
        return values
    scale = np.sqrt((luck**2).mean(axis=0))  # (k,)
    covariates = luck / np.where(scale > 0, scale, 1.0)
    centred = covariates - covariates.mean(axis=0)
    slopes = np.linalg.lstsq(centred, values - values.mean(), rcond=None)[0]  # (k,)
    adjusted = values - covariates @ slopes
    mean = adjusted.mean()
    wider = (groups - 1) / (groups - 1 - k) * (groups - 2) / (groups - 2 - k)
    return np.asarray(mean + (adjusted - mean) * math.sqrt(wider))
