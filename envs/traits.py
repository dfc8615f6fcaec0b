"""What users are like: the parameters of every law, each a distribution over users.

A user is a row of float32 numbers, one for each `Trait`; the laws in `choice.py`, `feedback.py` and `dynamics.py` read
them. `Traits` says how these numbers are spread over users.
"""

from __future__ import annotations

import functools
from typing import Annotated, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from zsr_sim.envs.noise import Purpose, normals


class _Columns(NamedTuple):
    """Of `Users.traits`. Values are part of every seed's meaning: append only."""

    CLICK_BIAS: int = 0
    BOREDOM: int = 1
    LEAVE_BIAS: int = 2
    AFFINITY_WEIGHT: int = 3
    APPEAL_WEIGHT: int = 4
    REPEAT_PENALTY: int = 5
    SEASON_WEIGHT: int = 6
    EXAMINATION_DECAY: int = 7
    CONTINUE_AFTER_CLICK: int = 8
    LIKE_RATE: int = 9
    LIKE_SLOPE: int = 10
    PURCHASE_RATE: int = 11
    PURCHASE_SLOPE: int = 12
    PURCHASE_DELAY: int = 13
    DWELL: int = 14
    DWELL_SLOPE: int = 15
    DWELL_NOISE: int = 16
    DRIFT_RATE: int = 17
    AVERSION_RATE: int = 18
    BOREDOM_MEMORY: int = 19
    BOREDOM_DAY_MEMORY: int = 20
    SATISFACTION_MEMORY: int = 21
    QUALITY_SHARE: int = 22
    QUALITY_SLOPE: int = 23
    LEAVE_SLOPE: int = 24
    PATIENCE: int = 25
    PATIENCE_GAIN: int = 26
    RETURN_RATE: int = 27
    RETURN_SLOPE: int = 28
    LEAVE_MOOD: int = 29
    RETURN_MOOD: int = 30


Trait = _Columns()
"""Column of each trait; plain numbers, since code for a GPU takes no other index (numba-cuda 0.30)."""
N_TRAITS = len(Trait)
TRAIT_NAMES = [name.lower() for name in Trait._fields]
"""Of each column, as `Traits` has it."""
_SIGNED = {Trait.CLICK_BIAS, Trait.LEAVE_BIAS}
_SHARES = {
    Trait.CONTINUE_AFTER_CLICK, Trait.LIKE_RATE, Trait.PURCHASE_RATE, Trait.DRIFT_RATE, Trait.AVERSION_RATE,
    Trait.BOREDOM_MEMORY, Trait.BOREDOM_DAY_MEMORY, Trait.SATISFACTION_MEMORY, Trait.QUALITY_SHARE, Trait.RETURN_RATE,
}  # fmt: skip

Spread = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=0)]


class Traits(BaseModel):
    """Distributions of a user's own parameters: for each a typical value and, as `..._sd`, its spread over users.

    A log-odds is normal: typical + sd z. A share (0..1) has typical + sd z as its log-odds, anything else as its
    logarithm (log-normal; the typical value is the median); so what is switched off is off for every user. z is a
    standard normal of the user's own. Defaults are choices, not findings: a log without impressions says nothing about
    click level, boredom or leaving.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    base_click_rate: Annotated[float, Field(gt=0, lt=1)] = 0.06
    """Clicks on a random item that is looked at, on average over users; it sets the typical click bias."""
    click_bias_sd: Spread = 0.3
    """Spread of the log-odds of a click between users."""
    affinity_weight: Positive = 16.0
    """Logits per unit of cosine between the nearest interest and the item; for made-up users, a log fits it."""
    affinity_weight_sd: Spread = 0.0
    appeal_weight: Positive = 0.5
    """Logits of a click per standard deviation of an item's appeal; in what follows a click, of its quality."""
    appeal_weight_sd: Spread = 0.0
    repeat_penalty: float = 4.0
    """Logits lost by an item that the user has consumed already, gained where it is below 0; 0: off."""
    repeat_penalty_sd: Spread = 0.0
    season_weight: Positive = 0.0
    """Logits that an item gains in its topic's season and loses half a year away from it; 0: off."""
    season_weight_sd: Spread = 0.0
    examination_decay: Positive = 0.5
    """Position bias: position j (from 1) is looked at with probability j ** -decay; 0: off."""
    examination_decay_sd: Spread = 0.0
    continue_after_click: Share = 0.0
    """Cascade: share of users who look on after a click; 0: a page gets one click at most."""
    continue_after_click_sd: Spread = 0.0
    like_rate: Share = 0.2
    """Share of clicked items that are liked, for an item of relevance 0; 0: off."""
    like_rate_sd: Spread = 0.0
    like_slope: Positive = 0.5
    """Log-odds of a like per logit of relevance."""
    like_slope_sd: Spread = 0.0
    purchase_rate: Share = 0.03
    """Share of clicked items that are bought, for an item of relevance 0; 0: off."""
    purchase_rate_sd: Spread = 0.0
    purchase_slope: Positive = 0.5
    """Log-odds of a purchase per logit of relevance."""
    purchase_slope_sd: Spread = 0.0
    purchase_delay: Annotated[float, Field(ge=0, le=15)] = 0.0
    """Pages until a purchase reaches the reward, to the nearest whole number, at most 15; 0: at once."""
    purchase_delay_sd: Spread = 0.0
    dwell: Positive = 60.0
    """Seconds spent on a clicked item of relevance 0, the median; 0: off."""
    dwell_sd: Spread = 0.0
    dwell_slope: Positive = 0.1
    """Log of dwell time per logit of relevance."""
    dwell_slope_sd: Spread = 0.0
    dwell_noise: Positive = 0.8
    """Standard deviation of the log of dwell time from one click to the next."""
    dwell_noise_sd: Spread = 0.0
    drift_rate: Share = 0.05
    """Share of the way that an interest moves towards a clicked item; 0: off."""
    drift_rate_sd: Spread = 0.0
    aversion_rate: Share = 0.0
    """Share of the way that an interest moves away from an item that was looked at and passed over; 0: off."""
    aversion_rate_sd: Spread = 0.0
    boredom: Positive = 1.5
    """Logits that a click on a topic costs its next items; 0: off."""
    boredom_sd: Spread = 0.4
    boredom_memory: Share = 0.8
    """Share of boredom left after a page; the rest has recovered."""
    boredom_memory_sd: Spread = 0.0
    boredom_day_memory: Share = 0.2
    """Share of boredom left after each day away."""
    boredom_day_memory_sd: Spread = 0.0
    satisfaction_memory: Share = 0.7
    """Share of satisfaction carried over a page; the rest is this page's success. 1: satisfaction stays as it is."""
    satisfaction_memory_sd: Spread = 0.0
    quality_share: Share = 0.0
    """Share of a page's success, and of the pull of what was clicked, that hangs on its quality; 0: clicks are all."""
    quality_share_sd: Spread = 0.0
    quality_slope: Positive = 2.0
    """Log-odds of enjoying a clicked item per standard deviation of its quality."""
    quality_slope_sd: Spread = 0.0
    leave_bias: float = -1.0
    """Log-odds of leaving after a page when wholly dissatisfied; -30 or less: nobody leaves."""
    leave_bias_sd: Spread = 0.3
    leave_slope: Positive = 5.0
    """Logits by which full satisfaction makes leaving less likely than none; 0: satisfaction does not matter."""
    leave_slope_sd: Spread = 0.0
    patience: Positive = 0.0
    """Pages that a session may fail before the user goes; 0: without end."""
    patience_sd: Spread = 0.0
    patience_gain: Positive = 0.5
    """Pages of patience that a fully successful page gives back."""
    patience_gain_sd: Spread = 0.0
    return_rate: Share = 0.0
    """Chance on each day away of coming back, when half satisfied; 0: who leaves does not come back."""
    return_rate_sd: Spread = 0.0
    return_slope: Positive = 4.0
    """Log-odds of coming back on a day, from no satisfaction to full."""
    return_slope_sd: Spread = 0.0
    leave_mood: Positive = 0.0
    """Standard deviation, from one session of a user to the next, of the log-odds of leaving; 0: off."""
    leave_mood_sd: Spread = 0.0
    return_mood: Positive = 0.0
    """Standard deviation, from one absence of a user to the next, of the log-odds of coming back on a day; 0: off."""
    return_mood_sd: Spread = 0.0

    def replace(self, **changes: float) -> Self:
        """The same distributions but for these; raises pydantic's ValidationError for what cannot be."""
        return type(self).model_validate(self.model_dump() | changes)

    def typical(self) -> dict[str, float]:
        """Typical value of each trait by its name in lower case; without click bias, which follows from the rate."""
        return {name: getattr(self, name) for name in TRAIT_NAMES if name != "click_bias"}


def draw_traits(traits: Traits, seed: int, keys: NDArray[np.int64], click_bias: float) -> NDArray[np.float32]:
    """A row of traits for each key, float32 (n, N_TRAITS): a function of (traits, seed, key) and `click_bias`.

    The first three traits share one draw, as in the first release; each other one has a draw of its own.
    """
    typical, spread = _distributions(traits)
    out = np.tile(typical, (len(keys), 1))
    out[:, Trait.CLICK_BIAS] = click_bias
    first = normals(seed, keys, 0, Purpose.TRAITS, 3).astype(np.float32)  # (n, 3)
    for trait, sd in spread:
        z = first[:, trait] if trait < 3 else normals(seed, keys, trait, Purpose.OTHER_TRAITS, 1)[:, 0]
        out[:, trait] = _spread(trait, out[:, trait], sd * z.astype(np.float32))
    return out


@functools.lru_cache(maxsize=16)
def _distributions(traits: Traits) -> tuple[NDArray[np.float32], list[tuple[int, np.float32]]]:
    """Typical values, float32 (N_TRAITS,), click bias apart, and the spread of the traits in which users differ."""
    values = {"click_bias": 0.0} | traits.typical()
    typical = np.array([values[name] for name in TRAIT_NAMES], dtype=np.float32)
    spread = [(trait, np.float32(getattr(traits, name + "_sd"))) for trait, name in enumerate(TRAIT_NAMES)]
    return typical, [(trait, sd) for trait, sd in spread if sd]


def _spread(trait: int, typical: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    if trait in _SIGNED:
        return np.asarray(typical + shift)
    if trait in _SHARES:
        return np.asarray(typical / (typical + (1 - typical) * np.exp(-shift)))  # sigmoid(logit(typical) + shift)
    return np.asarray(typical * np.exp(shift))
