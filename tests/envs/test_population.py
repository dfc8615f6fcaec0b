"""Users made up from a catalogue."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.envs.tiny import random_items, with_trait
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.population import HISTORY_LENGTH, MadeUpPopulation, organic
from zsr_sim.envs.traits import N_TRAITS, Trait, Traits
from zsr_sim.envs.world import Users, World
from zsr_sim.errors import InputError

ITEMS = random_items(n=200, d=32, n_topics=8)
TRAITS = Traits(
    base_click_rate=0.1, click_bias_sd=0.5, affinity_weight=5.0, appeal_weight=0.5, repeat_penalty=3.0,
    examination_decay=0.0, boredom=0.5, boredom_sd=0.4, leave_bias=-0.5, leave_bias_sd=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def population() -> MadeUpPopulation:
    return MadeUpPopulation.create(ITEMS, TRAITS, seed=3)


def assert_same(a: Users, b: Users, rows: Any = slice(None)) -> None:
    for f in fields(Users):
        np.testing.assert_array_equal(getattr(a, f.name)[rows], getattr(b, f.name), err_msg=f.name, strict=True)


def test_a_user_is_a_function_of_seed_and_id(population: MadeUpPopulation) -> None:
    users = population.visit(np.arange(1000))
    for rows in (np.array([0]), np.array([999]), np.array([500, 2, 999, 7, 8, 9, 0]), np.arange(0, 1000, 3)):
        assert_same(users, population.visit(rows), rows)
    assert_same(users, MadeUpPopulation.create(ITEMS, TRAITS, seed=3).visit(np.arange(1000)))
    other = MadeUpPopulation.create(ITEMS, TRAITS, seed=4).visit(np.arange(1000))
    assert not (users.tastes == other.tastes).all(axis=2).any()
    assert abs(np.corrcoef(users.traits[:, Trait.CLICK_BIAS], other.traits[:, Trait.CLICK_BIAS])[0, 1]) < 4 / np.sqrt(
        1000
    )


def test_shapes_and_types(population: MadeUpPopulation) -> None:
    users = population.visit(np.arange(10))
    found = {f.name: (getattr(users, f.name).dtype.name, getattr(users, f.name).shape) for f in fields(Users)}
    assert found == {
        "ids": ("int64", (10,)),
        "people": ("int64", (10,)),
        "tastes": ("float32", (10, 3, 32)),
        "traits": ("float32", (10, N_TRAITS)),
        "histories": ("int32", (10, HISTORY_LENGTH)),
        "likings": ("float32", (10, 0)),
        "profiles": ("float32", (10, 0)),
    }
    np.testing.assert_allclose(np.linalg.norm(users.tastes, axis=2), 1, atol=1e-6)
    assert len(population.visit(np.arange(0))) == 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 1), max_size=20), st.lists(st.integers(0, 1), max_size=20))
def test_parts_of_parts_share_nobody(one: list[int], other: list[int]) -> None:
    """Splitting again and again, as for train, validation and test, never gives one user to two parts."""
    ranges = []
    for path in (one, other):
        part = MadeUpPopulation(ITEMS, TRAITS, seed=3)
        for side in path:
            part = part.split(0.2, 0)[side]
        assert part.room >= 2**42
        ranges.append((part.first_id, part.first_id + part.room))
    (a, b), (c, d) = ranges
    k = min(len(one), len(other))
    assert (b <= c or d <= a) == (one[:k] != other[:k])


def test_train_and_test_share_nobody_and_ids_have_an_end(population: MadeUpPopulation) -> None:
    train, test = population.split(0.2, 0)
    ids = np.arange(300)
    assert_same(population.visit(ids), train.visit(ids))
    assert not set(train.visit(ids).people.tolist()) & set(test.visit(ids).people.tolist())
    mine, theirs = (part.visit(ids).traits[:, Trait.CLICK_BIAS] for part in (train, test))
    assert not np.isclose(mine, theirs, atol=1e-6).all()
    assert population.people is None
    with pytest.raises(InputError, match=f"user ids run from -1 to 5; this population has 0 to {2**61 - 1}"):
        test.visit(np.array([-1, 5]))
    with pytest.raises(InputError, match=f"from {2**61} to {2**61}"):
        train.visit(np.array([2**61]))


def test_traits_have_the_distributions_that_they_name(population: MadeUpPopulation) -> None:
    users = population.visit(np.arange(5000))
    columns = {
        "click": (users.traits[:, Trait.CLICK_BIAS], population.click_bias, 0.5),
        "boredom": (np.log(users.traits[:, Trait.BOREDOM]), np.log(0.5), 0.4),
        "leave": (users.traits[:, Trait.LEAVE_BIAS], -0.5, 0.3),
    }
    for name, (values, mean, sd) in columns.items():
        assert stats.kstest((values.astype(float) - mean) / sd, "norm").pvalue > 0.001, name
    values = np.corrcoef([values for values, _, _ in columns.values()])[np.triu_indices(3, 1)]
    assert np.abs(values).max() < 4 / np.sqrt(5000)


def test_interests_lie_near_items_of_their_own(population: MadeUpPopulation) -> None:
    """A point moved by noise of length about `spread` = 0.6 has cosine 1 / sqrt(1 + 0.36) with where it was."""
    users = population.visit(np.arange(2000))
    anchors = (uniforms(3, users.ids, 0, Purpose.INTERESTS, 3) * 200).astype(int)  # (n, 3)
    cosines = np.einsum("nkd,nkd->nk", users.tastes, ITEMS.vectors[anchors])
    assert cosines.mean() == pytest.approx(1 / np.sqrt(1.36), abs=0.01)
    assert stats.chisquare(np.bincount(anchors.ravel(), minlength=200)).pvalue > 0.001


def test_a_random_item_that_is_looked_at_is_clicked_at_the_base_rate(population: MadeUpPopulation) -> None:
    n, m = 20_000, 8
    world = World(ITEMS, slate_size=m, shown_capacity=m)
    users = population.newcomers(np.arange(10_000, 10_000 + n))
    slates = np.random.default_rng(0).random((n, len(ITEMS))).argpartition(m, axis=1)[:, :m].astype(np.int32)
    rates = world.step(world.start(users, 0), slates).probabilities.astype(float).mean(axis=1)  # (n,)
    # the level was found among 512 other users with 64 items each: its own error counts, too
    error = np.sqrt(rates.var() / n + rates.var() / 512)
    assert abs(rates.mean() - TRAITS.base_click_rate) < 3 * error
    assert error < 0.004


def test_histories_are_organic_choices_padded_on_the_left(population: MadeUpPopulation) -> None:
    users = population.visit(np.arange(4000))
    there = users.histories >= 0
    assert (np.diff(there.astype(int), axis=1) >= 0).all()  # once there is an item, one follows
    lengths = there.sum(axis=1)
    assert stats.chisquare(np.bincount(lengths, minlength=21)[4:]).pvalue > 0.001  # 4 to 20, evenly
    assert (lengths.min(), lengths.max()) == (4, 20)
    sequences = organic(ITEMS, users, 20, 3)
    first = np.arange(20) < lengths[:, None]  # (n, 20): how long a history is does not change how it begins
    np.testing.assert_array_equal(users.histories[there], sequences[first])
    assert users.histories.max() < len(ITEMS)


def log_odds(count_a: int, count_b: int) -> tuple[float, float]:
    """Log of the ratio of two counts of one sample, and its standard error."""
    return float(np.log(count_a / count_b)), float(np.sqrt(1 / count_a + 1 / count_b))


def test_organic_choices_are_multinomial_logit(population: MadeUpPopulation) -> None:
    """In a catalogue of 4 items, each met about 64 times, the choice is by relevance alone."""
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)
    appeal = np.array([0, 1, -1, 0.5], dtype=np.float32)
    items = WorldItems(vectors, appeal, np.arange(4, dtype=np.int32), 4)
    n = 20_000
    base = population.newcomers(np.arange(n))
    users = replace(
        with_trait(base, Trait.AFFINITY_WEIGHT, 2.0), tastes=np.tile(np.array([1, 0], dtype=np.float32), (n, 1, 1))
    )
    counts = np.bincount(organic(items, users, 1, seed=0)[:, 0], minlength=4)
    relevances = 2 * vectors[:, 0] + 0.5 * appeal
    for a in range(3):
        found, error = log_odds(counts[a], counts[a + 1])
        # 0.02: items are met at random, 64 +- 7 times each, which flattens the choice by O(1 / 256)
        assert abs(found - (relevances[a] - relevances[a + 1])) < 3 * error + 0.02


def test_organic_choices_prefer_what_is_near_an_interest(population: MadeUpPopulation) -> None:
    users = population.visit(np.arange(1000))
    cosines = np.einsum("nkd,md->nkm", users.tastes, ITEMS.vectors).max(axis=1)  # (n, items)
    near = cosines >= np.quantile(cosines, 0.8, axis=1, keepdims=True)  # (n, items): 1 in 5
    chosen = np.take_along_axis(near, np.maximum(users.histories, 0), axis=1)[users.histories >= 0]
    found, error = log_odds(int(chosen.sum()), int((~chosen).sum()))
    at_random = np.log(near.mean() / (1 - near.mean()))
    assert found - at_random > 10 * error
    assert found - at_random > 1.0


def test_organic_boredom_and_repeats(population: MadeUpPopulation) -> None:
    users = population.newcomers(np.arange(2000))
    easy, bored = (with_trait(users, Trait.BOREDOM, b) for b in (0.0, 3.0))
    topics = {name: ITEMS.topics[organic(ITEMS, who, 8, 0)] for name, who in (("easy", easy), ("bored", bored))}
    same = {name: (t[:, 1:] == t[:, :-1]).mean() for name, t in topics.items()}
    assert same["bored"] < 0.5 * same["easy"]
    penalties = (0.0, 50.0)
    repeats = [
        np.mean([len(set(row)) < 8 for row in organic(ITEMS, with_trait(easy, Trait.REPEAT_PENALTY, p), 8, 0).tolist()])
        for p in penalties
    ]
    assert repeats[0] > 0.2
    assert repeats[1] == 0


def test_visits_leave_the_population_alone(population: MadeUpPopulation) -> None:
    world = World(ITEMS, slate_size=5, shown_capacity=20)
    state = world.start(population.visit(np.arange(50)), 0)
    kept = ITEMS.vectors.copy(), ITEMS.appeal.copy(), ITEMS.topics.copy()
    for page in range(4):
        world.step(state, np.tile(np.arange(5 * page, 5 * page + 5, dtype=np.int32), (50, 1)))
    for before, after in zip(kept, (ITEMS.vectors, ITEMS.appeal, ITEMS.topics), strict=True):
        np.testing.assert_array_equal(before, after)
    assert_same(population.visit(np.arange(50)), state.users)
