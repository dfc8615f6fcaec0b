"""Retrieved candidates: which pages stand side by side, and from where."""

import numpy as np
import pytest

from tests.generation.waiting import random_retrieval, random_waiting
from zsr_sim.generation.candidates import SOURCES, Candidates, RetrievalCandidates

RETRIEVAL = random_retrieval(twins=10)
KINDS = [
    *("similarity", "neighbours", "popularity", "contrast", "popular contrast", "neighbours", "random"),
    *("neighbours", "neighbours"),
]


@pytest.mark.parametrize("count", [2, 5, 9])
def test_pages_are_those_of_the_retrieval_in_a_fixed_order(count: int) -> None:
    observation = random_waiting(40, 60)
    found = RetrievalCandidates(RETRIEVAL, 4, count).candidates(observation)
    assert found.items.shape == (40, count, 4)
    assert found.sources.tolist() == [[SOURCES.index(kind) for kind in KINDS[:count]]] * 40
    np.testing.assert_array_equal(found.plausibility, np.full((40, count), 0.5, dtype=np.float32), strict=True)
    assert found.accepted is None
    which = iter(range(count))
    for place, kind in enumerate(KINDS[:count]):
        expected = {
            "similarity": lambda: RETRIEVAL.by_history(observation, 4),
            "neighbours": lambda: RETRIEVAL.by_neighbours(observation, 4, 9)[:, next(which)],
            "contrast": lambda: RETRIEVAL.by_contrast(observation, 4),
            "popular contrast": lambda: RETRIEVAL.by_contrast(observation, 4, 40),
            "popularity": lambda: RETRIEVAL.by_popularity(observation, 4),
            "random": lambda: RETRIEVAL.at_random(observation, 4),
        }[kind]()
        np.testing.assert_array_equal(found.items[:, place], expected)


def test_candidates_do_not_depend_on_the_batch() -> None:
    observation, source = random_waiting(40, 60), RetrievalCandidates(RETRIEVAL, 4)
    together = source.candidates(observation)
    for row in range(40):
        alone = source.candidates(observation.take(slice(row, row + 1)))
        np.testing.assert_array_equal(alone.items[0], together.items[row])


def test_chosen_is_the_page_at_each_users_choice() -> None:
    items = np.arange(12, dtype=np.int32).reshape(2, 3, 2)
    candidates = Candidates(items, np.zeros((2, 3), dtype=np.int8), np.full((2, 3), 0.5, dtype=np.float32))
    assert candidates.chosen(np.array([2, 0])).tolist() == [[4, 5], [6, 7]]
