"""Looking again and again at data that are still coming in: intervals and p-values that hold at all looks together.

A normal mixture over the unknown mean (Robbins 1970, "Statistical methods related to the law of the iterated
logarithm"), in its asymptotic form of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central
limit theory and asymptotic confidence sequences", theorem 2.2:

    mean -+ se * sqrt((1 + 1 / r) * log((1 + r) / alpha^2)),

where r is the information collected (1 / se^2, so that visits of the same person count for what they tell) over that of
the mixture. It is tightest, relative to an interval for one look, near the r that `tuned` gives.
"""

import math


def boundary(information: float, alpha: float) -> float:
    """How many standard errors the interval reaches; r = information > 0, level 1 - alpha.

    >>> round(boundary(8.1, 0.05), 2)  # 1.96 where it is looked at once
    3.04
    """
    return math.sqrt((1 + 1 / information) * (math.log1p(information) - 2 * math.log(alpha)))


def anytime_p(z: float, information: float) -> float:
    """The least alpha at which the interval leaves out a value `z` standard errors away; at most 1."""
    log_p = 0.5 * math.log1p(information) - z * z / (2 * (1 + 1 / information))
    return math.exp(min(log_p, 0.0))


def tuned(alpha: float = 0.05) -> float:
    """The r at which `boundary` is about lowest: -2 log(alpha) + log(1 - 2 log(alpha)) (same paper, section B.2)."""
    return -2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))
