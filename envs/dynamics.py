"""How a user changes: taste drift, boredom and its recovery, satisfaction, patience, leaving and coming back."""

import math

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.choice import sigmoid
from zsr_sim.envs.exponential import exponential


@law
def drift(
    tastes: NDArray[np.float32], user: int, interest: int, items: NDArray[np.float32], item: int, rate: float
) -> None:
    """Move an interest towards an item, in place: normalise((1 - rate) * interest + rate * item).

    tastes: (users, n_interests, d) and items: (n, d); user, interest and item are rows. A negative rate, at least -1,
    moves it away.
    """
    if rate == 0.0:
        return  # normalising alone would move an interest by a rounding error on every click
    stays, comes, length = np.float32(1.0 - rate), np.float32(rate), np.float32(0.0)
    for j in range(items.shape[1]):
        moved = stays * tastes[user, interest, j] + comes * items[item, j]
        tastes[user, interest, j] = moved
        length += moved * moved
    shrink = np.float32(1.0 / max(math.sqrt(length), 1e-12))
    for j in range(items.shape[1]):
        tastes[user, interest, j] *= shrink


@law
def enjoyment(quality: float, slope: float) -> float:
    """How much a consumed item is enjoyed, 0..1: sigmoid(slope * quality); its appeal has no part in it."""
    return sigmoid(slope * quality)


@law
def pull(enjoyed: float, quality_share: float) -> float:
    """How an interest follows a clicked item, -1..1: 1 - 2 * quality_share * (1 - enjoyed).

    Towards it in full where quality does not count (share 0); away from it where all hangs on quality and less than
    half was enjoyed.
    """
    return 1.0 - 2.0 * quality_share * (1.0 - enjoyed)


@law
def page_success(clicks: int) -> float:
    """How well a page went, 0..1: 1 - 2 ** -clicks, so that each further click adds half of what the last one did."""
    return 1.0 - exponential(-0.6931471805599453 * clicks)


@law
def fulfilment(enjoyed: float, quality_share: float) -> float:
    """What share of a page's success satisfies, 0..1: 1 - quality_share * (1 - enjoyed), by what was consumed there.

    The gap between what is clicked and what satisfies is that of the Choc/Kale task in Ie et al. (2019), "RecSim: a
    configurable simulation platform for recommender systems", section 5.2.
    """
    return 1.0 - quality_share * (1.0 - enjoyed)


@law
def satisfied(satisfaction: float, success: float, memory: float) -> float:
    """Exponential moving average of page success, 0..1."""
    return memory * satisfaction + (1.0 - memory) * success


@law
def patience_left(patience: float, success: float, gain: float) -> float:
    """Patience after a page, in pages: one less, and `gain` back for full success; at 0 the session is over.

    The time budget of Ie et al. (2019), "SlateQ", section 7.1, where engagement gives time back.
    """
    return patience - 1.0 + gain * success


@law
def leave_hazard(satisfaction: float, bias: float, slope: float) -> float:
    """Probability of leaving after a page: sigmoid(bias - slope * satisfaction)."""
    return sigmoid(bias - slope * satisfaction)


@law
def shifted(share: float, logits: float) -> float:
    """A probability whose log-odds are those of `share` plus `logits`; 0 and 1 stay what they are."""
    if share == 0.0:
        return 0.0
    return share / (share + (1.0 - share) * exponential(-logits))


@law
def moods(radius: float, angle: float) -> tuple[float, float]:
    """Two standard normals from two uniforms in (0, 1) (Box and Muller 1958): of a session, and of the absence after.

    A hazard that is drawn anew for each time makes what has lasted likely to last (`hazards.py`).
    """
    length, turn = math.sqrt(-2.0 * math.log(radius)), 2.0 * math.pi * angle
    return length * math.cos(turn), length * math.sin(turn)


@law
def return_hazard(satisfaction: float, rate: float, slope: float, mood: float) -> float:
    """Probability of coming back on a day away: log-odds of `rate` plus slope * (satisfaction - 1/2) + mood, logits."""
    return shifted(rate, slope * (satisfaction - 0.5) + mood)


@law
def absence(daily: float, days: int) -> float:
    """Probability of staying away for so many days: (1 - daily) ** days, by squaring."""
    kept, power = 1.0, 1.0 - daily
    while days > 0:
        kept *= power if days & 1 else 1.0
        power *= power
        days >>= 1
    return kept


@law
def gap(luck: float, hazard: float) -> float:
    """Days away, a whole number from 1: geometric with this hazard a day, by inversion of a uniform in (0, 1)."""
    if hazard >= 1.0:
        return 1.0
    return math.ceil(math.log(luck) / math.log1p(-hazard))
