"""What draws users is learned from who consumed what, and reaches items that nobody has consumed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.tastes import TasteModel, learn_tastes
from zsr_sim.interactions import Interactions

N, D, TASTES = 240, 16, 6
COLD = np.arange(N) % 4 == 3


def planted() -> tuple[NDArray[np.float32], Interactions]:
    """Vectors of six bundles; user u consumes ten items of the bundles u and u + 3 mod 6, three times in four from the
    first half of the catalogue, never a cold item. Two bundles that belong together lie at right angles in the text."""
    rng = np.random.default_rng(0)
    vectors = unit(np.eye(D)[np.arange(N) % TASTES] + 0.3 * rng.normal(size=(N, D)) / np.sqrt(D)).astype(np.float32)
    rows = []
    for user in range(300):
        own = np.flatnonzero((np.arange(N) % 3 == user % 3) & ~COLD)
        odds = np.where(own < N // 2, 3.0, 1.0)
        rows.append(rng.choice(own, 10, replace=False, p=odds / odds.sum()))
    names = np.repeat([f"u{user:03d}" for user in range(300)], 10)
    return vectors, Interactions.from_columns(names.tolist(), np.concatenate(rows), np.tile(np.arange(10), 300))


@pytest.fixture(scope="module")
def learned() -> tuple[TasteModel, Interactions]:
    vectors, log = planted()
    return learn_tastes(vectors, log, seed=0, dimensions=D), log


def test_the_space_brings_together_what_the_same_people_consume(learned: tuple[TasteModel, Interactions]) -> None:
    """In the text, an item of the other bundle is as far as anything; what counts is learned, for cold items, too."""
    model, log = learned
    tastes = model.tastes(log.items, log.starts[:-1], log.starts[1:])  # (300, D)
    logits = tastes @ model.vectors.T  # (300, N)
    own = np.arange(N)[None, :] % 3 == np.arange(300)[:, None] % 3
    for part in (COLD, ~COLD):
        assert logits[:, part][own[:, part]].min() > logits[:, part][~own[:, part]].max()


def test_appeal_is_how_often_an_item_is_consumed(learned: tuple[TasteModel, Interactions]) -> None:
    """The first half of the catalogue three times as often: log 3 more, less what the decay holds back."""
    model, _ = learned
    first = model.appeal[: N // 2][~COLD[: N // 2]].mean()
    second = model.appeal[N // 2 :][~COLD[N // 2 :]].mean()
    assert 0.5 < first - second < np.log(3) + 0.2


def test_a_taste_is_a_sum_by_hand() -> None:
    model = TasteModel(
        np.zeros(3, np.float32), np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32),
        np.array([0.0, 0.0, 0.5], np.float32),
    )  # fmt: skip
    found = model.tastes(np.array([0, 1, 2, 2], np.int32), np.array([0, 2, 4]), np.array([2, 4, 4]))
    two = 2 / 2**0.75
    np.testing.assert_allclose(
        found, np.array([[two, two, -0.5], [0.0, 0.0, 2 * two - 0.5], [0.0, 0.0, 0.0]]), rtol=1e-6
    )


def test_the_same_log_gives_the_same_space() -> None:
    vectors, log = planted()
    one, two = learn_tastes(vectors, log, seed=1, dimensions=D), learn_tastes(vectors, log, seed=1, dimensions=D)
    np.testing.assert_array_equal(one.vectors, two.vectors)


def test_interests_by_hand() -> None:
    """Two items at right angles, twice each: a fifth of an interest is that of its own item alone."""
    axes, zeros = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    model = TasteModel(zeros, axes, axes, zeros)
    log = (np.array([0, 1, 0, 1], np.int32), np.array([0]), np.array([4]))
    whole, alone = 2 * 2 / 4**0.75, 2 * 2 / 2**0.75
    leaning = np.array([0.8 * whole + 0.2 * alone, 0.8 * whole])
    length = whole * np.sqrt(2)
    found = model.interests(*log, 2)[0]
    np.testing.assert_allclose(found[found[:, 0].argsort()[::-1]], [
        leaning / np.linalg.norm(leaning) * length, leaning[::-1] / np.linalg.norm(leaning) * length,
    ], rtol=1e-6)  # fmt: skip
    np.testing.assert_allclose(model.interests(*log, 1)[:, 0], model.tastes(*log), rtol=1e-6)
    np.testing.assert_array_equal(model.interests(log[0], log[1], log[1], 2), np.zeros((1, 2, 2)))
