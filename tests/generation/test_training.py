"""Training of the GAN on sequences whose law is known: 24 items in 3 groups on axes of their own.

Users stay in the group of their last item, or go round the groups; within a group they pick evenly. No model can
predict an item better than log(group size), and a sequence that follows the rule is told at once.
"""

import doctest
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.generation.waiting import random_retrieval
from zsr_sim.config import GeneratorSettings, Settings
from zsr_sim.generation import training
from zsr_sim.generation.gan import SequenceGan, plausibility, shortlist, write
from zsr_sim.generation.networks import NOISE, read_histories
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import Sequences
from zsr_sim.generation.training import GanTrainer, discounted

GROUPS, SIZE, SLATE = 3, 8, 3
STAY, GO_ROUND = 0, 1
RETRIEVAL = Retrieval(np.repeat(np.eye(GROUPS, dtype=np.float32), SIZE, axis=0), np.ones(GROUPS * SIZE, np.float32))


def sequences(rule: int, n: int, seed: int) -> Sequences:
    """Histories of 1 to 3 items and what follows by the rule."""
    rng = np.random.default_rng(seed)
    place = np.arange(-2, SLATE + 1)
    groups = (rng.integers(0, GROUPS, (n, 1)) + rule * place) % GROUPS
    items = groups * SIZE + rng.integers(0, SIZE, groups.shape)
    known = np.arange(3) >= 3 - rng.integers(1, 4, (n, 1))
    return Sequences(np.where(known, items[:, :3], -1).astype(np.int32), items[:, 3:].astype(np.int32))


def settings(**changes: Any) -> GeneratorSettings:
    """A training of about a second."""
    some = {"likelihood_steps": 100, "adversarial_steps": 0, "batch_size": 64, "learning_rate": 1e-2}
    return Settings().generator.model_copy(update=some | changes)


def trainer_of(rule: int, seed: int = 0, **changes: Any) -> GanTrainer:
    """Ready to learn the rule."""
    return GanTrainer(RETRIEVAL, sequences(rule, 1500, 0), sequences(rule, 300, 1), settings(**changes), seed)


def silent(done: int, total: int, figures: dict[str, float]) -> None:
    """Reports to nobody."""


@torch.inference_mode()
def follows_the_rule(trainer: GanTrainer, rule: int) -> float:
    """Share of written items that are of the group that the rule wants, for new histories."""
    new = sequences(rule, 400, seed=2)
    generator, histories = trainer.gan.generator, torch.from_numpy(new.histories.astype(np.int64))
    read = generator.read(read_histories(histories, trainer.table.vectors))
    among = shortlist(generator, trainer.table, read, histories, SLATE)
    rng = torch.Generator().manual_seed(5)
    noise, luck = torch.randn(400, 1, NOISE, generator=rng), torch.rand(400, 1, SLATE, generator=rng)
    items = write(generator, trainer.table, read, noise, among, luck).items.numpy()
    return float((items // SIZE == new.targets // SIZE).mean())


def weights(gan: SequenceGan) -> Tensor:
    """All parameters of both players, one after the other."""
    parameters = [*gan.generator.parameters(), *gan.discriminator.parameters()]
    return torch.cat([p.detach().ravel() for p in parameters])


@pytest.mark.parametrize("rule", [STAY, GO_ROUND])
def test_likelihood_reaches_the_entropy_and_sequences_follow_the_rule(rule: int) -> None:
    trainer = trainer_of(rule)
    assert follows_the_rule(trainer, rule) < 0.95
    figures = trainer.run(silent)
    assert figures["held_out_nll_start"] > math.log(SIZE) + 0.05
    assert figures["held_out_nll"] == pytest.approx(math.log(SIZE), abs=0.005)
    assert follows_the_rule(trainer, rule) > 0.99


def test_pre_training_keeps_the_weights_that_were_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps after the tenth do harm; every second one is followed by a look."""
    learn, seen = GanTrainer._learn_likelihood, []

    def learn_or_harm(trainer: GanTrainer, progress: float) -> None:
        if progress < 0.5:
            learn(trainer, progress)
        else:
            trainer.gan.generator.scale.data += 1

    monkeypatch.setattr(GanTrainer, "_learn_likelihood", learn_or_harm)
    trainer = trainer_of(GO_ROUND, likelihood_steps=20)
    figures = trainer.run(lambda done, total, now: seen.append(now["held_out_nll"]))
    assert len(seen) == 10
    assert min(seen) < figures["held_out_nll_start"] < seen[-1]
    assert figures["held_out_nll"] == trainer.held_out_nll() == min(seen)


def test_a_sample_of_a_large_catalogue_is_enough_to_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SOFTMAX_ITEMS", 6)
    trainer = trainer_of(GO_ROUND, batch_size=4)
    figures = trainer.run(silent)
    assert figures["held_out_nll"] == pytest.approx(math.log(SIZE), abs=0.05)


@torch.inference_mode()
def test_held_out_likelihood_by_another_way() -> None:
    held_out, retrieval = sequences(STAY, 20, 1), random_retrieval(24)
    held_out.targets[::2, 2] = -1  # half of the sequences are a page that is not full
    trainer = GanTrainer(retrieval, sequences(STAY, 50, 0), held_out, settings(), seed=0)
    table, generator = trainer.table, trainer.gan.generator
    past = read_histories(torch.from_numpy(held_out.histories.astype(np.int64)), table.vectors)
    items = torch.from_numpy(np.maximum(held_out.targets, 0).astype(np.int64))
    points = generator(past, torch.zeros(20, NOISE), table.vectors[items])
    logits = (points @ table.vectors.T + generator.appeal_weight * table.appeal).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    taken = np.take_along_axis(log_p, items.numpy()[:, :, None], axis=2)[:, :, 0]
    assert trainer.held_out_nll() == pytest.approx(-taken[held_out.targets >= 0].mean(), rel=1e-5)


@pytest.fixture(scope="module")
def adversarial() -> tuple[GanTrainer, dict[str, float], list[tuple[int, int, dict[str, float]]]]:
    """After little pre-training and 30 steps of the adversary."""
    reports: list[tuple[int, int, dict[str, float]]] = []
    trainer = trainer_of(GO_ROUND, likelihood_steps=20, adversarial_steps=30)
    figures = trainer.run(lambda done, total, now: reports.append((done, total, dict(now))))
    return trainer, figures, reports


def test_the_adversary_does_not_cost_likelihood(
    adversarial: tuple[GanTrainer, dict[str, float], list[tuple[int, int, dict[str, float]]]],
) -> None:
    trainer, figures, reports = adversarial
    before = next(now["held_out_nll"] for done, _, now in reports if done == 20)
    assert figures["held_out_nll"] <= before + training._TOLERANCE
    assert figures["held_out_nll"] == trainer.held_out_nll()
    assert figures["acceptance"] == trainer.acceptance()
    assert "adversary_stopped_at" not in figures


def test_progress_is_reported_to_the_end(
    adversarial: tuple[GanTrainer, dict[str, float], list[tuple[int, int, dict[str, float]]]],
) -> None:
    _, figures, reports = adversarial
    done = [step for step, _, _ in reports]
    assert done == sorted(set(done))
    assert {total for _, total, _ in reports} == {20 + 2 * 30}
    assert done[-1] == 80
    names = {"held_out_nll_start", "held_out_nll", "discriminator_accuracy", "acceptance_before", "acceptance"}
    assert set(figures) == set(reports[-1][2]) == names
    assert all(math.isfinite(value) for value in figures.values())
    assert all(0 <= figures[name] <= 1 for name in names if "nll" not in name)


def test_a_harmful_adversary_is_stopped_and_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the steps are fewer than those between two looks."""

    def harm(trainer: GanTrainer) -> None:
        for parameter in trainer.gan.generator.parameters():
            parameter.data.mul_(-1)

    alone = trainer_of(GO_ROUND, likelihood_steps=20)
    expected = alone.run(silent)["held_out_nll"]
    monkeypatch.setattr(GanTrainer, "_learn_from_judge", harm)
    trainer = trainer_of(GO_ROUND, likelihood_steps=20, adversarial_steps=5)
    figures = trainer.run(silent)
    assert figures["adversary_stopped_at"] == 5
    assert figures["held_out_nll"] == expected
    for kept, good in zip(trainer.gan.generator.parameters(), alone.gan.generator.parameters(), strict=True):
        assert torch.equal(kept, good)


def test_the_discriminator_tells_the_rule() -> None:
    """After some steps against a generator that does not know it."""
    trainer = trainer_of(GO_ROUND)
    for _ in range(100):
        accuracy = trainer._learn_to_judge()
    assert accuracy > 0.65  # by chance 0.5; at most 5 / 6, since a third of what is written is right by chance
    new = sequences(GO_ROUND, 200, seed=2)
    broken = (new.targets + SIZE) % (GROUPS * SIZE)
    past = read_histories(torch.from_numpy(new.histories.astype(np.int64)), trainer.table.vectors).pooled
    real, fake = (
        plausibility(trainer.gan.discriminator, trainer.table, past, torch.from_numpy(items.astype(np.int64)))
        for items in (new.targets, broken)
    )
    assert float((real > fake).double().mean()) > 0.9


def test_the_generator_goes_where_the_discriminator_is_pleased(monkeypatch: pytest.MonkeyPatch) -> None:
    """A discriminator that only believes in the first group, and no pull towards the real sequences."""

    def forward(history: Tensor, items: Tensor) -> Tensor:
        return 10 * items[:, :, 0] - 5

    monkeypatch.setattr(training, "_LIKELIHOOD_PULL", 0.0)
    trainer = trainer_of(GO_ROUND)
    monkeypatch.setattr(trainer.gan.discriminator, "forward", forward)

    def in_first_group() -> float:
        return float(
            (trainer._imagine(trainer.held_out, torch.Generator().manual_seed(2)).items < SIZE).double().mean()
        )

    assert in_first_group() < 0.5
    for _ in range(40):
        trainer._learn_from_judge()
    assert in_first_group() > 0.95


@pytest.mark.parametrize(("share", "passing"), [(0.9, 271), (0.5, 151)])
def test_the_gate_lets_the_stated_share_of_real_sequences_pass(share: float, passing: int) -> None:
    """Of 301 sequences, those whose rank is at or above the quantile."""
    rng = np.random.default_rng(0)
    real = Sequences(rng.integers(0, 60, (301, 5)).astype(np.int32), rng.integers(0, 60, (301, 4)).astype(np.int32))
    trainer = GanTrainer(random_retrieval(), real, real, settings(real_acceptance=share), seed=0)
    trainer.calibrate()
    past = read_histories(torch.from_numpy(real.histories.astype(np.int64)), trainer.table.vectors).pooled
    items = torch.from_numpy(real.targets.astype(np.int64))
    with torch.inference_mode():
        judged = plausibility(trainer.gan.discriminator, trainer.table, past, items)
    assert int((judged >= trainer.gan.threshold).sum()) == passing


def test_a_draw_of_zero_does_not_repeat_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.rand is 0 once in 2**24 draws."""
    trainer = trainer_of(STAY)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.zeros(shape))
    written = trainer._imagine(trainer.held_out, torch.Generator().manual_seed(0))
    assert (written.items.sort(dim=1).values.diff(dim=1) > 0).all()
    assert torch.isfinite(written.log_probabilities).all()


def test_same_seed_same_weights() -> None:
    def trained(seed: int) -> Tensor:
        trainer = trainer_of(STAY, seed, likelihood_steps=5, adversarial_steps=3)
        trainer.run(silent)
        real = sequences(STAY, 40, 3)
        trainer.learn_from_feedback(real.histories, real.targets, np.arange(40, dtype=np.float32))
        return torch.cat([weights(trainer.gan), torch.tensor([trainer.gan.threshold])])

    first, elsewhere = trained(0), torch.get_rng_state()
    assert torch.equal(first, trained(0))
    assert torch.equal(torch.get_rng_state(), elsewhere)  # no draw from torch's global state
    torch.rand(3)
    assert torch.equal(first, trained(0))
    other = trained(1)
    assert (first != other).double().mean() > 0.9


def test_feedback_raises_the_likelihood_of_what_was_praised() -> None:
    """In a catalogue where items differ: users liked pages of items 0..2, and not those of items 3..5."""
    rng = np.random.default_rng(0)
    real = Sequences(rng.integers(0, 60, (300, 5)).astype(np.int32), rng.integers(0, 60, (300, 3)).astype(np.int32))
    trainer = GanTrainer(random_retrieval(), real, real, settings(learning_rate=2e-3), seed=0)
    praised, blamed = (np.tile(np.arange(k, k + 3), (100, 1)).astype(np.int32) for k in (0, 3))
    pages, clicks = np.concatenate([praised, blamed]), np.repeat([3, 0], 100).astype(np.float32)
    before, held_out = _likelihoods(trainer, real.histories[:200], pages), trainer.held_out_nll()
    trainer.learn_from_feedback(real.histories[:200], pages, clicks, steps=40)
    after = _likelihoods(trainer, real.histories[:200], pages)
    gained = (after[0] - before[0]).reshape(2, 100).mean(axis=1)  # nats per item; praised, blamed
    assert gained[0] > 0.1
    assert gained[0] > gained[1] + 0.1
    judged = (after[1] - before[1]).reshape(2, 100).mean(axis=1)
    assert judged[0] > judged[1] + 0.05
    assert trainer.gan.threshold != 0.5  # the gate follows the discriminator
    assert trainer.held_out_nll() < held_out  # the original sequences are not forgotten


@torch.inference_mode()
def _likelihoods(
    trainer: GanTrainer, histories: NDArray[np.int32], pages: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean log-likelihood of the items of each page among the catalogue, and each page's plausibility."""
    table, items = trainer.table, torch.from_numpy(pages.astype(np.int64))
    past = read_histories(torch.from_numpy(histories.astype(np.int64)), table.vectors)
    generator = trainer.gan.generator
    points = generator(past, torch.zeros(len(pages), NOISE), table.vectors[items])
    log_p = torch.log_softmax(points @ table.vectors.T + generator.appeal_weight * table.appeal, dim=2)
    likelihood: NDArray[np.float32] = log_p.gather(2, items[:, :, None])[:, :, 0].mean(dim=1).numpy()
    judged: NDArray[np.float32] = plausibility(trainer.gan.discriminator, table, past.pooled, items).numpy()
    return likelihood, judged


def test_discounted_by_hand() -> None:
    rewards = torch.tensor([[1.0, -2.0, 4.0], [0.0, 0.0, 8.0]], dtype=torch.float64)
    expected = torch.tensor([[1 - 1 + 1, -2 + 2, 4], [2, 4, 8]], dtype=torch.float64)
    torch.testing.assert_close(discounted(rewards, 0.5), expected, rtol=0, atol=0)
    torch.testing.assert_close(discounted(rewards, 0.0), rewards, rtol=0, atol=0)


def test_examples_of_the_docstrings() -> None:
    found = doctest.testmod(training)
    assert (found.attempted, found.failed) == (1, 0)
