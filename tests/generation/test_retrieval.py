"""Direct retrieval, held against NumPy; the same for a user alone and in any batch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from tests.generation.waiting import random_retrieval, random_waiting, unseen, waiting
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.index import Shelf
from zsr_sim.generation.retrieval import Retrieval

RETRIEVAL = random_retrieval(twins=10)
N = len(RETRIEVAL.vectors)
K = 6
METHODS: dict[str, Callable[[Observation], NDArray[np.int32]]] = {
    "history": lambda observation: RETRIEVAL.by_history(observation, K),
    "neighbour": lambda observation: RETRIEVAL.by_neighbours(observation, K, 1)[:, 0],
    "another neighbour": lambda observation: RETRIEVAL.by_neighbours(observation, K, 3)[:, 2],
    "contrast": lambda observation: RETRIEVAL.by_contrast(observation, K),
    "popular contrast": lambda observation: RETRIEVAL.by_contrast(observation, K, 20),
    "popularity": lambda observation: RETRIEVAL.by_popularity(observation, K),
    "random": lambda observation: RETRIEVAL.at_random(observation, K),
}
WAYS = ("by_history", "by_neighbours", "by_contrast", "by_popularity", "at_random")


def _decayed_mean(history: NDArray[np.int32], decay: float) -> NDArray[np.float64]:
    items = history[history >= 0]
    weights = decay ** np.arange(len(items) - 1, -1, -1.0)
    total: NDArray[np.float64] = weights @ RETRIEVAL.vectors[items].astype(float)
    return total / max(float(np.linalg.norm(total)), 1e-12)


def test_a_profile_of_another_space_is_turned_into_that_of_the_vectors() -> None:
    """Two dimensions there, three here: (3, 4) / 5 becomes (4, 0, 3) / 5; no profile stays none."""
    vectors = np.eye(3, dtype=np.float32)
    turn = np.array([[0, 2], [0, 0], [2, 0]], dtype=np.float32)
    retrieval = Retrieval(vectors, np.array([1, 2, 3], dtype=np.float32), turn=turn)
    profiles = np.array([[0.6, 0.8], [0, 0], [0.6, 0.8]], dtype=np.float32)
    users = replace(waiting([[-1], [-1], [1]]), profiles=profiles)
    assert retrieval.read(users) == pytest.approx(np.array([[0.8, 0, 0.6], [0, 0, 0], [0, 1, 0]]), abs=1e-6)
    assert retrieval.by_history(users, 1)[:2].tolist() == [[0], [2]]


def test_by_history_is_the_order_of_cosines() -> None:
    observation = random_waiting(200, N)
    found = RETRIEVAL.by_history(observation, K)
    for row in np.flatnonzero((observation.histories >= 0).any(axis=1)).tolist():
        query = _decayed_mean(observation.histories[row], 0.9)
        cosines = RETRIEVAL.vectors.astype(float) @ query
        new = sorted(unseen(observation, row, N))
        best = np.sort(cosines[new])[::-1][:K]
        np.testing.assert_allclose(cosines[found[row]], best, atol=1e-6)  # in value: twins may stand for each other
        assert set(found[row]) <= set(new)


def test_similarity_of_hand_made_vectors() -> None:
    retrieval = Retrieval(np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32), np.array([1, 4, 2], np.float32))
    found = retrieval.similarity(np.array([[1, 0], [0.6, 0.8], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[1, 0, 0.6], [0.6, 0.8, 1], [0.25, 1, 0.5]], rtol=1e-6)
    assert found.dtype.is_floating_point


def test_equal_vectors_tie_exactly() -> None:
    queries = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    scores = RETRIEVAL.similarity(queries).numpy()
    np.testing.assert_array_equal(scores[:, -10:], scores[:, :10])


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_pages_do_not_depend_on_the_batch(method: Callable[[Observation], NDArray[np.int32]]) -> None:
    observation = random_waiting(300, N)
    together = method(observation)
    assert together.shape == (300, K)
    assert together.dtype == np.int32
    order = np.random.default_rng(1).permutation(300)
    np.testing.assert_array_equal(method(observation.take(order)), together[order])
    for rows in (order[:7], order[:64], *np.arange(40)[:, None]):
        np.testing.assert_array_equal(method(observation.take(rows)), together[rows])


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_pages_hold_new_items_without_repeats(method: Callable[[Observation], NDArray[np.int32]]) -> None:
    observation = random_waiting(300, N)
    for row, page in enumerate(method(observation)):
        assert len(set(page.tolist())) == K
        assert set(page.tolist()) <= unseen(observation, row, N)


def test_a_catalogue_that_is_used_up_starts_again() -> None:
    angles = np.arange(6) / 10
    retrieval = Retrieval(
        np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
        np.arange(6, dtype=np.float32)[::-1].copy(),
    )
    assert retrieval.by_popularity(waiting([[4, 2, 1, 0]]), 6).tolist() == [[3, 5, 0, 1, 2, 4]]
    shown_too = waiting([[-1, 0]], [[1, 3]])
    assert retrieval.by_history(waiting([[-1, 0]]), 6).tolist() == [[1, 2, 3, 4, 5, 0]]
    assert retrieval.by_history(shown_too, 6).tolist() == [[2, 4, 5, 0, 1, 3]]
    assert retrieval.by_neighbours(shown_too, 6, 1)[:, 0].tolist() == [[2, 4, 5, 0, 1, 3]]
    assert sorted(retrieval.at_random(shown_too, 6)[0].tolist()) == list(range(6))


def test_nobody_without_a_history_gets_anything_but_popularity() -> None:
    observation = replace(random_waiting(50, N), histories=np.full((50, 3), -1, dtype=np.int32))
    expected = RETRIEVAL.by_popularity(observation, K)
    np.testing.assert_array_equal(RETRIEVAL.by_history(observation, K), expected)
    np.testing.assert_array_equal(RETRIEVAL.by_neighbours(observation, K, 2)[:, 1], expected)
    np.testing.assert_array_equal(RETRIEVAL.by_contrast(observation, K), expected)
    np.testing.assert_array_equal(RETRIEVAL.by_contrast(observation, K, 20), expected)
    for row, page in enumerate(expected):
        left = RETRIEVAL.popularity[sorted(unseen(observation, row, N))]
        np.testing.assert_array_equal(RETRIEVAL.popularity[page], np.sort(left)[::-1][:K])


def test_contrast_is_what_was_liked_and_has_not_been_had_lately() -> None:
    """Item 0 was consumed first and item 1 last: the further from 1 and the nearer to 0, the better."""
    degrees = np.deg2rad([0, 90, 180, 15, 100, -20, 45])
    vectors = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    retrieval = Retrieval(vectors, np.array([9, 9, 8, 1, 7, 2, 6], dtype=np.float32))
    observation = waiting([[-1, 0, 1]])
    lasting, recent = (np.array([decay, 1]) / np.hypot(decay, 1) for decay in (0.95, 0.5))
    scores = vectors @ (lasting - recent)
    best = [5, 3, 6, 4, 2, 0, 1]
    assert sorted(range(2, 7), key=lambda item: -scores[item]) == best[:5]
    assert retrieval.by_contrast(observation, 7).tolist() == [best]
    # Items 2, 4 and 6 are the most popular new ones; the others follow.
    assert retrieval.by_contrast(observation, 7, among=3).tolist() == [[6, 4, 2, 5, 3, 0, 1]]
    assert retrieval.by_contrast(observation, 3, among=7).tolist() == [best[:3]]


def test_neighbours_are_of_items_drawn_evenly_and_independently() -> None:
    """Items come in twins on axes of their own: the nearest new item tells which item of the history was drawn."""
    n, axes = 8000, np.eye(6, dtype=np.float32)
    retrieval = Retrieval(np.concatenate([axes, axes]), np.ones(12, dtype=np.float32))
    observation = waiting(np.tile(np.array([-1, -1, 4, 0, 2, 5], dtype=np.int32), (n, 1)), seed=1)
    drawn = retrieval.by_neighbours(observation, 1, 2)[:, :, 0].T - 6  # (2, n)
    assert set(drawn.ravel().tolist()) == {0, 2, 4, 5}
    pairs = np.unique(drawn, axis=1, return_counts=True)[1]
    assert len(pairs) == 16
    assert chisquare(pairs).pvalue > 0.01


def test_random_pages_are_even_over_new_items_in_every_place() -> None:
    n, n_items = 12_000, 20
    retrieval = random_retrieval(n_items)
    histories, shown = np.tile(np.array([-1, 3, 17], dtype=np.int32), (n, 1)), [[8, 9]] * n
    pages = retrieval.at_random(waiting(histories, shown), 4)
    for place in range(4):
        counts = np.bincount(pages[:, place], minlength=n_items)
        assert counts[[3, 17, 8, 9]].sum() == 0
        assert chisquare(np.delete(counts, [3, 17, 8, 9])).pvalue > 0.01


def test_random_pages_change_with_step_and_seed() -> None:
    histories = np.full((200, 3), -1, dtype=np.int32)
    first, again = (RETRIEVAL.at_random(waiting(histories), K) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    later = RETRIEVAL.at_random(waiting(histories, steps=[1] * 200), K)
    other = RETRIEVAL.at_random(waiting(histories, seed=1), K)
    for pages in (later, other):
        assert (pages == first).mean() < 0.05  # by chance 1 / 60


@pytest.mark.parametrize("way", WAYS)
def test_pages_hold_what_can_be_had_now(way: str) -> None:
    released = np.arange(N, dtype=np.int32) % 20 - 15  # on each page of a visit 15 of 20 items can be had
    shelf = Shelf(released, released + 15)
    retrieval = Retrieval(RETRIEVAL.vectors, RETRIEVAL.popularity, shelf=shelf)
    observation = random_waiting(200, N, length=20, capacity=6)
    observation = replace(observation, steps=observation.steps % 5)
    extra = (1,) if way == "by_neighbours" else ()
    pages = getattr(retrieval, way)(observation, K, *extra).reshape(-1, K)
    page = observation.steps[:, None]
    assert ((released[pages] <= page) & (page < released[pages] + 15)).all()
    for row, items in enumerate(pages.tolist()):
        assert set(items) <= unseen(observation, row, N)
        assert len(set(items)) == K


@pytest.mark.parametrize("way", ["by_history", "by_popularity"])
def test_what_cannot_be_had_follows_what_is_old(way: str) -> None:
    retrieval = Retrieval(
        np.eye(4, dtype=np.float32), np.array([4, 3, 2, 1], dtype=np.float32),
        shelf=Shelf(np.array([5, 0, 0, 0], dtype=np.int32), np.array([9, 9, 9, 9], dtype=np.int32)),
    )  # fmt: skip
    early, late = getattr(retrieval, way)(waiting([[1], [1]], steps=[0, 5]), 4).tolist()
    assert early == [2, 3, 1, 0]  # new ones by popularity or by row, the consumed one, and the one still to come
    assert late == [0, 2, 3, 1]
