"""LLM users: calibrated, kept, given again; the check on models that please; and distilled into numeric users."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from tests.envs.tiny import random_items, random_users
from tests.readers.doubles import Double
from zsr_sim.encoders.cache import VectorCache
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.population import MadeUpPopulation
from zsr_sim.envs.traits import Trait, Traits
from zsr_sim.readers.distilling import distil
from zsr_sim.readers.prompts import NO_ITEM, Personas
from zsr_sim.readers.users import LlmUsers, levelled

ITEMS = random_items(n=40)
USERS = random_users(30, ITEMS)
NAMES = [f"item {row}." for row in range(len(ITEMS))]
PERSONAS = Personas(NAMES)


def row_of(line: str) -> int | None:
    """The item that a line is about; None for the content-free one."""
    return None if NO_ITEM in line else int(line.split()[1].split(".")[0])


def pleased(prefix: str, line: str) -> float:
    return 6.0


def test_the_content_free_answer_is_taken_off() -> None:
    asked = LlmUsers(Double(lambda prefix, line: 1.5 + (0.25 * (row_of(line) or 0))), PERSONAS)
    slates = np.array([[0, 4], [8, 2]], dtype=np.int32)
    users = USERS.take(np.arange(2))
    np.testing.assert_allclose(asked.log_odds(users, slates), [[0.0, 1.0], [2.0, 0.5]], atol=1e-5)
    np.testing.assert_allclose(asked.log_odds(users, slates, calibrated=False), [[1.5, 2.5], [3.5, 2.0]], atol=1e-5)
    asked.shift = -2.0
    np.testing.assert_allclose(asked.clicks(users, slates), [[-2.0, -1.0], [0.0, -1.5]], atol=1e-5)


def test_likes_are_the_share_of_good_and_great() -> None:
    asked = LlmUsers(Double(lambda prefix, line: 1.0 if row_of(line) == 7 else 0.0), PERSONAS)
    weights = np.exp(np.linspace(-1, 1, 5))
    likes = asked.likes(USERS.take(np.arange(2)), np.array([7, 3], dtype=np.int32))
    np.testing.assert_allclose(likes, [weights[3:].sum() / weights.sum(), 0.4], atol=1e-6)


def test_answers_are_kept_and_given_again(tmp_path: Path) -> None:
    slates = np.random.default_rng(0).permuted(np.tile(np.arange(40, dtype=np.int32), (30, 1)), axis=1)[:, :10]
    first = LlmUsers(Double(lambda prefix, line: hash((prefix, line)) % 997 / 100), PERSONAS, VectorCache(tmp_path))
    said = first.clicks(USERS, slates)
    assert isinstance(first.model, Double)
    count = len(first.model.asked)
    assert count == len(set(first.model.asked))
    np.testing.assert_array_equal(first.clicks(USERS, slates), said)
    assert len(first.model.asked) == count
    first.flush()

    def silent(prefix: str, line: str) -> float:
        raise AssertionError("asked although the answer is known")

    again = LlmUsers(Double(silent), PERSONAS, VectorCache(tmp_path))
    np.testing.assert_array_equal(again.clicks(USERS, slates), said)
    with pytest.raises(AssertionError, match="the answer is known"):
        LlmUsers(Double(silent, fingerprint="another model"), PERSONAS, VectorCache(tmp_path)).clicks(USERS, slates)


def test_the_check_fires_on_a_model_that_says_yes_to_everything() -> None:
    check = levelled(LlmUsers(Double(pleased), PERSONAS), USERS, len(ITEMS), 0.06, seed=0)
    assert check.agreeable
    assert check.indifferent
    assert check.positive == pytest.approx(expit(6.0))
    assert "WARNING: agreeable" in check.sentence()
    assert "WARNING: it answers the same whatever the item" in check.sentence()


def test_the_check_is_silent_where_answers_are_as_rare_as_clicks() -> None:
    asked = LlmUsers(
        Double(lambda prefix, line: -3.0 if row_of(line) is None else -4.0 + (row_of(line) or 0) % 5), PERSONAS
    )
    check = levelled(asked, USERS, len(ITEMS), 0.15, seed=0)
    assert not check.agreeable
    assert not check.indifferent
    assert "WARNING" not in check.sentence()
    assert check.declared == 0.15
    assert check.positive == pytest.approx(expit(np.arange(5) - 4.0).mean(), abs=0.03)


def test_the_shift_sets_the_declared_click_level() -> None:
    asked = LlmUsers(Double(lambda prefix, line: float((row_of(line) or 0) % 7)), PERSONAS)
    levelled(asked, USERS, len(ITEMS), 0.06, seed=0, items_each=200)
    everything = np.tile(np.arange(len(ITEMS), dtype=np.int32), (len(USERS), 1))
    assert expit(asked.clicks(USERS, everything)).mean() == pytest.approx(0.06, abs=0.005)


def made_up(items: WorldItems) -> MadeUpPopulation:
    return MadeUpPopulation.create(items, Traits(), seed=0)


def test_distilled_users_answer_as_the_model_does() -> None:
    items = random_items(n=300)
    liked = np.linspace(-1, 1, 6)

    def by_text(prefix: str, line: str) -> float:
        row = row_of(line)
        return 1.0 if row is None else 1.0 + float(4 * items.vectors[row] @ liked)

    asked = LlmUsers(Double(by_text), Personas([f"item {row}." for row in range(300)]), shift=-3.0)
    population, agreement = distil(asked, made_up(items), items, seed=0, people=24)
    assert agreement.correlation > 0.99
    assert agreement.auc > 0.97
    assert agreement.answers == 24 * 8
    users = population.visit(np.arange(30))
    np.testing.assert_allclose(users.tastes[:, 0] @ (liked / np.linalg.norm(liked)), 1, atol=0.02)
    np.testing.assert_allclose(users.traits[:, Trait.AFFINITY_WEIGHT], 4 * np.linalg.norm(liked), rtol=0.05)
    np.testing.assert_allclose(users.traits[:, Trait.CLICK_BIAS], -3, atol=0.2)
    np.testing.assert_array_equal(users.people[:6], users.people[24:30])
    assert population.people == 24


def test_distilling_noise_agrees_with_nothing() -> None:
    items = random_items(n=300)
    rng = np.random.default_rng(0)
    asked = LlmUsers(Double(lambda prefix, line: float(rng.normal())), Personas([f"item {row}." for row in range(300)]))
    _, agreement = distil(asked, made_up(items), items, seed=0, people=60)
    assert abs(agreement.correlation) < 0.15
    assert abs(agreement.auc - 0.5) < 0.1


def test_distilled_people_are_split_apart() -> None:
    items = random_items(n=60)
    asked = LlmUsers(Double(pleased), Personas([f"item {row}." for row in range(60)]))
    population, agreement = distil(asked, made_up(items), items, seed=0, people=40)
    assert agreement.correlation == 0.0
    train, test = population.split(0.3, seed=1)
    assert len(train.ids) + len(test.ids) == 40
    assert not set(train.ids) & set(test.ids)
