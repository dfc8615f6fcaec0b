"""The top-K correction: its gradient by the law it comes from, gains by hand, and learning from a log of even draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.envs.stages import tiny_stage
from tests.generation.waiting import random_retrieval, random_waiting, unseen
from zsr_sim.agents.contract import check_agent
from zsr_sim.agents.item_features import N_FEATURES, shortlisted
from zsr_sim.agents.top_k import (
    SHORTLIST,
    ItemLog,
    ItemScorer,
    LoggedPages,
    LoggedTopKTrainer,
    TopK,
    TopKTrainer,
    item_gains,
    top_k_loss,
)
from zsr_sim.config import Settings
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.visits import observe
from zsr_sim.generation.candidates import RetrievalCandidates
from zsr_sim.generation.relations import N_CONTEXT


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_gradient_is_that_of_the_top_k_policy(k: int) -> None:
    """Of sum over rows of gain / beta * alpha, alpha = 1 - (1 - pi) ** K the chance to be among K draws (eq. 6)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    actions, beta = torch.tensor([0, 1, 2, 3, 0, 1]), torch.rand(6, generator=generator).double() + 0.2
    gains = torch.randn(6, generator=generator).double()
    log_p = torch.log_softmax(logits, dim=1)
    top_k_loss(log_p, actions, beta, gains, k, most=1e9).backward()
    found, logits.grad = logits.grad, None
    pi = torch.log_softmax(logits, dim=1).exp().gather(1, actions[:, None])[:, 0]
    (-(gains / beta * (1 - (1 - pi) ** k)).mean()).backward()
    torch.testing.assert_close(found, logits.grad)


def test_weights_are_cut_by_hand() -> None:
    """pi = 1/2, beta = 0.01: weight 50, cut to 10; K = 2: lambda = 2 * 1/2; loss -10 * 1 * 3 * log 1/2."""
    log_p = torch.log(torch.tensor([[0.5, 0.5]]))
    loss = top_k_loss(log_p, torch.tensor([0]), torch.tensor([0.01]), torch.tensor([3.0]), 2)
    assert float(loss) == pytest.approx(-30 * np.log(0.5))


def test_gains_by_hand() -> None:
    """Two pages, two users, one position, discount 1/2; the second user leaves after the first page."""
    own = np.array([[[1.0], [0.0]], [[2.0], [0.0]]])
    present = np.array([[True, True], [True, False]])
    # Page 1: 1 + 1/2 * 2 = 2 and 0, mean 1. Page 2: alone, 2 - 2. Standard deviation of 1, -1, 0: sqrt(2 / 3).
    expected = np.array([[[1.0], [-1.0]], [[0.0], [0.0]]]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(item_gains(own, present, 0.5), expected)


def _trainer(seed: int = 0) -> TopKTrainer:
    stage = tiny_stage(n=120, slate=3, leave_bias=-30.0)
    small = {"users": 96, "hidden": 16, "minibatch": 512, "learning_rate": 1e-2, "epochs": 3, "entropy": 0.001}
    settings = Settings().agent.model_copy(update=small)
    return TopKTrainer(stage.world, stage.population, stage.source, settings, 5, seed)


def test_it_learns_from_even_draws_what_users_click() -> None:
    trainer = _trainer()
    state = trainer.world.start(trainer.population.visit(np.arange(400) + 10_000), 3)

    def earned() -> float:
        slates = trainer.agent.act(observe(state)).slates
        return float(trainer.world.step(state.copy(), slates).expected_reward.mean())

    before = trainer.world.step(state.copy(), trainer.source.retrieval.at_random(observe(state), 3))
    curve = [trainer.step() for _ in range(6)]
    assert earned() > 1.5 * before.expected_reward.mean()
    assert earned() > 1.2 * curve[-1]["return"] / 5  # the log itself stays at even draws
    assert curve[0]["visit_length"] == 5


def test_a_log_from_elsewhere_teaches_the_same_rule() -> None:
    """Two items told apart by one feature; a log that showed the good one with 1/10 teaches to show it."""
    trainer = _trainer()
    n = 4000
    rng = np.random.default_rng(0)
    actions = (rng.random(n) < 0.1).astype(np.int64)  # item 1 is the good one
    features = torch.zeros(n, 2, N_FEATURES)
    features[:, 1, 1] = 1.0
    log = ItemLog(
        features, torch.zeros(n, 3), torch.arange(n), torch.from_numpy(actions),
        torch.from_numpy(np.where(actions == 1, 0.1, 0.9)).float(),
        torch.from_numpy(np.where(actions == 1, 1.0, -0.1)).float(),
    )  # fmt: skip
    for _ in range(60):
        trainer.learn(log, torch.randint(n, (512,), generator=trainer.rng))
    with torch.no_grad():
        logits = trainer.scorer(features[:1], torch.zeros(1, 3))[0]
    assert float(torch.softmax(logits, 0)[1]) > 0.8


def test_pages_that_somebody_else_showed_are_read_by_hand() -> None:
    """Two visits of two pages; the second item of each page comes from off the shortlist and is left out."""
    trainer = _trainer()
    stage = tiny_stage(n=120, slate=3, leave_bias=-30.0)
    observed = Observation.of_histories(np.array([[3, 4], [5, 6], [3, 4], [5, 6]], dtype=np.int32))
    observed = replace(observed, steps=np.array([0, 0, 1, 1]))
    among = shortlisted(stage.source, observed, SHORTLIST)
    off = [next(item for item in range(120) if item not in row) for row in among.items]
    items = np.stack([among.items[:, 7], off, among.items[:, 2]], axis=1).astype(np.int32)
    rewards = np.array([[1.0, 0, 0], [0, 0, 0], [0, 1.0, 0], [0, 0, 0]])
    pages = LoggedPages(observed, items, rewards, np.full((4, 3), 0.25), np.array([0, 1, 0, 1]))
    logged = LoggedTopKTrainer(
        stage.world, stage.population, stage.source, trainer.settings.model_copy(update={"discount": 0.5}), 2, 0, pages
    )
    log, figures = logged.collect(np.arange(5))
    assert log.pages.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert log.actions.tolist() == [7, 2] * 4
    assert log.propensities.tolist() == [0.25] * 8
    assert figures == {"return": 1.0, "visit_length": 2.0, "click_rate": pytest.approx(1 / 6)}
    # Page 1, position 1: 1 + 1/2 against 0; position 3: 1/2 against 0. Page 2: nothing by these items themselves.
    raw = np.array([0.75, 0.25, -0.75, -0.25, 0, 0, 0, 0])
    spread = np.array([0.75, 0.25, 0.25, 0.75, 0.25, 0.25, 0.5, 0.5, 0, 0, 0, 0])  # with position 2: 1/2; 1 on page 2
    assert log.gains.numpy() == pytest.approx(raw / np.sqrt((spread**2).mean()), abs=1e-6)
    assert logged.step()["return"] == 1.0


def test_a_small_catalogue_is_no_reason_to_show_what_the_user_has_had() -> None:
    """50 items, all of them shortlisted, and a policy that finds the nearest likeliest, consumed ones first."""
    users, scorer = random_waiting(40, 50, length=30, capacity=12), ItemScorer(1)
    with torch.no_grad():
        next(scorer.read.parameters()).copy_(torch.eye(1, N_FEATURES + N_CONTEXT).roll(3))  # the nearest of the last 20
        scorer.score.weight.fill_(1.0)
    page = TopK(scorer, RetrievalCandidates(random_retrieval(50), 4)).act(users).slates
    assert all(set(page[row].tolist()) <= unseen(users, row, 50) for row in range(40))


def test_it_keeps_the_contract_and_is_restored() -> None:
    source = RetrievalCandidates(random_retrieval(), 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scorer = ItemScorer(8)
        torch.nn.init.normal_(scorer.score.weight)
    agent = TopK(scorer, source)
    check_agent(agent, source.retrieval, 4)
    tensors, _ = agent.checkpoint()
    check_agent(TopK.restore(tensors, 8, source), source.retrieval, 4)
