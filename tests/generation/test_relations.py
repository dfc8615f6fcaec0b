import numpy as np
import pytest

from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, Candidates
from zsr_sim.generation.relations import N_CONTEXT, N_RELATIONS, relate, relations
from zsr_sim.generation.retrieval import Retrieval

VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
POPULARITY = np.array([np.e**2 - 1, 0, np.e - 1, 0], dtype=np.float32)  # appeal 1, 0, 1/2, 0


def _observation(histories: list[list[int]], shown: list[list[int]], steps: list[int]) -> Observation:
    n = len(histories)
    return Observation(
        seeds=np.zeros(n, dtype=np.uint64),
        users=np.arange(n, dtype=np.int64),
        steps=np.array(steps, dtype=np.int64),
        histories=np.array(histories, dtype=np.int32),
        shown=np.array(shown, dtype=np.int32),
    )


def _candidates() -> Candidates:
    """Two users, each with the pages (0, 1) by popularity and (2, 3) by the generator."""
    items = np.tile(np.array([[0, 1], [2, 3]], dtype=np.int32), (2, 1, 1))
    sources = np.tile(np.array([SOURCES.index("popularity"), SOURCES.index("generator")], dtype=np.int8), (2, 1))
    return Candidates(items, sources, np.array([[0.5, 0.75], [0.5, 0.25]], dtype=np.float32))


def test_relations_of_a_hand_computed_example() -> None:
    # The first user's history is item 0 alone, so both views are (1, 0); the second has none: both are (0, 0).
    observation = _observation([[-1, -1, 0], [-1, -1, -1]], [[-1, -1, 0, 3], [-1, -1, -1, -1]], [5, 40])
    related = relate(observation, _candidates(), Retrieval(VECTORS, POPULARITY))
    assert related.lasting.tolist() == related.recent.tolist() == [[1, 0], [0, 0]]
    np.testing.assert_allclose(related.means[0], [[0.5, 0.5], [-0.2, 0.4]], rtol=1e-6)
    kinds: list[list[float]] = np.eye(len(SOURCES)).tolist()
    # mean cosine, best cosine (each twice), |mean|^2, plausibility, mean appeal, source
    first = [0.5, 1.0, 0.5, 1.0, 0.5, 0.5, 0.5, *kinds[SOURCES.index("popularity")]]
    second = [-0.2, 0.6, -0.2, 0.6, 0.2, 0.75, 0.25, *kinds[SOURCES.index("generator")]]
    np.testing.assert_allclose(related.scalars[0], np.array([first, second]), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(related.scalars[1, :, :4], 0)
    # One of the two items of the last page was consumed; page 5 of 20; one of three places of the history is used.
    np.testing.assert_allclose(related.context, [[0.5, 0.25, 1 / 3], [0.0, 1.0, 0.0]], rtol=1e-6)


def test_the_two_views_forget_at_their_own_pace() -> None:
    related = relate(_observation([[0, 1]] * 2, [[-1, -1]] * 2, [0, 0]), _candidates(), Retrieval(VECTORS, POPULARITY))
    for view, decay in ((related.lasting, 0.95), (related.recent, 0.6)):
        np.testing.assert_allclose(view[0], np.array([decay, 1.0]) / np.hypot(decay, 1.0), rtol=1e-6)


def test_features_are_products_and_scalars() -> None:
    observation = _observation([[-1, -1, 0], [-1, 2, 1]], [[-1, -1], [-1, -1]], [0, 0])
    retrieval = Retrieval(VECTORS, POPULARITY)
    related = relate(observation, _candidates(), retrieval)
    pages, context = relations(observation, _candidates(), retrieval)
    assert pages.shape == (2, 2, 2 * 2 + N_RELATIONS)
    assert context.shape == (2, N_CONTEXT)
    assert pages.dtype == context.dtype == np.float32
    np.testing.assert_array_equal(pages[1, 1, :2], related.means[1, 1] * related.lasting[1])
    np.testing.assert_array_equal(pages[1, 1, 2:4], related.means[1, 1] * related.recent[1])
    np.testing.assert_array_equal(pages[:, :, 4:], related.scalars)


@pytest.mark.parametrize("d", [2, 33, 64])
def test_a_row_does_not_depend_on_the_batch_and_cosines_stay_in_bounds(d: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[20:] = vectors[:20]  # equal texts: cosines of 1 and, by rounding, a little more
    n = 50
    single = rng.integers(40, size=(n, 1, 1))
    items = np.concatenate([(single + 20) % 40, rng.integers(40, size=(n, 1, 1))], axis=1).astype(np.int32)
    observation = _observation(single[:, 0].tolist(), [[-1]] * n, [0] * n)
    sources, plausibility = np.ones((n, 2), dtype=np.int8), np.full((n, 2), 0.5, dtype=np.float32)
    retrieval = Retrieval(vectors, rng.random(40).astype(np.float32))
    whole = relate(observation, Candidates(items, sources, plausibility), retrieval)
    np.testing.assert_allclose(whole.scalars[:, 0, :5], 1, rtol=1e-6)
    assert whole.scalars.max() == 1
    for row in range(n):
        one = slice(row, row + 1)
        alone = relate(observation.take(one), Candidates(items[one], sources[one], plausibility[one]), retrieval)
        np.testing.assert_array_equal(alone.scalars, whole.scalars[one])
        np.testing.assert_array_equal(alone.means, whole.means[one])
