import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from tests.envs.stages import tiny_stage
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.recommendation import RecommendationEnv, SlateRecommendationEnv
from zsr_sim.envs.rendering import readable


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Alien\x1b[31m\n\tPart II", "Alien[31m Part II"),
        ("left\u202eright\u0000\u200b", "leftright"),
        ("\ud800half", "half"),
        ("x" * 50, "x" * 43 + "…"),
        ("Amélie", "Amélie"),
    ],
)
def test_titles_are_made_harmless(title: str, words: str) -> None:
    assert readable(title) == words


def test_a_visit_can_be_read() -> None:
    titles = [f"Film {chr(65 + i)}\x07" for i in range(26)] + ["動物農場" * 20] * 14
    stage = tiny_stage(titles=titles, base_click_rate=0.5, like_rate=0.5, purchase_rate=0.5, return_rate=0.02)
    env = RecommendationEnv.on(stage, render_mode="ansi")
    env.reset(seed=0)
    arrival = env.render()
    assert arrival is not None
    assert arrival.startswith("User ")
    assert "satisfaction [#####.....] 0.50" in arrival
    pages = []
    for _ in range(200):
        _, reward, terminated, _, info = env.step(0)
        page = env.render()
        assert page is not None
        lines = page.splitlines()
        assert f", from similarity: reward {reward:.4g}" in lines[0]
        for position, line in enumerate(lines[1:4]):
            assert line.startswith(f"   {position + 1}  ")
            assert readable(titles[info["items"][position]], 10)[:9] in line
            assert ("clicked" in line) == info["clicks"][position]
            assert ("liked" in line) == info["likes"][position]
            assert ("bought" in line) == info["purchases"][position]
            assert ("passed over" in line) == info["skips"][position]
        assert f"satisfaction [{'#' * round(10 * _satisfaction(env)):.<10}] {_satisfaction(env):.2f}" in lines[4]
        assert ("The user leaves." in page) == terminated
        assert not any(ord(letter) < 32 for line in lines for letter in line)
        pages.append(page)
        if terminated:
            env.reset()
    whole = "".join(pages)
    for words in ("clicked, liked, bought, ", "passed over", "bored 1.0", "comes back after", "leaves"):
        assert words in whole


def _satisfaction(env: RecommendationEnv) -> float:
    return float(env._audience.state.satisfaction[0])


def test_the_parts_of_a_reward_and_the_proposer_of_an_item_are_told() -> None:
    rewards = RewardWeights(click=1.0, like=0.5)
    stage = tiny_stage(rewards=rewards, base_click_rate=0.9, like_rate=0.9, lifetime=1)
    env = SlateRecommendationEnv.on(stage, render_mode="ansi", n_pool=5)
    env.reset(seed=1)
    texts = []
    for _ in range(20):
        *_, terminated, _, info = env.step(np.array([0, 1, 2]))
        texts.append(str(env.render()))
        parts = info["reward_parts"]
        if parts["like"]:
            assert f"(click {parts['click']:.4g} + like {parts['like']:.4g})" in texts[-1]
        if terminated:
            env.reset()
    whole = "".join(texts)
    for words in (" + like ", "similarity", "neighbours", "not available"):
        assert words in whole


def test_nothing_is_rendered_unless_asked_for() -> None:
    env = RecommendationEnv.on(tiny_stage())
    env.reset(seed=0)
    assert env.render() is None
    with pytest.raises(ResetNeeded, match="call reset"):
        RecommendationEnv.on(tiny_stage(), render_mode="ansi").render()
