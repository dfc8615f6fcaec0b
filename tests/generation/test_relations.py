from dataclasses import replace

import numpy as np
import pytest

from tests.generation.waiting import waiting
from zsr_sim.generation.candidates import COMPOSED, PROPOSERS, SOURCES, Candidates
from zsr_sim.generation.relations import N_CONTEXT, N_COSINES, N_READ, N_RELATIONS, relate, relations
from zsr_sim.generation.retrieval import Retrieval

VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
POPULARITY = np.array([np.e**2 - 1, 0, np.e - 1, 0], dtype=np.float32)  # appeal 1, 0, 1/2, 0


def _candidates(n: int = 2) -> Candidates:
    """For each user with the pages (0, 1) by popularity and (2, 3) by the generator."""
    items = np.tile(np.array([[0, 1], [2, 3]], dtype=np.int32), (n, 1, 1))
    sources = np.tile(np.array([SOURCES.index("popularity"), SOURCES.index("generator")], dtype=np.int8), (n, 1))
    return Candidates(items, sources, np.tile(np.array([0.5, 0.75], dtype=np.float32), (n, 1)))


def test_relations_of_a_hand_computed_example() -> None:
    # The first user's history is item 0 alone, so both views are (1, 0); the second has none: both are (0, 0).
    observation = waiting([[-1, -1, 0], [-1, -1, -1]], [[-1, -1, 0, 3], [-1, -1, -1, -1]], [5, 40])
    related = relate(observation, _candidates(), Retrieval(VECTORS, POPULARITY))
    assert related.lasting.tolist() == related.recent.tolist() == [[1, 0], [0, 0]]
    np.testing.assert_allclose(related.means[0], [[0.5, 0.5], [-0.2, 0.4]], rtol=1e-6)
    kinds: list[list[float]] = np.eye(len(PROPOSERS)).tolist()
    # mean and best cosine, both again, nearness to the last 20 and 4, |mean|^2, plausibility, mean appeal, source
    first = [0.5, 1.0, 0.5, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, *kinds[SOURCES.index("popularity")]]
    second = [-0.2, 0.6, -0.2, 0.6, -0.2, -0.2, 0.2, 0.75, 0.25, *kinds[SOURCES.index("generator")]]
    np.testing.assert_allclose(related.scalars[0], np.array([first, second]), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(related.scalars[1, :, :6], [[0, 0, 0, 0, -1, -1]] * 2)  # nothing is near nothing
    # One of the two items of the last page was consumed; page 5 of 20; one of three places of the history is used.
    np.testing.assert_allclose(related.context, [[0.5, 0.25, 1 / 3], [0.0, 1.0, 0.0]], rtol=1e-6)


def test_the_two_views_forget_at_their_own_pace() -> None:
    related = relate(waiting([[0, 1]] * 2, [[-1, -1]] * 2, [0, 0]), _candidates(), Retrieval(VECTORS, POPULARITY))
    for view, decay in ((related.lasting, 0.95), (related.recent, 0.6)):
        np.testing.assert_allclose(view[0], np.array([decay, 1.0]) / np.hypot(decay, 1.0), rtol=1e-6)


def test_nearness_looks_20_and_4_items_back() -> None:
    """Cosines with items 0 and 1 are (1, 0) and (0, 1) for the page (0, 1), (0.6, 0.8) and (-1, 0) for (2, 3)."""
    histories = [[-1] * 17 + [1, 0, 0, 0, 0], [-1, 1] + [0] * 20, [-1] * 20 + [0, 1]]
    related = relate(waiting(histories), _candidates(3), Retrieval(VECTORS, POPULARITY))
    both, only_0 = [1.0, (0.8 + 0.0) / 2], [0.5, (0.6 - 1.0) / 2]
    for column, expected in ((4, [both, only_0, both]), (5, [only_0, only_0, both])):
        np.testing.assert_allclose(related.scalars[:, :, column], expected, rtol=1e-6)


def test_a_policy_reads_scalars_and_context() -> None:
    observation, retrieval = waiting([[-1, -1, 0], [-1, 2, 1]]), Retrieval(VECTORS, POPULARITY)
    related = relate(observation, _candidates(), retrieval)
    pages, context = relations(observation, _candidates(), retrieval)
    np.testing.assert_array_equal(pages[:, :, :N_RELATIONS], related.scalars, strict=True)
    assert not pages[:, :, N_RELATIONS:].any()  # nothing composed, no clicks expected
    np.testing.assert_array_equal(context, related.context, strict=True)
    assert (pages.shape, context.shape) == ((2, 2, N_READ), (2, N_CONTEXT))
    assert pages.dtype == context.dtype == np.float32
    assert N_COSINES == 7
    assert 7 + 2 + len(PROPOSERS) == N_RELATIONS


def test_a_policy_reads_which_page_is_composed_and_what_is_expected_of_it() -> None:
    observation, plain = waiting([[-1, -1, 0], [-1, 2, 1]]), _candidates()
    sources = plain.sources.copy()
    sources[:, 1] = SOURCES.index("composed, wide")
    expected = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)
    pages, _ = relations(
        observation, replace(plain, sources=sources, expected=expected), Retrieval(VECTORS, POPULARITY)
    )
    np.testing.assert_array_equal(pages[:, :, N_RELATIONS], expected)
    kinds = pages[:, :, N_RELATIONS + 1 :].tolist()
    assert kinds == [[[0.0] * len(COMPOSED), [float(name == "composed, wide") for name in COMPOSED]]] * 2
    assert not pages[:, 1, N_COSINES + 2 : N_RELATIONS].any()  # no proposer of the others


@pytest.mark.parametrize("d", [2, 33, 64])
def test_a_row_does_not_depend_on_the_batch_and_cosines_stay_in_bounds(d: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[20:] = vectors[:20]  # equal texts: cosines of 1 and, by rounding, a little more
    n = 50
    single = rng.integers(40, size=(n, 1, 1))
    items = np.concatenate([(single + 20) % 40, rng.integers(40, size=(n, 1, 1))], axis=1).astype(np.int32)
    observation = waiting(single[:, 0].tolist(), [[-1]] * n, [0] * n)
    sources, plausibility = np.ones((n, 2), dtype=np.int8), np.full((n, 2), 0.5, dtype=np.float32)
    retrieval = Retrieval(vectors, rng.random(40).astype(np.float32))
    whole = relate(observation, Candidates(items, sources, plausibility), retrieval)
    np.testing.assert_allclose(whole.scalars[:, 0, :N_COSINES], 1, rtol=1e-6)
    assert whole.scalars.max() == 1
    for row in range(n):
        one = slice(row, row + 1)
        alone = relate(observation.take(one), Candidates(items[one], sources[one], plausibility[one]), retrieval)
        np.testing.assert_array_equal(alone.scalars, whole.scalars[one])
        np.testing.assert_array_equal(alone.means, whole.means[one])
