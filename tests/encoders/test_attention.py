"""Attention over histories: begins as the pooled mean, learns what follows what, and comes back from its weights."""

import numpy as np
import pytest

from tests.agents.logs import EACH, KINDS, by_kind
from tests.encoders.test_history import VECTORS, random_histories
from zsr_sim.config import HistorySettings
from zsr_sim.encoders.attention import AttentionHistories, AttentionPooling
from zsr_sim.encoders.history import pooled
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

SETTINGS = HistorySettings.model_validate({"encoder": "attention", "steps": 160, "hidden": 16, "learning_rate": 1e-2})


def rounds(users: int = 200, length: int = 6) -> Interactions:
    """Whoever consumes an item of kind k goes on with one of kind k + 1: what a mean cannot know."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user:03d}", EACH * ((user + step) % KINDS) + int(rng.integers(EACH - 1)), float(step))
        for user in range(users)
        for step in range(length)
    ]
    names, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(list(names), list(items), list(times))


@pytest.fixture(scope="module")
def learned() -> AttentionHistories:
    return AttentionHistories.learn(rounds(), by_kind().vectors, SETTINGS, 0)


def test_it_begins_as_the_pooled_mean() -> None:
    untrained = AttentionHistories(AttentionPooling(16, 16), VECTORS)
    histories = random_histories(40)
    np.testing.assert_allclose(untrained.encode(histories), pooled(histories, VECTORS), atol=1e-6)


def test_it_learns_what_follows_what(learned: AttentionHistories) -> None:
    """The next item's kind is known: nearly all of the nearest items are of it; the mean points to kinds consumed."""
    vectors = by_kind().vectors
    histories = np.array([[-1, 0, 10, 20], [-1, -1, -1, 57], [33, 43, 53, 3]], dtype=np.int32)
    nearest = np.argsort(-learned.encode(histories) @ vectors.T, axis=1)[:, : EACH - 1] // EACH
    by_mean = np.argsort(-pooled(histories, vectors) @ vectors.T, axis=1)[:, : EACH - 1] // EACH
    expected = np.array([[3], [0], [1]])
    assert (nearest == expected).mean() > 0.85
    assert (by_mean == expected).mean() < 0.2


def test_points_do_not_depend_on_the_batch(learned: AttentionHistories) -> None:
    histories = np.where(random_histories(30) >= 0, random_histories(30), -1)
    together = learned.encode(histories)
    alone = np.concatenate([learned.encode(histories[row : row + 1]) for row in range(30)])
    np.testing.assert_array_equal(together, alone)
    nobody = (histories < 0).all(axis=1)
    assert (together[nobody] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(together[~nobody], axis=1), 1, atol=1e-6)


def test_it_comes_back_from_its_weights_for_the_same_space_only(learned: AttentionHistories) -> None:
    vectors = by_kind(seed=1).vectors
    again = AttentionHistories.restore(learned.tensors(), vectors)
    histories = random_histories(10)
    np.testing.assert_array_equal(
        again.encode(histories), AttentionHistories(learned.network, vectors).encode(histories)
    )
    with pytest.raises(InputError, match=r"trained in 8 dimensions, items here have 16; --set world\.dimensions=8"):
        AttentionHistories.restore(learned.tensors(), VECTORS)


def test_the_same_seed_learns_the_same(learned: AttentionHistories) -> None:
    again = AttentionHistories.learn(rounds(), by_kind().vectors, SETTINGS, 0)
    for name, tensor in learned.tensors().items():
        assert (again.tensors()[name] == tensor).all()


def test_a_log_of_too_few_users_is_refused() -> None:
    with pytest.raises(InputError, match=r"at least 10 users have two interactions; this one has 9"):
        AttentionHistories.learn(rounds(users=9), by_kind().vectors, SETTINGS, 0)
