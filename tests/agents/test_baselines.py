"""Strategies without learning: pages by hand."""

import numpy as np
import pytest

from tests.generation.waiting import random_retrieval, random_waiting, unseen, waiting
from zsr_sim.agents.baselines import Popularity, Random, Recency, freshness_of
from zsr_sim.agents.protocol import Scoring
from zsr_sim.agents.similarity import Similarity
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions

DEGREES = np.deg2rad([0, 10, 25, 45, 90, 180])
VECTORS = np.stack([np.cos(DEGREES), np.sin(DEGREES)], axis=1).astype(np.float32)
RETRIEVAL = Retrieval(VECTORS, np.array([3, 0, 1, 4, 9, 2], dtype=np.float32))
# A user of item 0; one of item 4 and then 5; one of item 0 who was shown 1 and 3; one without a history.
USERS = waiting([[-1, 0], [4, 5], [-1, 0], [-1, -1]], [[-1, -1], [-1, -1], [1, 3], [-1, -1]])


def test_popularity_by_hand() -> None:
    assert Popularity(RETRIEVAL, 3).act(USERS).slates.tolist() == [[4, 3, 5], [3, 0, 2], [4, 5, 2], [4, 3, 0]]


def test_random_is_the_even_draw_of_the_retrieval() -> None:
    retrieval, observation = random_retrieval(), random_waiting(30, 60)
    slates = Random(retrieval, 5).act(observation).slates
    np.testing.assert_array_equal(slates, retrieval.at_random(observation, 5))
    assert all(set(page) <= unseen(observation, row, 60) for row, page in enumerate(slates.tolist()))


def test_recency_by_hand() -> None:
    """Item 4 was consumed last, then 0 and 3 at the same time, of which 3 is more popular; nobody consumed 1 and 2."""
    log = Interactions.from_columns(["a", "a", "b", "b", "b"], [0, 4, 5, 0, 3], [5.0, 9.0, 1.0, 7.0, 7.0])
    freshness = freshness_of(log, RETRIEVAL.popularity)
    np.testing.assert_allclose(freshness, [0.5, 0, 0, 0.75, 1, 0.25])
    agent = Recency(RETRIEVAL, 3, freshness)
    assert agent.act(USERS).slates.tolist() == [[4, 3, 5], [3, 0, 1], [4, 5, 2], [4, 3, 0]]


def test_freshness_of_an_empty_log_is_none() -> None:
    assert not freshness_of(Interactions.from_columns([], [], []), RETRIEVAL.popularity).any()


def test_the_page_is_what_the_scores_rank_first_among_new_items() -> None:
    retrieval, observation = random_retrieval(), random_waiting(40, 60)
    freshness = np.random.default_rng(0).permutation(60).astype(np.float32)
    for agent in (Popularity(retrieval, 5), Similarity(retrieval, 5), Recency(retrieval, 5, freshness)):
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
