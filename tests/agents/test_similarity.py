"""`similarity` by hand: cosines, the threshold, probabilities, profiles, and who spoke for an item."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.generation.waiting import random_retrieval, random_waiting, waiting
from zsr_sim.agents.similarity import Similarity
from zsr_sim.encoders.words import Words
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.retrieval import Retrieval

DEGREES = np.deg2rad([0, 10, 25, 45, 90, 180])
VECTORS = np.stack([np.cos(DEGREES), np.sin(DEGREES)], axis=1).astype(np.float32)
RETRIEVAL = Retrieval(VECTORS, np.array([3, 0, 1, 4, 9, 2], dtype=np.float32))
# A user of item 0; one of item 4 and then 5; one of item 0 who was shown 1 and 3; one without a history.
USERS = waiting([[-1, 0], [4, 5], [-1, 0], [-1, -1]], [[-1, -1], [-1, -1], [1, 3], [-1, -1]])

# The worked example: a user of item 4, at (0.6, 0.8). Cosines of the others 0.6, 0.8, 0.96 and -0.6.
WORKED = Retrieval(
    np.array([[1, 0], [0, 1], [0.8, 0.6], [-1, 0], [0.6, 0.8]], dtype=np.float32), np.array([5, 0, 0, 9, 0], np.float32)
)
WORKED_USER = waiting([[4]])


def test_pages_by_hand() -> None:
    decision = Similarity(RETRIEVAL, 3).act(USERS)
    # The second user's taste is 0.9 of 90 degrees and 1 of 180: 138 degrees. The last one gets what is popular.
    assert decision.slates.tolist() == [[1, 2, 3], [3, 2, 1], [2, 4, 5], [4, 3, 0]]
    assert (decision.sources, decision.accepted) == (None, None)


def test_recent_items_weigh_more() -> None:
    """Items at 0 and 100 degrees: at decay 0.9 the page of whoever took the one last begins on its side."""
    degrees = np.deg2rad([0, 100, 40, 60])
    retrieval = Retrieval(
        np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32), np.ones(4, np.float32)
    )
    assert Similarity(retrieval, 1).act(waiting([[0, 1], [1, 0]])).slates.tolist() == [[3], [2]]


def test_the_worked_example() -> None:
    assert Similarity(WORKED, 4).scores(WORKED_USER)[0] == pytest.approx([0.6, 0.8, 0.96, -0.6, 1.0])
    assert Similarity(WORKED, 4).act(WORKED_USER).slates.tolist() == [[2, 1, 0, 3]]
    near = Similarity(WORKED, 4, threshold=0.7)
    assert near.act(WORKED_USER).slates.tolist() == [[2, 1, 3, 0]]  # 3 is more popular than 0
    assert near.scores(WORKED_USER)[0] == pytest.approx([math.log(6) / math.log(10) - 10, 0.8, 0.96, 1 - 10, 1.0])


def test_probabilities_of_the_worked_example() -> None:
    found = Similarity(WORKED, 4, temperature=0.2, threshold=0.7).probabilities(WORKED_USER)[0]
    weights = [0.0, math.exp(4.0), math.exp(4.8), 0.0, math.exp(5.0)]
    assert found == pytest.approx([w / sum(weights) for w in weights], rel=1e-6)
    assert not Similarity(WORKED, 4, threshold=1.0).probabilities(waiting([[0, 1]])).any()
    everybody = Similarity(random_retrieval(), 4, temperature=0.01).probabilities(random_waiting(30, 60))
    assert everybody.sum(axis=1) == pytest.approx(np.ones(30))


def test_a_profile_stands_in_for_a_history_and_for_nothing_else() -> None:
    profiles = np.array([[0, 1], [0, 1], [0, 0]], dtype=np.float32)
    users: Observation = replace(waiting([[-1], [0], [-1]]), profiles=profiles)
    assert Similarity(RETRIEVAL, 2).act(users).slates.tolist() == [[4, 3], [1, 2], [4, 3]]
    assert Similarity(RETRIEVAL, 2).scores(users)[0] == pytest.approx(VECTORS[:, 1])
    assert users.take(slice(1, 2)).profiles is not None


def test_who_spoke_for_an_item() -> None:
    """For (0.8, 0.6): item 0, the older one, 0.9 * 0.8; item 1 0.6; item 3 spoke against (1, 0)."""
    shares = Similarity(WORKED, 4).explain(waiting([[-1, 0, 1], [0, 3, 1], [-1, -1, -1]]), np.array([2, 0, 2]))
    expected = np.array([[0, 0.72 / 1.32, 0.6 / 1.32], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(shares, expected, atol=1e-7)


def test_words_beside_vectors() -> None:
    """The user of item 4: vectors are nearest to 2, words to 0; a user without a history gets what is popular."""
    texts = ("a film of 1995", "spring", "summer", "autumn", "a film of 1995")
    near = Similarity(WORKED, 4).scores(WORKED_USER)[0]
    mixed = Similarity(WORKED, 4, words=Words(texts), share=0.5)
    assert mixed.scores(WORKED_USER)[0] == pytest.approx(0.5 * near + 0.5 * np.array([1, 0, 0, 0, 1]))
    assert mixed.act(WORKED_USER).slates.tolist() == [[0, 2, 1, 3]]
    nobody = waiting([[-1]])
    assert mixed.act(nobody).slates.tolist() == Similarity(WORKED, 4).act(nobody).slates.tolist()
    # Items 2 and 4 spoke for item 0 by their vectors, 4 by its words as well.
    users, first = waiting([[2, 4]]), np.array([0], dtype=np.int32)
    length = np.linalg.norm(0.9 * np.array([0.8, 0.6]) + np.array([0.6, 0.8]))
    parts = 0.5 * np.array([0.9 * 0.8, 0.6]) / length + 0.5 * np.array([0, 1 / math.hypot(1, 0.9)])
    assert parts.sum() == pytest.approx(mixed.scores(users)[0, 0])
    assert mixed.explain(users, first)[0] == pytest.approx(parts / parts.sum())
