"""Whatever an agent answers, what is wrong with it is told with the agent, the user and the page."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.generation.waiting import waiting
from zsr_sim.agents.protocol import Agent, AgentError, CheckedAgent, Explaining, Scoring
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.visits import SeesState
from zsr_sim.envs.world import WorldState
from zsr_sim.errors import InputError

N_ITEMS = 60
GOOD = np.arange(24, dtype=np.int32).reshape(6, 4)
ALL = "agent mine, user 100 and 5 others, page 1 of the visit"
SIX = replace(waiting([[-1]] * 6), users=np.arange(100, 106), steps=np.array([0, 1, 2, 3, 4, 5]))


class Answers:
    """Answers what it was made with."""

    def __init__(self, decision: object) -> None:
        self.decision = decision

    def act(self, observation: Observation) -> Decision:
        return self.decision  # type: ignore[return-value]


def _with(row: int, *items: int) -> Decision:
    slates = GOOD.copy()
    slates[row] = items
    return Decision(slates)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (GOOD, f"{ALL}: act() gave ndarray; a zsr_sim.envs.observation.Decision expected"),
        (Decision(GOOD.astype(np.float32)), f"{ALL}: slates hold float32; an array of int"),
        (Decision(GOOD.tolist()), f"{ALL}: slates hold list; an array of integers"),  # type: ignore[arg-type]
        (Decision(GOOD[:5]), f"{ALL}: slates have shape (5, 4); (6, 4) expected"),
        (Decision(GOOD, sources=("similarity",) * 5), f"{ALL}: 5 sources for 6 users"),
        (
            _with(2, 1, 2, 3, 1),
            "agent mine, user 102, page 3 of the visit: its slate is [1, 2, 3, 1]; 4 different items, each 0 to 59",
        ),
        (_with(3, 1, 2, 3, N_ITEMS), "agent mine, user 103, page 4 of the visit: its slate is [1, 2, 3, 60]"),
        (_with(5, 1, 2, 3, -1), "agent mine, user 105, page 6 of the visit: its slate is [1, 2, 3, -1]"),
    ],
)
def test_a_page_that_cannot_be_shown(answer: object, says: str) -> None:
    agent = CheckedAgent("mine", Answers(answer), 4, N_ITEMS)
    with pytest.raises(InputError, match=f"^{re.escape(says)}"):
        agent.act(SIX)


def test_a_good_page_passes_unchanged() -> None:
    decision = Decision(GOOD)
    assert CheckedAgent("mine", Answers(decision), 4, N_ITEMS).act(SIX) is decision


@dataclass
class Raises:
    """Fails for user 104, and in batches that are too large."""

    most: int = 9

    def act(self, observation: Observation) -> Decision:
        if len(observation) > self.most:
            raise MemoryError
        if 104 in observation.users:
            raise KeyError("no such user")
        return Decision(GOOD[: len(observation)])


def test_an_agent_that_raises_is_told_with_the_user() -> None:
    says = r"^agent mine, user 104, page 5 of the visit: 'no such user' \(KeyError in act, test_protocol.py line \d+\)$"
    with pytest.raises(AgentError, match=says) as caught:
        CheckedAgent("mine", Raises(), 4, N_ITEMS).act(SIX)
    assert (caught.value.agent, caught.value.user, caught.value.step) == ("mine", 104, 4)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(
        AgentError, match=r"^agent mine, user 100 and 3 others, page 1 .*together, for none of them alone$"
    ):
        CheckedAgent("mine", Raises(most=3), 4, N_ITEMS).act(SIX.take(slice(0, 4)))


@dataclass
class Everything:
    """An agent that offers all there is."""

    found: NDArray[np.float32]

    def act(self, observation: Observation) -> Decision:
        return Decision(GOOD)

    def act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        return Decision(GOOD)

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        return self.found

    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.ones((len(items), 1))


def _offers(agent: Agent) -> list[bool]:
    return [isinstance(agent, kind) for kind in (Agent, Scoring, Explaining, SeesState)]


def test_a_checked_agent_offers_what_the_agent_offers() -> None:
    full = Everything(np.zeros((6, N_ITEMS), np.float32))
    assert _offers(CheckedAgent("mine", Answers(None), 4, N_ITEMS)) == [True, False, False, False]
    assert _offers(CheckedAgent("mine", full, 4, N_ITEMS)) == [True] * 4
    checked = CheckedAgent("mine", full, 4, N_ITEMS)
    assert isinstance(checked, Scoring)
    assert checked.scores(SIX) is full.found


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            np.zeros((6, 5), np.float32),
            rf"{ALL}: scores\(\) gave float32 \(6, 5\); floats \(6, 60\) expected",
        ),
        (
            np.zeros((6, N_ITEMS), np.int32),
            rf"{ALL}: scores\(\) gave int32 \(6, 60\); floats \(6, 60\) expected",
        ),
        ([1.0], rf"{ALL}: scores\(\) gave list; floats"),
        (
            np.where(np.arange(6 * N_ITEMS) == 67, np.nan, 1.0).reshape(6, N_ITEMS),
            "agent mine, user 101, page 2 of the visit: the score of item 7 is nan; a finite float32 expected",
        ),
        (
            np.where(np.arange(6 * N_ITEMS) == 67, -1e300, 1.0).reshape(6, N_ITEMS),
            r"agent mine, user 101, page 2 of the visit: the score of item 7 is -1e\+300; a finite float32 expected",
        ),
    ],
)
def test_scores_that_cannot_be_ranked(found: NDArray[np.float32], says: str) -> None:
    checked = CheckedAgent("mine", Everything(found), 4, N_ITEMS)
    assert isinstance(checked, Scoring)
    with pytest.raises(AgentError, match=f"^{says}"):
        checked.scores(SIX)


@dataclass
class Breaks:
    """Every method but `act` raises for user 102, `act` ends the program."""

    def act(self, observation: Observation) -> Decision:
        raise SystemExit(3)

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        if 102 in observation.users:
            raise ZeroDivisionError("no weight")
        return np.zeros((len(observation), N_ITEMS), np.float32)

    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        self.scores(observation)
        return np.full((len(items), 7), 1.0)


def test_whatever_is_asked_of_it_an_agent_that_raises_is_told() -> None:
    checked = CheckedAgent("mine", Breaks(), 4, N_ITEMS)
    assert isinstance(checked, Scoring)
    assert isinstance(checked, Explaining)
    with pytest.raises(AgentError, match=r"^agent mine, user 100, page 1 of the visit: 3 \(SystemExit in act, "):
        checked.act(SIX)
    one = np.zeros(6, np.int32)
    for ask, where in ((checked.scores, "scores"), (lambda users: checked.explain(users, one), "scores")):
        says = rf"^agent mine, user 102, page 3 of the visit: no weight \(ZeroDivisionError in {where}, test_prot"
        with pytest.raises(AgentError, match=says):
            ask(SIX)


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        (np.ones((6, 7)), rf"{ALL}: explain\(\) gave float64 \(6, 7\); shares, floats \(6, \d+\), expected"),
        ("words", rf"{ALL}: explain\(\) gave str; shares, floats"),
        (np.full(SIX.histories.shape, "x"), rf"{ALL}: explain\(\) gave str\d+ \(6, \d+\); shares, floats"),
        (
            np.eye(*SIX.histories.shape) * -1,
            r"agent mine, user 100, page 1 of the visit: explain\(\) gave shares \[.*\]; 0 or more",
        ),
        (
            np.full(SIX.histories.shape, np.nan),
            "agent mine, user 100, .*; 0 or more, none beside padding, and of sum 1",
        ),
        (
            np.full(SIX.histories.shape, 0.9),
            "agent mine, user 100, .*; 0 or more, none beside padding, and of sum 1",
        ),
    ],
)
def test_shares_that_are_none(shares: object, says: str) -> None:
    class Explains(Everything):
        def explain(self, observation: Observation, items: NDArray[np.int32]) -> Any:
            return shares

    checked = CheckedAgent("mine", Explains(np.zeros((6, N_ITEMS), np.float32)), 4, N_ITEMS)
    assert isinstance(checked, Explaining)
    with pytest.raises(AgentError, match=f"^{says}"):
        checked.explain(SIX, np.zeros(6, np.int32))


def test_a_user_is_told_by_the_name_that_a_person_knows() -> None:
    error = AgentError("mine", "it broke", 7, 2, others=1)
    assert str(error.known_as({7: "ann"})) == "agent mine, user ann and 1 other, page 3 of the visit: it broke"
    assert error.known_as({8: "bob"}) is error
    nobody = AgentError("mine", "it cannot be made")
    assert nobody.known_as({7: "ann"}) is nobody


def test_what_holds_for_everybody_names_nobody() -> None:
    class Oracle:
        def act(self, observation: Observation) -> Decision:
            raise InputError("use it in compare")

    with pytest.raises(AgentError, match=r"^agent mine: use it in compare$"):
        CheckedAgent("mine", Oracle(), 4, N_ITEMS).act(SIX)
