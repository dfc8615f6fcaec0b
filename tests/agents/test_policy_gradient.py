"""The policy gradient in a world with a known answer: of four pages, one on each axis, each user loves one."""

import doctest
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.envs.stages import tiny_stage
from tests.envs.tiny import same_users
from zsr_sim.agents import policy_gradient
from zsr_sim.agents.policy_gradient import PolicyGradient, PolicyGradientTrainer, generalised_advantages
from zsr_sim.agents.scoring import CandidateScorer
from zsr_sim.config import AgentSettings, Settings
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import Users, World
from zsr_sim.generation.candidates import SOURCES, Candidates
from zsr_sim.generation.relations import relations
from zsr_sim.generation.retrieval import Retrieval

AXES, SLATE, HORIZON = 4, 2, 3
VECTORS = np.repeat(np.eye(AXES, dtype=np.float32), 3, axis=0)  # items 3 a, 3 a + 1 and 3 a + 2 lie on axis a
FIGURES = {
    *("return", "visit_length", "click_rate", "generated_share"),
    *("policy_loss", "value_loss", "entropy", "gradient_norm", "clipped", "explained_variance"),
}


@dataclass(frozen=True)
class FourPages:
    """A page of two items on each axis; which stands first changes with user and step."""

    retrieval: Retrieval = field(default_factory=lambda: Retrieval(VECTORS, np.ones(12, dtype=np.float32)))
    slate_size: int = SLATE
    n_candidates: int = AXES

    def candidates(self, observation: Observation) -> Candidates:
        """Those on axis 0 are marked as the generator's."""
        axis = (np.arange(AXES) + (observation.users // AXES + observation.steps)[:, None]) % AXES  # (n, 4)
        items = 3 * axis[:, :, None] + np.arange(SLATE)
        sources = np.where(axis == 0, SOURCES.index("generator"), SOURCES.index("neighbours"))
        plausible = np.full(axis.shape, 0.5, dtype=np.float32)
        return Candidates(items.astype(np.int32), sources.astype(np.int8), plausible)


@dataclass(frozen=True)
class Lovers:
    """User i loves axis i mod 4 and has consumed its third item."""

    traits: Traits
    leave_bias: float = -20.0
    people: int | None = None
    met: list[int] = field(default_factory=list)

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """One user for each id, who is noted in `met`."""
        self.met.extend(ids.tolist())
        users = same_users(ids, [1, 0, 0, 0], click_bias=-3, boredom=0, leave_bias=self.leave_bias, traits=self.traits)
        tastes = np.eye(AXES, dtype=np.float32)[ids % AXES][:, None, :]
        histories = users.histories.copy()
        histories[:, -1] = 3 * (ids % AXES) + 2
        return replace(users, tastes=tastes, histories=histories)

    def split(self, share: float, seed: int) -> tuple["Lovers", "Lovers"]:
        """These users have no parts."""
        raise NotImplementedError


def trainer_of(
    seed: int = 0, affinity: float = 6.0, leave_bias: float = -20.0, **changes: Any
) -> PolicyGradientTrainer:
    """A loved item that is looked at is clicked with sigmoid(affinity - 3), any other with sigmoid(-3)."""
    traits = Traits(
        affinity_weight=affinity, appeal_weight=0.0, repeat_penalty=0.0, examination_decay=0.0, drift_rate=0.0
    )
    items = WorldItems(VECTORS, np.zeros(12, np.float32), np.zeros(12, np.int32), 1)
    world = World(items, slate_size=SLATE, shown_capacity=SLATE * HORIZON)
    feedback = {name: changes.pop(name) for name in ("feedback", "feedback_interval") if name in changes}
    return PolicyGradientTrainer(
        world, Lovers(traits, leave_bias), FourPages(), settings(**changes), HORIZON, seed, **feedback
    )


def settings(**changes: Any) -> AgentSettings:
    """Small networks and batches."""
    small = {"users": 128, "hidden": 16, "minibatch": 128, "learning_rate": 5e-3}
    return Settings().agent.model_copy(update=small | changes)


def waiting_lovers(trainer: PolicyGradientTrainer, n: int = 400) -> Observation:
    """Users whom the trainer has not met."""
    return observe(trainer.world.start(trainer.population.visit(10_000 + np.arange(n)), 3))


def loved_share(trainer: PolicyGradientTrainer) -> float:
    """Share of new users to whom the agent shows the page that they love."""
    observation = waiting_lovers(trainer)
    slates = trainer.agent.act(observation).slates
    return float((slates[:, 0] // 3 == observation.users % AXES).mean())


def test_learns_to_show_what_users_love() -> None:
    trainer = trainer_of()
    assert loved_share(trainer) == pytest.approx(0.25, abs=0.01)
    curve = [trainer.step() for _ in range(12)]
    assert loved_share(trainer) > 0.95
    high, low = 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(3))
    per_page = SLATE * (high + 3 * low) / 4  # clicks, when pages are drawn evenly
    assert curve[0]["return"] == pytest.approx(HORIZON * per_page, abs=0.3)
    assert HORIZON * SLATE * high >= curve[-1]["return"] - 0.2 > HORIZON * SLATE * high * 0.8
    assert curve[-1]["entropy"] < curve[0]["entropy"] / 2


def test_reinforce_learns_it_too() -> None:
    """Without clipping or further passes, whatever gae_lambda and epochs say."""
    trainer = trainer_of(algorithm="reinforce", gae_lambda=0.0, epochs=9, minibatch=64)
    for _ in range(15):
        trainer.step()
    assert loved_share(trainer) > 0.9
    whole = trainer_of(algorithm="reinforce", minibatch=10_000).step()  # one step: nobody's probability has moved yet
    assert whole["clipped"] == 0
    assert whole["policy_loss"] == pytest.approx(0, abs=1e-5)  # log 1/4 times advantages of mean 0


def test_learns_nothing_where_there_is_nothing_to_learn() -> None:
    """Clicks do not depend on the page: the same number of updates leaves the choice close to even."""
    trainer = trainer_of(affinity=0.0)
    curve = [trainer.step() for _ in range(12)]
    assert min(figures["entropy"] for figures in curve) > 0.9 * math.log(AXES)
    observation = waiting_lovers(trainer)
    pages, context = relations(
        observation, trainer.agent.source.candidates(observation), trainer.agent.source.retrieval
    )
    logits, _ = trainer.agent.judge(pages, context)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)  # (n, 4)
    loved = pages[:, :, 0].argmax(axis=1)  # the page with the highest cosine
    assert p[np.arange(len(p)), loved].mean() == pytest.approx(0.25, abs=0.12)


def test_figures_have_their_names_and_ranges() -> None:
    trainer = trainer_of()
    for _ in range(3):
        figures = trainer.step()
        assert set(figures) == FIGURES
        assert all(math.isfinite(value) for value in figures.values())
        assert 0 <= figures["entropy"] <= math.log(AXES) + 1e-6
        assert figures["explained_variance"] <= 1
        assert 0 <= figures["clipped"] <= 1
        assert 0 <= figures["generated_share"] <= 1
        assert figures["gradient_norm"] >= 0
        assert figures["value_loss"] >= 0
        assert figures["visit_length"] == HORIZON
        assert figures["click_rate"] == pytest.approx(figures["return"] / (HORIZON * SLATE))


def test_the_value_explains_returns_after_a_while() -> None:
    """Pages are drawn evenly (no step of the policy counts): what is left of a visit is what there is to know."""
    trainer = trainer_of(clip=1e-9, entropy=0.0, learning_rate=2e-2)
    first = trainer.step()["explained_variance"]
    for _ in range(19):
        last = trainer.step()["explained_variance"]
    assert first < 0.1 < 0.2 < last < 1


def test_the_first_pass_is_on_policy() -> None:
    """One gradient step on everything: the ratio is 1, advantages have mean 0, the policy is even."""
    figures = trainer_of(epochs=1, minibatch=10_000).step()
    assert figures["policy_loss"] == pytest.approx(0, abs=1e-5)
    assert figures["clipped"] == 0
    assert figures["entropy"] == pytest.approx(math.log(AXES), abs=1e-5)


def test_the_first_updates_go_further_where_there_are_many_pages() -> None:
    """The most at once is five times as far for 10,000 pages, and a learning rate of .005."""
    trainer = trainer_of()
    assert [trainer.haste(pages) for pages in (100, 2000, 5000, 10_000, 20_000)] == [1, 1, 2.5, 5, 5]
    trainer.update = 1
    assert [trainer.haste(pages) for pages in (2000, 5000, 10_000)] == [1, 1.25, 2.5]
    trainer.update = 4
    assert trainer.haste(20_000) == 1
    trainer.on_pages = lambda *_: 0.0  # a click model that learns, too
    trainer.update = 0
    assert trainer.haste(20_000) == 1
    for rate, taken in ((1e-3, 2.5e-3), (4e-3, 5e-3), (2e-2, 2e-2)):
        assert trainer_of(learning_rate=rate).learning_rate(5000) == pytest.approx(taken)


@pytest.mark.parametrize(
    ("users", "changes", "steps"),
    [
        (128, {}, 12),  # 3 minibatches of 128 pages, four times
        (128, {"epochs": 1}, 3),
        (1024, {}, 40),  # one pass is 24 minibatches: two would be 48, and four 96
        (1024, {"gradient_steps": 96}, 96),
        (1024, {"gradient_steps": 10}, 24),  # never less than one pass
        (1024, {"algorithm": "reinforce"}, 24),  # never more than one
    ],
)
def test_an_update_takes_fewer_passes_where_pages_are_plenty(
    users: int, changes: dict[str, Any], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, taken = trainer_of(users=users, **changes), list[NDArray[np.int64]]()
    own = trainer._gradient_step

    def noted(weights: Any, pages: Any, rows: NDArray[np.int64], *others: Any) -> dict[str, float]:
        taken.append(rows)
        return own(weights, pages, rows, *others)

    monkeypatch.setattr(trainer, "_gradient_step", noted)
    trainer.step()
    assert len(taken) == steps
    first_pass = np.concatenate(taken[: math.ceil(users * HORIZON / trainer.settings.minibatch)])
    assert np.sort(first_pass).tolist() == list(range(users * HORIZON))  # no page is passed over


def test_who_leaves_is_not_shown_more() -> None:
    figures = trainer_of(leave_bias=30.0).step()
    assert figures["visit_length"] == 1
    assert figures["click_rate"] == pytest.approx(figures["return"] / SLATE)


def test_every_update_meets_new_users() -> None:
    trainer = trainer_of()
    for _ in range(3):
        trainer.step()
    assert isinstance(trainer.population, Lovers)
    assert trainer.population.met == list(range(3 * 128))


def test_same_seed_same_curves() -> None:
    def curves(seed: int) -> list[dict[str, float]]:
        trainer = trainer_of(seed)
        return [trainer.step() for _ in range(2)]

    first, state = curves(0), torch.get_rng_state()
    assert first == curves(0)
    assert torch.equal(torch.get_rng_state(), state)  # no draw from torch's global state
    assert all(first[0][name] != curves(1)[0][name] for name in ("return", "value_loss", "gradient_norm"))


def test_feedback_is_of_the_generated_pages_that_were_shown() -> None:
    told: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]] = []

    def feedback(histories: NDArray[np.int32], pages: NDArray[np.int32], clicks: NDArray[np.bool_]) -> None:
        told.append((histories, pages, clicks))

    trainer = trainer_of(feedback=feedback, feedback_interval=2)
    shares = []
    for update in range(5):
        shares.append(trainer.step()["generated_share"])
        assert len(told) == (update + 1) // 2
    assert shares[0] == pytest.approx(0.25, abs=0.08)
    for (histories, pages, clicks), share in zip(told, shares[1::2], strict=True):
        assert len(histories) == len(pages) == len(clicks) == round(share * 128 * HORIZON)
        assert (pages == [0, 1]).all()  # axis 0 is the generator's
        loved = (histories // 3 == 0).sum(axis=1) > (histories // 3 > 0).sum(axis=1)  # consumed more of axis 0
        assert clicks.shape == pages.shape
        assert clicks[loved].mean() > 0.75 > 0.25 > clicks[~loved].mean()


def _random_agent(generated: int) -> tuple[PolicyGradient, Observation]:
    """Weights at random, and users in the middle of their visits."""
    stage = tiny_stage(n=80, generated=generated)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)  # both agents choose among four proposers
        scorer = CandidateScorer(16)
        torch.nn.init.normal_(scorer.score.weight)
    agent = PolicyGradient(scorer, stage.source)
    state = stage.world.start(stage.population.visit(np.arange(60)), 5)
    for _ in range(3):
        stage.world.step(state, agent.act(observe(state)).slates)
    return agent, observe(state)


@pytest.mark.parametrize("generated", [0, 2])
def test_alone_as_in_a_batch(generated: int) -> None:
    agent, observation = _random_agent(generated)
    together = agent.act(observation)
    assert together.sources is not None
    assert len(set(together.sources)) > 2
    assert ("generator" in together.sources) == (generated > 0)
    for row in range(len(observation)):
        alone = agent.act(observation.take(slice(row, row + 1)))
        np.testing.assert_array_equal(alone.slates[0], together.slates[row])
        assert alone.sources == together.sources[row : row + 1]


def test_shows_the_candidate_that_scores_highest() -> None:
    agent, observation = _random_agent(2)
    candidates = agent.source.candidates(observation)
    logits, values = agent.judge(*relations(observation, candidates, agent.source.retrieval))
    assert (logits.shape, values.shape) == ((60, 5), (60,))
    decision = agent.act(observation)
    best = logits.argmax(axis=1)
    np.testing.assert_array_equal(decision.slates, candidates.items[np.arange(60), best])
    assert decision.sources == tuple(SOURCES[s] for s in candidates.sources[np.arange(60), best])
    assert decision.accepted == candidates.accepted


def test_advantages_by_hand() -> None:
    """Discount and lambda 1/2; the second visit ends after two pages."""
    rewards = np.array([[1.0, 1.0], [0.0, 4.0], [2.0, 9.0]])
    values = np.array([[0.5, 0.0], [1.0, 2.0], [1.0, 7.0]])
    present = np.array([[True, True], [True, True], [True, False]])
    # errors (1, -1/2, 1) and (2, 2, -); each advantage adds a quarter of the following one
    expected = [[1 + (-0.5 + 0.25) / 4, 2.5], [-0.5 + 0.25, 2.0], [1.0, 0.0]]
    np.testing.assert_allclose(generalised_advantages(rewards, values, present, 0.5, 0.5), expected)


@examples(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(1, 6))
def test_advantages_at_lambda_1_are_returns_less_values_and_at_0_errors(seed: int, discount: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    steps = 5
    rewards, values = rng.normal(size=(steps, n)), rng.normal(size=(steps, n))
    present = np.arange(steps)[:, None] < rng.integers(1, steps + 1, n)
    returns = np.zeros((steps + 1, n))
    for t in range(steps - 1, -1, -1):
        returns[t] = present[t] * (rewards[t] + discount * returns[t + 1])
    found = generalised_advantages(rewards, values, present, discount, 1.0)
    np.testing.assert_allclose(found, (returns[:-1] - values) * present, atol=1e-9)
    following = np.concatenate([(values * present)[1:], np.zeros((1, n))])
    errors = (rewards + discount * following - values) * present
    np.testing.assert_allclose(generalised_advantages(rewards, values, present, discount, 0.0), errors, atol=1e-9)


def test_examples_of_the_docstrings() -> None:
    found = doctest.testmod(policy_gradient)
    assert (found.attempted, found.failed) == (1, 0)


def test_the_distribution_is_the_softmax_that_learning_draws_from() -> None:
    trainer = trainer_of()
    for _ in range(3):
        trainer.step()
    observation = waiting_lovers(trainer, 50)
    found = trainer.agent.distribution(observation)
    candidates = trainer.agent.source.candidates(observation)
    logits, _ = trainer.agent.judge(*relations(observation, candidates, trainer.agent.source.retrieval))
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = trainer.agent.act(observation).slates
    np.testing.assert_allclose(found.slate_propensity(best), likely.max(axis=1))
    for c in range(AXES):
        np.testing.assert_allclose(found.slate_propensity(candidates.items[:, c]), likely[:, c])
