"""What a user picks from a page: relevance of an item to a user, and whether it is looked at and clicked.

Each law is a scalar function of one user and one item; `step.py` compiles the same functions into its loop over users.
Three models of choice use the same relevance; `CHOICES` says in a line what each is.
"""

import math

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.exponential import exponential
from zsr_sim.envs.traits import Trait

POSITION, CASCADE, LOGIT = 0, 1, 2
CHOICES = {"position": POSITION, "cascade": CASCADE, "logit": LOGIT}
"""position: each place is looked at with a probability of its own, and clicks do not depend on each other.
cascade: from top to bottom; a click, or impatience, ends the page. logit: at most one click, items compete for it."""


@law
def _of_three(tastes: NDArray[np.float32], user: int, items: NDArray[np.float32], item: int) -> tuple[float, int]:
    """`affinity` where there are three interests, as there usually are: the item is read once for all of them."""
    a = b = c = np.float32(0.0)
    for j in range(items.shape[1]):
        a += tastes[user, 0, j] * items[item, j]
        b += tastes[user, 1, j] * items[item, j]
        c += tastes[user, 2, j] * items[item, j]
    best, which = (b, 1) if b > a else (a, 0)
    return (np.float64(c), 2) if c > best else (np.float64(best), which)


@law
def affinity(tastes: NDArray[np.float32], user: int, items: NDArray[np.float32], item: int) -> tuple[float, int]:
    """Cosine of an item with the nearest of a user's interests, and which interest that is.

    tastes: (users, n_interests, d) and items: (n, d), unit vectors; user and item are rows of these. The maximum over
    interests is the multi-interest model of Weston, Weiss and Yee (2013), "Nonlinear latent factorization by embedding
    multiple user interests".
    """
    if tastes.shape[1] == 3:
        return _of_three(tastes, user, items, item)
    best, which = np.float32(-2.0), 0
    for k in range(tastes.shape[1]):
        cosine = np.float32(0.0)  # of single precision, so that many products fit a vector register
        for j in range(items.shape[1]):
            cosine += tastes[user, k, j] * items[item, j]
        if cosine > best:
            best, which = cosine, k
    return np.float64(best), which


@law
def attraction(traits: NDArray[np.float32], user: int, cosine: float, appeal: float) -> float:
    """What of `relevance` is about user and item alone, whatever has happened before: an answer of others replaces it.

    click_bias + affinity_weight * cosine + appeal_weight * appeal.
    """
    logit: float = traits[user, Trait.CLICK_BIAS] + traits[user, Trait.AFFINITY_WEIGHT] * cosine
    logit += traits[user, Trait.APPEAL_WEIGHT] * appeal
    return logit


@law
def relevance(
    traits: NDArray[np.float32], user: int, cosine: float, appeal: float, bored: float, season: float, repeated: bool
) -> float:
    """Log-odds that a user who looks at an item clicks it.

    click_bias + affinity_weight * cosine + appeal_weight * appeal - boredom * bored + season_weight * season
    - repeat_penalty * [repeated], the weights from traits, float32 (users, N_TRAITS), row `user`.
    """
    logit: float = traits[user, Trait.CLICK_BIAS] + traits[user, Trait.AFFINITY_WEIGHT] * cosine
    logit += traits[user, Trait.APPEAL_WEIGHT] * appeal - traits[user, Trait.BOREDOM] * bored
    logit += traits[user, Trait.SEASON_WEIGHT] * season
    if repeated:
        logit -= traits[user, Trait.REPEAT_PENALTY]
    return logit


@law
def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + exponential(-logit))


@law
def examination(log_position: float, decay: float) -> float:
    """Probability that a user looks at a position (from 1), given by its logarithm: position ** -decay.

    The position-based model: click = examination * attraction (Richardson, Dominowska and Ragno 2007).
    """
    return exponential(-decay * log_position)


@law
def cascade_reach(onwards: float, clicks: float, after_click: float) -> float:
    """Probability that a user who looks at a position looks at the next: onwards * (1 - clicks + clicks * after_click).

    onwards: the ratio of the two positions' `examination`. clicks: the probability of a click here, 0 or 1 once it is
    known. With onwards 1 and after_click 0 this is the cascade model of Craswell, Zoeter, Taylor and Ramsey (2008), "An
    experimental comparison of click position-bias models"; after_click is that of the dependent click model (Guo, Liu
    and Wang 2009); with after_click 1 the position-based model is left.
    """
    return onwards * (1.0 - clicks + clicks * after_click)


@law
def seasonal(page: int, topic: int, n_topics: int, period: float) -> float:
    """How much a topic is in season, -1 .. 1: cos(2 pi (page / period - topic / n_topics)); topics peak in turn."""
    return math.cos(2.0 * math.pi * (page / period - topic / n_topics))
