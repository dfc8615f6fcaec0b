"""Users who are asked: where the answers are the laws', the visit is the same; likes follow the answers."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.envs.tiny import random_items, random_users
from zsr_sim.agents.oracle import OracleMyopic
from zsr_sim.envs.asked import AskedWorld
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.traits import Trait, Traits
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import Users, World
from zsr_sim.errors import InputError

ITEMS = random_items()
TRAITS = Traits(affinity_weight=4.0, repeat_penalty=3.0, patience=4.0, return_rate=0.2, drift_rate=0.0)
LIKED = 0.75


@dataclass(frozen=True)
class AsTheLaws:
    """Answers what taste and appeal would have said."""

    def clicks(self, users: Users, slates: NDArray[np.int32]) -> NDArray[np.float32]:
        cosine = np.einsum("nkd,nmd->nkm", users.tastes, ITEMS.vectors[slates]).max(axis=1)
        bias, weight, lift = (
            users.traits[:, [trait]] for trait in (Trait.CLICK_BIAS, Trait.AFFINITY_WEIGHT, Trait.APPEAL_WEIGHT)
        )
        return np.asarray(bias + weight * cosine + lift * ITEMS.appeal[slates], dtype=np.float32)

    def likes(self, users: Users, items: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.full(len(users), LIKED, dtype=np.float32)


def pages(n: int, count: int) -> list[NDArray[np.int32]]:
    rng = np.random.default_rng(0)
    return [rng.random((n, len(ITEMS))).argsort(axis=1)[:, :7].astype(np.int32) for _ in range(count)]


def arrays(thing: Any) -> dict[str, NDArray[Any]]:
    return {part.name: getattr(thing, part.name) for part in fields(thing) if part.name != "users"}


@pytest.mark.parametrize("choice", ["position", "cascade", "logit"])
def test_a_visit_is_that_of_the_laws_where_the_answers_are_theirs(choice: str) -> None:
    users = random_users(200, ITEMS, traits=TRAITS)
    by_law = World(ITEMS, choice, slate_size=7, shown_capacity=35)
    asked = AskedWorld(ITEMS, choice, slate_size=7, shown_capacity=35, asked=AsTheLaws())
    a, b = by_law.start(users, 3), asked.start(users, 3)
    clicks = 0
    for slates in pages(200, 5):
        one, other = by_law.step(a, slates), asked.step(b, slates)
        for name in ("clicks", "skips", "left", "gaps", "purchases"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
        clicks += int(one.clicks.sum())
    assert clicks > 200
    for name, value in arrays(a).items():
        np.testing.assert_allclose(value, arrays(b)[name], atol=1e-5, err_msg=name)


def test_likes_and_their_reward_are_the_answers() -> None:
    users = random_users(4000, ITEMS, traits=TRAITS)
    world = AskedWorld(ITEMS, rewards=RewardWeights(1.0, 10.0), slate_size=7, shown_capacity=35, asked=AsTheLaws())
    feedback = world.step(world.start(users, 5), pages(4000, 1)[0])
    share = feedback.likes.sum() / feedback.clicks.sum()
    assert share == pytest.approx(LIKED, abs=4 * np.sqrt(LIKED * (1 - LIKED) / feedback.clicks.sum()))
    assert not (feedback.likes & ~feedback.clicks).any()
    expected = feedback.clicks.sum(axis=1) + 10 * feedback.likes.sum(axis=1)
    np.testing.assert_allclose(feedback.reward, expected, rtol=1e-6)
    np.testing.assert_allclose(
        feedback.expected_reward, (1 + 10 * LIKED) * feedback.probabilities.sum(axis=1), rtol=1e-4
    )


def test_nobody_is_asked_about_users_who_have_left() -> None:
    users = random_users(6, ITEMS, traits=TRAITS)

    @dataclass(frozen=True)
    class Counting(AsTheLaws):
        def clicks(self, users: Users, slates: NDArray[np.int32]) -> NDArray[np.float32]:
            assert users.ids.tolist() == present.tolist()
            return super().clicks(users, slates)

    world = AskedWorld(ITEMS, slate_size=7, shown_capacity=35, asked=Counting())
    state = world.start(users, 0)
    state.present[[0, 3]] = False
    present = users.ids[state.present]
    feedback = world.step(state, pages(6, 1)[0])
    assert not feedback.clicks[[0, 3]].any()


def test_an_oracle_does_not_know_what_will_be_answered() -> None:
    world = AskedWorld(ITEMS, slate_size=7, shown_capacity=35, asked=AsTheLaws())
    state = world.start(random_users(2, ITEMS, traits=TRAITS), 0)
    with pytest.raises(InputError, match="an oracle knows laws, not a language model's answers"):
        OracleMyopic(world).act_knowing(observe(state), state)
