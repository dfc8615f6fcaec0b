"""`hybrid`: the formula by hand, what each part can and cannot do, and what a checkpoint carries over."""

import math

import numpy as np
import pytest
import torch

from tests.agents.logs import EACH, KINDS, N_ITEMS, by_kind, log_of_kinds
from tests.generation.waiting import waiting
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.hybrid import Hybrid, HybridNetwork, hinge, train_hybrid
from zsr_sim.agents.next_items import NextItems, last_items, ndcg, split_for_validation
from zsr_sim.config import HybridSettings
from zsr_sim.envs.observation import Observation
from zsr_sim.errors import InputError
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions, id_keys

KEYS = id_keys([f"i{row}" for row in range(N_ITEMS)])
RETRIEVAL = Retrieval(np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32), np.ones(3, dtype=np.float32))


def settings(**changes: object) -> HybridSettings:
    return HybridSettings.model_validate({"steps": 80, "batch_size": 128, "factors": 8} | changes)


def learn(retrieval: Retrieval, seed: int = 0, **changes: object) -> tuple[Hybrid, dict[str, float]]:
    return train_hybrid(log_of_kinds(), retrieval, 4, KEYS, settings(**changes), seed, lambda *_: None)


def by_hand(text_weight: float) -> Hybrid:
    """One factor; item 2 is cold. Given 1, 2; wanted 3, -1; liking 0.5, 0; texts by 2 * cosine - 1."""
    network = HybridNetwork(3, 2, 1)
    network.warm[:2] = True
    with torch.no_grad():
        network.given.weight[:] = torch.tensor([[1.0], [2.0], [9.0], [0.0]])
        network.wanted.weight[:] = torch.tensor([[3.0], [-1.0], [9.0]])
        network.liking.weight[:] = torch.tensor([[0.5], [0.0], [9.0]])
        network.match[:] = 2 * torch.eye(2)
        network.level.fill_(-1.0)
    network.forget_cold()
    return Hybrid(RETRIEVAL, 1, network, text_weight, np.arange(3))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_score_by_hand() -> None:
    """History 0 then 1: x_u = (0.9 + 2) / 1.9, t_u = (0.9, 1) / sqrt(1.81)."""
    x, t = 2.9 / 1.9, np.array([0.9, 1.0]) / math.sqrt(1.81)
    f = [3 * x + 0.5, -x, 0.0]
    g = [2 * t[0] - 1, 2 * t[1] - 1, 2 * (0.6 * t[0] + 0.8 * t[1]) - 1]
    users = waiting([[0, 1]])
    assert by_hand(0.7).scores(users)[0] == pytest.approx([f[j] + 0.7 * sigmoid(g[j]) for j in range(3)], rel=1e-6)
    assert by_hand(0.7).collaborative_scores(users)[0] == pytest.approx(f, rel=1e-6)


def test_without_a_history_the_liking_and_the_level_remain() -> None:
    level = 0.7 * sigmoid(-1)
    assert by_hand(0.7).scores(waiting([[-1, -1]]))[0] == pytest.approx([0.5 + level, level, level])


def test_shares_by_hand() -> None:
    """For item 0 f is 2.7 / 1.9 from the first and 6 / 1.9 from the second; text speaks by (1.8, 0) / sqrt(1.81)."""
    total = 1.8 / math.sqrt(1.81)
    text = 0.7 * (sigmoid(total - 1) - sigmoid(-1))
    first, second = 2.7 / 1.9 + text, 6 / 1.9
    shares = by_hand(0.7).explain(waiting([[0, 1]]), np.array([0]))
    np.testing.assert_allclose(shares, np.array([[first, second]]) / (first + second), rtol=1e-6)


def test_hinge_by_hand() -> None:
    """Pairs: 1 - 2 + 0.5 < 0, 1 - 2 + 3 = 2, 1 - 0 + 0 = 1, 1 - 0 - 0.5 = 0.5."""
    assert float(hinge(torch.tensor([[2.0, 0.5, 3.0], [0.0, 0.0, -0.5]]))) == pytest.approx(3.5 / 4)


def test_with_lambda_0_the_score_is_the_collaborative_part() -> None:
    agent, _ = learn(by_kind(), text_weight=0.0)
    users = waiting([[0, 1, 2], [-1, 21, 55], [-1, -1, -1]])
    np.testing.assert_array_equal(agent.scores(users), agent.collaborative_scores(users))
    cold = np.arange(N_ITEMS) % EACH == EACH - 1
    assert not agent.scores(users)[:, cold].any()
    assert np.all(np.ptp(agent.scores(users), axis=1) > 0)


def test_each_part_finds_the_kind_and_the_text_part_cold_items_too() -> None:
    """Users of one kind: seven of its nine warm items seen, two and a cold one left."""
    log = log_of_kinds(60, seed=9)
    last = last_items(log)
    together, _ = learn(by_kind(texts_tell=False), text_weight=0.0)
    assert ndcg(together, last) > 0.6  # three of the kind are left: at random among them 0.65, among all 0.09
    with_text, figures = learn(by_kind(), text_weight=1.0)
    assert ndcg(with_text, last) > 0.6
    assert figures["text_weight"] == 1.0
    cold = EACH * np.arange(KINDS) + EACH - 1
    among_cold = with_text.scores(Observation.of_histories(last.histories))[:, cold]  # (users, kinds)
    assert (among_cold.argmax(axis=1) == last.targets // EACH).mean() > 0.95


def test_validation_chooses_lambda() -> None:
    """Where texts tell nothing, their part is left out or does no harm; the figures name the choice."""
    told: list[tuple[int, int]] = []
    agent, figures = train_hybrid(
        log_of_kinds(), by_kind(), 4, KEYS, settings(steps=20), 0, lambda done, total, _: told.append((done, total))
    )
    assert told[0] == (1, 100)
    assert told[-1] == (100, 100)
    assert agent.text_weight == figures["text_weight"] > 0  # 20 steps: texts know at once, embeddings do not
    assert figures["ndcg"] > 0.4


def test_the_same_seed_learns_the_same() -> None:
    one, two, other = (learn(by_kind(), seed, text_weight=1.0, steps=5)[0] for seed in (0, 0, 1))
    users = waiting([[0, 1, 2]])
    np.testing.assert_array_equal(one.scores(users), two.scores(users))
    assert (one.scores(users) != other.scores(users)).any()


def test_a_checkpoint_knows_items_again_by_their_keys() -> None:
    agent, _ = learn(by_kind(), text_weight=1.0, steps=30)
    tensors, facts = agent.checkpoint()
    users = waiting([[0, 1, 2], [-1, 21, 55]])
    again = Hybrid.restore(tensors, facts, by_kind(), 4, KEYS)
    np.testing.assert_array_equal(again.scores(users), agent.scores(users))
    # The same items in another order, and one that is new.
    retrieval = by_kind()
    vectors = np.concatenate([retrieval.vectors[::-1], retrieval.vectors[:1]])
    other = Retrieval(vectors, np.append(retrieval.popularity[::-1], np.float32(0)))
    moved = Hybrid.restore(tensors, facts, other, 4, np.append(KEYS[::-1], 7))
    found = moved.scores(waiting([[59, 58, 57], [-1, 38, 4]]))
    np.testing.assert_array_equal(found[:, :60][:, ::-1], agent.scores(users))
    assert not moved.collaborative_scores(waiting([[59, 58, 57]]))[0, 60]
    check_agent(moved, other, 4)


def test_next_items_by_hand() -> None:
    log = Interactions.from_columns(["a", "a", "a", "b", "c", "c"], [3, 1, 2, 5, 4, 0], [1, 2, 3, 1, 1, 2])
    assert log.rows_with_past.tolist() == [1, 2, 5]
    found = NextItems.at(log, log.rows_with_past, 2)
    assert found.histories.tolist() == [[-1, 3], [3, 1], [-1, 4]]
    assert found.targets.tolist() == [1, 2, 0]
    last = last_items(log)
    assert last.targets.tolist() == [2, 0]


class Fixed:
    def __init__(self, *scores: float) -> None:
        self.row = np.array(scores, dtype=np.float32)

    def scores(self, observation: object) -> np.ndarray:
        return np.tile(self.row, (len(observation), 1))  # type: ignore[arg-type]


def test_ndcg_by_hand() -> None:
    """Item 0, which is best, was consumed: 1 has rank 1 for the first user; 3 shares ranks 2 and 3 with 2: 2.5."""
    pairs = NextItems(np.array([[0], [0]], dtype=np.int32), np.array([1, 3], dtype=np.int32))
    assert ndcg(Fixed(9, 5, 1, 1, 0), pairs) == pytest.approx((1 + 1 / math.log2(3.5)) / 2)
    assert ndcg(Fixed(9, 5, 1, 1, 0), pairs, k=1) == pytest.approx(0.5)


def test_a_log_of_too_few_users_is_refused() -> None:
    log = log_of_kinds(9)
    with pytest.raises(InputError, match=r"hybrid learns from a log in which at least 10 users .* this one has 9"):
        split_for_validation(log, 0, "hybrid")
    train, held_out = split_for_validation(log_of_kinds(10), 0, "hybrid")
    assert train.n_users + held_out.n_users == 10
    assert id_keys(train.user_ids).max() > 0
