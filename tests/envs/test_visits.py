"""Whole visits: the same whatever the batch, and their figures by an independent replay."""

from dataclasses import dataclass, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.envs.tiny import SameUsers, random_items
from zsr_sim.agents.baselines import Popularity, Random
from zsr_sim.agents.similarity import Similarity
from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import MadeUpPopulation
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.visits import SeesState, Strategy, Visits, observe, page_diversity, simulate
from zsr_sim.envs.world import World, WorldState
from zsr_sim.generation.retrieval import Retrieval

ITEMS = random_items(n=150, d=24, n_topics=6)
TRAITS = Traits(
    base_click_rate=0.15, click_bias_sd=0.5, affinity_weight=5.0, appeal_weight=0.5, repeat_penalty=3.0, drift_rate=0.1,
    boredom=0.5, boredom_sd=0.4, leave_bias=-0.5, leave_bias_sd=0.3, leave_slope=4.0,
)  # fmt: skip
WORLD = World(ITEMS, slate_size=5, shown_capacity=40)
RETRIEVAL = Retrieval(ITEMS.vectors, np.random.default_rng(0).integers(0, 100, 150).astype(np.float32))


@pytest.fixture(scope="module")
def population() -> MadeUpPopulation:
    return MadeUpPopulation.create(ITEMS, TRAITS, seed=3)


def assert_same(a: Visits, b: Visits, rows: slice = slice(None)) -> None:
    for f in fields(Visits):
        np.testing.assert_array_equal(getattr(a, f.name)[rows], getattr(b, f.name), err_msg=f.name, strict=True)


@pytest.mark.parametrize("strategy", [Similarity(RETRIEVAL, 5), Popularity(RETRIEVAL, 5), Random(RETRIEVAL, 5)])
def test_visits_do_not_depend_on_the_batch_size(population: MadeUpPopulation, strategy: Strategy) -> None:
    ids = np.arange(300)
    expected = simulate(WORLD, population, ids, strategy, seed=1, horizon=8, batch_size=1000)
    assert 30 < (expected.pages < 8).sum() < 285  # some leave early, some stay
    for size in (7, 64):
        assert_same(simulate(WORLD, population, ids, strategy, seed=1, horizon=8, batch_size=size), expected)
    alone = simulate(WORLD, population, ids[245:246], strategy, seed=1, horizon=8)
    assert_same(expected, alone, slice(245, 246))
    other = simulate(WORLD, population, ids, strategy, seed=2, horizon=8)
    assert (other.returns != expected.returns).mean() > 0.5


def test_figures_by_an_independent_replay(population: MadeUpPopulation) -> None:
    """One user at a time, page by page, from the world alone."""
    ids, strategy = np.arange(60), Similarity(RETRIEVAL, 5)
    visits = simulate(WORLD, population, ids, strategy, seed=1, horizon=8, batch_size=13)
    for user in ids:
        state = WORLD.start(population.visit(ids[user : user + 1]), 1)
        clicks: list[int] = []
        moods: list[float] = []
        distances: list[float] = []
        while state.present[0] and len(clicks) < 8:
            slates = strategy.act(observe(state)).slates
            clicks.append(int(WORLD.step(state, slates).clicks.sum()))
            moods.append(float(state.satisfaction[0]))
            page = ITEMS.vectors[slates[0]].astype(float)
            distances += [1 - page[a] @ page[b] for a in range(5) for b in range(a)]
        assert visits.returns[user] == sum(clicks)
        assert visits.pages[user] == len(clicks)
        assert visits.click_rate[user] == pytest.approx(sum(clicks) / (5 * len(clicks)), abs=1e-12)
        assert visits.satisfaction[user] == pytest.approx(np.mean(moods), abs=1e-12)
        assert visits.diversity[user] == pytest.approx(np.mean(distances), abs=1e-6)
    assert np.isnan(visits.generated).all()
    np.testing.assert_array_equal(visits.people, ids)


@dataclass
class Half:
    """Shows items 0 to 4; even users' pages come from the generator on the first two pages, the rest from elsewhere."""

    def act(self, observation: Observation) -> Decision:
        assert observation.users.size  # never asked about nobody
        made = (observation.users % 2 == 0) & (observation.steps < 2)
        sources = tuple("generator" if generated else "similarity" for generated in made)
        return Decision(np.tile(np.arange(5, dtype=np.int32), (len(observation), 1)), sources)


def test_share_of_generated_pages() -> None:
    stay, leave = -1000.0, 1000.0
    for bias, pages in ((stay, 4), (leave, 1)):
        population = SameUsers(np.eye(24)[0].tolist(), 0.0, 0.5, bias, TRAITS)
        visits = simulate(WORLD, population, np.arange(10), Half(), seed=0, horizon=4)
        np.testing.assert_array_equal(visits.pages, pages)
        np.testing.assert_array_equal(visits.generated, np.where(np.arange(10) % 2, 0.0, min(2, pages) / pages))


def test_progress_counts_users(population: MadeUpPopulation) -> None:
    calls: list[tuple[int, int]] = []
    simulate(
        WORLD, population, np.arange(10), Half(), 0, 1, batch_size=4, progress=lambda done, n: calls.append((done, n))
    )
    assert calls == [(4, 10), (8, 10), (10, 10)]


def test_a_strategy_cannot_reach_into_the_world(population: MadeUpPopulation) -> None:
    state = WORLD.start(population.visit(np.arange(20)), 0)
    seen = observe(state)
    assert seen.profiles is None
    for name in ("seeds", "users", "steps", "histories", "shown"):
        getattr(seen, name)[:] = 0
    fresh = WORLD.start(population.visit(np.arange(20)), 0)
    np.testing.assert_array_equal(state.histories, fresh.histories)
    np.testing.assert_array_equal(state.shown, fresh.shown)
    np.testing.assert_array_equal(state.users.ids, np.arange(20))


def pages(*vectors: list[float]) -> NDArray[np.float32]:
    return np.array([vectors], dtype=np.float32)  # (1, slate, d)


def test_page_diversity_of_known_pages() -> None:
    assert page_diversity(pages([1, 0], [1, 0], [1, 0]))[0] == pytest.approx(0, abs=1e-12)
    assert page_diversity(pages([1, 0, 0], [0, 1, 0], [0, 0, 1]))[0] == pytest.approx(1, abs=1e-12)
    assert page_diversity(pages([1, 0], [-1, 0]))[0] == pytest.approx(2, abs=1e-12)
    assert page_diversity(pages([1, 0], [0.6, 0.8], [0, 1]))[0] == pytest.approx(1 - (0.6 + 0.8) / 3, abs=1e-7)
    assert page_diversity(pages([1, 0])).tolist() == [0.0]


@settings(deadline=None, max_examples=100)
@given(arrays(np.float64, (3, 4, 5), elements=st.floats(-1, 1)))
def test_page_diversity_is_the_mean_over_pairs(points: NDArray[np.float64]) -> None:
    vectors = unit(points + np.array([3.0, 0, 0, 0, 0]))
    pairs = [(a, b) for a in range(4) for b in range(a)]
    expected = [np.mean([1 - page[a] @ page[b] for a, b in pairs]) for page in vectors]
    np.testing.assert_allclose(page_diversity(vectors.astype(np.float32)), expected, atol=1e-5)


def test_a_world_of_one_item() -> None:
    """The smallest of all: one item, one user, one page."""
    items = WorldItems(np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.zeros(1, np.int32), 1)
    world = World(items, slate_size=1, shown_capacity=1)

    class Only:
        def act(self, observation: Observation) -> Decision:
            return Decision(np.zeros((len(observation), 1), dtype=np.int32))

    visits = simulate(world, SameUsers([1.0], 1000.0, 0.0, 0.0, TRAITS), np.arange(1), Only(), seed=0, horizon=1)
    assert [getattr(visits, name).tolist() for name in ("returns", "pages", "click_rate")] == [[1.0], [1.0], [1.0]]
    assert visits.satisfaction[0] == pytest.approx(0.7 * 0.5 + 0.3 * 0.5, abs=1e-6)
    assert visits.diversity.tolist() == [0.0]


@dataclass
class Spies:
    """Shows item 0 first to those whose satisfaction is above the start, and notes whom it was shown."""

    seen: list[NDArray[np.int64]]

    def act(self, observation: Observation) -> Decision:
        raise NotImplementedError

    def act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        np.testing.assert_array_equal(observation.users, state.users.ids)
        np.testing.assert_array_equal(observation.steps, state.steps)
        self.seen.append(state.users.ids.copy())
        slates = np.tile(np.arange(5, dtype=np.int32), (len(observation), 1))
        state.satisfaction[:] = 7  # its own arrays: the world does not notice
        return Decision(slates)


def test_who_sees_the_state_is_shown_it_and_cannot_touch_it(population: MadeUpPopulation) -> None:
    spy = Spies([])
    assert isinstance(spy, SeesState)
    assert not isinstance(Random(RETRIEVAL, 5), SeesState)
    visits = simulate(WORLD, population, np.arange(50), spy, seed=1, horizon=4)
    assert visits.satisfaction.max() < 1
    assert [len(ids) for ids in spy.seen] == [int((visits.pages > step).sum()) for step in range(len(spy.seen))]
