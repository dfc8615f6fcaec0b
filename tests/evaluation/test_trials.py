"""What is hidden, what is shown, and that nothing of it leaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsr_sim.errors import InputError
from zsr_sim.evaluation.trials import (
    COLD_DRAWS,
    MOST_TRIALS,
    cold_items,
    first_encounters,
    held_out_items,
    leave_one_out,
    of_users,
)
from zsr_sim.interactions import Interactions


def log_of(*rows: tuple[str, int, float]) -> Interactions:
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(users, items, times)


def random_log(seed: int, users: int, items: int, length: int) -> Interactions:
    rng = np.random.default_rng(seed)
    return log_of(*((f"u{u}", int(i), t) for u in range(users) for t, i in enumerate(rng.permutation(items)[:length])))


def test_the_last_item_is_hidden_and_equal_times_keep_the_files_order() -> None:
    log = log_of(("b", 5, 9), ("a", 1, 7), ("a", 2, 7), ("b", 6, 9), ("a", 0, 3), ("b", 7, 9), ("a", 3, 7))
    trials = leave_one_out(log, 8)
    assert trials.targets.tolist() == [3, 7]
    assert trials.users.tolist() == [0, 1]
    assert trials.histories(np.ones(8, dtype=bool), 4).tolist() == [[-1, 0, 1, 2], [-1, -1, 5, 6]]
    assert trials.train.items.tolist() == [0, 1, 2, 5, 6]
    assert [seen.tolist() for seen in trials.seen(slice(0, 2))] == [[0, 1, 2], [5, 6]]


def test_a_short_window_shows_the_latest_items() -> None:
    log = log_of(*(("a", item, item) for item in range(6)), *(("b", item, item) for item in range(3)))
    assert leave_one_out(log, 6).histories(np.ones(6, dtype=bool), 2).tolist() == [[3, 4], [0, 1]]


def test_repeats_and_users_of_few_items_are_left_out() -> None:
    log = log_of(("a", 1, 0), ("a", 2, 1), ("a", 1, 2), ("a", 3, 3), ("b", 1, 0), ("b", 1, 1), ("b", 2, 2),
                 ("c", 4, 0), ("c", 5, 1), ("c", 6, 1))  # fmt: skip
    kept = first_encounters(log, 3)
    assert kept.user_ids == log.user_ids
    assert kept.users.tolist() == [0, 0, 0, 2, 2, 2]
    assert kept.items.tolist() == [1, 2, 3, 4, 5, 6]
    assert kept.timestamps.tolist() == [0, 1, 3, 0, 1, 1]
    assert leave_one_out(kept, 7).users.tolist() == [0, 2]


@pytest.mark.parametrize(("minimum", "says"), [(2, "at least 3 are needed"), (9, "0 users have .* lower")])
def test_too_little_is_told(minimum: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        first_encounters(random_log(0, 4, 12, 6), minimum)


@given(st.integers(0, 1000))
def test_held_out_items_leave_no_trace(seed: int) -> None:
    log = random_log(seed, 8, 20, 12)
    held_out = held_out_items(log, 25, seed % COLD_DRAWS, seed)
    trials = cold_items(log, held_out)
    assert held_out[trials.targets].all()
    assert not held_out[trials.train.items].any()
    histories = trials.histories(~held_out, 12)
    assert not held_out[histories[histories >= 0]].any()
    assert ((histories >= 0).sum(axis=1) >= 1).all()
    for history, user, row, seen in zip(histories, trials.users, trials.rows, trials.seen(slice(None)), strict=True):
        before = log.items[log.starts[user] : row]
        assert history[history >= 0].tolist() == before[~held_out[before]].tolist()
        assert seen.tolist() == before.tolist()


def test_only_the_latest_trials_of_a_user_count() -> None:
    log = random_log(3, 4, 100, 90)
    held_out = np.zeros(100, dtype=bool)
    held_out[np.arange(0, 100, 2)] = True
    trials = cold_items(log, held_out)
    for user in range(4):
        own = np.flatnonzero(held_out[log.items] & (log.users == user))
        assert trials.rows[trials.users == user].tolist() == own[-MOST_TRIALS:].tolist()


def test_the_draws_hold_out_every_item_of_the_log_once() -> None:
    log = random_log(1, 6, 33, 20)
    held_out = np.stack([held_out_items(log, 40, draw, 7) for draw in range(COLD_DRAWS)])
    assert held_out.sum(axis=0).tolist() == [int(item in log.items) for item in range(40)]
    assert np.ptp(held_out.sum(axis=1)) <= 1
    assert (held_out_items(log, 40, 0, 8) != held_out[0]).any()


def test_other_users_to_learn_from() -> None:
    train, tried = random_log(1, 6, 20, 10), random_log(2, 4, 20, 10)
    assert leave_one_out(tried, 20, train).train is train
    held_out = held_out_items(tried, 20, 0, 0)
    cold = cold_items(tried, held_out, train)
    assert cold.train.n_users == 6
    assert len(cold.train) == (~held_out[train.items]).sum()


def test_users_may_be_chosen_and_the_training_stays() -> None:
    trials = leave_one_out(random_log(1, 6, 20, 10), 20)
    some = of_users(trials, np.array([1, 4]))
    assert some.users.tolist() == [1, 4]
    assert some.targets.tolist() == trials.targets[[1, 4]].tolist()
    assert len(some.train) == 6 * 9


def test_a_log_without_trials_is_told() -> None:
    log = log_of(("a", 0, 0), ("a", 1, 1), ("b", 0, 0))
    with pytest.raises(InputError, match="1 items held out leave 0 trials"):
        cold_items(log, np.array([True, False]))
