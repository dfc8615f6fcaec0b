"""`few-shot`: begins as `similarity`, learns what follows what, and asks people like you."""

import numpy as np
import pytest
import torch

from tests.agents.logs import EACH, KINDS, N_ITEMS, by_kind, log_of_kinds
from tests.generation.waiting import random_retrieval, random_waiting, waiting
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.few_shot import FewShot, Peers, SequenceModel, train_few_shot
from zsr_sim.agents.next_items import last_items, ndcg
from zsr_sim.agents.similarity import Similarity
from zsr_sim.config import FewShotSettings
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions

NETWORKS = ("lstm", "transformer")


def settings(**changes: object) -> FewShotSettings:
    return FewShotSettings.model_validate({"steps": 60, "hidden": 16, "learning_rate": 1e-2, "neighbours": 5} | changes)


def untrained(retrieval: Retrieval, network: str = "lstm", peer_weight: float = 0.0) -> FewShot:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SequenceModel(retrieval.vectors.shape[1], 16, network)
    d = retrieval.vectors.shape[1]
    return FewShot(retrieval, 4, model, Peers(np.eye(d), np.roll(np.eye(d), 1, axis=1)), peer_weight, 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_begins_as_similarity(network: str) -> None:
    retrieval, users = random_retrieval(), random_waiting(40, 60)
    expected = Similarity(retrieval, 4).scores(users)
    np.testing.assert_allclose(untrained(retrieval, network).scores(users), expected, atol=1e-6)


def test_people_like_you_by_hand() -> None:
    """Two people; at cosines 1 and 0.8 their tastes weigh 1 and exp(-2). One neighbour: the nearer one alone."""
    peers = Peers(np.array([[1.0, 0.0], [0.8, 0.6]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    found = peers.taste(np.array([[1.0, 0.0]]), 2)[0]
    assert found == pytest.approx(np.array([np.exp(-2), 1]) / np.hypot(1, np.exp(-2)))
    assert peers.taste(np.array([[1.0, 0.0]]), 1)[0] == pytest.approx([0, 1])


def test_the_query_is_the_point_plus_the_weighed_taste_of_people_like_you() -> None:
    """An untrained model's point is (1, 0, 0), the taste of who stands there (0, 1, 0); half of it is added."""
    retrieval = Retrieval(np.eye(3, dtype=np.float32), np.ones(3, dtype=np.float32))
    query = untrained(retrieval, peer_weight=0.5).queries(waiting([[-1, 0], [-1, -1]]))
    np.testing.assert_allclose(query, np.array([[1, 0.5, 0], [0, 0, 0]]) / [[np.sqrt(1.25)], [1]], atol=1e-7)


def rounds(users: int = 240, length: int = 6, seed: int = 0) -> Interactions:
    """Whoever consumes an item of kind k goes on with one of kind k + 1: what similarity cannot know."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user:03d}", EACH * ((user + step) % KINDS) + int(rng.integers(EACH - 1)), float(step))
        for user in range(users)
        for step in range(length)
    ]
    names, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(list(names), list(items), list(times))


@pytest.mark.parametrize("network", NETWORKS)
def test_it_learns_what_follows_what(network: str) -> None:
    retrieval, last = by_kind(), last_items(rounds(60, seed=9))
    agent, figures = train_few_shot(rounds(), retrieval, 4, settings(network=network, steps=150), 0, lambda *_: None)
    best = 0.4544  # mean of 1 / log2(1 + rank) over ranks 1 .. 10: the next item is drawn evenly among a kind's
    assert ndcg(Similarity(retrieval, 4), last) < 0.1
    assert ndcg(agent, last) > 0.75 * best
    assert figures["ndcg"] > 0.7 * best
    pages = agent.act(waiting([[0, 10, 20], [-1, -1, 57]])).slates
    assert (pages // EACH == [[3] * 4, [0] * 4]).all()


def test_a_checkpoint_serves_any_catalogue() -> None:
    agent, _ = train_few_shot(log_of_kinds(), by_kind(), 4, settings(steps=5), 0, lambda *_: None)
    tensors, facts = agent.checkpoint()
    users = waiting([[0, 1, 2], [-1, 21, 55], [-1, -1, -1]])
    again = FewShot.restore(tensors, facts, by_kind(), 4, settings())
    np.testing.assert_allclose(again.scores(users), agent.scores(users), atol=1e-6)
    other = random_retrieval(35, 8)
    check_agent(FewShot.restore(tensors, facts, other, 4, settings()), other, 4)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_keeps_the_contract(network: str) -> None:
    retrieval = random_retrieval()
    check_agent(untrained(retrieval, network, 0.5), retrieval, 4)


def test_the_same_seed_learns_the_same() -> None:
    users = waiting([[0, 1, 2]])
    one, two, other = (
        train_few_shot(log_of_kinds(), by_kind(), 4, settings(steps=5), seed, lambda *_: None)[0].scores(users)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert one.shape == (1, N_ITEMS)
    assert (one != other).any()
