"""Logs: order, offsets, selections and the split by user."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions


def small() -> Interactions:
    """Three users, given out of order, with a tie in time (user b, items 5 then 1)."""
    return Interactions.from_columns(
        user_ids=["b", "a", "c", "b", "b", "a"],
        items=[5, 2, 9, 1, 4, 3],
        timestamps=[10.0, 30.0, 5.0, 10.0, 1.0, 20.0],
        values=[1.0, 2.0, np.nan, 4.0, 5.0, 6.0],
        feedback=["like", "", "click", "click", "like", "click"],
    )


def rows(log: Interactions) -> list[tuple[str, int, float]]:
    columns = zip(log.users, log.items, log.timestamps, strict=True)
    return [(log.user_ids[user], int(item), float(time)) for user, item, time in columns]


def test_sorted_by_user_then_time_and_ties_keep_their_order() -> None:
    log = small()
    assert rows(log) == [("a", 3, 20), ("a", 2, 30), ("b", 4, 1), ("b", 5, 10), ("b", 1, 10), ("c", 9, 5)]
    assert log.user_ids == ("a", "b", "c")
    np.testing.assert_array_equal(log.values, np.array([6, 2, 5, 1, 4, np.nan], dtype=np.float32))
    assert log.feedback_names == ("click", "like")
    assert log.feedback_codes.tolist() == [0, -1, 1, 1, 0, 0]


def test_dtypes_and_starts() -> None:
    log = small()
    columns = (log.users, log.items, log.timestamps, log.values, log.feedback_codes, log.starts)
    assert [column.dtype.name for column in columns] == ["int32", "int32", "float64", "float32", "int8", "int64"]
    assert log.starts.tolist() == [0, 2, 5, 6]
    assert (len(log), log.n_users) == (6, 3)


def test_a_log_without_values_or_feedback_says_so() -> None:
    log = Interactions.from_columns(["a"], [0], [0.0])
    assert np.isnan(log.values).all()
    assert log.feedback_names == ()
    assert log.feedback_codes.tolist() == [-1]


def test_of_users_recodes_in_the_given_order() -> None:
    part = small().of_users([2, 0])
    assert part.user_ids == ("c", "a")
    assert part.users.tolist() == [0, 1, 1]
    assert rows(part) == [("c", 9, 5), ("a", 3, 20), ("a", 2, 30)]
    assert part.feedback_codes.tolist() == [0, 0, -1]


def test_a_user_taken_twice_is_there_twice() -> None:
    part = small().of_users([2, 2])
    assert part.user_ids == ("c", "c")
    assert (part.users.tolist(), part.items.tolist()) == ([0, 1], [9, 9])


def test_of_no_users_is_an_empty_log() -> None:
    part = small().of_users([])
    assert (len(part), part.n_users, part.starts.tolist()) == (0, 0, [0])


@pytest.mark.parametrize(("codes", "message"), [([3], r"codes must lie in 0\.\.2"), ([-1], "got -1")])
def test_of_users_refuses_bad_codes(codes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().of_users(codes)


def test_before_and_after_keep_codes_and_part_the_rows() -> None:
    log = small()
    early, late = log.before(10.0), log.after(10.0)
    assert rows(early) == [("b", 4, 1), ("c", 9, 5)]
    assert rows(late) == [("a", 3, 20), ("a", 2, 30), ("b", 5, 10), ("b", 1, 10)]
    assert early.user_ids == late.user_ids == log.user_ids
    assert early.starts.tolist() == [0, 0, 1, 2]


def test_split_users_parts_the_users_and_keeps_their_rows() -> None:
    log = small()
    first, second = log.split_users(0.5, seed=3)
    assert sorted(first.user_ids + second.user_ids) == ["a", "b", "c"]
    assert sorted(rows(first) + rows(second)) == sorted(rows(log))


def test_split_is_the_documented_function_of_seed_and_id() -> None:
    log = Interactions.from_columns([f"u{n}" for n in range(50)], np.zeros(50), np.zeros(50))
    key = hashlib.sha256(b"7").digest()
    uniform = {
        name: (int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest(), "little") >> 11) / 2**53
        for name in log.user_ids
    }
    first, _ = log.split_users(0.3, seed=7)
    assert set(first.user_ids) == {name for name, number in uniform.items() if number < 0.3}


def test_split_share_is_close_to_what_was_asked() -> None:
    n = 20_000
    log = Interactions.from_columns([str(user) for user in range(n)], np.zeros(n), np.zeros(n))
    first, second = log.split_users(0.2, seed=0)
    assert abs(first.n_users / n - 0.2) < 4 * (0.2 * 0.8 / n) ** 0.5  # four standard errors
    assert first.n_users + second.n_users == n
    assert log.split_users(0.0, seed=0)[0].n_users == 0
    assert log.split_users(1.0, seed=0)[1].n_users == 0


def test_another_seed_gives_another_split() -> None:
    log = Interactions.from_columns([str(user) for user in range(100)], np.zeros(100), np.zeros(100))
    assert log.split_users(0.5, seed=0)[0].user_ids != log.split_users(0.5, seed=1)[0].user_ids
    assert log.split_users(0.5, seed=1)[0].user_ids == log.split_users(0.5, seed=1)[0].user_ids


ids = st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=30)


@given(ids=ids, more=ids, share=st.floats(0, 1), larger=st.floats(0, 1), seed=st.integers())
def test_new_users_move_nobody_and_a_larger_share_only_adds(
    ids: set[str], more: set[str], share: float, larger: float, seed: int
) -> None:
    def chosen(users: set[str], part: float) -> set[str]:
        return set(
            Interactions.from_columns(sorted(users), [0] * len(users), [0] * len(users))
            .split_users(part, seed)[0]
            .user_ids
        )

    assert chosen(ids | more, share) & ids == chosen(ids, share)
    low, high = sorted((share, larger))
    assert chosen(ids, low) <= chosen(ids, high)


log_rows = st.lists(st.tuples(st.sampled_from("abc01"), st.integers(0, 5), st.integers(-3, 3)), min_size=1, max_size=40)


@given(log_rows)
def test_sorting_is_that_of_python(given_rows: list[tuple[str, int, int]]) -> None:
    users, items, times = zip(*given_rows, strict=True)
    log = Interactions.from_columns(users, items, times)
    assert rows(log) == sorted(given_rows, key=lambda row: (row[0], row[2]))  # sorted() is stable, too
    assert list(log.user_ids) == sorted(set(users))
    for user in range(log.n_users):
        assert set(log.users[log.starts[user] : log.starts[user + 1]].tolist()) == {user}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_split_refuses_a_share_outside(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
        small().split_users(share, seed=0)


def test_too_many_kinds_of_feedback_are_refused() -> None:
    with pytest.raises(InputError, match="feedback has 128 distinct names, at most 127"):
        Interactions.from_columns(["a"] * 128, [0] * 128, [0] * 128, feedback=[str(n) for n in range(128)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": np.array([1, 0], np.int32)}, "sorted by user, then timestamp"),
        ({"timestamps": np.array([2.0, 1.0])}, "sorted by user, then timestamp"),
        ({"timestamps": np.array([1.0, np.nan])}, "sorted by user, then timestamp"),
        ({"users": np.array([0, 2], np.int32)}, r"users must lie in 0\.\.1"),
        ({"items": np.array([0, -1], np.int32)}, "items must be rows of the catalogue"),
        ({"items": np.array([0], np.int32)}, "must have one length"),
    ],
)
def test_the_constructor_checks_its_invariants(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "user_ids": ("a", "b"),
        "users": np.array([0, 0], np.int32),
        "items": np.array([0, 1], np.int32),
        "timestamps": np.array([1.0, 2.0]),
        "values": np.zeros(2, np.float32),
        "feedback_names": (),
        "feedback_codes": np.full(2, -1, np.int8),
    }
    with pytest.raises(ValueError, match=message):
        Interactions(**fields | changes)
