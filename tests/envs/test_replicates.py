"""Other logs of the same people: how often each comes back, and that copies of a person stay one person."""

import math

import numpy as np
import pytest

from tests.envs.test_fitting import TRAITS, bundled_items, planted_log
from zsr_sim.envs.fitting import fit
from zsr_sim.envs.replicates import bootstrap, halves
from zsr_sim.errors import InputError
from zsr_sim.generation.sequences import training_log
from zsr_sim.interactions import Interactions


def many(n: int = 20_000) -> Interactions:
    return Interactions.from_columns([f"u{u}" for u in range(n)], np.zeros(n), np.arange(n))


def times(log: Interactions, replicate: int) -> np.ndarray:
    """How often each user of the log came back."""
    drawn = bootstrap(log, seed=3, replicate=replicate)
    own = dict(zip(*np.unique(drawn.user_ids, return_counts=True), strict=True))
    return np.array([own.get(user, 0) for user in log.user_ids])


def test_each_user_comes_as_often_as_poisson_says() -> None:
    counts = np.bincount(times(many(), 0), minlength=4)[:4]
    expected = 20_000 * np.array([1, 1, 1 / 2, 1 / 6]) / math.e
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_replicates_differ_and_repeat_themselves() -> None:
    log = many()
    first, second = times(log, 0), times(log, 1)
    np.testing.assert_array_equal(first, times(log, 0))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(20_000)


def test_how_often_a_user_comes_does_not_depend_on_the_others() -> None:
    log = many(500)
    np.testing.assert_array_equal(times(log.of_users(np.arange(0, 500, 3)), 2), times(log, 2)[::3])


def test_copies_have_the_rows_of_the_original() -> None:
    log = planted_log(n=50)
    drawn = bootstrap(log, seed=0, replicate=0)
    row_of = {user: code for code, user in enumerate(log.user_ids)}
    for code, user in enumerate(drawn.user_ids):
        own = slice(*log.starts[[row_of[user], row_of[user] + 1]])
        np.testing.assert_array_equal(drawn.items[drawn.starts[code] : drawn.starts[code + 1]], log.items[own])


def test_copies_are_one_person_on_one_side_in_every_world() -> None:
    log, items = planted_log(), bundled_items()
    sides: dict[str, set[int]] = {}
    for replicate in range(3):
        drawn = bootstrap(log, seed=0, replicate=replicate)
        whole = fit(items, drawn, TRAITS, seed=0)
        assert whole.people == len(set(drawn.user_ids)) < drawn.n_users
        assert len(np.unique(whole.visit(np.arange(drawn.n_users)).people)) == whole.people
        for side, part in enumerate(whole.split(0.3, seed=1)):
            assert training_log(part, drawn).user_ids == tuple(drawn.user_ids[code] for code in part.codes)
            for code in part.codes:
                sides.setdefault(drawn.user_ids[code], set()).add(side)
    assert all(len(side) == 1 for side in sides.values())


def test_halves_share_no_user() -> None:
    first, second = halves(many(), seed=0)
    assert not set(first.user_ids) & set(second.user_ids)
    assert first.n_users + second.n_users == 20_000
    assert abs(first.n_users - 10_000) < 4 * np.sqrt(20_000 / 4)


def test_an_empty_sample_is_refused() -> None:
    log = many(1)
    empty = next(k for k in range(100) if not math.floor(times_or_zero(log, k)))
    with pytest.raises(InputError, match="a bootstrap sample of 1 users came out empty"):
        bootstrap(log, seed=3, replicate=empty)


def times_or_zero(log: Interactions, replicate: int) -> int:
    try:
        return bootstrap(log, seed=3, replicate=replicate).n_users
    except InputError:
        return 0
