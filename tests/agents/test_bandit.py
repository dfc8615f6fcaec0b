"""The bandits: ridge regression and indices by hand, and learning in a world with a known answer."""

import math

import numpy as np
import pytest

from tests.envs.stages import tiny_stage
from tests.generation.waiting import random_retrieval, random_waiting, unseen
from zsr_sim.agents.bandit import Bandit, BanditTrainer, Kind, Ridge, item_rewards
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.item_features import N_FEATURES, shortlisted
from zsr_sim.config import Settings
from zsr_sim.encoders.history import pooled
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import World
from zsr_sim.generation.candidates import RetrievalCandidates

SOURCE = RetrievalCandidates(random_retrieval(), 4)


def test_ridge_by_hand() -> None:
    """A = I + (1, 2)(1, 2)' + (0, 1)(0, 1)' = ((2, 2), (2, 6)), b = (1, 2); theta = ((6, -2), (-2, 2)) b / 8."""
    ridge = Ridge.fresh(2, 1.0).learned(np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([1.0, 0.0]))
    assert ridge.theta == pytest.approx([0.25, 0.25])
    x = np.array([1.0, -1.0])
    assert ((x @ ridge.root) ** 2).sum() == pytest.approx((6 + 2 + 2 + 2) / 8)


def known(kind: Kind, exploration: float) -> Bandit:
    """An estimate of its own for each feature, and little known of the second."""
    p = N_FEATURES + 1
    a = np.diag(np.where(np.arange(p) == 1, 0.25, 1e4))
    return Bandit(kind, Ridge(a, a @ np.linspace(-1, 1, p)), exploration, SOURCE, 30)


def test_the_optimistic_index_by_hand() -> None:
    users = random_waiting(5, 60)
    x = shortlisted(SOURCE, users, 30).features
    bandit = known("linucb", 0.5)
    width = np.sqrt(x[:, :, 1] ** 2 / 0.25 + (np.delete(x, 1, axis=2) ** 2).sum(axis=2) / 1e4)
    expected = x @ np.linspace(-1, 1, N_FEATURES + 1)[:N_FEATURES] + 0.5 * width
    np.testing.assert_allclose(bandit.index(users, x), expected, rtol=1e-9)


def test_drawn_indices_have_the_posterior_law() -> None:
    """The same features for 4,000 users: mean x' theta, standard deviation exploration * sqrt(x' A^-1 x)."""
    users = random_waiting(4000, 60)
    x = np.zeros((4000, 1, N_FEATURES))
    x[:, :, :2] = [1.0, 2.0]
    bandit = known("thompson", 0.5)
    drawn = bandit.index(users, x)[:, 0]
    sd = 0.5 * math.sqrt(4 / 0.25 + 1 / 1e4)
    assert drawn.mean() == pytest.approx(x[0, 0] @ bandit.ridge.theta[:N_FEATURES], abs=4 * sd / math.sqrt(4000))
    assert drawn.std() == pytest.approx(sd, rel=0.05)


def test_features_by_hand() -> None:
    users, retrieval = random_waiting(20, 60), SOURCE.retrieval
    among = shortlisted(SOURCE, users, 30)
    lasting = np.einsum("nd,nmd->nm", pooled(users.histories, retrieval.vectors, 0.95), retrieval.vectors[among.items])
    np.testing.assert_allclose(among.features[:, :, 1], lasting, atol=1e-6)
    np.testing.assert_allclose(among.features[:, :, 6], lasting**2, atol=1e-6)
    np.testing.assert_allclose(among.features[:, :, 5], retrieval.appeal[among.items], atol=1e-6)
    assert among.features.shape == (20, 30, N_FEATURES)
    assert all(len(set(row)) == 30 for row in among.items.tolist())


@pytest.mark.parametrize("kind", ["linucb", "thompson"])
def test_it_keeps_the_contract(kind: Kind) -> None:
    check_agent(known(kind, 0.5), SOURCE.retrieval, 4)


def test_scores_rank_as_the_estimates() -> None:
    users, bandit = random_waiting(20, 60), known("linucb", 0.0)
    scores, page = bandit.scores(users), bandit.act(users).slates
    for row in range(20):
        best = max(scores[row, item] for item in shortlisted(SOURCE, users, 30).items[row])
        assert scores[row, page[row, 0]] == best
        assert page[row, 0] in unseen(users, row, 60)


@pytest.mark.parametrize("kind", ["linucb", "thompson"])
def test_a_small_catalogue_is_no_reason_to_show_what_the_user_has_had(kind: Kind) -> None:
    """44 items, a shortlist of 100: old items are on it, and on the page only where fewer than 4 are new."""
    users, source = random_waiting(60, 44, length=42, capacity=30), RetrievalCandidates(random_retrieval(44), 4)
    page = Bandit(kind, known(kind, 0.5).ridge, 0.5, source, 100).act(users).slates
    new = [unseen(users, row, 44) for row in range(60)]
    assert {len(fresh) < 4 for fresh in new} == {True, False}
    assert [len(set(page[row].tolist()) & fresh) for row, fresh in enumerate(new)] == [min(4, len(f)) for f in new]


@pytest.mark.parametrize("kind", ["linucb", "thompson"])
def test_it_learns_what_users_click(kind: Kind) -> None:
    stage = tiny_stage(n=120, slate=3, leave_bias=-30.0)
    loop = Settings().agent.model_copy(update={"users": 128, "updates": 6})
    own = Settings().bandit.model_copy(update={"shortlist": 60})
    trainer = BanditTrainer(kind, stage.world, stage.population, stage.source, own, loop, 6, 0)
    first = trainer.step()
    for _ in range(4):
        last = trainer.step()
    assert first["visit_length"] == last["visit_length"] == 6
    state = stage.world.start(stage.population.visit(np.arange(400) + 10_000), 3)
    even = RetrievalCandidates(stage.source.retrieval, 3)
    observation = observe(state)
    earned = stage.world.step(state.copy(), trainer.agent.act(observation).slates).expected_reward.mean()
    at_random = stage.world.step(state.copy(), even.retrieval.at_random(observation, 3)).expected_reward.mean()
    assert earned > 1.5 * at_random
    assert last["click_rate"] > 1.2 * at_random / 3


def test_the_same_seed_learns_the_same() -> None:
    stage = tiny_stage(n=60)

    def learned(seed: int) -> np.ndarray:
        loop = Settings().agent.model_copy(update={"users": 32})
        trainer = BanditTrainer(
            "thompson", stage.world, stage.population, stage.source, Settings().bandit, loop, 3, seed
        )
        trainer.step()
        return trainer.ridge.theta

    np.testing.assert_array_equal(learned(0), learned(0))
    assert (learned(0) != learned(1)).any()


def test_item_rewards_add_up_to_the_page() -> None:
    stage = tiny_stage(n=60)
    world = World(stage.world.items, rewards=RewardWeights(1.0, 0.5, 3.0, 0.01), slate_size=3, shown_capacity=30)
    state = world.start(stage.population.visit(np.arange(200)), 5)
    feedback = world.step(state, stage.source.retrieval.at_random(observe(state), 3))
    np.testing.assert_allclose(item_rewards(feedback, world).sum(axis=1), feedback.reward, rtol=1e-5)
