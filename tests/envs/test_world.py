"""The world's step: against plain NumPy, against closed-form probabilities, and whatever the batch."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logit

from tests.envs.reference import reference_step
from tests.envs.tiny import random_items, random_users, same_users, with_trait
from zsr_sim.envs.feedback import Feedback, RewardWeights
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.traits import Trait, Traits
from zsr_sim.envs.world import Users, World, WorldState
from zsr_sim.errors import InputError

TRAITS = Traits(affinity_weight=4.0, appeal_weight=0.5, repeat_penalty=3.0, examination_decay=0.5, drift_rate=0.1)
OFF = TRAITS.replace(drift_rate=0.0, satisfaction_memory=1.0, leave_slope=0.0)
NEVER = -1000.0  # the leave_bias of a user who stays


def random_world(slate: int = 7, shown: int = 14) -> World:
    return World(random_items(), slate_size=slate, shown_capacity=shown)


def random_slates(n: int, world: World, seed: int = 2) -> NDArray[np.int32]:
    order = np.random.default_rng(seed).random((n, len(world.items))).argsort(axis=1)
    return order[:, : world.slate_size].astype(np.int32)


def as_arrays(thing: Users | WorldState | Feedback, prefix: str = "") -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for f in fields(thing):
        value = getattr(thing, f.name)
        found |= as_arrays(value, "users.") if f.name == "users" else {prefix + f.name: value}
    return found


def assert_same(a: Users | WorldState | Feedback, b: Users | WorldState | Feedback, rows: Any = slice(None)) -> None:
    """Bit for bit; `rows` of `a` against all of `b`."""
    for name, value in as_arrays(b).items():
        np.testing.assert_array_equal(as_arrays(a)[name][rows], value, err_msg=name, strict=True)


# every law at once; those that differ between users differ a lot
ALL = Traits(
    affinity_weight=4.0, affinity_weight_sd=0.3, appeal_weight=0.7, appeal_weight_sd=0.3, repeat_penalty=2.0,
    season_weight=0.8, season_weight_sd=0.5, examination_decay=0.4, examination_decay_sd=0.5, continue_after_click=0.6,
    continue_after_click_sd=0.5, like_rate=0.4, like_rate_sd=1.0, purchase_rate=0.3, purchase_rate_sd=1.0,
    purchase_delay=1.2, purchase_delay_sd=0.8, dwell_sd=0.5, dwell_noise_sd=0.5, drift_rate=0.2, drift_rate_sd=0.5,
    aversion_rate=0.1, aversion_rate_sd=0.5, boredom_memory_sd=0.5, boredom_day_memory=0.6, boredom_day_memory_sd=0.5,
    satisfaction_memory_sd=0.5, quality_share=0.6, quality_share_sd=1.0, quality_slope=1.0, quality_slope_sd=0.5,
    leave_slope_sd=0.5, patience=3.0, patience_sd=0.5, return_rate=0.1, return_rate_sd=1.0, return_slope_sd=0.5,
    leave_mood=1.0, leave_mood_sd=0.3, return_mood=1.5, return_mood_sd=0.3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("traits", "slate", "choice"),
    [
        (TRAITS, 7, "position"),
        (TRAITS.replace(affinity_weight=9.0, examination_decay=0.0, drift_rate=0.5), 10, "position"),
        (TRAITS.replace(repeat_penalty=0.5, appeal_weight=2.0), 1, "position"),
        (TRAITS.replace(examination_decay=1.5, boredom_memory=1.0, leave_slope=1.0), 4, "position"),
        (OFF, 5, "position"),
        (TRAITS.replace(repeat_penalty=-1.0), 7, "position"),
        (TRAITS, 6, "cascade"),
        (TRAITS, 6, "logit"),
        (ALL, 7, "position"),
        (ALL, 10, "cascade"),
        (ALL, 5, "logit"),
    ],
)
def test_a_step_is_the_formulas(traits: Traits, slate: int, choice: str) -> None:
    n = 300
    items = random_items()
    if traits is ALL:
        lives = np.random.default_rng(3).integers(-2, 5, 40).astype(np.int32)
        pleasures = np.random.default_rng(4).normal(size=(40, 3)).astype(np.float32)
        items = replace(items, quality=items.appeal[::-1].copy(), released=lives, expires=lives + np.int32(4))
        items = replace(items, pleasures=pleasures)
    rewards = RewardWeights(1.0, 0.5, 3.0, 0.01)
    world = World(items, choice, rewards, slate, shown_capacity=3 * slate, season_period=5, max_gap=8)
    users = random_users(n, items, traits=traits)
    if traits is ALL:
        users = replace(users, likings=np.random.default_rng(5).normal(size=(n, 3)).astype(np.float32))
    state = world.start(users, np.arange(n, dtype=np.uint64) * 2**33)
    total: dict[str, float] = {}
    for page in range(6):
        slates = random_slates(n, world, seed=page)
        expected, outcome = reference_step(world, state, slates)
        feedback = world.step(state, slates)
        for name, value in outcome.items():
            found = getattr(feedback, name)
            np.testing.assert_allclose(found, value, atol=2e-6, rtol=1e-5, err_msg=name)
            total[name] = total.get(name, 0.0) + float(found.sum())
        for name, value in as_arrays(expected).items():
            np.testing.assert_allclose(as_arrays(state)[name], value, atol=2e-6, rtol=1e-5, err_msg=name)
    assert all(value > 0 for name, value in total.items() if name not in ("gaps", "unavailable"))
    assert (total["gaps"] > 0, total["unavailable"] > 0) == (traits is ALL, traits is ALL)
    assert 0 < state.present.sum() < n


def clicks_of(n: int, world: World, slate: list[int], click_bias: float = -0.5, leave_bias: float = NEVER) -> Feedback:
    """One page of n users with the same state."""
    taste = np.eye(world.items.vectors.shape[1])[0].tolist()
    users = same_users(np.arange(n), taste, click_bias, 0.5, leave_bias, TRAITS)
    return world.step(world.start(users, 11), np.tile(np.array(slate, dtype=np.int32), (n, 1)))


def test_click_frequencies_are_the_closed_form() -> None:
    """Each position, and all patterns of three positions: clicks on a page are independent given the user's state."""
    n, slate = 40_000, [3, 14, 15, 9, 2, 6]
    world = random_world(slate=6)
    found = clicks_of(n, world, slate)
    p = (1 + np.arange(6)) ** -0.5 / (
        1 + np.exp(0.5 - 4 * world.items.vectors[slate, 0].astype(float) - 0.5 * world.items.quality[slate])
    )
    np.testing.assert_allclose(found.probabilities, np.tile(p, (n, 1)), atol=1e-6)
    counts = found.clicks.sum(axis=0)
    chi2 = ((counts - n * p) ** 2 / (n * p * (1 - p))).sum()  # 6 independent squared z-scores
    assert stats.chi2.sf(chi2, 6) > 0.01
    q = p[:3]
    patterns = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    expected = n * np.prod(np.where(patterns == 1, q, 1 - q), axis=1)
    observed = np.bincount(found.clicks[:, :3] @ [4, 2, 1], minlength=8)
    assert stats.chisquare(observed, expected * n / expected.sum()).pvalue > 0.01


def test_leaving_frequencies_are_the_closed_form() -> None:
    n = 40_000
    world = random_world(slate=3)
    found = clicks_of(n, world, [3, 14, 15], click_bias=0.0, leave_bias=2.0)
    clicks = found.clicks.sum(axis=1)
    chi2 = 0.0
    for count in range(4):  # satisfaction begins at 0.5; leaving and clicking are independent given the clicks
        hazard = 1 / (1 + np.exp(-2 + 5 * (0.7 * 0.5 + 0.3 * (1 - 0.5**count))))
        here = found.left[clicks == count]
        assert len(here) > 100
        chi2 += (here.sum() - len(here) * hazard) ** 2 / (len(here) * hazard * (1 - hazard))
    assert stats.chi2.sf(chi2, 4) > 0.01


def visit(
    world: World, users: Users, seeds: int | NDArray[np.uint64], pages: int = 6
) -> tuple[WorldState, list[Feedback]]:
    """A visit in which the slate is a function of the user and the page alone."""
    state, story = world.start(users, seeds), []
    for page in range(pages):
        luck = uniforms(5, users.ids, page, Purpose.RANDOM_ITEMS, len(world.items))
        story.append(world.step(state, luck.argsort(axis=1)[:, : world.slate_size].astype(np.int32)))
    return state, story


def test_a_visit_is_the_same_alone_in_a_batch_of_7_and_in_a_batch_of_10000() -> None:
    world = random_world()
    users = random_users(10_000, world.items, traits=TRAITS.replace(leave_slope=8.0))
    state, story = visit(world, users, 3)
    assert 100 < state.present.sum() < 9_900
    stayed = np.flatnonzero(state.present)
    for rows in (stayed[:1], np.array([9_999]), np.array([6, 6_000, *stayed[5:8], 17, 0]), np.arange(5_000, 9_000)):
        part, parts = visit(world, users.take(rows), np.full(len(rows), 3, dtype=np.uint64))
        assert_same(state, part, rows)
        for whole, some in zip(story, parts, strict=True):
            assert_same(whole, some, rows)


def test_users_taken_with_a_stride_are_the_same_users() -> None:
    world = random_world()
    users = random_users(60, world.items)
    state, _ = visit(world, users, 3)
    part, _ = visit(world, users.take(slice(None, None, 3)), 3)
    assert_same(state, part, slice(None, None, 3))


def test_another_seed_is_other_luck() -> None:
    world = random_world()
    users = random_users(500, world.items, traits=TRAITS)
    a, b = (visit(world, users, seed, pages=1)[1][0] for seed in (3, 4))
    np.testing.assert_array_equal(a.probabilities, b.probabilities)
    agreement = (a.clicks == b.clicks).mean()
    p = a.probabilities.astype(float)
    expected = p**2 + (1 - p) ** 2
    assert abs(agreement - expected.mean()) < 4 * np.sqrt((expected * (1 - expected)).mean() / p.size)


def test_who_has_left_does_not_change_and_gives_zeros() -> None:
    world = random_world()
    users = random_users(400, world.items, traits=TRAITS)
    users = with_trait(users, Trait.LEAVE_BIAS, np.where(np.arange(400) % 2, 50, NEVER).astype(np.float32))
    state = world.start(users, 0)
    first = world.step(state, random_slates(400, world))
    gone = np.arange(400) % 2 == 1
    np.testing.assert_array_equal(first.left, gone)
    np.testing.assert_array_equal(state.present, ~gone)
    before = state.copy()
    second = world.step(state, random_slates(400, world, seed=3))
    for name, value in as_arrays(state).items():
        np.testing.assert_array_equal(value[gone], as_arrays(before)[name][gone], err_msg=name)
    for column in (second.clicks, second.left, second.probabilities):
        assert not column[gone].any()
    assert second.probabilities[~gone].all()
    np.testing.assert_array_equal(state.steps, np.where(gone, 1, 2))
    np.testing.assert_array_equal(second.reward, second.clicks.sum(axis=1))
    assert second.reward.dtype.name == "float32"


def test_rates_of_zero_switch_the_laws_off_exactly() -> None:
    world = random_world()
    users = with_trait(random_users(500, world.items, traits=OFF), Trait.LEAVE_BIAS, NEVER)
    state, story = visit(world, users, 1)
    assert sum(page.clicks.sum() for page in story) > 1000
    np.testing.assert_array_equal(state.tastes, users.tastes)
    np.testing.assert_array_equal(state.satisfaction, np.float32(0.5))
    assert state.present.all()


def test_a_user_who_is_not_sensitive_is_never_bored() -> None:
    world = random_world()
    users = with_trait(random_users(500, world.items, traits=TRAITS), Trait.BOREDOM, 0.0)
    state, story = visit(world, users, 1)
    _, expected = visit(world, with_trait(users, Trait.BOREDOM_MEMORY, 0.1), 1)
    assert state.boredom.any()
    for page, other in zip(story, expected, strict=True):
        assert_same(page, other)


def one_click(
    traits: Traits, pages: int = 1, repeat_penalty: float = 0.0, boredom: float = 0.0
) -> tuple[float, NDArray[np.float64], WorldState]:
    """Log-odds of item 0 before and after each page on which it is clicked, and the state; items 0, 1: one topic."""
    items = WorldItems(np.eye(4, dtype=np.float32), np.zeros(4, np.float32), np.array([0, 0, 1, 1], np.int32), 2)
    world = World(items, slate_size=1, shown_capacity=4)
    traits = traits.replace(affinity_weight=2.0, repeat_penalty=repeat_penalty)
    users = same_users(np.arange(200), [0.6, 0.0, 0.8, 0.0], 0.25, boredom, NEVER, traits)
    state = world.start(users, 0)
    shown = np.zeros((200, 1), dtype=np.int32)
    found = []
    for _ in range(pages):
        feedback = world.step(state, shown)
        found.append(feedback.probabilities)
        clicked = feedback.clicks[:, 0]
        state.present &= clicked  # keeps those who clicked each time
    row = int(np.flatnonzero(state.present)[0])
    last = world.step(state, shown).probabilities
    return float(logit(found[0][row, 0])), np.array([logit(p[row, 0]) for p in [*found[1:], last]], dtype=float), state


def test_boredom_lowers_the_log_odds_of_a_topic_by_sensitivity_and_recovers() -> None:
    before, after, _ = one_click(OFF.replace(boredom_memory=0.8), pages=4, boredom=0.5)
    assert before == pytest.approx(0.25 + 2 * 0.6, abs=1e-5)
    levels = np.array([1, 1.8, 2.44, 2.952])  # b <- 0.8 b + 1
    np.testing.assert_allclose(after, before - 0.5 * levels, atol=1e-5)


def test_boredom_is_with_the_topic_alone() -> None:
    _, _, state = one_click(OFF.replace(boredom_memory=1.0), pages=3)
    assert {tuple(row) for row in state.boredom[state.present].tolist()} == {(3.0, 0.0), (4.0, 0.0)}


def test_drift_raises_the_log_odds_of_what_was_clicked_by_the_documented_amount() -> None:
    before, after, state = one_click(OFF.replace(drift_rate=0.1))
    moved = (0.9 * 0.6 + 0.1) / np.sqrt(0.9**2 + 0.1**2 + 2 * 0.1 * 0.9 * 0.6)
    assert before == pytest.approx(0.25 + 2 * 0.6, abs=1e-5)
    assert after[0] == pytest.approx(0.25 + 2 * moved, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(state.tastes, axis=2), 1, atol=1e-6)


def test_an_item_consumed_before_loses_the_repeat_penalty() -> None:
    before, after, _ = one_click(OFF, repeat_penalty=1.5)
    assert after[0] == pytest.approx(before - 1.5, abs=1e-5)


def test_only_the_nearest_interest_drifts() -> None:
    world = random_world(slate=1)
    users = random_users(400, world.items, traits=TRAITS.replace(affinity_weight=20.0))
    users = with_trait(users, Trait.LEAVE_BIAS, NEVER)
    state = world.start(users, 0)
    slates = random_slates(400, world)
    clicked = world.step(state, slates).clicks[:, 0]
    nearest = np.einsum("nkd,nd->nk", users.tastes, world.items.vectors[slates[:, 0]]).argmax(axis=1)
    moved = (state.tastes != users.tastes).any(axis=2)  # (n, interests)
    assert 50 < clicked.sum() < 350
    np.testing.assert_array_equal(moved, clicked[:, None] & (np.arange(3) == nearest[:, None]))


def test_a_page_that_fills_the_memory_of_what_was_shown() -> None:
    world = random_world(slate=5, shown=5)
    users = random_users(50, world.items)
    state = world.start(users, 0)
    for page in range(2):
        slates = random_slates(50, world, seed=page)
        present = state.present.copy()
        world.step(state, slates)
        np.testing.assert_array_equal(state.latest_pages()[present], slates[present])


def test_latest_pages_end_with_the_last_one() -> None:
    world = random_world(slate=5, shown=17)  # holds 3 whole pages
    state = world.start(with_trait(random_users(4, world.items), Trait.LEAVE_BIAS, NEVER), 0)
    pages = [random_slates(4, world, seed=page) for page in range(5)]
    assert (state.latest_pages() == -1).all()
    for seen, page in enumerate(pages, start=1):
        world.step(state, page)
        known = np.concatenate(pages[max(0, seen - 3) : seen], axis=1)
        padded = np.pad(known, ((0, 0), (15 - known.shape[1], 0)), constant_values=-1)
        np.testing.assert_array_equal(state.latest_pages(), padded)


def test_a_copy_is_a_state_of_its_own() -> None:
    world = random_world()
    state, _ = visit(world, random_users(100, world.items), 0, pages=2)
    kept, other = state.copy(), state.copy()
    world.step(other, random_slates(100, world))
    other.put(np.arange(100), world.start(random_users(100, world.items, seed=8), 9))
    assert_same(state, kept)
    mine, theirs = as_arrays(state), as_arrays(other)
    assert not any(np.shares_memory(mine[name], theirs[name]) for name in mine)


def test_a_visit_leaves_the_users_alone() -> None:
    """Nothing of `Users` is written or shared: the same users can visit again."""
    world = random_world()
    users = random_users(200, world.items)
    kept = replace(users, **{name: value.copy() for name, value in as_arrays(users).items()})
    state, _ = visit(world, users, 0)
    state.put(np.arange(200), world.start(random_users(200, world.items, seed=8), 9))
    assert_same(users, kept)
    mine = as_arrays(users).values()
    assert not any(np.shares_memory(a, b) for a in mine for b in as_arrays(state).values())


def test_put_begins_new_visits_there_and_nowhere_else() -> None:
    world = random_world()
    users, newcomers = random_users(20, world.items), random_users(3, world.items, seed=8)
    state, _ = visit(world, users, 0)
    before, fresh = state.copy(), world.start(newcomers, np.array([7, 8, 9], dtype=np.uint64))
    rows = np.array([19, 0, 4])
    state.put(rows, fresh)
    assert_same(state, fresh, rows)
    others = np.setdiff1d(np.arange(20), rows)
    for name, value in as_arrays(before).items():
        np.testing.assert_array_equal(as_arrays(state)[name][others], value[others], err_msg=name)


BAD_SLATES: list[tuple[Any, str]] = [
    (np.zeros((3, 4), np.int32), r"slates have shape \(3, 4\), \(3, 5\) expected: \(users, slate_size\)"),
    (np.zeros((2, 5), np.int32), r"slates have shape \(2, 5\), \(3, 5\) expected"),
    (np.zeros(5, np.int32), r"slates have shape \(5,\), \(3, 5\) expected"),
    (
        [[0, 1, 2, 3, 4]] * 2 + [[5, 6, 7, 8, 6]],
        r"row 2 is \[5, 6, 7, 8, 6\]; a slate holds 5 different items, each 0 to 39",
    ),
    ([[0, 1, 2, 3, 4], [0, 1, 2, 3, 40], [0, 0, 0, 0, 0]], r"row 1 is \[0, 1, 2, 3, 40\]; .* each 0 to 39"),
    ([[0, 1, -1, 3, 4]] * 3, r"row 0 is \[0, 1, -1, 3, 4\]"),
    ([[0, 1, 2, 3, 2**32 + 4]] * 3, r"row 0 is \[0, 1, 2, 3, 4294967300\]"),
    (np.full((3, 5), 0.5), "slates hold float64, integers .* expected"),
]


@pytest.mark.parametrize(("slates", "text"), BAD_SLATES)
def test_a_bad_slate_is_named(slates: Any, text: str) -> None:
    world = random_world(slate=5)
    state = world.start(random_users(3, world.items), 0)
    before = state.copy()
    with pytest.raises(InputError, match=text):
        world.step(state, np.asarray(slates))
    assert_same(state, before)


def test_integers_of_any_width_are_slates() -> None:
    world = random_world()
    users, slates = random_users(30, world.items), random_slates(30, world)
    expected = world.step(world.start(users, 0), slates)
    for kind in (np.int64, np.uint8):
        assert_same(world.step(world.start(users, 0), slates.astype(kind)), expected)


@pytest.mark.parametrize("size", [0, 41])
def test_a_slate_is_no_larger_than_the_catalogue(size: int) -> None:
    with pytest.raises(InputError, match=f"slate_size is {size}, the catalogue has 40 items; a slate needs 1 to 40"):
        World(random_items(), slate_size=size)


def test_a_page_must_be_remembered() -> None:
    with pytest.raises(InputError, match="shown_capacity is 4; it must hold a page of 5 items"):
        World(random_items(), slate_size=5, shown_capacity=4)


def test_users_of_another_item_space_are_refused() -> None:
    world = random_world()
    with pytest.raises(InputError, match=r"tastes have shape \(3, 3, 5\) .* expected \(users, interests, 6\)"):
        world.start(random_users(3, random_items(d=5)), 0)
    with pytest.raises(InputError, match=r"histories \(3, 0\); expected .* \(users, at least 1\)"):
        world.start(random_users(3, world.items, history=0), 0)
