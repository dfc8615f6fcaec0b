"""Lives that go on, and what is taken in them: frequencies against what they are drawn from."""

import numpy as np
import pytest
from scipy import stats

from zsr_sim.encoders.space import unit
from zsr_sim.envs.careers import BLOCKS, Careers, session_class, visitors
from zsr_sim.envs.organic import Appetite, Consumers, Goods, popularity, taken
from zsr_sim.envs.rhythm import DAY, sessions_of
from zsr_sim.interactions import Interactions

N, D = 40, 8
RNG = np.random.default_rng(0)
VECTORS = unit(RNG.normal(size=(N, D))).astype(np.float32)
GOODS = Goods(VECTORS, VECTORS)
WEIGHTS = np.arange(1, N + 1) / np.arange(1, N + 1).sum()


def nobody(n: int, tastes: float = 0.0) -> Consumers:
    """Users who have consumed nothing; their taste is so much of the first axis."""
    directions = np.zeros((n, 1, D), dtype=np.float32)
    directions[:, 0, 0] = tastes
    return Consumers(directions, np.zeros(n + 1, dtype=np.int64), np.empty(0, dtype=np.int32))


def first_items(tastes: float) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    n = 20_000
    return taken(np.arange(n), np.ones(n, dtype=np.int64), nobody(n, tastes), GOODS, WEIGHTS, Appetite(0.0, 0.0), 3)


def test_without_taste_items_are_taken_by_weight() -> None:
    counts = np.bincount(first_items(0.0), minlength=N)
    assert stats.chisquare(counts, 20_000 * WEIGHTS).pvalue > 0.001


def test_with_taste_by_weight_times_exp_of_it() -> None:
    """64 candidates of 40 items: the resampling's own bias is below one in fifty of any frequency."""
    odds = WEIGHTS * np.exp(VECTORS[:, 0])
    counts = np.bincount(first_items(1.0), minlength=N)
    np.testing.assert_allclose(counts / 20_000, odds / odds.sum(), atol=4 * np.sqrt(0.05 / 20_000))


def test_momentum_pulls_to_what_is_like_the_item_before_and_nothing_is_taken_twice() -> None:
    users, lengths = np.arange(500), np.full(500, 10)
    similar = []
    for momentum in (0.0, 4.0):
        items = taken(users, lengths, nobody(500), GOODS, WEIGHTS, Appetite(momentum, 0.0), 3).reshape(500, 10)
        similar.append((VECTORS[items[:, :-1]] * VECTORS[items[:, 1:]]).sum(axis=2).mean())
        assert all(len(set(row)) == 10 for row in items.tolist())
    assert similar[0] + 0.2 < similar[1]


def test_repeats_come_at_their_share() -> None:
    n, had = 5000, np.array([4, 9], dtype=np.int32)
    known = Consumers(np.zeros((n, 1, D), np.float32), 2 * np.arange(n + 1), np.tile(had, n))
    items = taken(np.arange(n), np.ones(n, dtype=np.int64), known, GOODS, WEIGHTS, Appetite(0.0, 0.3), 3)
    again = np.isin(items, had)
    assert again.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / n))
    assert (items == 4).sum() / again.sum() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / again.sum()))


def lived(n: int = 1500, days: int = 300) -> Interactions:
    """A person arrives on each fifth of a day, takes two items, and each time comes back after two days by 3 in 4."""
    rng = np.random.default_rng(1)
    rows: list[tuple[str, int, float]] = []
    for user in range(n):
        now = user * days / n
        while now < days:
            rows += [(f"u{user:04d}", int(rng.integers(N)), (now + minute / 1440) * DAY) for minute in (0, 1)]
            if rng.random() > 0.75:
                break
            now += 2.0
    return Interactions.from_columns(*zip(*rows, strict=True))


def test_lives_go_on_as_others_did() -> None:
    log = lived()
    sessions = sessions_of(log)
    now = float(log.timestamps.max())
    rng = np.random.default_rng(2)
    come = visitors(log, Careers.of(log, sessions), np.arange(BLOCKS), now + 100 * DAY, rng)
    new = come.users >= log.n_users
    arrivals = len(np.unique(come.users[new]))
    assert arrivals == pytest.approx(500, abs=4 * np.sqrt(500))  # five a day
    assert (come.lengths == 2).all()
    # A person who comes k times in all, k geometric: 4 times in the mean, less at the horizon.
    assert 3.4 < new.sum() / arrivals < 4.2
    gaps = np.diff(come.begins)[np.diff(come.users) == 0] / DAY
    assert np.median(gaps) == pytest.approx(2.0, abs=0.01)
    # Who had not been back for long is not expected any more.
    left = sessions.users[np.append(np.diff(sessions.users) > 0, True)]
    old = np.unique(come.users[~new])
    last = log.timestamps[log.starts[1:] - 1]
    assert (now - last[old]).max() / DAY < 3
    assert len(old) < 40 < len(left)


def test_classes_of_sessions() -> None:
    log = Interactions.from_columns(["a"] * 40 + ["b"], [0] * 41, np.append(np.arange(40) * DAY, 0))
    assert session_class(sessions_of(log)).tolist() == [0, 1, 1, *[2] * 4, *[3] * 8, *[4] * 16, *[5] * 9, 0]


def test_weights_are_shares_and_new_items_have_their_part() -> None:
    """Eight blocks of the same seven items and one that nobody knew: an eighth of what comes is new again."""
    items = np.tile(np.arange(8), 8)
    items[::8] = np.arange(8, 16)
    log = Interactions.from_columns([f"u{row:02d}" for row in range(64)], items, np.arange(64.0))
    weights = popularity(log, N, np.zeros(N, np.float32), np.array([6]), np.random.default_rng(0))
    known, new = weights[:16], weights[16:]
    assert weights.sum() == pytest.approx(1.0)
    assert new[new > 0].tolist() == pytest.approx([1 / 8])
    assert known[1:8].sum() == pytest.approx(7 / 8 * 7 / 8, abs=0.03)
    assert known[8] == pytest.approx(7 / 8 * 0.1 / 64)  # of old, but for a tenth of the weight
