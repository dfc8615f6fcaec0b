import numpy as np

from tests.generation.waiting import random_waiting, unseen, waiting
from zsr_sim.agents.best import best_page


def test_by_hand() -> None:
    scores = np.array([[3, 5, 5, 1, 4], [-1, -2, -3, -4, -5], [0, 0, 0, 0, 9]], dtype=np.float32)
    users = waiting([[-1, 1], [-1, -1], [4, 3]], [[-1], [0], [2]])
    # The last user has seen all but 0 and 1: the best of the old ones fills the page.
    assert best_page(scores, users, 3).tolist() == [[2, 4, 0], [1, 2, 3], [0, 1, 4]]


def test_against_sorting() -> None:
    users = random_waiting(40, 60)
    scores = np.random.default_rng(0).integers(0, 9, (40, 60)).astype(np.float32)
    for row, page in enumerate(best_page(scores, users, 7).tolist()):
        assert page == sorted(unseen(users, row, 60), key=lambda item: (-scores[row, item], item))[:7]
