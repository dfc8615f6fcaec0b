"""What a user picks from a page: relevance of an item to a user, and whether it is looked at and clicked.

Each law is a scalar function of one user and one item; `step.py` compiles the same functions into its loop over users.
Three models of choice use the same relevance; `CHOICES` says in a line what each is.
"""

import math

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.traits import Trait

POSITION, CASCADE, LOGIT = 0, 1, 2
CHOICES = {"position": POSITION, "cascade": CASCADE, "logit": LOGIT}
"""position: each place is looked at with a probability of its own, and clicks do not depend on each other.
cascade: from top to bottom; a click, or impatience, ends the page. logit: at most one click, items compete for it."""


@law
def affinity(tastes: NDArray[np.float32], item: NDArray[np.float32]) -> tuple[float, int]:
    """Cosine of the item with the nearest of a user's interests, and which interest that is.

    tastes: (n_interests, d) unit vectors; item: (d,) unit vector. The maximum over interests is the multi-interest
    model of Weston, Weiss and Yee (2013), "Nonlinear latent factorization by embedding multiple user interests".
    """
    best, which = -2.0, 0
    for k in range(tastes.shape[0]):
        cosine = 0.0
        for j in range(item.shape[0]):
            cosine += tastes[k, j] * item[j]
        if cosine > best:
            best, which = cosine, k
    return best, which


@law
def relevance(
    traits: NDArray[np.float32], cosine: float, appeal: float, bored: float, season: float, repeated: bool
) -> float:
    """Log-odds that a user who looks at an item clicks it.

    click_bias + affinity_weight * cosine + appeal_weight * appeal - boredom * bored + season_weight * season
    - repeat_penalty * [repeated], the weights from the user's traits, float32 (N_TRAITS,).
    """
    logit: float = (
        traits[Trait.CLICK_BIAS] + traits[Trait.AFFINITY_WEIGHT] * cosine + traits[Trait.APPEAL_WEIGHT] * appeal
    )
    logit += traits[Trait.SEASON_WEIGHT] * season - traits[Trait.BOREDOM] * bored
    if repeated:
        logit -= traits[Trait.REPEAT_PENALTY]
    return logit


@law
def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + math.exp(-logit))


@law
def examination(position: int, decay: float) -> float:
    """Probability that a user looks at a position (from 0): (1 + position) ** -decay.

    The position-based model: click = examination * attraction (Richardson, Dominowska and Ragno 2007).
    """
    return math.exp(-decay * math.log(1.0 + position))


@law
def cascade_reach(reach: float, position: int, decay: float, clicks: float, after_click: float) -> float:
    """Probability of looking at the position after this one, which is looked at with probability `reach`.

    reach * ((2 + position) / (1 + position)) ** -decay * (1 - clicks + clicks * after_click), where `clicks` is the
    probability of a click here (0 or 1 once it is known). With decay 0 and after_click 0 this is the cascade model of
    Craswell, Zoeter, Taylor and Ramsey (2008), "An experimental comparison of click position-bias models"; after_click
    is the dependent click model of Guo, Liu and Wang (2009); with after_click 1 it is the position-based model.
    """
    onwards = math.exp(-decay * math.log((2.0 + position) / (1.0 + position)))
    return reach * onwards * (1.0 - clicks + clicks * after_click)


@law
def seasonal(page: int, topic: int, n_topics: int, period: float) -> float:
    """How much a topic is in season, -1 .. 1: cos(2 pi (page / period - topic / n_topics)); topics peak in turn."""
    return math.cos(2.0 * math.pi * (page / period - topic / n_topics))
