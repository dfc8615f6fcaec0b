"""Distributions of pages: every page of a small catalogue counted."""

import doctest
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tests.generation.waiting import random_retrieval, random_waiting, unseen, waiting
from zsr_sim.agents import distribution
from zsr_sim.agents.baselines import Popularity, Random
from zsr_sim.agents.distribution import Drawing, PageDistribution, page_distribution, sampled, seen_items
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError

N_ITEMS, SLATE = 6, 3
PAGES = np.array(list(permutations(range(N_ITEMS), SLATE)), dtype=np.int32)  # (120, 3)


def test_doctest() -> None:
    assert doctest.testmod(distribution).failed == 0


@st.composite
def one_user(draw: st.DrawFn) -> PageDistribution:
    """A distribution of one user: up to three candidates, a pool of 3 to 6 items."""
    c = draw(st.integers(0, 3))
    weights = np.array([*draw(st.lists(st.floats(0, 1), min_size=c, max_size=c)), draw(st.floats(0.01, 1))])
    rows = draw(st.lists(st.integers(0, len(PAGES) - 1), min_size=c, max_size=c))
    excluded = sorted(draw(st.sets(st.integers(0, N_ITEMS - 1), max_size=3)))
    padded = np.array([[*excluded, *([N_ITEMS] * (4 - len(excluded)))]], dtype=np.int32)
    weights = weights / weights.sum()
    return PageDistribution(PAGES[rows][None], weights[None, :-1], weights[-1:], N_ITEMS, padded)


def repeated(found: PageDistribution, n: int) -> PageDistribution:
    """The same user n times."""
    return PageDistribution(
        np.repeat(found.items, n, axis=0).astype(np.int32),
        np.tile(found.probabilities, (n, 1)),
        np.tile(found.uniform, n),
        N_ITEMS,
        np.tile(found.excluded, (n, 1)),
    )


def of_every_page(found: PageDistribution) -> PageDistribution:
    """The same user once for each page."""
    return repeated(found, len(PAGES))


@given(one_user())
@settings(max_examples=60, deadline=None)
def test_all_pages_together_have_probability_one_and_marginals_add_up(found: PageDistribution) -> None:
    every = of_every_page(found)
    slate = every.slate_propensity(PAGES)
    assert slate.sum() == pytest.approx(1, abs=1e-12)
    prefix, position = every.prefix_propensity(PAGES), every.position_propensity(PAGES)
    for k in range(SLATE):
        same_prefix = (PAGES[:, None, : k + 1] == PAGES[None, :, : k + 1]).all(axis=2)  # (120, 120)
        np.testing.assert_allclose(prefix[:, k], same_prefix @ slate, atol=1e-12)
        np.testing.assert_allclose(position[:, k], (PAGES[:, None, k] == PAGES[None, :, k]) @ slate, atol=1e-12)


def test_propensities_by_hand() -> None:
    """Half on one page, a quarter on another that begins alike, a quarter even over the items 0, 1, 2, 4, 5."""
    found = PageDistribution(
        np.array([[[0, 1, 2], [0, 4, 2]]], dtype=np.int32), np.array([[0.5, 0.25]]), np.array([0.25]), N_ITEMS,
        np.array([[3]], dtype=np.int32),
    )  # fmt: skip
    page = np.array([[0, 1, 2]], dtype=np.int32)
    assert found.slate_propensity(page)[0] == pytest.approx(0.5 + 0.25 / 60)
    np.testing.assert_allclose(found.prefix_propensity(page), [[0.75 + 0.25 / 5, 0.5 + 0.25 / 20, 0.5 + 0.25 / 60]])
    np.testing.assert_allclose(found.position_propensity(page), [[0.75 + 0.05, 0.5 + 0.05, 0.75 + 0.05]])
    np.testing.assert_allclose(found.prefix_propensity(np.array([[3, 1, 2]], dtype=np.int32)), 0)
    np.testing.assert_allclose(found.prefix_propensity(np.array([[5, 5, 2]], dtype=np.int32)), [[0.05, 0, 0]])


def test_draws_follow_the_distribution() -> None:
    n = 60_000
    one = PageDistribution(
        PAGES[[7, 60, 7]][None], np.array([[0.2, 0.3, 0.1]]), np.array([0.4]), N_ITEMS,
        np.array([[1, N_ITEMS]], dtype=np.int32),
    )  # fmt: skip
    expected = n * of_every_page(one).slate_propensity(PAGES)
    many = repeated(one, n)
    seeds, steps = np.full(n, 3, dtype=np.uint64), np.zeros(n, dtype=np.int64)
    drawn = many.draw(seeds, np.arange(n), steps)
    codes = (drawn[:, None, :] == PAGES[None]).all(axis=2).argmax(axis=1)
    counts = np.bincount(codes, minlength=len(PAGES))
    assert counts[expected == 0].sum() == 0
    assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 0.001
    np.testing.assert_array_equal(many.draw(seeds, np.arange(n) + 1, steps)[:-1], drawn[1:])  # whatever the batch


def test_without_a_uniform_share_only_likely_candidates_are_drawn() -> None:
    n = 2000
    third = np.full((n, 4), [1 / 3, 1 / 3, 1 / 3, 0.0])
    found = PageDistribution(np.tile(PAGES[None, :4], (n, 1, 1)), third, np.zeros(n), N_ITEMS)
    drawn = found.draw(np.full(n, 1, dtype=np.uint64), np.arange(n), np.zeros(n, dtype=np.int64))
    assert {tuple(page) for page in drawn.tolist()} == {tuple(page) for page in PAGES[:3].tolist()}


def test_seen_items_are_distinct_sorted_and_forgotten_when_too_many() -> None:
    observation = waiting([[-1, 3, 1, 3], [0, 1, 2, 3]], [[1, 5], [4, 5]])
    assert seen_items(observation, N_ITEMS, SLATE).tolist() == [[1, 3, 5, 6, 6, 6], [6] * 6]


def test_random_draws_evenly_from_what_is_new() -> None:
    retrieval, observation = random_retrieval(), random_waiting(30, 60)
    found = Random(retrieval, 5).distribution(observation)
    page = Random(retrieval, 5).act(observation).slates
    for row in range(30):
        new = len(unseen(observation, row, 60))
        pages = np.prod([new - k for k in range(5)], dtype=float)
        assert found.slate_propensity(page)[row] == pytest.approx(1 / pages)
        assert found.position_propensity(page)[row].tolist() == pytest.approx([1 / new] * 5)


def test_an_agent_without_a_distribution_shows_its_page_or_explores() -> None:
    retrieval, observation = random_retrieval(), random_waiting(400, 60)
    agent = CheckedAgent("popularity", Popularity(retrieval, 4), 4, 60)
    page = agent.act(observation).slates
    np.testing.assert_array_equal(page_distribution(agent, observation, 60).slate_propensity(page), 1.0)
    exploring = sampled(agent, 60, 0.3)
    found = exploring.distribution(observation)
    pool = 60 - np.array([60 - len(unseen(observation, row, 60)) for row in range(400)])
    np.testing.assert_allclose(found.slate_propensity(page), 0.7 + 0.3 / np.prod([pool - k for k in range(4)], axis=0))
    shown = exploring.act(observation).slates
    assert (shown == page).all(axis=1).mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 400))
    for row, items in enumerate(shown.tolist()):
        assert set(items) <= unseen(observation, row, 60)


@dataclass(frozen=True)
class TwoPages:
    """Draws one of two pages; speaks of as many items as it is told."""

    n_items: int

    def act(self, observation: Observation) -> Decision:
        """The likelier page."""
        return Decision(np.tile(np.array([0, 1], dtype=np.int32), (len(observation), 1)))

    def distribution(self, observation: Observation) -> PageDistribution:
        """Three to one."""
        n = len(observation)
        pages: NDArray[np.int32] = np.tile(np.array([[0, 1], [2, 3]], dtype=np.int32), (n, 1, 1))
        return PageDistribution(pages, np.full((n, 2), [0.75, 0.25]), np.zeros(n), self.n_items)


def test_an_agent_of_ones_own_may_draw() -> None:
    agent, observation = TwoPages(9), random_waiting(3, 9, 2, 2)
    assert isinstance(agent, Drawing)
    found = page_distribution(CheckedAgent("mine", agent, 2, 9), observation, 9)
    assert found.slate_propensity(np.full((3, 2), [2, 3], dtype=np.int32)).tolist() == [0.25] * 3
    with pytest.raises(InputError, match=r"agent mine: distribution\(\) speaks of 3 users and 8 items; 3 and 9 exp"):
        page_distribution(CheckedAgent("mine", TwoPages(8), 2, 9), observation, 9)


def test_what_is_no_distribution() -> None:
    pages = PAGES[:2][None]
    with pytest.raises(ValueError, match=r"row 0 sum to 0\.75, 1 expected"):
        PageDistribution(pages, np.array([[0.5, 0.25]]), np.zeros(1), N_ITEMS)
    with pytest.raises(ValueError, match="do not fit each other"):
        PageDistribution(pages, np.array([[0.5, 0.25]]), np.zeros(2), N_ITEMS)
    with pytest.raises(ValueError, match="a pool of 2 items holds no page of 3"):
        PageDistribution(pages, np.array([[0.5, 0.5]]), np.zeros(1), N_ITEMS, np.array([[0, 1, 2, 3]], dtype=np.int32))
    with pytest.raises(InputError, match=r"--explore 1\.5: a probability from 0 to 1 expected"):
        sampled(TwoPages(9), 9, 1.5)
