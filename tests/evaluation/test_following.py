"""Users followed to the horizon, replayed page by page, and the luck of visits: the same mean with less noise."""

from dataclasses import replace

import numpy as np
import pytest

from tests.envs.tiny import random_items
from zsr_sim.agents.baselines import Popularity, Random
from zsr_sim.agents.similarity import Similarity
from zsr_sim.envs.population import MadeUpPopulation
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.visits import simulate
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError
from zsr_sim.evaluation.comparison import compare_strategies
from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.evaluation.following import follow
from zsr_sim.evaluation.metrics import metrics_of, ratio
from zsr_sim.evaluation.replay import replay
from zsr_sim.generation.retrieval import Retrieval

ITEMS = random_items(n=60, d=8)
TRAITS = Traits(base_click_rate=0.2, affinity_weight=4.0, leave_bias=0.5, boredom=0.5)
WORLD = World(ITEMS, slate_size=4, shown_capacity=32)
RETRIEVAL = Retrieval(ITEMS.vectors, np.random.default_rng(0).integers(0, 50, 60).astype(np.float32))
SIMILARITY, RANDOM = Similarity(RETRIEVAL, 4), Random(RETRIEVAL, 4)
USERS, HORIZON = np.arange(4000, dtype=np.int64), 8


@pytest.fixture(scope="module")
def population() -> MadeUpPopulation:
    return MadeUpPopulation.create(ITEMS, TRAITS, seed=3)


def test_who_never_leaves_is_followed_as_he_visits() -> None:
    loyal = MadeUpPopulation.create(ITEMS, TRAITS.replace(leave_bias=-1000.0), seed=3)
    ids = USERS[:200]
    visits = simulate(WORLD, loyal, ids, SIMILARITY, 1, HORIZON)
    followed = follow(WORLD, loyal, ids, SIMILARITY, 1, HORIZON, batch_size=37)
    assert followed.returns == pytest.approx(visits.expected_returns, rel=1e-12)
    assert followed.luck == pytest.approx(visits.luck[:, :4], rel=1e-12, abs=1e-12)
    assert visits.luck[:, 0] == pytest.approx(visits.returns - visits.expected_returns, rel=1e-5, abs=1e-5)


def test_following_has_the_mean_of_the_return_and_less_spread(population: MadeUpPopulation) -> None:
    visits = simulate(WORLD, population, USERS, RANDOM, 1, HORIZON)
    followed = follow(WORLD, population, USERS, RANDOM, 1, HORIZON)
    gap = estimate_mean(followed.returns - visits.returns, visits.people)
    assert abs(gap.mean) < 3.3 * gap.standard_error
    assert followed.returns.std() < 0.6 * visits.returns.std()


def test_luck_has_mean_zero_and_explains_much(population: MadeUpPopulation) -> None:
    visits = simulate(WORLD, population, USERS, SIMILARITY, 1, HORIZON)
    for column in visits.luck.T:
        found = estimate_mean(column, visits.people)
        assert abs(found.mean) < 4 * found.standard_error
    both = {"a": visits, "b": simulate(WORLD, population, USERS, RANDOM, 1, HORIZON)}
    followed = {
        name: follow(WORLD, population, USERS, agent, 1, HORIZON) for name, agent in (("a", SIMILARITY), ("b", RANDOM))
    }
    (plain,) = compare_strategies(both, seed=0, world={})["comparisons"]
    (best,) = compare_strategies(both, seed=0, world={}, followed=followed)["comparisons"]
    assert 1.0 < plain["pairing_factor"] == best["pairing_factor"]
    assert 1.4 * plain["pairing_factor"] < plain["adjusted_factor"] < best["adjusted_factor"]
    low, high = plain["plain"]["ci95"]
    for found in (plain, best):  # 3.3 standard errors, as above; the interval reaches over 1.96
        assert abs(found["difference"] - (low + high) / 2) < 3.3 / 1.96 * (high - low) / 2


def test_who_comes_back_cannot_be_followed() -> None:
    returning = MadeUpPopulation.create(ITEMS, TRAITS.replace(return_rate=0.5), seed=3)
    with pytest.raises(InputError, match="--follow is for worlds whose users do not come back"):
        follow(WORLD, returning, USERS[:5], RANDOM, 1, HORIZON)


def test_a_ratio_as_a_mean_over_users() -> None:
    above, below = np.array([1.0, 0.0, 2.0]), np.array([2.0, 0.0, 2.0])
    values = ratio(above, below)
    assert values.mean() == pytest.approx(0.75)
    assert values == pytest.approx(0.75 + (above - 0.75 * below) / (4 / 3))
    with pytest.raises(ValueError, match="a ratio to a sum of zero"):
        ratio(above, np.zeros(3))


def test_return_rate_is_known_where_users_come_back(population: MadeUpPopulation) -> None:
    returning = MadeUpPopulation.create(ITEMS, TRAITS.replace(return_rate=0.5), seed=3)
    visits = simulate(WORLD, returning, USERS[:300], RANDOM, 1, HORIZON)
    rate = metrics_of(visits)["return_rate"]
    assert rate.mean() == pytest.approx((visits.sessions - 1).sum() / visits.ended.sum())
    assert "return_rate" not in metrics_of(simulate(WORLD, population, USERS[:300], RANDOM, 1, HORIZON))
    fewer = replace(visits, sessions=np.where(np.arange(300) % 2, visits.sessions, 1.0))
    (found,) = compare_strategies({"a": visits, "b": fewer}, seed=0, world={})["comparisons"]
    rail = next(g for g in found["guardrails"] if g["metric"] == "return_rate")
    assert (rail["worse"], rail["difference"] < 0) == (True, True)


@pytest.mark.parametrize("strategy", [SIMILARITY, Popularity(RETRIEVAL, 4)])
def test_a_replay_is_the_visit_page_by_page(population: MadeUpPopulation, strategy: Similarity | Popularity) -> None:
    ids = USERS[:100]
    visits, pages = (
        simulate(WORLD, population, ids, strategy, 1, HORIZON),
        replay(WORLD, population, ids, strategy, 1, HORIZON),
    )
    seen = pages.slates[:, :, 0] >= 0
    assert seen.sum(axis=1) == pytest.approx(visits.pages)
    assert pages.rewards.sum(axis=1) == pytest.approx(visits.returns)
    assert pages.clicks.sum(axis=(1, 2)) == pytest.approx(visits.clicks)
    assert pages.satisfaction.sum(axis=1) / seen.sum(axis=1) == pytest.approx(visits.satisfaction, rel=1e-5)
    assert (pages.left.sum(axis=1) == (visits.pages < HORIZON)).mean() > 0.9  # some leave after the last page
    assert not (pages.clicks & (pages.slates < 0)).any()
