"""Taking known luck out of an outcome: control variates whose mean is exactly zero, whatever the strategy.

The world knows what each page was expected to earn and how likely the user was to leave after it. What came instead,
minus that expectation, is luck: its mean is zero given everything before it, so it may be regressed out without moving
what is estimated (martingale control variates: Henderson and Glynn 2002, "Approximating martingales for variance
reduction in Markov process simulation"; as CUPED of Deng, Xu, Kohavi and Walker 2013, but with a covariate whose mean
is known).
"""

import numpy as np
from numpy.typing import NDArray

PEOPLE_PER_COVARIATE = 50  # fewer, and the fitted slopes would add noise of their own


def adjust(values: NDArray[np.float64], luck: NDArray[np.float64], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Outcomes (n,) without what luck (n, k) explains of them; their mean estimates the same thing.

    With luck taken out by least squares, the mean is the intercept b0 of the regression of values on luck. What comes
    back are that intercept's jackknife pseudo-values (Tukey 1958; for control variates: Nelson 1990, "Control variate
    remedies"):

        n b0 - (n - 1) b0[without row i] = b0 + (n - 1) w_i e_i / (1 - h_i)

    e: residuals, h: leverages, w_i: the weight of row i in the intercept (Miller 1974, "An unbalanced
    jackknife"). Their mean is free of the bias of order 1 / n that fitted slopes bring, and their spread holds the
    noise of the slopes, also where residuals spread more in some rows than in others, as they do in long visits.
    The values come back untouched where luck has no columns, or fewer than 50 people for each.
    """
    n, k = luck.shape
    if not k or len(np.unique(people)) < PEOPLE_PER_COVARIATE * k:
        return values
    scale = np.sqrt((luck**2).mean(axis=0))  # (k,)
    design = np.column_stack([np.ones(n), luck / np.where(scale > 0, scale, 1.0)])  # (n, 1 + k)
    inverse = np.linalg.pinv(design.T @ design)
    seen = design @ inverse  # (n, 1 + k)
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    residuals = values - design @ coefficients
    # A row that tells a slope alone has leverage 1 and no residual: nothing is known of the slope without it.
    alone = np.maximum(1 - (seen * design).sum(axis=1), 1e-6)
    return np.asarray(coefficients[0] + (n - 1) * seen[:, 0] * residuals / alone)
