"""Tiny worlds solved exactly by dynamic programming: all users alike, one item on a page, no taste drift, one session.

The solver knows the laws from their formulas alone and shares no code with the world: boredom, repeats, appeal, quality
and satisfaction, leaving. What it says of a strategy or of the best one can be held against simulated visits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from tests.envs.tiny import SameUsers
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.world import World

NOT_DRIFTING = Traits(drift_rate=0.0, repeat_penalty=0.0, examination_decay=0.0)


@dataclass(frozen=True)
class TinyWorld:
    """Users of one interest and some items, whose cosine with it is given.

    traits: of all users, without spread; drift must be off. The visit ends after `horizon` pages. consumed: what they
    have consumed before: without it nothing tells a strategy that sees texts alone what they like.
    """

    cosines: tuple[float, ...]
    appeal: tuple[float, ...]
    quality: tuple[float, ...]
    topics: tuple[int, ...]
    horizon: int
    click_bias: float = -1.0
    traits: Traits = field(default=NOT_DRIFTING)
    consumed: tuple[int, ...] = ()

    def world(self) -> World:
        """The simulated world."""
        vectors = np.array([[c, math.sqrt(1 - c * c)] for c in self.cosines], dtype=np.float32)
        appeal, quality = (np.array(column, dtype=np.float32) for column in (self.appeal, self.quality))
        topics = np.array(self.topics, dtype=np.int32)
        items = WorldItems(vectors, appeal, topics, max(self.topics) + 1, quality)
        return World(items, slate_size=1, shown_capacity=self.horizon)

    def users(self) -> SameUsers:
        """Its population."""
        t = self.traits
        return SameUsers([1.0, 0.0], self.click_bias, t.boredom, t.leave_bias, t, consumed=self.consumed)

    def solve(self, order: tuple[int, ...] | None = None) -> tuple[float, float]:
        """Expected clicks and pages of a visit that shows item `order[page]`; None: of the best strategy there is.

        The best one knows everything, also what was clicked and how bored and satisfied the user is.
        """
        t, n_topics = self.traits, max(self.topics) + 1

        @cache
        def value(
            page: int, boredom: tuple[float, ...], satisfaction: float, consumed: frozenset[int]
        ) -> tuple[float, float]:
            if page == self.horizon:
                return 0.0, 0.0
            best = (-math.inf, 0.0)
            for item in range(len(self.cosines)) if order is None else order[page : page + 1]:
                logit = self.click_bias + t.affinity_weight * self.cosines[item] + t.appeal_weight * self.appeal[item]
                logit -= t.boredom * boredom[self.topics[item]] + t.repeat_penalty * (item in consumed)
                p = _logistic(logit)
                clicks, pages = p, 1.0
                for clicked, chance in ((True, p), (False, 1 - p)):
                    later = tuple(
                        t.boredom_memory * boredom[c] + (clicked and self.topics[item] == c) for c in range(n_topics)
                    )
                    enjoyed = _logistic(t.quality_slope * self.quality[item])
                    success = 0.5 * (1 - t.quality_share * (1 - enjoyed)) if clicked else 0.0
                    mood = t.satisfaction_memory * satisfaction + (1 - t.satisfaction_memory) * success
                    stays = 1 - _logistic(t.leave_bias - t.leave_slope * mood)
                    rest = value(page + 1, later, mood, consumed | {item} if clicked else consumed)
                    clicks, pages = clicks + chance * stays * rest[0], pages + chance * stays * rest[1]
                best = max(best, (clicks, pages))
            return best

        return value(0, (0.0,) * n_topics, 0.5, frozenset(self.consumed))


@dataclass(frozen=True)
class Showing:
    """Item `order[page]`, whoever visits."""

    order: tuple[int, ...]

    def act(self, observation: Observation) -> Decision:
        """One item for each user."""
        return Decision(np.array(self.order, dtype=np.int32)[observation.steps][:, None])


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


_EVEN = NOT_DRIFTING.replace(affinity_weight=2.0, appeal_weight=0.5)

BOREDOM = TinyWorld(
    cosines=(1.0, 0.8, 0.6, 0.0), appeal=(0.0, 0.5, 1.0, -0.5), quality=(0.0, 0.5, 1.0, -0.5), topics=(0, 0, 1, 1),
    horizon=4, traits=_EVEN.replace(boredom=1.5, boredom_memory=0.5, leave_bias=1.0, leave_slope=4.0), consumed=(0,),
)  # fmt: skip
"""Item 0 is the best on each single page; over a visit, alternating with the other topic earns more."""

CLICKBAIT = TinyWorld(
    cosines=(0.9, 0.9, 0.5, 0.5), appeal=(2.0, 0.0, 1.0, -1.0), quality=(-2.0, 2.0, -1.0, 1.0), topics=(0, 0, 1, 1),
    horizon=6, traits=_EVEN.replace(boredom=0.0, leave_bias=1.0, leave_slope=12.0, quality_share=1.0),
    consumed=(0,),
)  # fmt: skip
"""Item 0 draws the most clicks on each single page and disappoints; item 1 earns more over a visit."""
