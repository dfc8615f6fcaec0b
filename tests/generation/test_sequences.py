"""Training examples: cuts of a log made by hand, and the log of users who are made up."""

import numpy as np
import pytest

from tests.envs.tiny import random_items
from zsr_sim.envs.fitting import fit
from zsr_sim.envs.population import HISTORY_LENGTH, MadeUpPopulation, organic
from zsr_sim.envs.traits import Traits
from zsr_sim.generation.sequences import Sequences, continuations, last_pages, stretches, training_log
from zsr_sim.interactions import Interactions


def _log(*users: list[int]) -> Interactions:
    """User k consumed these items, in this order."""
    return Interactions.from_columns(
        user_ids=[f"user-{k}" for k, items in enumerate(users) for _ in items],
        items=[item for items in users for item in items],
        timestamps=[float(t) for items in users for t in range(len(items))],
    )


def _recent(sequences: Sequences) -> list[list[int]]:
    """Histories without their padding."""
    return [[item for item in history if item >= 0] for history in sequences.histories.tolist()]


def test_continuations_of_a_hand_made_log() -> None:
    """The first user has 5 items and so 2 places to cut, the second one none, the third 1."""
    found = continuations(_log([10, 11, 12, 13, 14], [20, 21, 22], [30, 31, 32, 33]), slate_size=4)
    assert _recent(found) == [[10], [10, 11], [30]]
    assert found.targets.tolist() == [[11, 12, 13, 14], [12, 13, 14, -1], [31, 32, 33, -1]]
    assert found.histories.dtype == found.targets.dtype == np.int32
    assert found.histories.shape == (3, HISTORY_LENGTH)
    expected = np.full((3, HISTORY_LENGTH - 1), -1)
    expected[1, -1] = 10
    np.testing.assert_array_equal(found.histories[:, :-1], expected)  # padded left
    assert found.histories[:, -1].tolist() == [10, 11, 30]


def test_cuts_are_evenly_spaced_and_leave_the_minimum() -> None:
    """100 items, at least 4 after each cut: the last of 5 cuts is after item 96, the others 19 apart."""
    found = continuations(_log(list(range(100))), slate_size=3, per_user=5, minimum=4)
    assert found.targets[:, 0].tolist() == [20, 39, 58, 77, 96]
    assert found.targets[-1].tolist() == [96, 97, 98]
    assert found.histories[0].tolist() == [-1] * (HISTORY_LENGTH - 20) + list(range(20))
    assert found.histories[4].tolist() == list(range(96 - HISTORY_LENGTH, 96))  # the last ones of a long history


@pytest.mark.parametrize(("per_user", "minimum", "cuts"), [(1, 3, 1), (6, 3, 4), (3, 3, 3), (6, 6, 1), (6, 7, 0)])
def test_number_of_cuts(per_user: int, minimum: int, cuts: int) -> None:
    found = continuations(_log(list(range(7))), 2, per_user, minimum)
    assert len(found) == cuts
    assert len({tuple(history) for history in found.histories.tolist()}) == cuts  # no cut twice


def test_last_pages_of_a_hand_made_log() -> None:
    """Of the users who are named, the last page goes to one side; the first item of each stays on the other."""
    log = _log([10, 11, 12, 13, 14], [20, 21, 22], [30, 31, 32, 33], [40, 41])
    held_out, rest = last_pages(log, 3, np.array([0, 1, 3]))
    assert _recent(held_out) == [[10, 11], [20], [40]]
    assert held_out.targets.tolist() == [[12, 13, 14], [21, 22, -1], [41, -1, -1]]
    assert held_out.targets.dtype == np.int32
    assert rest.items.tolist() == [10, 11, 20, 30, 31, 32, 33, 40]
    assert rest.starts.tolist() == [0, 2, 3, 7, 8]  # user codes stay


def test_stretches_of_a_hand_made_log() -> None:
    """Of 1, 3, 4 and 8 items, in stretches of 4 that overlap by one."""
    log = _log([1], [10, 11, 12], [20, 21, 22, 23], [30, 31, 32, 33, 34, 35, 36, 37])
    expected = [
        [-1, -1, -1, 1],
        [-1, 10, 11, 12],
        [-1, 20, 21, 22],
        [20, 21, 22, 23],  # full, though only the last item is new
        [-1, 30, 31, 32],
        [32, 33, 34, 35],
        [34, 35, 36, 37],
    ]
    found = stretches(log, 4)
    assert found.tolist() == expected
    assert found.dtype == np.int32
    assert stretches(_log(), 4).shape == (0, 4)


def test_an_empty_log_gives_nothing() -> None:
    found = continuations(_log(), slate_size=3)
    assert (found.histories.shape, found.targets.shape) == ((0, HISTORY_LENGTH), (0, 3))


def test_take_keeps_pairs_together() -> None:
    found = continuations(_log([10, 11, 12, 13, 14], [30, 31, 32, 33]), slate_size=1).take(np.array([2, 0]))
    assert (_recent(found), found.targets.tolist()) == ([[30], [10]], [[31], [11]])


@pytest.fixture(scope="module")
def population() -> MadeUpPopulation:
    return MadeUpPopulation.create(random_items(), Traits(), seed=3)


def test_training_log_of_made_up_users_is_their_own_choice(population: MadeUpPopulation) -> None:
    log, again = (training_log(population, None, users=50, length=8) for _ in range(2))
    assert (len(log), log.n_users) == (400, 50)
    np.testing.assert_array_equal(log.items, again.items)
    visitors = population.visit(2**39 + np.arange(50))
    chosen = organic(population.items, visitors, 8, population.seed)
    np.testing.assert_array_equal(log.items.reshape(50, 8), chosen)
    first = training_log(population, None, users=20, length=8)
    np.testing.assert_array_equal(first.items, log.items[:160])  # a user does not depend on how many there are
    other = MadeUpPopulation.create(random_items(), Traits(), seed=4)
    assert (training_log(other, None, users=50, length=8).items != log.items).mean() > 0.5


def test_training_and_test_users_are_different_people(population: MadeUpPopulation) -> None:
    train, test = population.split(0.2, seed=0)
    first, second = (training_log(part, None, users=50, length=8).items for part in (train, test))
    assert (first != second).mean() > 0.5


def test_training_log_of_a_real_log_is_that_of_the_training_people() -> None:
    items, rng = random_items(), np.random.default_rng(0)
    log = _log(*(rng.permutation(40)[:6].tolist() for _ in range(60)))
    train, test = fit(items, log, Traits(), seed=0).split(0.3, seed=0)
    parts = training_log(train, log), training_log(test, log)
    names = [set(part.user_ids) for part in parts]
    assert names[0] | names[1] == set(log.user_ids)
    assert not names[0] & names[1]
    for part in parts:
        for code, name in enumerate(part.user_ids):
            original = log.starts[log.user_ids.index(name)]
            np.testing.assert_array_equal(
                part.items[part.starts[code] : part.starts[code + 1]], log.items[original : original + 6]
            )


def test_a_fitted_population_needs_its_log() -> None:
    items, rng = random_items(), np.random.default_rng(0)
    log = _log(*(rng.permutation(40)[:6].tolist() for _ in range(60)))
    with pytest.raises(TypeError, match="must be made up, got FittedPopulation"):
        training_log(fit(items, log, Traits(), seed=0), None)
