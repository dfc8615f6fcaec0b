"""A world of 4 items and 2 topics, solved exactly by dynamic programming and held against simulated visits."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from tests.envs.tiny import SameUsers
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.visits import simulate
from zsr_sim.envs.world import World

HORIZON = 4
USERS = 20_000
TASTE, BIAS, SENSITIVITY, LEAVE_BIAS = [1.0, 0.0], -1.0, 1.5, 1.0
COSINES, QUALITY, TOPICS = (1.0, 0.8, 0.6, 0.0), (0.0, 0.5, 1.0, -0.5), (0, 0, 1, 1)
AFFINITY_WEIGHT, QUALITY_WEIGHT = 2.0, 0.5
BOREDOM_MEMORY, SATISFACTION_MEMORY, LEAVE_SLOPE = 0.5, 0.7, 4.0


def tiny_world() -> World:
    vectors = np.array([[c, math.sqrt(1 - c * c)] for c in COSINES], dtype=np.float32)
    items = WorldItems(vectors, np.array(QUALITY, dtype=np.float32), np.array(TOPICS, dtype=np.int32), 2)
    return World(items, slate_size=1, shown_capacity=HORIZON)


def tiny_users(repeat_penalty: float) -> SameUsers:
    traits = Traits(
        affinity_weight=AFFINITY_WEIGHT, appeal_weight=QUALITY_WEIGHT, repeat_penalty=repeat_penalty, drift_rate=0.0,
        boredom_memory=BOREDOM_MEMORY, satisfaction_memory=SATISFACTION_MEMORY, leave_slope=LEAVE_SLOPE,
    )  # fmt: skip
    return SameUsers(TASTE, BIAS, SENSITIVITY, LEAVE_BIAS, traits)


@dataclass(frozen=True)
class Showing:
    """Item `order[page]`, whoever visits."""

    order: tuple[int, ...]

    def act(self, observation: Observation) -> Decision:
        return Decision(np.array(self.order, dtype=np.int32)[observation.steps][:, None])


def solve(repeat_penalty: float, order: tuple[int, ...] | None) -> tuple[float, float]:
    """Expected clicks and pages of a visit that shows `order`; None: the most clicks that any strategy can get."""

    @cache
    def value(
        page: int, boredom: tuple[float, float], satisfaction: float, consumed: frozenset[int]
    ) -> tuple[float, float]:
        if page == HORIZON:
            return 0.0, 0.0
        best = (-math.inf, 0.0)
        for item in range(4) if order is None else order[page : page + 1]:
            logit = BIAS + AFFINITY_WEIGHT * COSINES[item] + QUALITY_WEIGHT * QUALITY[item]
            logit -= SENSITIVITY * boredom[TOPICS[item]] + repeat_penalty * (item in consumed)
            p = 1 / (1 + math.exp(-logit))
            clicks, pages = p, 1.0
            for clicked, chance in ((1, p), (0, 1 - p)):
                added = clicked * (TOPICS[item] == 0), clicked * (TOPICS[item] == 1)
                later = boredom[0] * BOREDOM_MEMORY + added[0], boredom[1] * BOREDOM_MEMORY + added[1]
                mood = SATISFACTION_MEMORY * satisfaction + (1 - SATISFACTION_MEMORY) * clicked / 2
                stays = 1 - 1 / (1 + math.exp(LEAVE_SLOPE * mood - LEAVE_BIAS))
                rest = value(page + 1, later, mood, consumed | {item} if clicked else consumed)
                clicks += chance * stays * rest[0]
                pages += chance * stays * rest[1]
            best = max(best, (clicks, pages))
        return best

    return value(0, (0.0, 0.0), 0.5, frozenset())


SAME, ALTERNATING = (0, 0, 0, 0), (0, 2, 0, 2)


@pytest.mark.parametrize("repeat_penalty", [0.0, 2.0])
@pytest.mark.parametrize("order", [SAME, ALTERNATING, (3, 1, 2, 0)])
def test_simulated_visits_agree_with_the_solution(order: tuple[int, ...], repeat_penalty: float) -> None:
    clicks, pages = solve(repeat_penalty, order)
    visits = simulate(
        tiny_world(),
        tiny_users(repeat_penalty),
        np.arange(USERS),
        Showing(order),
        seed=0,
        horizon=HORIZON,
        batch_size=7_000,
    )
    for found, expected in ((visits.returns, clicks), (visits.pages, pages)):
        assert abs(found.mean() - expected) < 3 * found.std() / math.sqrt(USERS)
        assert 3 * found.std() / math.sqrt(USERS) < 0.03  # what the comparison can see


def test_boredom_makes_variety_worth_its_price() -> None:
    """Item 0 is the best on each single page; over a visit, alternating with the other topic earns more."""
    assert solve(0.0, (0, 0, 0, 0))[0] + 0.1 < solve(0.0, ALTERNATING)[0] <= solve(0.0, None)[0]
    p = [1 / (1 + math.exp(1 - 2 * c - 0.5 * q)) for c, q in zip(COSINES, QUALITY, strict=True)]
    assert max(p) == p[0]
