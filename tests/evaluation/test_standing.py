"""Standings: shares of the gap by hand."""

import math

import pytest

from tests.evaluation.hand_made import visits
from zsr_sim.evaluation.standing import standings


def test_shares_of_the_gap_are_those_of_the_means() -> None:
    """Random 2, planner 10 of two users whom random brings 2 as well: a mean of 8 closes 75 %."""
    found = standings(
        {
            "random": {0: visits([1.0, 3.0, 2.0, 2.0])},
            "similarity": {0: visits([4.0, 4.0, 4.0, 4.0])},
            "policy-gradient": {0: visits([7.0, 9.0, 8.0, 8.0])},
            "oracle-planner": {0: visits([9.0, 11.0])},
        }
    )
    assert found["policy-gradient"]["return"]["mean"] == 8.0
    assert found["policy-gradient"]["seeds"] == [8.0]
    assert found["random"]["gap_closed"]["mean"] == 0.0
    assert found["oracle-planner"]["gap_closed"]["mean"] == 1.0
    share = found["policy-gradient"]["gap_closed"]
    assert share["mean"] == 0.75
    assert share["ci95"] == [0.75, 0.75]  # every user gains 6 of 8: nothing is left to chance
    ahead = found["policy-gradient"]["ahead"]
    assert (ahead["of"], ahead["mean"], found["similarity"]["ahead"]) == ("similarity", 4.0, None)
    # similarity leaves 5 and 7 to the planner (mean 6, standard error 1): its interval holds 0, so there is no share
    assert ahead["gap_closed"] is None


def test_the_interval_of_a_share_is_the_delta_methods() -> None:
    many = 100
    found = standings(
        {
            "random": {0: visits([0.0] * many)},
            "similarity": {0: visits([1.0, 3.0] * (many // 2))},
            "oracle-planner": {0: visits([3.0, 5.0] * (many // 2))},
        }
    )
    error = 1 / math.sqrt(many - 1)  # of both means
    low, high = found["similarity"]["gap_closed"]["ci95"]
    assert high - 0.5 == pytest.approx(1.96 * math.hypot(error, 0.5 * error) / 4)
    assert 0.5 - low == pytest.approx(high - 0.5)


def test_a_users_visits_under_several_seeds_are_one_persons() -> None:
    """The same figures twice tell nothing new."""
    alone = standings({"random": {0: visits([1.0, 2.0, 6.0])}})["random"]["return"]
    twice = standings({"random": {0: visits([1.0, 2.0, 6.0]), 1: visits([1.0, 2.0, 6.0])}})["random"]["return"]
    assert twice["ci95"] == pytest.approx(alone["ci95"])
