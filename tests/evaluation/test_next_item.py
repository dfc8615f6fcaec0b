"""Agents under trial: scores, pages in place of scores, ties, and what is wrong with an answer."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError
from zsr_sim.evaluation import next_item
from zsr_sim.evaluation.next_item import best_items, item_scores, place
from zsr_sim.evaluation.trials import cold_items, leave_one_out
from zsr_sim.interactions import Interactions


@dataclass
class Fixed:
    """The same scores for everybody."""

    row: list[float]
    batches: list[int] = field(default_factory=list)

    def act(self, observation: Observation) -> Decision:
        raise AssertionError("not asked where there are scores")

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        self.batches.append(len(observation))
        return np.tile(np.array(self.row, dtype=np.float32), (len(observation), 1))


class Pages:
    """Items 0, 1, 2, ... that are not among those shown, a page of two."""

    def act(self, observation: Observation) -> Decision:
        return Decision(
            np.array([[i for i in range(99) if i not in shown][:2] for shown in observation.shown], dtype=np.int32)
        )


LOG = Interactions.from_columns(list("aaaabbbb"), [0, 1, 2, 3, 3, 2, 1, 4], list(range(4)) * 2)


def checked(agent: object, n_items: int = 6) -> CheckedAgent:
    return CheckedAgent("mine", agent, 2, n_items)  # type: ignore[arg-type]


def test_the_users_history_is_left_out_of_the_ranking() -> None:
    placed = place(checked(Fixed([9, 8, 7, 1, 2, 3])), leave_one_out(LOG, 6), seed=0)
    # User a had 0, 1, 2: left are 3 (hidden), 4, 5. User b had 3, 2, 1: left are 0, 4 (hidden), 5.
    assert placed.standings.above.tolist() == [2, 2]
    assert placed.standings.others.tolist() == [2, 2]
    assert placed.lists[:, :4].tolist() == [[5, 4, 3, -1], [0, 5, 4, -1]]


def test_equal_scores_tie() -> None:
    placed = place(checked(Fixed([0] * 6)), leave_one_out(LOG, 6), seed=0)
    assert placed.standings.above.tolist() == [0, 0]
    assert placed.standings.tied.tolist() == [2, 2]
    assert placed.lists[:, :3].tolist() == [[3, 4, 5], [0, 4, 5]]


def test_cold_items_are_ranked_among_themselves() -> None:
    held_out = np.array([False, False, True, True, False, True])
    trials = cold_items(LOG, held_out)
    assert trials.targets.tolist() == [2, 3]  # both of a: when b came to cold items, nothing else was known of b
    placed = place(checked(Fixed([9, 9, 1, 2, 9, 3])), trials, seed=0)
    assert placed.standings.above.tolist() == [2, 1]
    assert placed.standings.others.tolist() == [2, 1]  # 2 is no candidate any more once it has been consumed
    assert placed.lists[:, :3].tolist() == [[5, 3, 2], [5, 3, -1]]


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Fixed([0, 5, 5, 2, 1, 5])
    whole = place(checked(agent), leave_one_out(LOG, 6), seed=0)
    monkeypatch.setattr(next_item, "_CELLS", 6)
    parts = place(checked(agent), leave_one_out(LOG, 6), seed=0)
    assert agent.batches == [2, 1, 1]
    assert parts.standings.above.tolist() == whole.standings.above.tolist()
    assert parts.lists.tolist() == whole.lists.tolist()


def test_an_agent_without_scores_is_asked_for_page_after_page() -> None:
    scores = item_scores(checked(Pages(), 7), Observation.of_histories(np.full((2, 3), -1, dtype=np.int32)))
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx(np.tile([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 0], (2, 1)))


def test_pages_end_after_a_while() -> None:
    scores = item_scores(checked(Pages(), 99), Observation.of_histories(np.full((1, 3), -1, dtype=np.int32)))
    assert (scores > 0).sum() == 2 * next_item.MOST_PAGES


def test_the_callers_scores_are_its_own() -> None:
    kept = np.zeros((1, 6), dtype=np.float32)

    class Keeping(Fixed):
        def scores(self, observation: Observation) -> NDArray[np.float32]:
            return kept

    item_scores(checked(Keeping([])), Observation.of_histories(np.full((1, 3), -1, dtype=np.int32)))[0] = 1
    assert not kept.any()


@pytest.mark.parametrize(("row", "says"), [([1.0] * 5, "6"), ([1.0, 2.0, np.nan, 0.0, 0.0, 0.0], "item 2 is nan")])
def test_scores_that_cannot_be_ranked_are_told(row: list[float], says: str) -> None:
    with pytest.raises(InputError, match=f"agent mine.*{says}"):
        place(checked(Fixed(row)), leave_one_out(LOG, 6), seed=0)


def test_the_best_items_in_order_and_ties_in_the_catalogues() -> None:
    low = -np.inf
    scores = np.array([[1, 3, 2, 3, 2, 2], [0, 0, 0, 0, 0, 0], [low, 5, low, 6, low, low]], dtype=np.float32)
    assert best_items(scores, 4).tolist() == [[1, 3, 2, 4], [0, 1, 2, 3], [3, 1, -1, -1]]
    assert best_items(scores, 7)[:, 6].tolist() == [-1, -1, -1]


def test_the_best_items_are_those_of_a_stable_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (50, 200)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    assert best_items(scores, 20).tolist() == expected.tolist()
