"""Training of the GAN on sequences whose law is known: 24 items in 3 groups on axes of their own.

Users stay in the group of their last item, or go round the groups; within a group they pick evenly. No model can
predict an item better than log(group size), and a sequence that follows the rule is told at once.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.generation.judged import plausibility
from tests.generation.waiting import random_retrieval
from zsr_sim.config import GeneratorSettings, Settings
from zsr_sim.errors import InputError
from zsr_sim.generation import likelihood, training
from zsr_sim.generation.batches import Batch
from zsr_sim.generation.gan import (
    Drawing,
    SequenceGan,
    next_item_logits,
    pooled_views,
    shortlist,
    write,
)
from zsr_sim.generation.networks import NOISE
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import Sequences
from zsr_sim.generation.training import GanTrainer

GROUPS, SIZE, SLATE = 3, 8, 3
STAY, GO_ROUND = 0, 1
MONITORS = ("coverage", "distinct_items", "self_overlap", "frechet", "acceptance")
RETRIEVAL = Retrieval(np.repeat(np.eye(GROUPS, dtype=np.float32), SIZE, axis=0), np.ones(GROUPS * SIZE, np.float32))


def sequences(rule: int, n: int, seed: int) -> Sequences:
    """Histories of 1 to 3 items and what follows by the rule."""
    rng = np.random.default_rng(seed)
    place = np.arange(-2, SLATE + 1)
    groups = (rng.integers(0, GROUPS, (n, 1)) + rule * place) % GROUPS
    items = groups * SIZE + rng.integers(0, SIZE, groups.shape)
    known = np.arange(3) >= 3 - rng.integers(1, 4, (n, 1))
    return Sequences(np.where(known, items[:, :3], -1).astype(np.int32), items[:, 3:].astype(np.int32))


def log_of(pairs: Sequences) -> NDArray[np.int32]:
    """Histories and what follows as stretches of a log."""
    return np.concatenate([np.full((len(pairs), 1), -1), pairs.histories, pairs.targets], axis=1).astype(np.int32)


def settings(**changes: Any) -> GeneratorSettings:
    """A training of about a second."""
    some = {"likelihood_steps": 120, "adversarial_steps": 0, "batch_size": 64, "learning_rate": 5e-3}
    return Settings().generator.model_copy(update=some | changes)


def trainer_of(rule: int, seed: int = 0, **changes: Any) -> GanTrainer:
    """Ready to learn the rule."""
    train = sequences(rule, 1500, 0)
    return GanTrainer(RETRIEVAL, log_of(train), train, sequences(rule, 300, 1), settings(**changes), seed)


def silent(done: int, total: int, figures: dict[str, float]) -> None:
    """Reports to nobody."""


@torch.inference_mode()
def follows_the_rule(trainer: GanTrainer, rule: int) -> float:
    """Share of written items that are of the group that the rule wants, for new histories."""
    new = sequences(rule, 400, seed=2)
    generator, histories = trainer.gan.generator, torch.from_numpy(new.histories.astype(np.int64))
    items = generator.items(trainer.table)
    among = shortlist(generator, items, histories, histories, SLATE)
    rng = torch.Generator().manual_seed(5)
    noise, luck = torch.randn(400, 1, NOISE, generator=rng), torch.rand(400, 1, SLATE, generator=rng)
    written = write(generator, items, trainer.table.vectors, histories, noise, among, luck, Drawing()).items.numpy()
    return float((written // SIZE == new.targets // SIZE).mean())


def weights(gan: SequenceGan) -> Tensor:
    """All parameters of both players, one after the other."""
    parameters = [*gan.generator.parameters(), *gan.discriminator.parameters()]
    return torch.cat([p.detach().ravel() for p in parameters])


@pytest.mark.parametrize("rule", [STAY, GO_ROUND])
def test_likelihood_reaches_the_entropy_and_sequences_follow_the_rule(rule: int) -> None:
    trainer = trainer_of(rule)
    figures = trainer.run(silent)
    assert math.log(SIZE) - 0.005 < figures["held_out_nll"] < math.log(SIZE) + 0.03
    assert follows_the_rule(trainer, rule) > 0.97


def test_pre_training_keeps_the_weights_that_were_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps after the tenth do harm; every second one is followed by a look."""
    learn, seen = GanTrainer._learn_likelihood, []

    def learn_or_harm(trainer: GanTrainer, step: int, steps: int) -> None:
        if step < steps / 2:
            learn(trainer, step, steps)
        else:
            trainer.gan.generator.norm.weight.data.abs_().neg_()

    monkeypatch.setattr(GanTrainer, "_learn_likelihood", learn_or_harm)
    trainer = trainer_of(STAY, likelihood_steps=20)
    figures = trainer.run(lambda done, total, now: seen.append(now["held_out_mrr"]))
    assert len(seen) == 10
    assert max(seen) > 2 * seen[-1]
    assert figures["held_out_mrr"] == max(seen)
    assert {name: figures[name] for name in ("held_out_nll", "held_out_mrr")} == trainer.held_out_figures()


def test_a_sample_of_a_large_catalogue_stands_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss among a batch's own items and a sample, logits corrected, is close to that among all known items."""
    rng = np.random.default_rng(0)
    log, pairs = (300 * rng.random((40, 6)) ** 2).astype(np.int32), sequences(STAY, 20, 0)
    trainer = GanTrainer(random_retrieval(300), log, pairs, pairs, settings(batch_size=8), seed=0)
    monkeypatch.setattr(likelihood, "_RESIDUAL_DROPOUT", 0.0)
    monkeypatch.setattr(likelihood, "_TEXT_ONLY", 0.0)
    monkeypatch.setattr(likelihood, "_SAMPLE", 60)
    with torch.inference_mode():
        full = float(np.mean([float(trainer._next_items()) for _ in range(300)]))
        monkeypatch.setattr(likelihood, "_SOFTMAX_ITEMS", 10)
        sampled = float(np.mean([float(trainer._next_items()) for _ in range(300)]))
    known = len(np.unique(log))
    assert full > math.log(known)
    share = np.bincount(log.ravel(), minlength=300) / log.size
    # Of a target to be among: 8 x 5 targets, 60 others.
    chance = 1 - (1 - share[log[:, 1:]]) ** 40 * (1 - 1 / known) ** 60
    assert sampled == pytest.approx(full + np.log(chance).mean(), abs=0.05)  # a constant, which moves no weight


@torch.inference_mode()
def test_held_out_figures_by_another_way() -> None:
    held_out, retrieval = sequences(STAY, 20, 1), random_retrieval(24)
    held_out.targets[::2, 2] = -1  # half of the sequences are a page that is not full
    train = sequences(STAY, 50, 0)
    trainer = GanTrainer(retrieval, log_of(train), train, held_out, settings(), seed=0)
    generator = trainer.gan.generator
    items = generator.items(trainer.table)
    losses, inverse_ranks = [], []
    for history, page in zip(held_out.histories, held_out.targets, strict=True):
        for t, item in enumerate(page[page >= 0].tolist()):
            past = torch.from_numpy(np.concatenate([history[history >= 0], page[:t]]).astype(np.int64))
            logits = (generator(items, past[None])[0, -1] @ items.points.T + items.bias).double()
            losses.append(float(torch.logsumexp(logits, dim=0) - logits[item]))
            inverse_ranks.append(1 / (1 + int((logits > logits[item]).sum())))
    figures = trainer.held_out_figures()
    assert figures["held_out_nll"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert figures["held_out_mrr"] == pytest.approx(np.mean(inverse_ranks), rel=1e-5)


def test_items_that_the_log_lacks_have_no_residual() -> None:
    """Items 16 .. 23 never occur; the others learn something of their own."""
    train = sequences(STAY, 300, 0)
    known = (train.histories.max(axis=1) < 2 * SIZE) & (train.targets.max(axis=1) < 2 * SIZE)
    train = train.take(np.flatnonzero(known))
    trainer = GanTrainer(RETRIEVAL, log_of(train), train, train, settings(likelihood_steps=8, adversarial_steps=2), 0)
    trainer.run(silent)
    trainer.learn_from_feedback(train.histories, train.targets, train.targets % 2 == 0, steps=2)
    residual = trainer.gan.generator.residual
    assert not residual[2 * SIZE :].any()
    assert (residual[: 2 * SIZE].abs().max(dim=1).values > 1e-3).all()


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
    assert figures["held_out_nll"] == trainer.held_out_figures()["held_out_nll"]
    assert {name: figures[name] for name in MONITORS} == trainer.monitors()
    assert "adversary_stopped_at" not in figures


def test_progress_is_reported_to_the_end(
    adversarial: tuple[GanTrainer, dict[str, float], list[tuple[int, int, dict[str, float]]]],
) -> None:
    _, figures, reports = adversarial
    done = [step for step, _, _ in reports]
    assert done == sorted(set(done))
    assert {total for _, total, _ in reports} == {20 + 2 * 30}
    assert done[-5:] == [20, 40, 50, 70, 80]
    assert "frechet" in reports[-3][2]  # before the adversary begins
    names = {"held_out_nll_start", "held_out_nll", "held_out_mrr", "discriminator_accuracy", *MONITORS}
    assert set(figures) == set(reports[-1][2]) == names | {f"{name}_before" for name in MONITORS}
    assert all(math.isfinite(value) for value in figures.values())
    assert all(0 <= figures[name] <= 1 for name in ("discriminator_accuracy", "acceptance", "coverage", "self_overlap"))
    assert figures["coverage"] == pytest.approx(figures["distinct_items"])  # all items are among the real ones


def test_a_harmful_adversary_is_stopped_and_undone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the steps are fewer than those between two looks."""

    def harm(trainer: GanTrainer) -> None:
        for parameter in trainer.gan.generator.parameters():
            parameter.data.mul_(-1)

    alone = trainer_of(STAY, likelihood_steps=20)
    expected = alone.run(silent)["held_out_nll"]
    monkeypatch.setattr(GanTrainer, "_learn_from_judge", harm)
    trainer = trainer_of(STAY, likelihood_steps=20, adversarial_steps=5)
    figures = trainer.run(silent)
    assert figures["adversary_stopped_at"] == 5
    assert "stopped at its step 5 (the held-out loss rose to" in caplog.text
    assert "the last good weights stay" in caplog.text
    assert figures["held_out_nll"] == expected
    for kept, good in zip(trainer.gan.generator.parameters(), alone.gan.generator.parameters(), strict=True):
        assert torch.equal(kept, good)


def test_a_collapse_is_told() -> None:
    healthy = {"held_out_nll": 2.0, "distinct_items": 0.6, "distinct_items_before": 1.0}
    assert not GanTrainer._unhealthy(healthy, 2.0)
    assert "collapse: 0.40 times as many" in GanTrainer._unhealthy(healthy | {"distinct_items": 0.4}, 2.0)
    assert "rose to nan nats" in GanTrainer._unhealthy(healthy | {"held_out_nll": math.nan}, 2.0)
    assert not GanTrainer._unhealthy({"held_out_nll": 2.0}, 2.0)  # no full page is held out


@pytest.mark.parametrize("phase", ["_next_items", "_learn_from_judge"])
def test_what_is_not_finite_ends_with_the_last_good_weights_and_a_word(
    phase: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From the 11th call on, in the likelihood phase or in the adversarial one."""
    expected = trainer_of(GO_ROUND, likelihood_steps=20, adversarial_steps=4 * (phase != "_next_items"))
    original, calls = getattr(GanTrainer, phase), []

    def poisoned(trainer: GanTrainer) -> Tensor | None:
        calls.append(1)
        if phase == "_next_items":
            loss: Tensor = original(trainer)
            return loss * (math.nan if len(calls) > 10 else 1)
        training._descend(trainer._generator_steps, trainer.gan.generator, trainer.gan.generator.norm.weight.sum() / 0)
        return None

    monkeypatch.setattr(GanTrainer, phase, poisoned)
    trainer = trainer_of(GO_ROUND, likelihood_steps=20, adversarial_steps=expected.settings.adversarial_steps)
    figures = trainer.run(silent)
    assert math.isfinite(figures["held_out_nll"])
    assert figures["held_out_nll"] == trainer.held_out_figures()["held_out_nll"] < figures["held_out_nll_start"]
    assert all(torch.isfinite(p).all() for p in trainer.gan.generator.parameters())
    word = "likelihood training diverged (loss nan" if phase == "_next_items" else "stopped at its step 1 (loss inf"
    assert word in caplog.text


def test_a_training_that_diverges_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(GO_ROUND)
    monkeypatch.setattr(trainer, "_next_items", lambda: trainer.gan.generator.norm.weight.sum() * math.nan)
    with pytest.raises(InputError, match=r"diverged at once \(loss nan.*--set generator.learning_rate=0.0005"):
        trainer.run(silent)


def test_the_discriminator_tells_the_rule() -> None:
    """After some steps against a generator that does not know it."""
    trainer = trainer_of(GO_ROUND)
    for _ in range(100):
        accuracy = trainer._learn_to_judge(0)
    assert accuracy > 0.65  # by chance 0.5; at most 5 / 6, since a third of what is written is right by chance
    new = sequences(GO_ROUND, 200, seed=2)
    broken = (new.targets + SIZE) % (GROUPS * SIZE)
    past = pooled_views(new.histories, trainer.table)
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

    @torch.inference_mode()
    def in_first_group() -> float:
        items, luck = trainer.gan.generator.items(trainer.table), torch.Generator().manual_seed(2)
        return float((trainer._imagine(items, trainer.held_out, luck, Drawing()).items < SIZE).double().mean())

    assert in_first_group() < 0.5
    for _ in range(40):
        trainer._learn_from_judge()
    assert in_first_group() > 0.95


@pytest.mark.parametrize(("share", "passing"), [(0.9, 271), (0.5, 151)])
def test_the_gate_lets_the_stated_share_of_real_sequences_pass(share: float, passing: int) -> None:
    """Of 301 sequences, those whose rank is at or above the quantile."""
    rng = np.random.default_rng(0)
    real = Sequences(rng.integers(0, 60, (301, 5)).astype(np.int32), rng.integers(0, 60, (301, 4)).astype(np.int32))
    trainer = GanTrainer(random_retrieval(), log_of(real), real, real, settings(real_acceptance=share), 0)
    trainer.calibrate()
    past = pooled_views(real.histories, trainer.table)
    items = torch.from_numpy(real.targets.astype(np.int64))
    with torch.inference_mode():
        judged = plausibility(trainer.gan.discriminator, trainer.table, past, items)
    assert int((judged >= trainer.gan.threshold).sum()) == passing


def test_a_draw_of_zero_does_not_repeat_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.rand is 0 once in 2**24 draws."""
    trainer = trainer_of(STAY)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.zeros(shape))
    items = trainer.gan.generator.items(trainer.table)
    written = trainer._imagine(items, trainer.held_out, torch.Generator().manual_seed(0), Drawing())
    assert (written.items.sort(dim=1).values.diff(dim=1) > 0).all()
    assert torch.isfinite(written.log_probabilities).all()


def test_same_seed_same_weights() -> None:
    def trained(seed: int) -> Tensor:
        trainer = trainer_of(STAY, seed, likelihood_steps=5, adversarial_steps=3)
        trainer.run(silent)
        real = sequences(STAY, 40, 3)
        trainer.learn_from_feedback(real.histories, real.targets, real.targets % 3 == 0)
        return torch.cat([weights(trainer.gan), torch.tensor([trainer.gan.threshold])])

    first, elsewhere = trained(0), torch.get_rng_state()
    assert torch.equal(first, trained(0))
    assert torch.equal(torch.get_rng_state(), elsewhere)  # no draw from torch's global state
    torch.rand(3)
    assert torch.equal(first, trained(0))
    other = trained(1)
    assert (first != other).double().mean() > 0.9


def _fed(pull: float, monkeypatch: pytest.MonkeyPatch) -> tuple[NDArray[np.float32], dict[str, float], float]:
    """Users click items 0..2 of 0..5 whenever shown: nats gained by each item, the update's figures, the gate."""
    monkeypatch.setattr(training, "_FEEDBACK_PULL", pull)
    rng = np.random.default_rng(0)
    real = Sequences(rng.integers(0, 60, (300, 5)).astype(np.int32), rng.integers(0, 60, (300, 3)).astype(np.int32))
    trainer = GanTrainer(random_retrieval(), log_of(real), real, real, settings(), seed=0)
    pages = rng.permuted(np.tile(np.arange(6), (200, 1)), axis=1)[:, :3].astype(np.int32)
    before = _likelihoods(trainer, real.histories[:200])
    figures = trainer.learn_from_feedback(real.histories[:200], pages, pages < 3, steps=40)
    return _likelihoods(trainer, real.histories[:200]) - before, figures, trainer.gan.threshold


def test_feedback_raises_the_likelihood_of_what_was_clicked(monkeypatch: pytest.MonkeyPatch) -> None:
    gained, figures, gate = _fed(0.1, monkeypatch)
    assert gained[:3].min() > 0.3
    assert gained[3:6].max() < 0
    assert gained[3:6].mean() < gained[6:].mean() < gained[:3].mean()  # of items not shown only texts tell something
    assert figures["feedback_gain"] > 0.05
    assert gate != 0.5  # it follows the discriminator
    held, pulled, _ = _fed(100.0, monkeypatch)
    assert pulled["feedback_divergence"] < figures["feedback_divergence"] / 10
    assert np.abs(held).max() < np.abs(gained).max() / 3


def test_the_gate_lets_pass_what_users_liked() -> None:
    """They click at random: of pages that are alike some are called real, so all look less real than the log."""
    rng = np.random.default_rng(0)
    real = Sequences(rng.integers(0, 60, (300, 5)).astype(np.int32), rng.integers(0, 60, (300, 3)).astype(np.int32))
    trainer = GanTrainer(random_retrieval(), log_of(real), real, real, settings(), seed=0)
    shown = Sequences(real.histories[:200], rng.permuted(np.tile(np.arange(9), (200, 1)), axis=1)[:, :3])
    clicks = rng.random((200, 3)) < 0.3
    trainer.learn_from_feedback(shown.histories, shown.targets, clicks, steps=120)
    liked = np.flatnonzero(clicks.sum(axis=1) > clicks.sum(axis=1).mean())
    judged = trainer._judge(Batch.of(shown.take(liked), trainer.table))
    assert float((judged >= trainer.gan.threshold).double().mean()) == pytest.approx(0.9, abs=0.02)
    assert trainer.gan.threshold < float(torch.quantile(trainer._judge(trainer.held_out), 0.1))


@torch.inference_mode()
def _likelihoods(trainer: GanTrainer, histories: NDArray[np.int32]) -> NDArray[np.float32]:
    """Mean log-likelihood of each item as the next one."""
    items = trainer.gan.generator.items(trainer.table)
    logits = next_item_logits(trainer.gan.generator, items, torch.from_numpy(histories.astype(np.int64)))
    likelihood: NDArray[np.float32] = torch.log_softmax(logits, dim=1).mean(dim=0).numpy()
    return likelihood
