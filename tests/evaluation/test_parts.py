"""Segments, log support and plans: known answers."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.envs.tiny import random_items, random_users
from tests.evaluation.hand_made import Array, visits
from zsr_sim.envs.traits import Trait
from zsr_sim.evaluation.comparison import Arm, Pair
from zsr_sim.evaluation.estimates import estimate_mean, power_factor
from zsr_sim.evaluation.planning import plan, plan_words
from zsr_sim.evaluation.replay import Replay
from zsr_sim.evaluation.segments import Segmentation, segment_effects, segmentations
from zsr_sim.evaluation.support import log_states, state_support, support_of
from zsr_sim.interactions import Interactions


def test_users_are_told_apart_by_history_clicks_and_taste() -> None:
    items = random_items(n=40, n_topics=3)
    users = random_users(200, items)
    titles = [f"title {row}" for row in range(40)]
    history, clicks, taste = segmentations(users, items.topics, items.vectors, titles)
    lengths = (users.histories >= 0).sum(axis=1)
    assert np.array_equal(history.member == 1, lengths > np.median(lengths))
    level = users.traits[:, Trait.CLICK_BIAS]
    assert (clicks.member == 1).sum() == 100
    assert level[clicks.member == 1].min() > level[clicks.member == 0].max()
    for row in range(200):
        had = items.topics[users.histories[row][users.histories[row] >= 0]]
        if len(had):
            assert (had == taste.member[row]).sum() == np.bincount(had).max()
        else:
            assert taste.member[row] == -1
    centre = items.vectors[items.topics == 0].sum(axis=0)
    nearest = max(np.flatnonzero(items.topics == 0), key=lambda row: float(items.vectors[row] @ centre))
    assert taste.names[0].startswith(f"such as title {nearest} and title ")


def test_segment_effects_by_hand() -> None:
    """One part gains, one loses as much, one is too small to say anything."""
    rng = np.random.default_rng(0)
    member = np.repeat([0, 1, 2], [100, 100, 20])
    base = rng.normal(10, 1, 220)
    change = np.array([1.0, -1.0, 5.0])[member] + rng.normal(0, 0.5, 220)
    pair = Pair(Arm.of("a", visits(base)), Arm.of("b", visits(base + change)))
    worst, best = segment_effects({"b": pair}, [Segmentation("kind", ("gains", "loses", "few"), member)])
    assert [row["segment"] for row in (worst, best)] == ["loses", "gains"]
    expected = estimate_mean(change[member == 1], np.arange(100))
    assert worst["difference"] == pytest.approx(expected.mean, rel=1e-9)
    assert worst["ci95"] == pytest.approx(list(expected.ci95), rel=1e-9)
    first, second = sorted(row["p_value"] for row in (worst, best))
    assert sorted(row["p_value_holm"] for row in (worst, best)) == sorted([2 * first, max(2 * first, second)])
    assert (worst["harmed"], best["harmed"], worst["users"]) == (True, False, 100)
    assert worst["relative"] == pytest.approx(change[member == 1].mean() / base[member == 1].mean(), rel=1e-9)


def test_no_segment_is_harmed_by_chance_alone() -> None:
    """Holm keeps the chance of any false alarm over ten segments at 5 %."""
    rng = np.random.default_rng(1)
    kind = Segmentation("kind", [str(part) for part in range(10)], np.arange(600) % 10)
    alarms = 0
    for _ in range(300):
        pair = Pair(Arm.of("a", visits(rng.normal(0, 1, 600))), Arm.of("b", visits(rng.normal(0, 1, 600))))
        alarms += any(row["p_value_holm"] < 0.05 for row in segment_effects({"b": pair}, [kind]))
    assert alarms / 300 <= 0.08  # three standard errors above 5 %


def pages(slates: list[list[int]], clicked: list[list[int]], states: Sequence[Sequence[float]] = ()) -> Replay:
    """One page for each user, shown in the state that is given."""
    shown = np.array(slates, dtype=np.int32)[:, None, :]
    clicks = np.array(clicked, dtype=np.bool_)[:, None, :]
    rewards = clicks.sum(axis=2).astype(np.float32)
    before = np.array(states or np.zeros((len(slates), 2)), dtype=np.float32)[:, None, :]
    return Replay(shown, clicks, rewards, rewards, np.ones_like(rewards, dtype=np.bool_), before)


def test_support_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    popularity = np.array([3, 1, 0, 0], dtype=np.float32)
    baseline = pages([[0, 1], [0, 2]], [[1, 0], [0, 0]])  # 1 click on known items
    candidate = pages([[0, 2], [2, 3]], [[1, 1], [1, 1]])  # 1 on known, 3 on unknown ones
    found = support_of(baseline, candidate, popularity, vectors)
    assert found["items_outside"] == 0.5
    assert found["shown_outside"] == {"baseline": 0.25, "candidate": 0.75}
    assert found["return_outside"] == {"baseline": 0.0, "candidate": 0.75}
    # Item 2 has cosine 0.8 with item 1; item 3 has 0 with it and -1 with item 0.
    assert found["distance"]["candidate"] == pytest.approx((0 + 0.2 + 0.2 + 1.0) / 4)
    assert (found["gain_outside"], found["alarm"]) == (1.0, True)
    back = support_of(candidate, baseline, popularity, vectors)
    assert (back["gain_outside"], back["alarm"]) == (None, False)
    known = support_of(baseline, pages([[0, 1], [0, 2]], [[1, 1], [1, 0]]), popularity, vectors)
    assert (known["gain_outside"], known["alarm"]) == (0.0, False)


def test_states_outside_the_log_by_hand() -> None:
    """The log's people were at 0 and 10 degrees, and at 5 and 15: nobody is more than 5 degrees from the others."""

    def at(*degrees: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return np.array([[np.cos(np.radians(d)), np.sin(np.radians(d))] for d in degrees], dtype=np.float32)

    known = at(0, 10), at(5, 15)
    baseline = pages([[0, 1]] * 3, [[1, 0], [1, 0], [0, 0]], at(0, 12, 90).tolist())
    candidate = pages([[0, 1]] * 3, [[1, 0], [1, 1], [1, 1]], [*at(14, 90).tolist(), [0.0, 0.0]])  # no history: inside
    found = state_support(baseline, candidate, known)
    assert found is not None
    assert found["reach"] == pytest.approx(1 - np.cos(np.radians(5)), rel=1e-3)
    assert found["visited_outside"] == {"baseline": 1 / 3, "candidate": 1 / 3}
    assert found["return_outside"] == pytest.approx({"baseline": 0.0, "candidate": 2 / 5})
    away = [1 - np.cos(np.radians(d)) for d in (1, 75)]
    assert found["distance"]["candidate"] == pytest.approx(sum(away) / 3, rel=1e-5)
    assert found["gain_outside"] == pytest.approx(2 / 3)  # of 3 clicks gained, 2 were at 90 degrees
    assert found["alarm"]
    back = state_support(candidate, baseline, known)
    assert back is not None
    assert (back["gain_outside"], back["alarm"]) == (None, False)
    assert state_support(baseline, candidate, (known[0], known[1][:0])) is None


def test_the_log_s_own_states_are_those_after_each_interaction() -> None:
    vectors = np.eye(3, dtype=np.float32)
    log = Interactions.from_columns(["a", "a", "b"], np.array([0, 1, 2]), np.array([1.0, 2.0, 1.0]))
    first, second = log_states(log, vectors)
    length = np.hypot(0.95, 1.0)
    assert first == pytest.approx(np.array([[0.95 / length, 1 / length, 0]]), abs=1e-6)  # the longest there is
    assert second.shape == (0, 3)
    three = Interactions.from_columns(["a"] * 6 + ["b"] * 5, np.array([0] * 6 + [2] * 5), np.arange(11.0))
    first, second = log_states(three, vectors)
    assert (first.tolist(), second.tolist()) == ([[1, 0, 0]] * 2, [[0, 0, 1]])  # after the fifth and the sixth
    made_up = random_items(n=60, n_topics=3)
    users, rng = [f"{user:03d}" for user in range(200) for _ in range(30)], np.random.default_rng(0)
    many = Interactions.from_columns(users, rng.integers(0, 60, 6000), np.tile(np.arange(30.0), 200))
    halves = log_states(many, made_up.vectors)
    assert sum(map(len, halves)) == 4000
    # The log's own people, page by page: all but about one in a hundred of their states are inside.
    states = halves[1][:500, None, :]
    blank = np.zeros((500, 1, 2), dtype=np.bool_)
    shown, rewards = np.zeros((500, 1, 2), dtype=np.int32), np.ones((500, 1), dtype=np.float32)
    same = Replay(shown, blank, rewards, rewards, blank[:, :, 0], states)
    found = state_support(same, same, (halves[0], halves[1][500:]))
    assert found is not None
    assert 0 <= found["visited_outside"]["candidate"] <= 0.03


def test_a_plan_is_kept_in_repetition() -> None:
    """What a pilot promises of 80 % power is what experiments of that size then have."""
    rng = np.random.default_rng(4)

    def arms(n: int, gain: float) -> dict[str, Array]:
        taste = rng.gamma(4.0, 2.0, n)
        return {"a": taste + rng.normal(0, 1, n), "b": taste + rng.normal(gain, 1, n)}

    pilot = {name: visits(values) for name, values in arms(4000, 0.0).items()}
    planned = plan(pilot, "a", 300)["b"]
    effect = planned["minimum_detectable_effect"]
    assert effect == pytest.approx(power_factor(0.05) * np.sqrt(2 / 300), rel=0.05)
    found = []
    for _ in range(2000):
        both = arms(300, effect)
        found.append(estimate_mean(both["b"] - both["a"], np.arange(300)).p_value < 0.05)
    assert 0.76 <= np.mean(found) <= 0.85
    assert "b: 300 users will find a difference of " in plan_words({"b": planned})[0]


def test_a_plan_says_so_where_nobody_differed() -> None:
    pilot = {name: visits(np.arange(40.0)) for name in "ab"}
    assert plan_words(plan(pilot, "a", 300)) == [
        "b: earned the same as the baseline from all 40 users so far; what difference more users will find cannot be "
        "told"
    ]


def test_a_plan_for_several_candidates_pays_for_holm() -> None:
    pilot = {name: visits(np.random.default_rng(k).normal(5, 1, 1000)) for k, name in enumerate("abc")}
    alone = plan({name: pilot[name] for name in "ab"}, "a", 500)["b"]["minimum_detectable_effect"]
    beside = plan(pilot, "a", 500)["b"]["minimum_detectable_effect"]
    assert beside / alone == pytest.approx(power_factor(0.025) / power_factor(0.05), rel=1e-12)
