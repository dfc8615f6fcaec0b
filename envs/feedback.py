"""What follows a click: like, purchase, dwell time; and what a page's feedback is worth.

All follow from one number, the `worth` of the item, with a level and a slope of their own: appeal draws the click,
quality, and what pleases this user beyond it, decides what becomes of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.columns import Columns
from zsr_sim.envs.dynamics import shifted
from zsr_sim.envs.exponential import cosine_of_turns, exponential, logarithm

_BOOL, _FLOAT = np.dtype(np.bool_), np.dtype(np.float32)
KINDS = ("click", "like", "purchase", "dwell")
"""Kinds of feedback that a reward may count, in the order of `Feedback.amounts`."""


class RewardWeights(NamedTuple):
    """What each kind of feedback is worth; the reward of a page is the sum of weight * amount."""

    click: float = 1.0
    like: float = 0.0
    purchase: float = 0.0
    dwell: float = 0.0
    """Per second."""


@dataclass
class Feedback(Columns):
    """What one page brought. Users who had left before: zeros.

    Of each item, bool (n, slate): clicks; likes and purchases of what was clicked; skips, looked at and not clicked;
    unavailable, shown before its release or after its expiry, which earns nothing. dwell: float32 (n, slate), seconds.
    probabilities: float32 (n, slate), the true probability of a click.

    Of each user, (n,): left, bool, the visit is over. leave_probability: float32, the true probability of that, given
    what happened on the page. gaps: float32, days until the user came back, where this page ended a session but not the
    visit; otherwise 0. reward: float32, sum over kinds of weight * amount. expected_reward: float32, its expectation
    given the user's state and the page. amounts: float32 (n, 4), of each of `KINDS`; a purchase counts when it arrives.

    No strategy sees probabilities, leave_probability and expected_reward: they are for tests and references.
    """

    clicks: NDArray[np.bool_]
    likes: NDArray[np.bool_]
    purchases: NDArray[np.bool_]
    skips: NDArray[np.bool_]
    unavailable: NDArray[np.bool_]
    dwell: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    left: NDArray[np.bool_]
    leave_probability: NDArray[np.float32]
    gaps: NDArray[np.float32]
    reward: NDArray[np.float32]
    expected_reward: NDArray[np.float32]
    amounts: NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, slate_size: int) -> Feedback:
        """Columns that the step fills in; until then, whatever lay there."""
        marks, sizes = np.empty((5, n, slate_size), _BOOL), np.empty((2, n, slate_size), _FLOAT)
        left, of_users = np.empty(n, _BOOL), np.empty((4, n), _FLOAT)
        return cls(
            marks[0], marks[1], marks[2], marks[3], marks[4], sizes[0], sizes[1], left,
            of_users[0], of_users[1], of_users[2], of_users[3], np.empty((n, len(KINDS)), _FLOAT),
        )  # fmt: skip

    @property
    def parts(self) -> dict[str, NDArray[np.float32]]:
        """Amount of each kind on the page, float32 (n,): clicks, likes, purchases that arrived, seconds."""
        return {kind: self.amounts[:, column] for column, kind in enumerate(KINDS)}


@law
def worth(
    lift: float, relevance: float, appeal: float, quality: float,
    likings: NDArray[np.float32], user: int, pleasures: NDArray[np.float32], item: int,
) -> float:  # fmt: skip
    """What a clicked item is worth to a user, in logits: relevance with quality in place of appeal.

    relevance + lift * (quality - appeal), lift the user's appeal_weight; or, where it is known what pleases users (rows
    of likings (users, e) and pleasures (n, e), e > 0), lift * (quality + <liking, pleasure>): in logs of ratings, what
    draws a user says next to nothing about what pleases, once consumed.
    """
    if likings.shape[1] == 0:
        return relevance + lift * (quality - appeal)
    pleased = 0.0
    for j in range(pleasures.shape[1]):
        pleased += likings[user, j] * pleasures[item, j]
    return lift * (quality + pleased)


@law
def reaction_probability(worth: float, rate: float, slope: float) -> float:
    """Probability that a clicked item is liked, or bought: log-odds of `rate` plus slope * worth."""
    return shifted(rate, slope * worth)


@law
def dwell_median(worth: float, level: float, slope: float) -> float:
    """Median of the seconds spent on a clicked item: level * exp(slope * worth).

    Dwell times are about log-normal: Yin, Luo, Lee and Wang (2013), "Silence is also evidence: interpreting dwell time
    for recommendation from psychological perspective".
    """
    return level * exponential(min(slope * worth, 20.0))  # finite, however extreme the worth


@law
def dwell_time(median: float, noise: float, luck: float, angle: float) -> float:
    """Log-normal seconds: median * exp(noise * z), z from two uniforms by Box and Muller (1958)."""
    return median * exponential(noise * math.sqrt(-2.0 * logarithm(luck)) * cosine_of_turns(angle))
