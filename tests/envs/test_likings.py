"""Planted qualities and likings come back from ratings, and there are none without ratings."""

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.envs.likings import learn_likings
from zsr_sim.interactions import Interactions

N_USERS, N_ITEMS, D = 150, 200, 8
RNG = np.random.default_rng(0)
VECTORS = unit(RNG.normal(size=(N_ITEMS, D))).astype(np.float32)
QUALITY = RNG.normal(size=N_ITEMS)
LIKING = 1.5 * RNG.normal(size=(N_USERS, D))


def rated(noise: float = 0.3, per_user: int = 60) -> tuple[Interactions, NDArray[np.bool_]]:
    """Ratings 3 + level + quality + <liking, vector> + noise, of `per_user` items; and who rated what, bool."""
    rng = np.random.default_rng(1)
    chosen = np.argsort(rng.random((N_USERS, N_ITEMS)), axis=1) < per_user
    users, items = np.nonzero(chosen)
    levels = rng.normal(size=N_USERS)
    values = 3 + levels[users] + QUALITY[items] + (LIKING[users] * VECTORS[items]).sum(axis=1)
    values += noise * rng.normal(size=len(values))
    names = [f"u{user:03d}" for user in users]
    return Interactions.from_columns(names, items, np.arange(len(items)), values), chosen


def test_qualities_and_likings_come_back() -> None:
    log, chosen = rated()
    model = learn_likings(VECTORS, log)
    assert model is not None
    assert np.corrcoef(model.qualities, QUALITY)[0, 1] > 0.9
    assert model.likings.shape == (N_USERS, D)
    unseen = ~chosen
    found, truth = model.likings @ VECTORS.T, LIKING @ VECTORS.T  # (users, items)
    assert np.corrcoef(found[unseen], truth[unseen])[0, 1] > 0.9


def test_what_a_log_does_not_rate_nobody_is_said_to_like() -> None:
    log, _ = rated()
    assert learn_likings(VECTORS, log.take(np.empty(0, dtype=np.int64))) is None
    same = Interactions.from_columns(["a", "a", "b"], [0, 1, 2], [0, 1, 2], [3.0, 3.0, 3.0])
    assert learn_likings(VECTORS, same) is None
    clicks = Interactions.from_columns(["a", "a", "b"], [0, 1, 2], [0, 1, 2], [3.0, 4.0, 5.0], ["click"] * 3)
    assert learn_likings(VECTORS, clicks) is None


def test_an_item_without_ratings_has_the_quality_that_its_text_tells() -> None:
    """Quality is the first coordinate: the text tells all of it."""
    users, items = np.repeat(np.arange(100), 20), np.tile(np.arange(100), 20)
    log = Interactions.from_columns([f"u{user:03d}" for user in users], items, np.arange(2000), VECTORS[items, 0])
    model = learn_likings(VECTORS, log)
    assert model is not None
    assert np.corrcoef(model.qualities[100:], VECTORS[100:, 0])[0, 1] > 0.95
    assert np.abs(model.likings).max() < 0.3


def test_the_noisier_the_ratings_the_nearer_to_zero_are_likings() -> None:
    """The strength that holds them there is chosen by ratings that were not learned from."""
    exact, noisy = (learn_likings(VECTORS, rated(noise)[0]) for noise in (0.1, 5.0))
    assert exact is not None
    assert noisy is not None
    assert exact.ridge < noisy.ridge
