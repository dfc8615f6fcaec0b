"""Strategies without learning: pages by hand."""

import numpy as np
import pytest

from tests.generation.waiting import random_retrieval, random_waiting, unseen, waiting
from zsr_sim.agents.baselines import Popularity, Random, Similarity
from zsr_sim.agents.protocol import Scoring
from zsr_sim.generation.retrieval import Retrieval

DEGREES = np.deg2rad([0, 10, 25, 45, 90, 180])
VECTORS = np.stack([np.cos(DEGREES), np.sin(DEGREES)], axis=1).astype(np.float32)
RETRIEVAL = Retrieval(VECTORS, np.array([3, 0, 1, 4, 9, 2], dtype=np.float32))
# A user of item 0; one of item 4 and then 5; one of item 0 who was shown 1 and 3; one without a history.
USERS = waiting([[-1, 0], [4, 5], [-1, 0], [-1, -1]], [[-1, -1], [-1, -1], [1, 3], [-1, -1]])


def test_similarity_by_hand() -> None:
    decision = Similarity(RETRIEVAL, 3).act(USERS)
    # The second user's taste is 0.9 of 90 degrees and 1 of 180: 138 degrees. The last one gets what is popular.
    assert decision.slates.tolist() == [[1, 2, 3], [3, 2, 1], [2, 4, 5], [4, 3, 0]]
    assert (decision.sources, decision.accepted) == (None, None)


def test_similarity_weighs_recent_items_more() -> None:
    """Items at 0 and 100 degrees: at decay 0.9 the page of whoever took the one last begins on its side."""
    degrees = np.deg2rad([0, 100, 40, 60])
    retrieval = Retrieval(
        np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32), np.ones(4, np.float32)
    )
    assert Similarity(retrieval, 1).act(waiting([[0, 1], [1, 0]])).slates.tolist() == [[3], [2]]


def test_popularity_by_hand() -> None:
    assert Popularity(RETRIEVAL, 3).act(USERS).slates.tolist() == [[4, 3, 5], [3, 0, 2], [4, 5, 2], [4, 3, 0]]


def test_random_is_the_even_draw_of_the_retrieval() -> None:
    retrieval, observation = random_retrieval(), random_waiting(30, 60)
    slates = Random(retrieval, 5).act(observation).slates
    np.testing.assert_array_equal(slates, retrieval.at_random(observation, 5))
    assert all(set(page) <= unseen(observation, row, 60) for row, page in enumerate(slates.tolist()))


@pytest.mark.parametrize("kind", [Random, Popularity, Similarity])
def test_alone_as_in_a_batch(kind: type[Random | Popularity | Similarity]) -> None:
    agent, observation = kind(random_retrieval(twins=10), 5), random_waiting(40, 60)
    together = agent.act(observation).slates
    for row in range(40):
        np.testing.assert_array_equal(agent.act(observation.take(slice(row, row + 1))).slates[0], together[row])


@pytest.mark.parametrize("kind", [Popularity, Similarity])
def test_the_page_is_what_the_scores_rank_first_among_new_items(kind: type[Popularity | Similarity]) -> None:
    agent, observation = kind(random_retrieval(), 5), random_waiting(40, 60)
    scores = agent.scores(observation)
    assert scores.dtype == np.float32
    assert scores.shape == (40, 60)
    for row, page in enumerate(agent.act(observation).slates.tolist()):
        new = sorted(unseen(observation, row, 60), key=lambda item: (-scores[row, item], item))
        assert sorted(scores[row, new[:5]]) == sorted(scores[row, page])


def test_random_scores_are_even_and_each_users_own() -> None:
    scores = Random(random_retrieval(), 5).scores(random_waiting(400, 60))
    assert np.bincount(scores.argmax(axis=1), minlength=60).max() < 25  # 6.7 expected
    assert scores.mean() == pytest.approx(0.5, abs=0.01)
    assert isinstance(Random(random_retrieval(), 5), Scoring)
