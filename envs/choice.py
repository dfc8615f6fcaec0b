"""What a user picks from a slate: relevance of an item to a user, and whether it is seen and clicked.

Each law is a scalar function of one user and one item; `world.py` compiles the same functions into its batched loop.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law


class ChoiceLaw(NamedTuple):
    """Parameters of relevance and click that all users share."""

    affinity_weight: float = 16.0
    """Logits per unit of cosine between the nearest interest and the item."""
    quality_weight: float = 0.5
    """Logits per standard deviation of item quality (appeal to everybody)."""
    repeat_penalty: float = 4.0
    """Logits lost by an item that the user has consumed already."""
    examination_decay: float = 0.5
    """Exponent of position bias: the share of users who look at position j (from 1) is j ** -decay."""


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
def relevance(choice: ChoiceLaw, bias: float, cosine: float, quality: float, bored: float, repeated: bool) -> float:
    """Log-odds that a user who looks at an item clicks it.

    bias + affinity_weight * cosine + quality_weight * quality - bored - repeat_penalty * [repeated]
    """
    logit = bias + choice.affinity_weight * cosine + choice.quality_weight * quality - bored
    return logit - choice.repeat_penalty if repeated else logit


@law
def examination(position: int, decay: float) -> float:
    """Probability that a user looks at a position (from 0): (1 + position) ** -decay.

    The position-based model: click = examination * attraction (Richardson, Dominowska and Ragno 2007).
    """
    return math.exp(-decay * math.log(1.0 + position))


@law
def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + math.exp(-logit))
