"""The compiled network and its gradients, held against torch's."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zsr_sim.agents.scoring import CandidateScorer
from zsr_sim.agents.surrogate import Pages, descend, draw
from zsr_sim.generation.relations import N_CONTEXT, N_READ

CLIP, ENTROPY = 0.2, 0.03


def scorer_of(hidden: int) -> CandidateScorer:
    """Weights at random, those of the score, too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(hidden)
        scorer = CandidateScorer(hidden)
        nn.init.normal_(scorer.score.weight, std=0.2)
        nn.init.constant_(scorer.score.bias, 0.5)
    return scorer


def shown(n: int, candidates: int) -> Pages:
    """Pages with anything on them; the old probabilities are near and far from the new ones."""
    rng = np.random.default_rng(candidates)
    pages = rng.normal(size=(n, candidates, N_READ)).astype(np.float32)
    context, log_p = rng.normal(size=(n, N_CONTEXT)).astype(np.float32), rng.normal(-np.log(candidates), 0.3, n)
    values = rng.normal(size=n).astype(np.float32)
    return Pages(pages, context, rng.integers(0, candidates, n), log_p.astype(np.float32), values)


def by_torch(scorer: CandidateScorer, pages: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """The network as its layers and its docstring have it."""
    wide = context[:, None, :].expand(-1, pages.shape[1], -1)
    read = scorer.read(torch.cat([pages, wide], dim=2))  # (n, candidates, hidden)
    mean = read.mean(dim=1)
    logits = scorer.score(torch.cat([read, read - mean[:, None, :]], dim=2))[:, :, 0]
    return logits, scorer.value(torch.cat([mean, read.amax(dim=1), context], dim=1))[:, 0]


@pytest.mark.parametrize(("hidden", "candidates"), [(64, 8), (16, 3), (5, 11), (1, 1)])
def test_scores_are_those_of_the_layers(hidden: int, candidates: int) -> None:
    scorer, data = scorer_of(hidden), shown(40, candidates)
    with torch.no_grad():
        logits, values = by_torch(scorer, torch.from_numpy(data.pages), torch.from_numpy(data.context))
    found = scorer(data.pages, data.context)
    np.testing.assert_allclose(found[0], logits.numpy(), atol=2e-5)
    np.testing.assert_allclose(found[1], values.numpy(), atol=2e-5)


def test_a_users_scores_do_not_depend_on_the_batch_nor_on_the_order_of_candidates() -> None:
    scorer, data = scorer_of(32), shown(300, 7)
    logits, values = scorer(data.pages, data.context)
    for rows in (slice(0, 1), slice(17, 60), slice(250, 300)):
        alone = scorer(data.pages[rows], data.context[rows])
        np.testing.assert_array_equal(alone[0], logits[rows])
        np.testing.assert_array_equal(alone[1], values[rows])
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    moved, same = scorer(np.ascontiguousarray(data.pages[:, order]), data.context)
    np.testing.assert_allclose(moved, logits[:, order], atol=1e-5)
    np.testing.assert_allclose(same, values, atol=1e-5)
    assert not CandidateScorer(8)(data.pages, data.context)[0].any()  # the first policy draws evenly


def test_weights_side_by_side_are_those_of_the_layers() -> None:
    scorer, other, data = scorer_of(6), CandidateScorer(6), shown(9, 4)
    weights = scorer.weights()
    assert len(weights) == sum(parameter.numel() for parameter in scorer.parameters())
    other.set_weights(weights)
    np.testing.assert_array_equal(other.weights(), weights)
    for own, parameter in zip(other.parameters(), scorer.parameters(), strict=True):
        assert torch.equal(own, parameter)
    np.testing.assert_array_equal(other(data.pages, data.context)[0], scorer(data.pages, data.context)[0])


def test_candidates_are_drawn_as_often_as_the_softmax_says() -> None:
    """Luck that lies evenly in 0 .. 1 draws each candidate its share of the time."""
    logits = np.tile(np.log(np.array([0.1, 0.6, 0.3], dtype=np.float32)) + np.float32(70), (1000, 1))
    luck = ((np.arange(1000) + 0.5) / 1000)[:, None]
    actions, log_p = np.empty(1000, dtype=np.int64), np.empty(1000, dtype=np.float32)
    draw(logits, luck, actions, log_p)
    np.testing.assert_array_equal(actions, np.repeat([0, 1, 2], [100, 600, 300]))
    np.testing.assert_allclose(log_p, np.log(np.repeat([0.1, 0.6, 0.3], [100, 600, 300])), atol=1e-5)
    draw(logits[:1], np.ones((1, 1)), actions, log_p)
    assert actions[0] == 2  # never beyond the last one


@pytest.mark.parametrize("plain", [False, True], ids=["ppo", "reinforce"])
@pytest.mark.parametrize(("hidden", "candidates", "n"), [(16, 8, 150), (5, 3, 64), (9, 11, 7)])
def test_gradients_are_those_of_the_loss(hidden: int, candidates: int, n: int, plain: bool) -> None:
    scorer, data, rng = scorer_of(hidden), shown(200, candidates), np.random.default_rng(n)
    rows = rng.permutation(200)[:n]
    gain, targets = rng.normal(size=(2, n)).astype(np.float32)
    gradients, figures = descend(scorer.weights(), hidden, data, rows, gain, targets, CLIP, ENTROPY, plain)
    found = CandidateScorer(hidden)
    found.set_weights(gradients.sum(axis=0))

    logits, values = by_torch(scorer, torch.from_numpy(data.pages[rows]), torch.from_numpy(data.context[rows]))
    log_p, advantage = torch.log_softmax(logits, dim=1), torch.from_numpy(gain)
    taken = log_p[torch.arange(n), torch.from_numpy(data.actions[rows])]
    ratio = torch.exp(taken - torch.from_numpy(data.log_p[rows]))
    clipped = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
    policy_loss = -(taken * advantage if plain else clipped).mean()
    value_loss = nn.functional.mse_loss(values, torch.from_numpy(targets))
    entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
    (policy_loss + 0.5 * value_loss - ENTROPY * entropy).backward()
    for own, parameter in zip(found.parameters(), scorer.parameters(), strict=True):
        assert parameter.grad is not None
        np.testing.assert_allclose(own.detach().numpy(), parameter.grad.numpy(), atol=2e-5, rtol=2e-4)
    off = float(((ratio - 1).abs() > CLIP).double().mean())
    expected = {"policy_loss": policy_loss.item(), "value_loss": value_loss.item(), "entropy": entropy.item()}
    assert figures == pytest.approx(expected | {"clipped": off}, abs=1e-5)
    assert 0 < off < 1
