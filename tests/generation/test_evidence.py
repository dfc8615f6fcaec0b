"""What a user's clicks and passes say of new items: a hand-computed example, and a desk left clean."""

import math
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.generation.waiting import random_retrieval, random_waiting, waiting
from zsr_sim.encoders.space import unit
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.evidence import N_EVIDENCE, Near, clear, evidence, make_desk, weigh
from zsr_sim.generation.retrieval import Retrieval

VECTORS = unit(np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1], [-1, 0], [0, -1]])).astype(np.float32)
SLATE = 2


def _read(retrieval: Retrieval, observation: Observation, slate: int, items: list[int]) -> NDArray[np.float32]:
    """The evidence for these items, (users, items, N_EVIDENCE), without what the click model says."""
    near, desk, told = Near.of(retrieval, slate), make_desk(*retrieval.vectors.shape), np.empty(3, dtype=np.float32)
    out = np.zeros((len(observation), len(items), N_EVIDENCE), dtype=np.float32)
    for row in range(len(observation)):
        history, shown = observation.histories[row], observation.shown[row]
        count = weigh(near, history, shown, int(observation.steps[row]), desk, told)
        evidence(near, np.array(items, dtype=np.int32), desk, told, out[row])
        clear(near, history, shown, count, desk)
        assert not any(column.any() for column in (desk.sums, desk.page, desk.place, desk.met))
    return out


def _kernel(sharpness: float, cosine: float) -> float:
    return math.exp(sharpness * (cosine - 0.7))


def test_by_hand() -> None:
    """Item 0 was consumed before the visit; on its first page item 3 was passed over, then item 1 clicked."""
    observation = waiting([[-1, 0, 1]], [[-1, -1, 3, 1]], [1])
    retrieval = Retrieval(VECTORS, np.array([1, 1, 3, 1, 1, 1], dtype=np.float32))
    found = _read(retrieval, observation, SLATE, [2])[0, 0]
    old, clicked, passed = 0.6, 0.96, 0.8  # cosines of item 2 with items 0, 1 and 3
    wide, narrow = partial(_kernel, 8.0), partial(_kernel, 16.0)
    by_clicked = unit((np.exp(3 * (VECTORS[:2] @ VECTORS[1] - 1)) * [1, 1 / 3] @ VECTORS[:2])[None])[0]
    by_old = unit((np.exp(3 * (VECTORS[:2] @ VECTORS[0] - 1)) * [1, 1 / 3] @ VECTORS[:2])[None])[0]
    expected = [
        np.log(wide(old) + wide(clicked) + 0.01),
        np.log(narrow(old) + narrow(clicked) + 0.001),
        np.log(0.9 * narrow(old) + narrow(clicked) + 0.001),  # the older of the two counts less
        4 * clicked,
        wide(clicked),
        wide(clicked),
        np.log(wide(passed) + 0.1),  # at the first position, where everybody looks
        np.log(narrow(passed) + 0.02),
        1.0,  # the most popular of all
        2 / 50,
        1 / 20,
        np.log(2 / (10 + 1 + 2**-0.5)),  # one click, and one more, of 10 items looked at and this page
        4 * (by_clicked @ VECTORS[2] + math.log(1 + 1e-4) / 16),  # both are interests for certain
        np.log(sum(math.exp(6 * (point @ VECTORS[2] - 1)) for point in (by_clicked, by_old)) + 0.001),
        0.0,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_was_clicked_pages_ago_is_half_forgotten() -> None:
    """Item 1 was clicked on the first of three pages: memory 0.9 and 0.6 a page; its place was the second."""
    observation = waiting([[1]], [[4, 1, 5, 3, 5, 3]], [3])
    found = _read(Retrieval(VECTORS, np.ones(6, dtype=np.float32)), observation, SLATE, [2])[0, 0]
    wide = np.exp(8 * (0.96 - 0.7))
    np.testing.assert_allclose(found[4:6], [0.81 * wide, 0.36 * wide], rtol=1e-5)


def test_who_is_unknown_gets_the_same_evidence_for_all_but_appeal() -> None:
    found = _read(Retrieval(VECTORS, np.arange(6, dtype=np.float32)), waiting([[-1, -1]]), SLATE, [0, 3, 5])
    assert (found[0, :, :8] == found[0, 0, :8]).all()
    np.testing.assert_allclose(found[0, :, 8], np.log1p([0, 3, 5]) / np.log(6), rtol=1e-6)


@pytest.mark.parametrize("n_items", [60, 5000])
def test_the_desk_is_clean_after_each_user(n_items: int) -> None:
    """A catalogue that is cleared as a whole, and one that is cleared item by item."""
    retrieval, observation = random_retrieval(n_items), random_waiting(20, n_items)
    together = _read(retrieval, observation, 4, [0, 1, 2])
    for row in range(20):
        np.testing.assert_array_equal(
            _read(retrieval, observation.take(slice(row, row + 1)), 4, [0, 1, 2])[0], together[row]
        )
    assert np.isfinite(together).all()
