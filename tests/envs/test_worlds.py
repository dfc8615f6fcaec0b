"""The named worlds: each has its phenomenon and no other, and each law its direction, by the documented amount."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.envs.tiny import random_items, same_users, with_trait
from zsr_sim.config import WorldSettings
from zsr_sim.envs.columns import Columns
from zsr_sim.envs.feedback import Feedback, RewardWeights
from zsr_sim.envs.items import WorldItems, make_items
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import MadeUpPopulation
from zsr_sim.envs.traits import Trait, Traits
from zsr_sim.envs.visits import Visits, simulate
from zsr_sim.envs.world import Users, World, WorldState
from zsr_sim.envs.worlds import WORLDS
from zsr_sim.errors import InputError

EVEN = Traits(examination_decay=0.3, drift_rate=0.0, repeat_penalty=0.0, leave_bias=-30.0, leave_slope=0.0, boredom=0.0)


def assert_same(a: Columns, b: Columns, rows: Any = slice(None)) -> None:
    """Bit for bit; `rows` of `a` against all of `b`."""
    for f in fields(a):  # type: ignore[arg-type]  # dataclasses, all of them
        mine, theirs = getattr(a, f.name), getattr(b, f.name)
        if isinstance(mine, Columns):
            assert_same(mine, theirs, rows)
        else:
            np.testing.assert_array_equal(mine[rows], theirs, err_msg=f.name)


def world_of(settings: WorldSettings, items: WorldItems) -> World:
    rewards = RewardWeights(
        settings.reward_click, settings.reward_like, settings.reward_purchase, settings.reward_dwell
    )
    return World(items, settings.choice, rewards, slate_size=5, shown_capacity=40, max_gap=settings.max_gap)


def named(name: str, n: int, **changes: Any) -> tuple[World, Users]:
    settings = WorldSettings.named(name, **{"affinity_weight": 4.0, "topics": 5, **changes})
    vectors = random_items(n=60).vectors
    items = make_items(
        vectors, None, 5, 0, settings.quality_correlation, settings.item_lifetime, horizon=settings.horizon
    )
    population = MadeUpPopulation.create(items, settings.replace(base_click_rate=0.3), 0)
    return world_of(settings, items), population.visit(np.arange(n))


def visit(world: World, users: Users, pages: int, seed: int = 0) -> tuple[WorldState, list[Feedback]]:
    """A visit in which the slate is a function of the user and the page alone."""
    state, story = world.start(users, seed), []
    for page in range(pages):
        luck = uniforms(5, users.ids, page, Purpose.RANDOM_ITEMS, len(world.items))
        story.append(world.step(state, luck.argsort(axis=1)[:, : world.slate_size].astype(np.int32)))
    return state, story


@pytest.mark.parametrize("choice", ["position", "cascade", "logit"])
def test_click_patterns_are_the_closed_form_of_each_choice(choice: str) -> None:
    """All patterns of clicks on three positions, and the reported probabilities."""
    n, items, after, decay = 40_000, random_items(), 0.7, 0.3
    users = same_users(np.arange(n), np.eye(6)[0].tolist(), -0.2, 0.0, -30.0, EVEN.replace(affinity_weight=2.0))
    users = with_trait(users, Trait.CONTINUE_AFTER_CLICK, after)
    slate = np.array([3, 14, 15], dtype=np.int32)
    world = World(items, choice, slate_size=3, shown_capacity=3)
    found = world.step(world.start(users, 11), np.tile(slate, (n, 1)))
    logits = -0.2 + 2.0 * items.vectors[slate, 0].astype(float) + 0.5 * items.appeal[slate]
    a, looks = 1 / (1 + np.exp(-logits)), np.arange(1, 4) ** -decay
    expected = np.zeros((2, 2, 2))
    for pattern in np.ndindex(2, 2, 2):
        if choice == "position":
            expected[pattern] = np.prod(np.where(pattern, looks * a, 1 - looks * a))
        elif choice == "logit":
            v = looks * np.exp(logits)
            p = np.append(v, 1.0) / (1 + v.sum())
            expected[pattern] = p[3] if not any(pattern) else p[pattern.index(1)] * (sum(pattern) == 1)
        else:
            goes_on = 1.0  # probability of this pattern and of looking at the next position
            for j, clicked in enumerate(pattern):
                here = goes_on * (a[j] if clicked else 1 - a[j])
                onwards = looks[j + 1] / looks[j] * (after if clicked else 1.0) if j < 2 else 0.0
                if not any(pattern[j + 1 :]):
                    expected[pattern] += here * (1 - onwards)  # and looks no further
                goes_on = here * onwards
    assert expected.sum() == pytest.approx(1)
    counts = np.bincount(found.clicks @ np.array([4, 2, 1]), minlength=8)
    chance = expected.ravel()
    assert not counts[chance == 0].any()
    assert stats.chisquare(counts[chance > 0], n * chance[chance > 0]).pvalue > 0.01
    marginal = [expected.sum(axis=tuple({0, 1, 2} - {j}))[1] for j in range(3)]
    np.testing.assert_allclose(found.probabilities[0], marginal, atol=1e-6)


@pytest.mark.parametrize("name", sorted(WORLDS))
@pytest.mark.parametrize("choice", ["position", "cascade", "logit"])
def test_expected_reward_and_leaving_have_no_bias(name: str, choice: str) -> None:
    """Reward minus its expectation, and having left minus its probability, have mean 0 in every world."""
    weights = {"reward_click": 1.0, "reward_like": 0.5, "reward_purchase": 2.0, "reward_dwell": 0.01}
    world, users = named(name, 4000, choice=choice, **weights)
    _, story = visit(world, users, 6)
    noise = np.array([page.reward - page.expected_reward for page in story]).sum(axis=0, dtype=float)
    assert abs(noise.mean()) < 3.5 * noise.std() / np.sqrt(len(noise))
    assert noise.std() > 0.3
    leaving = np.array([page.left - page.leave_probability for page in story]).sum(axis=0, dtype=float)
    assert abs(leaving.mean()) <= 3.5 * leaving.std() / np.sqrt(len(leaving)) + 1e-9


@pytest.mark.parametrize("name", ["everything", "retention"])
def test_a_visit_is_the_same_alone_in_a_batch_of_7_and_in_a_batch_of_10000(name: str) -> None:
    world, users = named(name, 10_000)
    state, story = visit(world, users, 6)
    assert len(np.unique(state.sessions)) > 1
    for rows in (np.array([9_999]), np.array([6, 6_000, 5, 17, 0, 23, 9_998])):
        part, parts = visit(world, users.take(rows), 6)
        assert_same(state, part, rows)
        for whole, some in zip(story, parts, strict=True):
            assert_same(whole, some, rows)


def test_nothing_that_is_shown_changes_a_static_world() -> None:
    """The probabilities of a page are the same after any other pages: the best next page is the best plan."""
    world, users = named("static", 300)
    state, _ = visit(world, users, 5)
    fresh = world.start(users, 0)
    page = np.tile(np.arange(5, dtype=np.int32), (300, 1))
    np.testing.assert_array_equal(world.step(state, page).probabilities, world.step(fresh, page).probabilities)
    assert state.present.all()


def test_each_phenomenon_has_its_own_world() -> None:
    """Switched off, its settings leave the static world."""
    off = {
        "drift": {"drift_rate": 0.0, "aversion_rate": 0.0},
        "boredom": {"boredom": 0.0},
        "retention": {"leave_bias": -30.0, "leave_slope": 0.0, "return_rate": 0.0},
        "clickbait": {"leave_bias": -30.0, "leave_slope": 0.0, "quality_share": 0.0, "appeal_weight": 0.5},
        "catalogue-churn": {"item_lifetime": 0, "season_weight": 0.0},
    }
    world, users = named("static", 200)
    _, expected = visit(world, users, 5)
    for name, changes in off.items():
        for page, other in zip(visit(*named(name, 200, **changes), 5)[1], expected, strict=True):
            np.testing.assert_array_equal(page.clicks, other.clicks, err_msg=name)


def test_clickbait_raises_clicks_and_lowers_satisfaction_and_visits() -> None:
    world, users = named("clickbait", 3000, quality_correlation=-1.0)
    assert np.corrcoef(world.items.appeal, world.items.quality)[0, 1] == pytest.approx(-1.0)
    order = np.argsort(world.items.appeal).astype(np.int32)
    stories = {}
    for name, page in (("bait", order[-5:]), ("honest", order[:5])):
        state = world.start(users, 0)
        stories[name] = (state, [world.step(state, np.tile(page, (3000, 1))) for _ in range(8)])
    (bait, baited), (honest, served) = stories["bait"], stories["honest"]
    assert baited[0].clicks.sum() > 1.5 * served[0].clicks.sum()
    for name in ("satisfaction", "steps"):  # the same users with the same luck
        drop = getattr(honest, name).astype(float) - getattr(bait, name)
        assert drop.mean() > 5 * drop.std() / np.sqrt(3000), name


def test_the_satisfied_come_back_sooner_and_more_often() -> None:
    world = World(random_items(), slate_size=1, shown_capacity=1, max_gap=10)
    traits = EVEN.replace(leave_bias=30.0, return_rate=0.2, return_slope=6.0, satisfaction_memory=1.0)
    users = same_users(np.arange(20_000), np.eye(6)[0].tolist(), 0.0, 0.0, 30.0, traits)
    state = world.start(users, 3)
    state.satisfaction[:10_000], state.satisfaction[10_000:] = 0.3, 0.7
    page = world.step(state, np.zeros((20_000, 1), np.int32))
    for half, mood in ((slice(0, 10_000), 0.3), (slice(10_000, None), 0.7)):
        daily = 1 / (1 + np.exp(-np.log(0.25) - 6 * (mood - 0.5)))  # log-odds of 0.2, shifted
        assert page.leave_probability[half][0] == pytest.approx((1 - daily) ** 10, rel=1e-5)
        observed = np.bincount(page.gaps[half].astype(int), minlength=11)  # 0: left for good
        assert observed[0] == page.left[half].sum()
        days = np.append((1 - daily) ** 10, daily * (1 - daily) ** np.arange(10))
        assert stats.chisquare(observed, 10_000 * days).pvalue > 0.01
    np.testing.assert_array_equal(state.sessions, np.where(page.left, 1, 2))


def test_moods_make_long_sessions_longer_and_absences_too() -> None:
    """Session lengths and gaps have the mixed geometric distribution: the mean over the log-odds, by quadrature."""
    world = World(random_items(), slate_size=1, shown_capacity=40, max_gap=10)
    traits = EVEN.replace(
        leave_bias=-1.0, leave_slope=0.0, leave_mood=1.5, return_rate=0.2, return_slope=0.0, return_mood=2.0,
        satisfaction_memory=1.0,
    )  # fmt: skip
    n = 20_000
    users = same_users(np.arange(n), np.eye(6)[0].tolist(), 0.0, 0.0, -1.0, traits)
    state = world.start(users, 3)
    lengths, gaps = np.zeros(n, dtype=int), np.zeros(n)
    for page in range(8):
        served = world.step(state, np.full((n, 1), page, np.int32))
        over = (lengths == 0) & (served.left | (served.gaps > 0))
        lengths[over], gaps[over] = page + 1, served.gaps[over]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()
    for level, spread, seen, longest in ((-1.0, 1.5, lengths, 8), (np.log(0.25), 2.0, gaps[lengths > 0], 10)):
        p = 1 / (1 + np.exp(-level - spread * nodes))
        lasting = np.array([(weights * (1 - p) ** t).sum() for t in range(longest + 1)])
        counts = np.bincount(seen.astype(int), minlength=longest + 1)  # 0: on for longer
        assert stats.chisquare(counts, len(seen) * np.append(lasting[-1], -np.diff(lasting))).pvalue > 0.001


def test_boredom_recovers_over_days_away() -> None:
    world = World(random_items(), slate_size=1, shown_capacity=1)
    traits = EVEN.replace(boredom=1.0, return_rate=0.5, boredom_memory=1.0, boredom_day_memory=0.6)
    users = same_users(np.arange(500), np.eye(6)[0].tolist(), 30.0, 1.0, 30.0, traits)
    state = world.start(users, 0)
    page = world.step(state, np.zeros((500, 1), np.int32))
    back = ~page.left
    assert len(np.unique(page.gaps[back])) > 3
    topic = world.items.topics[0]
    np.testing.assert_allclose(state.boredom[back, topic], 0.6 ** page.gaps[back], rtol=1e-5)


def test_patience_is_a_budget_of_pages_that_success_extends() -> None:
    world = World(random_items(), slate_size=1, shown_capacity=1)
    for bias, pages in ((-50.0, 3), (50.0, 4)):  # no click ever: 3 pages; a click on each: 1/4 page back each time
        users = same_users(
            np.arange(5), np.eye(6)[0].tolist(), bias, 0.0, -30.0, EVEN.replace(patience=3.0, patience_gain=0.5)
        )
        state, story = visit(world, users, 6)
        np.testing.assert_array_equal(state.steps, pages)
        assert story[pages - 1].left.all()
        np.testing.assert_array_equal(story[pages - 1].leave_probability, 1.0)


def test_a_purchase_arrives_when_its_delay_is_over() -> None:
    items = random_items()
    world = World(items, rewards=RewardWeights(0.0, 0.0, 2.0, 0.0), slate_size=1, shown_capacity=1)
    certain = EVEN.replace(purchase_rate=1.0, purchase_delay=3.0)
    state = world.start(same_users(np.arange(4), np.eye(6)[0].tolist(), 50.0, 0.0, -30.0, certain), 0)
    story = [world.step(state, np.full((4, 1), page, dtype=np.int32)) for page in range(6)]
    assert all(page.purchases.all() for page in story)
    rewards = np.array([page.reward for page in story])
    np.testing.assert_array_equal(rewards, np.repeat([0, 0, 0, 2, 2, 2], 4).reshape(6, 4))
    np.testing.assert_array_equal(rewards, [page.expected_reward for page in story])
    assert story[3].parts["purchase"].tolist() == [1.0] * 4


def test_items_that_cannot_be_had_earn_nothing_and_are_told() -> None:
    world, users = named("catalogue-churn", 500)
    there = np.array([world.available(page) for page in range(20)])  # (pages, items)
    assert 0.15 < there.mean() < 0.55  # about 10 / (10 + 20)
    assert (np.diff(there.astype(int), axis=0) > 0).any()
    state = world.start(users, 0)
    slates = uniforms(1, users.ids, 0, Purpose.RANDOM_ITEMS, 60).argsort(axis=1)[:, :5].astype(np.int32)
    page = world.step(state, slates)
    np.testing.assert_array_equal(page.unavailable, ~there[0][slates])
    assert not page.clicks[page.unavailable].any()
    assert not page.probabilities[page.unavailable].any()
    assert not page.skips[page.unavailable].any()


def test_a_topic_in_season_gains_what_the_weight_says() -> None:
    items = random_items(n_topics=4)
    world = World(items, slate_size=1, shown_capacity=1, season_period=8)
    users = same_users(np.arange(1), np.eye(6)[0].tolist(), 0.0, 0.0, -30.0, EVEN.replace(season_weight=0.7))
    state, item = world.start(users, 0), 5
    logits = []
    for _ in range(8):
        p = float(world.step(state, np.full((1, 1), item, np.int32)).probabilities[0, 0])
        logits.append(np.log(p / (1 - p)))
    wave = np.cos(2 * np.pi * (np.arange(8) / 8 - items.topics[item] / 4))
    np.testing.assert_allclose(np.array(logits) - np.mean(logits), 0.7 * wave, atol=1e-5)


def test_aversion_moves_an_interest_away_from_what_was_passed_over() -> None:
    world = World(random_items(), slate_size=1, shown_capacity=1)
    traits = EVEN.replace(aversion_rate=0.1, examination_decay=0.0)
    users = same_users(np.arange(3), np.eye(6)[0].tolist(), -50.0, 0.0, -30.0, traits)
    state = world.start(users, 0)
    page = world.step(state, np.full((3, 1), 7, np.int32))
    assert page.skips.all()
    c = float(world.items.vectors[7, 0])
    moved = (1.1 * c - 0.1) / np.sqrt(1.1**2 + 0.1**2 - 2 * 1.1 * 0.1 * c)
    np.testing.assert_allclose(state.tastes[:, 0] @ world.items.vectors[7], moved, atol=1e-6)
    assert moved < c


def test_state_of_a_user_is_at_most_4_kib() -> None:
    settings = WorldSettings()
    n, items = 100, make_items(random_items(n=200, d=settings.dimensions).vectors, n_topics=settings.topics)
    population = MadeUpPopulation.create(items, settings, 0, settings.interests)
    world = World(items, slate_size=settings.slate_size, shown_capacity=settings.slate_size * settings.horizon)
    state = world.start(population.visit(np.arange(n)), 0)

    def size(columns: Columns) -> int:
        values = [getattr(columns, f.name) for f in fields(columns)]  # type: ignore[arg-type]  # dataclasses
        return sum(size(value) if isinstance(value, Columns) else value.nbytes for value in values)

    assert size(state) / n == 3001
    assert 2985 * 10**6 < 6 * 2**30 / 2  # a million users, and as much again for a page's feedback and observation


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_named_settings_are_valid_and_come_back(name: str) -> None:
    settings = WorldSettings.named(name, horizon=7)
    assert (settings.name, settings.horizon) == (name, 7)
    assert WorldSettings.model_validate(settings.model_dump()) == settings
    for key, value in WORLDS[name].settings.items():
        assert getattr(settings, key) == value
    assert "\n" not in WORLDS[name].words


def test_an_unknown_world_is_named() -> None:
    with pytest.raises(InputError, match=r"world 'bordom' is not known; one of standard, static, .* mean 'boredom'"):
        WorldSettings.named("bordom")
    with pytest.raises(InputError, match="choice is 'cascad'; one of position, cascade, logit expected; did you mean"):
        World(random_items(), "cascad")


class First:
    """Shows items 0 to 4."""

    def act(self, observation: Observation) -> Decision:
        return Decision(np.tile(np.arange(5, dtype=np.int32), (len(observation), 1)))


def test_visits_add_up_the_feedback_of_their_pages() -> None:
    settings = WorldSettings.named("everything", affinity_weight=4.0, topics=5, item_lifetime=0)
    items = make_items(random_items(n=60).vectors, None, 5, 0, settings.quality_correlation)
    population = MadeUpPopulation.create(items, settings.replace(base_click_rate=0.3), 0)
    world, ids = world_of(settings, items), np.arange(50)
    visits = simulate(world, population, ids, First(), seed=4, horizon=6, batch_size=7)
    state, amounts, ended = world.start(population.visit(ids), 4), np.zeros((50, 4)), np.zeros(50)
    reward, expected, surprise = np.zeros(50), np.zeros(50), np.zeros(50)
    for _ in range(6):
        feedback = world.step(state, np.tile(np.arange(5, dtype=np.int32), (50, 1)))
        amounts, ended = amounts + feedback.amounts, ended + (feedback.left | (feedback.gaps > 0))
        reward, expected = reward + feedback.reward, expected + feedback.expected_reward
        surprise += feedback.left - feedback.leave_probability.astype(float)
    for column, name in enumerate(("clicks", "likes", "purchases", "dwell")):
        np.testing.assert_allclose(getattr(visits, name), amounts[:, column])
    np.testing.assert_allclose(visits.returns, reward)
    np.testing.assert_allclose(visits.returns, amounts @ np.array(world.rewards), rtol=1e-6)
    np.testing.assert_allclose(visits.expected_returns, expected)
    np.testing.assert_allclose(visits.luck[:, 0], reward - expected, atol=1e-5)
    np.testing.assert_allclose(visits.luck[:, 4], surprise, atol=1e-5)
    np.testing.assert_array_equal(visits.sessions, state.sessions)
    rate = (state.sessions - 1) / np.where(ended, ended, np.nan)
    np.testing.assert_array_equal(visits.return_rate, rate)
    assert 0 < np.nanmean(rate) < 1
    np.testing.assert_allclose(visits.exposure, items.appeal[:5].mean(dtype=float), rtol=1e-5)


def test_visits_join_row_by_row() -> None:
    world, users = named("static", 4)
    state, _ = visit(world, users, 1)
    halves = [state.users.take(np.array([0, 1])), state.users.take(np.array([2, 3]))]
    assert_same(Users.joined(halves), state.users)
    assert isinstance(Visits.joined, type(Users.joined))
