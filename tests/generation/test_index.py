"""The item index: exact in a small catalogue, near to it in a large one, never an item that the user knows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.generation.waiting import unseen, waiting
from zsr_sim.encoders.space import unit
from zsr_sim.envs.observation import Observation
from zsr_sim.generation import retrieval as retrieval_module
from zsr_sim.generation.index import ALWAYS, ItemIndex, nearest, neighbours
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.search import search

D, K = 16, 10


def clustered(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors around n / 50 directions, as item texts of a catalogue lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n // 50, D))
    return unit(centres[rng.integers(len(centres), size=n)] + 0.7 * rng.normal(size=(n, D))).astype(np.float32)


def readers(n: int, n_items: int, seed: int = 1) -> Observation:
    """Users who consumed 8 items and were shown 20 others."""
    items = np.random.default_rng(seed).permuted(np.tile(np.arange(n_items), (n, 1)), axis=1)[:, :28]
    return waiting(items[:, :8], items[:, 8:].tolist())


def brute_force(vectors: NDArray[np.float32], query: NDArray[np.float32], left: set[int]) -> list[int]:
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    return sorted(left, key=lambda item: (-scores[item], item))[:K]


def test_one_cell_is_exact_and_ties_go_to_the_item_that_stands_first() -> None:
    vectors = clustered(300)
    vectors[200:250] = vectors[:50]  # twins
    retrieval = Retrieval(vectors, np.ones(300, dtype=np.float32))
    observation = readers(60, 300)
    queries = clustered(300, seed=5)[:60]
    found = retrieval.nearest(queries, observation, K)
    for row in range(60):
        assert found[row].tolist() == brute_force(vectors, queries[row], unseen(observation, row, 300))


def test_cells_hold_every_item_once_and_cost_grows_with_the_root() -> None:
    index = ItemIndex.of(clustered(6000), exact=100)
    assert len(index.centres) == 77  # the root of 6,000
    assert index.probes == 8
    np.testing.assert_array_equal(np.sort(index.items), np.arange(6000))
    assert index.starts[0] == 0
    assert index.starts[-1] == 6000
    sizes = np.diff(index.starts)
    assert sizes.max() < 6000 / 8  # no cell swallows the catalogue
    for c in range(77):  # every item lies in the cell of its nearest centre
        own = index.vectors[index.starts[c] : index.starts[c + 1]]
        if len(own):
            assert ((own @ index.centres.T).argmax(axis=1) == c).mean() > 0.99


def test_a_probed_search_finds_most_of_the_nearest() -> None:
    vectors = clustered(6000)
    retrieval = Retrieval(vectors, np.ones(6000, dtype=np.float32))
    assert len(retrieval.index.centres) == 77
    observation = readers(200, 6000)
    queries = unit(vectors[:200] + vectors[np.argsort(-(vectors[:200] @ vectors.T), axis=1)[:, 30]]).astype(np.float32)
    found = retrieval.nearest(queries, observation, K)
    shares = []
    for row in range(200):
        best = brute_force(vectors, queries[row], unseen(observation, row, 6000))
        shares.append(len(set(best) & set(found[row].tolist())) / K)
        assert set(found[row].tolist()) <= unseen(observation, row, 6000)
        assert len(set(found[row].tolist())) == K
    assert np.mean(shares) > 0.9


@pytest.mark.parametrize("k", [3, 10, 16, 25])
def test_many_users_together_find_what_each_finds_alone(k: int) -> None:
    """Each was shown every other one of the 40 nearest items, so what is nearest is mostly not new."""
    vectors, n = clustered(1000), 50
    vectors[900:] = vectors[:100]  # twins
    index, queries = ItemIndex.of(vectors, exact=100), clustered(1000, seed=6)[:n]
    shown = np.argsort(-queries @ vectors.T, axis=1)[:, :40:2].astype(np.int32)
    histories = np.random.default_rng(0).integers(1000, size=(n, 8)).astype(np.int32)
    histories[:, :4] = -1
    together, found = np.empty((n, k), dtype=np.int32), np.empty(n, dtype=np.int64)
    search(index, queries, np.zeros(n, np.int64), ALWAYS, histories, shown, together, found)
    alone, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
    assert index.probes < len(index.centres)
    assert (found == k).sum() > 40
    for u in np.flatnonzero(found == k):
        met = np.zeros(1000, dtype=np.bool_)
        met[histories[u, 4:]] = met[shown[u]] = True
        nearest(index, queries[u], 0, ALWAYS, met, alone, scores)
        assert together[u].tolist() == alone.tolist()


def test_too_few_new_items_in_the_cells_are_sought_everywhere() -> None:
    """Whoever has seen all items near the query still gets the ten nearest of the others."""
    vectors = clustered(5000)
    query = vectors[:1]
    known = np.argsort(-(vectors @ query[0]), kind="stable")[:1500]
    observation = waiting(known[None, :].astype(np.int32))
    retrieval = Retrieval(vectors, np.ones(5000, dtype=np.float32))
    found = retrieval.nearest(query, observation, K)[0]
    left = set(range(5000)) - set(known.tolist())
    assert set(found.tolist()) <= left
    scores = vectors @ query[0]
    assert scores[found].min() >= np.sort(scores[sorted(left)])[-300]  # near the best of what is left


def test_neighbours_are_the_nearest_other_items() -> None:
    vectors = clustered(200)
    found = neighbours(ItemIndex.of(vectors), vectors, 5)
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(cosines, -2)
    np.testing.assert_allclose(
        np.take_along_axis(cosines, found.astype(np.int64), 1), -np.sort(-cosines)[:, :5], atol=1e-6
    )
    assert neighbours(ItemIndex.of(vectors[:3]), vectors[:3], 5).shape == (3, 2)
    assert neighbours(ItemIndex.of(vectors), vectors, 0).shape == (200, 0)


def test_known_neighbours_and_a_search_give_the_same_page(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(400)
    popularity = np.ones(400, dtype=np.float32)
    observation = readers(50, 400)
    known = Retrieval(vectors, popularity).by_neighbours(observation, K, 1)[:, 0]
    monkeypatch.setattr(retrieval_module, "_MOST_KNOWN", 0)
    np.testing.assert_array_equal(Retrieval(vectors, popularity).by_neighbours(observation, K, 1)[:, 0], known)
