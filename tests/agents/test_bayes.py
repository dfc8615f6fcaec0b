"""`bayes` by hand: products of votes, weighed by a prior."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.generation.waiting import random_retrieval, random_waiting, waiting
from zsr_sim.agents.bayes import Bayes
from zsr_sim.agents.similarity import Similarity
from zsr_sim.generation.retrieval import Retrieval

# Four items on a circle; the last was consumed three times as often as 1 + popularity of the others says.
RETRIEVAL = Retrieval(
    np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32), np.array([0, 0, 0, 2], dtype=np.float32)
)


def softmax(*logits: float) -> NDArray[np.float64]:
    weights = np.exp(np.array(logits))
    return np.asarray(weights / weights.sum())


def test_two_votes_by_hand() -> None:
    """History 0, then 1, at temperature 0.5: the weights are 2 * 0.9 / 1.9 and 2 / 1.9."""
    of_0, of_1 = softmax(2, 0, 1.2, -2), softmax(0, 2, 1.6, 0)
    product = of_0 ** (1.8 / 1.9) * of_1 ** (2 / 1.9)
    scores = Bayes(RETRIEVAL, 2, temperature=0.5).scores(waiting([[0, 1]]))[0]
    assert np.exp(scores) == pytest.approx(product / product.sum(), rel=1e-5)
    assert Bayes(RETRIEVAL, 2, temperature=0.5).act(waiting([[0, 1]])).slates.tolist() == [[2, 3]]


def test_a_popular_item_has_more_to_say() -> None:
    """History 0 and 3, of which 3 has prior 3/4: weights 1/2 and 3/2. Opposite votes do not cancel any more."""
    of_0, of_3 = softmax(10, 0, 6, -10), softmax(-10, 0, -6, 10)
    product = of_0**0.5 * of_3**1.5
    agent = Bayes(RETRIEVAL, 2, prior="popularity")
    assert np.exp(agent.scores(waiting([[0, 3]]))[0]) == pytest.approx(product / product.sum(), rel=1e-5)
    assert agent.act(waiting([[0, 3]])).slates.tolist() == [[1, 2]]


def test_without_a_history_popularity_decides() -> None:
    assert np.exp(Bayes(RETRIEVAL, 2).scores(waiting([[-1, -1]]))[0]) == pytest.approx(
        np.array([1, 1, 1, 3]) / 6, rel=1e-6
    )


def test_a_profile_votes_as_an_item_would() -> None:
    """A profile at item 2 and no history; no history and no profile; a history, which the profile does not change."""
    profiles = np.array([[0.6, 0.8], [0, 0], [0.6, 0.8]], dtype=np.float32)
    users = replace(waiting([[-1, -1], [-1, -1], [0, 1]]), profiles=profiles)
    agent = Bayes(RETRIEVAL, 2, temperature=0.5)
    scores = np.exp(agent.scores(users))
    assert scores[0] == pytest.approx(softmax(1.2, 1.6, 2, -1.2), rel=1e-5)
    assert scores[1] == pytest.approx(np.array([1, 1, 1, 3]) / 6, rel=1e-5)
    np.testing.assert_array_equal(agent.scores(users)[2], agent.scores(waiting([[0, 1]]))[0])
    assert agent.act(users).slates.tolist() == [[2, 1], [3, 0], [2, 3]]


def test_a_thousand_items_do_not_underflow() -> None:
    retrieval = random_retrieval(1200)
    history = np.arange(1000)[None, :].astype(np.int32)
    agent = Bayes(retrieval, 5, temperature=0.01, prior="popularity")
    scores = agent.scores(waiting(history.tolist()))[0].astype(np.float64)
    assert np.isfinite(scores).all()
    assert np.exp(scores).sum() == pytest.approx(1)
    vectors = retrieval.vectors.astype(np.float64)
    logs = vectors[:1000] @ vectors.T / 0.01
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    p = 1 + retrieval.popularity[:1000].astype(np.float64)
    votes = 1000 * p / p.sum() @ logs
    assert scores - scores.max() == pytest.approx(votes - votes.max(), rel=1e-4, abs=0.05)
    assert math.exp(min(votes)) == 0  # the plain product would have


def test_text_votes_rank_as_similarity_with_the_prior_for_weights() -> None:
    retrieval, users = random_retrieval(), random_waiting(40, 60)
    np.testing.assert_array_equal(Bayes(retrieval, 5).act(users).slates, Similarity(retrieval, 5).act(users).slates)


def test_who_voted_for_an_item() -> None:
    """The mean vector is (0.15, 0.45). Item 2 is (0.45, 0.35) from it: of item 0 45 votes, of item 1 35, of 3 none."""
    shares = Bayes(RETRIEVAL, 2, prior="popularity").explain(waiting([[0, 1], [0, 3], [-1, -1]]), np.array([2, 2, 2]))
    np.testing.assert_allclose(shares, np.array([[45 / 80, 35 / 80], [1, 0], [0, 0]]), atol=1e-6)


class Coins:
    """Votes from elsewhere: item 0 votes for 1 with 3/4, everything else is even among three."""

    def total(self, histories: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        p = np.array([[1 / 8, 3 / 4, 1 / 8], [1 / 3] * 3, [1 / 3] * 3])
        return np.asarray((weights[:, :, None] * np.log(p)[histories] * (histories >= 0)[:, :, None]).sum(axis=1))

    def contributions(self, histories: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float64]:
        raise NotImplementedError


def test_votes_may_come_from_elsewhere() -> None:
    retrieval = Retrieval(np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32))
    agent = Bayes(retrieval, 1, votes=Coins())
    assert np.exp(agent.scores(waiting([[-1, 0]]))[0]) == pytest.approx([1 / 8, 3 / 4, 1 / 8])
    assert agent.act(waiting([[-1, 0]])).slates.tolist() == [[1]]


def test_only_the_latest_items_vote() -> None:
    agent, latest = Bayes(RETRIEVAL, 2, items=2), Bayes(RETRIEVAL, 2)
    long, short = waiting([[3, 3, 0, 1], [-1, -1, -1, 2]]), waiting([[-1, -1, 0, 1], [-1, -1, -1, 2]])
    np.testing.assert_array_equal(agent.scores(long), latest.scores(short))
    assert agent.act(long).slates.tolist() == [[2, 1], [1, 0]]  # one again, for want of others
    shares = agent.explain(long, np.array([2, 2], dtype=np.int32))
    np.testing.assert_array_equal(shares, latest.explain(short, np.array([2, 2], dtype=np.int32)))
    assert shares[0, :2].tolist() == [0, 0]
    assert shares[0, 2:].sum() == pytest.approx(1)
