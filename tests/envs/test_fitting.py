"""Users fitted to a log: planted tastes come back, and nothing comes from a log without any."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.envs.tiny import random_items
from zsr_sim.encoders.space import unit
from zsr_sim.envs.fitting import appeal_from, fit
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.population import (
    HISTORY_LENGTH,
    FittedPopulation,
    MadeUpPopulation,
    organic,
)
from zsr_sim.envs.traits import Trait, Traits
from zsr_sim.envs.world import Users, World
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

TRAITS = Traits(
    base_click_rate=0.1, click_bias_sd=0.5, affinity_weight=5.0, appeal_weight=0.5, repeat_penalty=3.0,
    examination_decay=0.0, boredom=0.5, boredom_sd=0.4, leave_bias=-0.5, leave_bias_sd=0.3,
)  # fmt: skip
D, DIRECTIONS, PER_DIRECTION = 16, 6, 40


def bundled_items() -> WorldItems:
    """40 items around each of 6 orthogonal directions: item i around direction i // 40."""
    noise = np.random.default_rng(0).normal(size=(DIRECTIONS * PER_DIRECTION, D))
    vectors = unit(np.eye(D)[np.repeat(np.arange(DIRECTIONS), PER_DIRECTION)] + 0.3 * noise / np.sqrt(D))
    n = len(vectors)
    return WorldItems(vectors.astype(np.float32), np.zeros(n, np.float32), np.zeros(n, np.int32), 1)


def log_of(items: NDArray[np.int64], values: NDArray[np.float64] | None = None) -> Interactions:
    """Row u: what user u consumed, in order."""
    n, m = items.shape
    users = np.repeat([f"u{u:05d}" for u in range(n)], m).tolist()
    return Interactions.from_columns(
        users, items.ravel(), np.tile(np.arange(m), n), None if values is None else values.ravel()
    )


def planted_log(n: int = 300, m: int = 12) -> Interactions:
    """User u consumes items around direction u mod 6, and no others."""
    within = np.random.default_rng(1).integers(0, PER_DIRECTION, (n, m))
    return log_of(within + PER_DIRECTION * (np.arange(n) % DIRECTIONS)[:, None])


@pytest.fixture(scope="module")
def fitted() -> FittedPopulation:
    return fit(bundled_items(), planted_log(), TRAITS, seed=0)


def test_planted_tastes_come_back(fitted: FittedPopulation) -> None:
    assert (fitted.people, fitted.tastes.shape) == (300, (300, 3, D))
    cosines = (fitted.tastes @ fitted.items.vectors.T).max(axis=1)  # (people, items), with the nearest interest
    logits = fitted.affinity_weights[:, None] * cosines
    own = np.arange(len(fitted.items)) // PER_DIRECTION == fitted.codes[:, None] % DIRECTIONS
    assert logits[own].min() > logits[~own].max() + 2
    np.testing.assert_allclose(np.linalg.norm(fitted.tastes, axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fitted.items.vectors, axis=1), 1, atol=1e-5)
    assert fitted.traits.affinity_weight == pytest.approx(np.median(fitted.affinity_weights), rel=1e-5)
    assert fitted.traits == TRAITS.replace(affinity_weight=fitted.traits.affinity_weight)


def test_a_log_drawn_at_random_has_no_affinity() -> None:
    items = random_items(n=300, d=D)
    log = log_of(np.random.default_rng(2).integers(0, 300, (3000, 10)))
    assert 0 <= fit(items, log, TRAITS, seed=0).traits.affinity_weight < 0.3


def test_popularity_is_not_taken_for_affinity() -> None:
    """Everybody draws from the same skewed popularity: still nothing to do with taste."""
    items = bundled_items()
    popularity = np.linspace(1, 20, len(items)) ** 2
    drawn = np.random.default_rng(3).choice(len(items), (3000, 10), p=popularity / popularity.sum())
    assert fit(items, log_of(drawn), TRAITS, seed=0).traits.affinity_weight < 0.3


def weight_found(weight: float, length: int) -> float:
    """The weight fitted to a log of `length` organic choices that were made with a given weight."""
    items = random_items(n=300, d=D)
    traits = TRAITS.replace(affinity_weight=weight, appeal_weight=0.0)
    people = MadeUpPopulation(items, traits, seed=1).newcomers(np.arange(1500))
    log = log_of(organic(items, people, length, seed=1).astype(np.int64))
    return fit(items, log, traits, seed=0).traits.affinity_weight


def test_the_more_people_follow_their_taste_the_larger_the_weight() -> None:
    """Below the true weight, because tastes are seen through a few choices only."""
    found = [weight_found(weight, 12) for weight in (0.0, 3.0, 5.0, 8.0)]
    assert found[0] < 0.3
    assert found[0] + 0.3 < found[1]
    assert found[1] + 0.5 < found[2]
    assert found[2] + 0.5 < found[3] < 8


def test_a_longer_log_does_not_weaken_the_affinity() -> None:
    """Nobody's last item is an old one; others' items must not be old to him either, or they look like his taste."""
    assert weight_found(8.0, 40) > weight_found(8.0, 12) - 0.5


def test_a_log_of_nothing_but_repeats_is_refused() -> None:
    log = log_of(np.repeat(np.arange(30), 6).reshape(30, 6))
    with pytest.raises(InputError, match="the last item of 0 users is new to them; at least 20 are needed"):
        fit(bundled_items(), log, TRAITS, seed=0)


def test_people_with_few_interactions_are_left_out_and_histories_are_the_last_items() -> None:
    rng = np.random.default_rng(6)
    lengths = np.tile([4, 5, 60], 20)
    users = np.repeat([f"u{u:02d}" for u in range(60)], lengths).tolist()
    log = Interactions.from_columns(users, rng.integers(0, 240, len(users)), np.arange(len(users)))
    population = fit(bundled_items(), log, TRAITS, seed=0)
    np.testing.assert_array_equal(np.sort(population.codes), np.flatnonzero(lengths >= 5))
    for row, code in enumerate(population.codes):
        own = log.items[log.starts[code] : log.starts[code + 1]][-HISTORY_LENGTH:]
        np.testing.assert_array_equal(population.histories[row, HISTORY_LENGTH - len(own) :], own)
        assert (population.histories[row, : HISTORY_LENGTH - len(own)] == -1).all()


def test_visits_go_round_the_people(fitted: FittedPopulation) -> None:
    ids = np.arange(650)
    users = fitted.visit(ids)
    np.testing.assert_array_equal(users.ids, ids)
    np.testing.assert_array_equal(users.people, fitted.keys[ids % 300])
    assert len(np.unique(users.people)) == fitted.people
    for f in fields(Users):
        if f.name != "ids":  # the luck is a visit's own
            np.testing.assert_array_equal(getattr(users, f.name)[300:600], getattr(users, f.name)[:300])
    alone = fitted.visit(np.array([641]))
    for f in fields(Users):
        np.testing.assert_array_equal(getattr(alone, f.name)[0], getattr(users, f.name)[641])


def test_train_and_test_are_other_people(fitted: FittedPopulation) -> None:
    train, test = fitted.split(0.3, seed=1)
    assert not set(train.codes.tolist()) & set(test.codes.tolist())
    assert sorted([*train.codes, *test.codes]) == list(range(300))
    assert abs(len(test.codes) - 90) < 4 * np.sqrt(300 * 0.3 * 0.7)
    assert set(test.visit(np.arange(1000)).people.tolist()) == set(test.keys.tolist())
    row_of = np.argsort(fitted.codes)
    for part in (train, test):
        rows = row_of[part.codes]
        np.testing.assert_array_equal(part.tastes, fitted.tastes[rows])
        np.testing.assert_array_equal(part.histories, fitted.histories[rows])
        everybody = fitted.visit(rows)
        np.testing.assert_array_equal(part.visit(np.arange(len(part.codes))).traits, everybody.traits)
    assert fitted.split(0.3, seed=1)[1].codes.tolist() == test.codes.tolist()
    assert fitted.split(0.3, seed=2)[1].codes.tolist() != test.codes.tolist()


def test_a_persons_side_does_not_depend_on_the_others(fitted: FittedPopulation) -> None:
    some = fitted._only(fitted.codes % 3 == 0)
    expected = [code for code in fitted.split(0.3, seed=1)[1].codes.tolist() if code % 3 == 0]
    assert some.split(0.3, seed=1)[1].codes.tolist() == expected


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_part_without_people_is_refused(fitted: FittedPopulation, share: float) -> None:
    with pytest.raises(InputError, match=f"a share of {share} of 300 people leaves a part without anybody"):
        fitted.split(share, seed=0)


def test_a_random_item_is_clicked_at_the_base_rate(fitted: FittedPopulation) -> None:
    n, m = 300, 60
    world = World(fitted.items, slate_size=m, shown_capacity=m)
    users = fitted.visit(np.arange(n))
    users.histories[:] = -1
    slates = np.random.default_rng(0).random((n, len(fitted.items))).argsort(axis=1)[:, :m].astype(np.int32)
    rates = world.step(world.start(users, 0), slates).probabilities.astype(float).mean(axis=1)
    # the level was set for these very people: what is left is which items were drawn for it, and which here
    error = np.sqrt(0.1 * 0.9 / (n * m) + 0.1 * 0.9 / (n * 64))
    assert abs(rates.mean() - TRAITS.base_click_rate) < 3 * error


def test_the_level_is_that_of_the_very_people() -> None:
    """Over all items; it was set on 64 of them, drawn for each person."""
    vectors = np.tile(np.eye(D, dtype=np.float32)[0], (240, 1))
    items = WorldItems(vectors, np.zeros(240, np.float32), np.zeros(240, np.int32), 1)
    population = fit(items, planted_log(n=40), TRAITS, seed=0)
    bias = population.visit(np.arange(40)).traits[:, Trait.CLICK_BIAS].astype(float)
    own = (population.tastes @ population.items.vectors.T).max(axis=1)  # (people, items); appeal may still differ
    logits = population.affinity_weights[:, None] * own + population.traits.appeal_weight * population.items.appeal
    rates = 1 / (1 + np.exp(-bias[:, None] - logits))  # (people, items)
    assert rates.mean(axis=1).std() > 0.02
    assert abs(rates.mean() - TRAITS.base_click_rate) < 4 * rates.std() / np.sqrt(40 * 64)


def test_visits_leave_the_fit_alone(fitted: FittedPopulation) -> None:
    kept = fitted.tastes.copy(), fitted.histories.copy()
    users = fitted.visit(np.arange(300))
    world = World(fitted.items, slate_size=5, shown_capacity=20)
    state = world.start(users, 0)
    clicks = sum(
        world.step(state, np.tile(np.arange(5, dtype=np.int32) + 50 * p, (300, 1))).clicks.sum() for p in range(4)
    )
    assert clicks > 20
    np.testing.assert_array_equal(fitted.tastes, kept[0])
    np.testing.assert_array_equal(fitted.histories, kept[1])
    for array in (users.tastes, users.histories, users.people):
        assert not any(np.shares_memory(array, own) for own in (fitted.tastes, fitted.histories, fitted.keys))


def test_too_few_people_are_refused() -> None:
    log = planted_log(n=19)
    with pytest.raises(InputError, match="19 users have 5 interactions or more; at least 20 are needed"):
        fit(bundled_items(), log, TRAITS, seed=0)
    with pytest.raises(InputError, match="0 users have 13 interactions or more"):
        fit(bundled_items(), planted_log(), TRAITS, seed=0, min_interactions=13)
    with pytest.raises(InputError, match=r"min_interactions is 1; .* needs 2 or more"):
        fit(bundled_items(), planted_log(), TRAITS, seed=0, min_interactions=1)


def test_appeal_is_standardised_log_popularity() -> None:
    log = log_of(np.repeat([1, 2, 3], [1, 3, 7])[None, :])  # counts 0, 1, 3, 7: log2(1 + count) is 0, 1, 2, 3
    np.testing.assert_allclose(appeal_from(log, 4), (np.arange(4) - 1.5) / np.sqrt(1.25), atol=1e-6)
    assert appeal_from(log, 4).dtype.name == "float32"


def test_appeal_at_its_ends() -> None:
    hit = log_of(np.full((1, 1000), 7))
    appeal = appeal_from(hit, 100)
    assert appeal[7] == 3.0  # cut; uncut it would be (1 - 1/100) / sqrt(1/100 * 99/100) = 9.95
    np.testing.assert_allclose(np.delete(appeal, 7), -1 / np.sqrt(99), atol=1e-6)
    np.testing.assert_array_equal(appeal_from(log_of(np.arange(5)[None, :]), 5), np.zeros(5, dtype=np.float32))
