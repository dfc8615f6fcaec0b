"""What `reset(options=...)` knows, and that it says so."""

from typing import Any

import numpy as np
import pytest

from tests.envs.kinds import Kind, every_kind
from tests.envs.stages import tiny_stage
from zsr_sim.envs.recommendation import RecommendationEnv
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.errors import InputError


@every_kind
def test_the_user_who_is_asked_for_comes(kind: Kind) -> None:
    stage = tiny_stage(observe="state")
    env, tastes = kind.make(stage), stage.population.visit(np.array([3, 4])).tastes.reshape(2, -1)
    columns = env.unwrapped.state_columns["tastes"]
    seen = [env.reset(seed=seed, options={"user": user})[0] for seed, user in ((0, 3), (1, np.int64(3)), (1, 4))]
    for observation, row in zip(seen, (0, 0, 1), strict=True):
        np.testing.assert_allclose(observation["state"][columns], tastes[row], atol=1e-7)
    drawn = env.reset(seed=1)[0]["state"][columns]
    assert not np.allclose(drawn, tastes[0])
    for nothing in (None, {}, {"user": None}):
        np.testing.assert_array_equal(env.reset(seed=1, options=nothing)[0]["state"][columns], drawn)


def test_one_user_meets_the_luck_of_the_seed() -> None:
    env = RecommendationEnv.on(tiny_stage(base_click_rate=0.5))

    def clicks(seed: int) -> tuple[bool, ...]:
        env.reset(seed=seed, options={"user": 3})
        return tuple(env.step(0)[4]["clicks"].tolist())

    assert clicks(0) == clicks(0)
    assert len({clicks(seed) for seed in range(20)}) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"usr": 3}, r"reset has no option 'usr'; it knows user; did you mean 'user'\?"),
        ({"reset_mask": [True]}, "reset has no option 'reset_mask'; it knows user$"),
        ({"user": -1}, "user is -1; the id of a user expected, an integer 0 to 549755813887$"),
        ({"user": 2**39}, "user is 549755813888; "),
        ({"user": True}, "user is True; "),
        ({"user": "3"}, "user is '3'; "),
    ],
)
def test_what_is_no_option_is_refused_before_anything_is_drawn(options: dict[str, Any], message: str) -> None:
    env = RecommendationEnv.on(tiny_stage())
    env.reset(seed=3)
    before = env.np_random.bit_generator.state
    with pytest.raises(InputError, match=message):
        env.reset(options=options)
    assert env.np_random.bit_generator.state == before


def test_many_know_the_mask_alone() -> None:
    env = RecommendationVectorEnv.on(tiny_stage(), 2)
    with pytest.raises(InputError, match=r"reset has no option 'user'; it knows reset_mask$"):
        env.reset(seed=0, options={"user": 3})
