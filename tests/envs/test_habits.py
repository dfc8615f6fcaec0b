"""Sessions by hand, and habits that were planted in a log come back from it."""

import numpy as np

from zsr_sim.envs.estimates import Weights
from zsr_sim.envs.habits import habits
from zsr_sim.envs.rhythm import DAY, sessions_of
from zsr_sim.envs.tastes import TasteModel
from zsr_sim.envs.traits import Traits
from zsr_sim.interactions import Interactions

N_ITEMS = 60
NO_TASTE = Weights(np.zeros(3), np.zeros(3))
TRAITS = Traits()


def flat(n: int = N_ITEMS) -> TasteModel:
    """Everything is as good as anything else."""
    places, pulls = np.zeros((2, n, 2), np.float32)
    return TasteModel(np.zeros(n, np.float32), places, pulls, np.zeros(2, np.float32))


def test_sessions_by_hand() -> None:
    """An hour's pause is still one session; a second more is another."""
    hours = [0, 1, 2.001, 50, 7]
    log = Interactions.from_columns(list("aaaab"), [0] * 5, np.array(hours) * 3600)
    found = sessions_of(log)
    assert found.starts.tolist() == [0, 2, 3, 4, 5]
    assert found.users.tolist() == [0, 0, 0, 1]
    assert found.lengths.tolist() == [2, 1, 1, 1]
    np.testing.assert_allclose(found.gaps, [np.nan, 1.001 / 24, 47.999 / 24, np.nan])
    assert len(sessions_of(log.take(np.empty(0, dtype=np.int64)))) == 0


def lived(n: int = 400, ends: float = 0.25, daily: float = 0.1, days: int = 200, weight: float = -2.0) -> Interactions:
    """People who stop with probability `ends` after each item and come back on a day away with probability `daily`,
    until day `days`; an item that they had before weighs exp(weight) times as much as any other."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, int, float]] = []
    for user in range(n):
        now, before = float(rng.integers(days)), np.zeros(N_ITEMS, dtype=bool)
        while now < days:
            odds = np.exp(weight * before)
            item = int(rng.choice(N_ITEMS, p=odds / odds.sum()))
            before[item] = True
            rows.append((f"u{user:03d}", item, now * DAY))
            now += 60 / DAY if rng.random() > ends else float(rng.geometric(daily))
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(users, items, times)


def test_planted_habits_come_back() -> None:
    log = lived()
    last = log.starts[1:][np.diff(log.starts) >= 5] - 1
    found = habits(log, last, NO_TASTE, flat(), TRAITS, seed=0)
    # The law ends a session with probability sigmoid(bias - slope * 1/2) after a page of one item.
    planted = {"leave_bias": (np.log(1 / 3) + 0.5 * TRAITS.leave_slope, 0.05), "return_rate": (0.1, 0.005)}
    planted["repeat_penalty"] = (2.0, 0.5)
    for name, (truth, precision) in planted.items():
        error = found[name].standard_error
        assert error is not None
        assert error < precision
        assert abs(found[name].value - truth) < 3 * error


def test_a_love_of_repeats_is_a_penalty_below_zero() -> None:
    log = lived(weight=1.5)
    last = log.starts[1:][np.diff(log.starts) >= 5] - 1
    found = habits(log, last, NO_TASTE, flat(), TRAITS, seed=0)["repeat_penalty"]
    assert found.standard_error is not None
    assert abs(found.value + 1.5) < 3 * found.standard_error < 0.6


def test_ratings_show_no_visit() -> None:
    log = Interactions.from_columns(["a", "b"], [0, 1], [0.0, 1.0], [3.0, 4.0])
    found = habits(log, np.array([0, 1]), NO_TASTE, flat(), TRAITS, seed=0)
    assert {name for name, estimate in found.items() if not estimate.fitted} == {
        "leave_bias", "leave_mood", "return_rate", "return_mood", "repeat_penalty", "boredom",
    }  # fmt: skip
