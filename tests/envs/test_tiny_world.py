"""Worlds of 4 items and 2 topics, solved exactly by dynamic programming and held against simulated visits."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.envs.exact import BOREDOM, CLICKBAIT, Showing, TinyWorld
from zsr_sim.envs.visits import simulate

USERS = 20_000
REPEATED = replace(BOREDOM, traits=BOREDOM.traits.replace(repeat_penalty=2.0))


@pytest.mark.parametrize(
    ("tiny", "order"),
    [
        (BOREDOM, (0, 0, 0, 0)),
        (BOREDOM, (0, 2, 0, 2)),
        (BOREDOM, (3, 1, 2, 0)),
        (REPEATED, (0, 0, 0, 0)),
        (REPEATED, (3, 1, 2, 0)),
        (CLICKBAIT, (0,) * 6),
        (CLICKBAIT, (1,) * 6),
        (CLICKBAIT, (1, 1, 3, 2, 0, 0)),
    ],
)
def test_simulated_visits_agree_with_the_solution(tiny: TinyWorld, order: tuple[int, ...]) -> None:
    clicks, pages = tiny.solve(order)
    visits = simulate(
        tiny.world(), tiny.users(), np.arange(USERS), Showing(order), seed=0, horizon=tiny.horizon, batch_size=7_000
    )
    for found, expected in ((visits.returns, clicks), (visits.expected_returns, clicks), (visits.pages, pages)):
        assert abs(found.mean() - expected) < 3 * found.std() / math.sqrt(USERS)
        assert 3 * found.std() / math.sqrt(USERS) < 0.05  # what the comparison can see


def test_boredom_makes_variety_worth_its_price() -> None:
    myopic, varied, best = (BOREDOM.solve(order)[0] for order in ((0,) * 4, (0, 2, 0, 2), None))
    assert myopic + 0.1 < varied <= best
    first = [replace(BOREDOM, horizon=1).solve((item,))[0] for item in range(4)]
    assert max(first) == first[0]


def test_clickbait_wins_each_page_and_loses_the_visit() -> None:
    bait, honest, best = (CLICKBAIT.solve(order) for order in ((0,) * 6, (1,) * 6, None))
    first = [replace(CLICKBAIT, horizon=1).solve((item,))[0] for item in range(4)]
    assert max(first) == first[0] > first[1] + 0.1
    assert bait[0] + 0.3 < honest[0] <= best[0]
    assert bait[1] + 1 < honest[1]
