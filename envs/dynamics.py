"""How a user changes: taste drift, boredom with topics and its recovery, satisfaction, and leaving."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.choice import sigmoid


class DynamicsLaw(NamedTuple):
    """Parameters of change that all users share; a rate of 0 switches its law off."""

    drift_rate: float = 0.05
    """Share of the way that an interest moves towards a clicked item, 0..1."""
    boredom_per_click: float = 1.0
    """Boredom with a topic that one click on it adds, in units of the user's sensitivity."""
    boredom_memory: float = 0.8
    """Share of boredom that is left after a step, 0..1; the rest has recovered."""
    satisfaction_memory: float = 0.7
    """Share of satisfaction that is carried over a step, 0..1; the rest is this page's success."""
    leave_slope: float = 5.0
    """Logits by which full satisfaction makes leaving less likely than none."""


@law
def drift(interest: NDArray[np.float32], item: NDArray[np.float32], rate: float) -> None:
    """Move an interest (d,) towards an item (d,) in place: normalise((1 - rate) * interest + rate * item)."""
    if rate == 0.0:
        return  # normalising alone would move an interest by a rounding error on every click
    length = 0.0
    for j in range(interest.shape[0]):
        interest[j] = (1.0 - rate) * interest[j] + rate * item[j]
        length += interest[j] * interest[j]
    length = max(math.sqrt(length), 1e-12)
    for j in range(interest.shape[0]):
        interest[j] /= length


@law
def page_success(clicks: int) -> float:
    """How well a page went, 0..1: 1 - 2 ** -clicks, so that each further click adds half of what the last one did."""
    return 1.0 - math.exp(-0.6931471805599453 * clicks)


@law
def satisfied(satisfaction: float, clicks: int, memory: float) -> float:
    """Exponential moving average of page success, 0..1."""
    return memory * satisfaction + (1.0 - memory) * page_success(clicks)


@law
def leave_hazard(satisfaction: float, bias: float, slope: float) -> float:
    """Probability of leaving after a page: sigmoid(bias - slope * satisfaction)."""
    return sigmoid(bias - slope * satisfaction)
