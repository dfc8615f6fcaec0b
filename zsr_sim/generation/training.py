"""Training of the sequence GAN: likelihood first, then the adversary, then feedback from the loop."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.config import GeneratorSettings
from zsr_sim.errors import InputError
from zsr_sim.generation.batches import Batch
from zsr_sim.generation.gan import (
    Drawing,
    SequenceGan,
    Written,
    item_table,
    shortlist,
    write,
    write_relaxed,
)
from zsr_sim.generation.likelihood import next_item_loss
from zsr_sim.generation.monitors import health
from zsr_sim.generation.networks import NOISE, Discriminator, Generator, Items
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import Sequences

Report = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, figures so far)."""

_LOG = logging.getLogger(__name__)
_DROPOUT = 0.4
_RESIDUAL_DECAY = 1.0  # AdamW's weight decay of the residuals: items with little data stay near their text
_WARM_UP = 50  # steps in which the learning rate rises
_CAREFUL = 20  # times slower than the likelihood alone do adversary and feedback change the generator
_ADVERSARY = 0.2  # weight of the discriminator's word in adversarial steps
_LIKELIHOOD_PULL = 1.0  # weight of the likelihood in adversarial steps: keeps the generator from collapsing
_TOLERANCE = 0.05  # nats by which the adversary may cost held-out likelihood before it is stopped
_COLLAPSE = 0.5  # of the distinct items before the adversary; fewer are a collapse
_CLIP, _FEEDBACK_PULL = 0.2, 0.1  # of importance weights; weight of the divergence from the pre-trained generator
_LOG_LARGEST_WEIGHT = math.log(10.0)
_LOOK = 20  # adversarial steps between two looks at the held-out data


class Diverged(RuntimeError):
    """A loss or a gradient that is not finite."""


class GanTrainer:
    """Trains a generator and a discriminator on sequences; all randomness comes from `seed`.

    log: int32 (n, length), stretches of users' logs (`sequences.stretches`), for the likelihood of every next item.
    train, held_out: pairs of history and continuation, for everything else; the log lacks what is held out.
    before_adversary: after `run`, both players as the adversarial steps found them.
    """

    KEPT: ClassVar[tuple[str, ...]] = (
        *("gan.generator", "gan.discriminator", "gan.threshold", "rng", "_luck", "_known", "_pre_trained"),
        *("_generator_steps", "_discriminator_steps"),
    )

    def __init__(
        self,
        retrieval: Retrieval,
        log: NDArray[np.int32],
        train: Sequences,
        held_out: Sequences,
        settings: GeneratorSettings,
        seed: int,
    ) -> None:
        self.settings = settings
        self.table = item_table(retrieval)
        self.log = torch.from_numpy(log.astype(np.int64))
        self.train, self.held_out = Batch.of(train, self.table), Batch.of(held_out, self.table)
        self.drawing = Drawing(settings.temperature, settings.top_k, settings.nucleus, settings.diversity)
        self.rng = torch.Generator().manual_seed(seed)
        n_items, d = self.table.vectors.shape
        counts = torch.bincount(self.log[self.log >= 0], minlength=n_items)
        self._known, self._share = counts > 0, counts / counts.sum()
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            generator = Generator(self.table.texts.shape[1], n_items, _DROPOUT)
            self.gan = SequenceGan(generator, Discriminator(d))
            self._luck = torch.get_rng_state()
        self.gan.generator.eval()
        self._pre_trained = copy.deepcopy(self.gan.generator)  # what feedback is held to
        self.before_adversary = self.gan
        rest = [p for name, p in self.gan.generator.named_parameters() if name != "residual"]
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": [self.gan.generator.residual], "weight_decay": _RESIDUAL_DECAY},
        ]
        self._generator_steps = torch.optim.AdamW(groups, settings.learning_rate, weight_decay=0.0)
        self._discriminator_steps = torch.optim.Adam(self.gan.discriminator.parameters(), 1e-3)

    def run(self, report: Report) -> dict[str, float]:
        """Likelihood, then adversary; returns the figures at the end. The weights kept are the last good ones.

        Raises InputError where the training diverges before there are any.
        """
        likelihood, adversarial = self.settings.likelihood_steps, self.settings.adversarial_steps
        total = likelihood + 2 * adversarial
        figures = {"held_out_nll_start": self.held_out_figures()["held_out_nll"]}
        figures |= self._pre_train(total, figures, report)
        for step in range(adversarial):  # the discriminator first learns to tell, alone
            figures["discriminator_accuracy"] = self._learn_to_judge(step)
            if (step + 1) % _LOOK == 0 and step + 1 < adversarial:
                report(likelihood + step + 1, total, figures)
        self.calibrate()
        before = self.monitors()
        figures |= {f"{name}_before": value for name, value in before.items()}
        self.before_adversary = copy.deepcopy(self.gan)
        if adversarial:
            report(likelihood + adversarial, total, figures | before)
        self._adversarial(likelihood + adversarial, total, figures, report)
        self._pre_trained = copy.deepcopy(self.gan.generator)
        self.calibrate()
        return figures | self.monitors() | self.held_out_figures()

    def _pre_train(self, total: int, figures: dict[str, float], report: Report) -> dict[str, float]:
        """Learn by likelihood; keeps the weights that ranked held-out items best and returns `held_out_figures`.

        By likelihood the last steps may look harmful where ranking still becomes better: they make a model too sure.
        """
        best, good = {"held_out_mrr": -1.0}, self.gan.generator.state_dict()
        steps = self.settings.likelihood_steps
        try:
            for step in range(steps):
                self._learn_likelihood(step, steps)
                if (step + 1) % max(steps // 10, 1) == 0 or step + 1 == steps:
                    now = self.held_out_figures()
                    report(step + 1, total, figures | now)
                    if now["held_out_mrr"] > best["held_out_mrr"]:
                        best, good = now, copy.deepcopy(self.gan.generator.state_dict())
        except Diverged as error:
            if "held_out_nll" not in best:
                raise InputError(
                    f"the generator's training diverged at once ({error}); lower it with --set "
                    f"generator.learning_rate={self.settings.learning_rate / 10:g}"
                ) from None
            _LOG.warning(
                "the generator's likelihood training diverged (%s); it goes on with the weights that were best on "
                "held-out sequences, %.3f nats per item. A lower generator.learning_rate may avoid it.",
                error, best["held_out_nll"],
            )  # fmt: skip
        self.gan.generator.load_state_dict(good)
        return best

    def _adversarial(self, done: int, total: int, figures: dict[str, float], report: Report) -> None:
        for group in self._generator_steps.param_groups:
            group["lr"] = self.settings.learning_rate / _CAREFUL
        limit = figures["held_out_nll"] + _TOLERANCE
        good, judge = (copy.deepcopy(net.state_dict()) for net in (self.gan.generator, self.gan.discriminator))
        for step in range(self.settings.adversarial_steps):
            try:
                figures["discriminator_accuracy"] = self._learn_to_judge(step)
                self._learn_from_judge()
                why = ""
            except Diverged as error:
                why = str(error)
            if not why and (step + 1) % _LOOK and step + 1 < self.settings.adversarial_steps:
                continue
            if not why:
                self.calibrate()
                figures |= self.held_out_figures() | self.monitors()
                report(done + step + 1, total, figures)
                why = self._unhealthy(figures, limit)
            if why:
                figures["adversary_stopped_at"] = float(step + 1)
                _LOG.warning("the adversary was stopped at its step %d (%s); the last good weights stay", step + 1, why)
                self.gan.generator.load_state_dict(good)
                self.gan.discriminator.load_state_dict(judge)
                return
            good, judge = (copy.deepcopy(net.state_dict()) for net in (self.gan.generator, self.gan.discriminator))

    @staticmethod
    def _unhealthy(figures: dict[str, float], limit: float) -> str:
        """Why the adversary should be stopped, in words; empty where it should go on."""
        if not figures["held_out_nll"] <= limit:
            return f"the held-out loss rose to {figures['held_out_nll']:.3f} nats per item, past {limit:.3f}"
        # Where everybody's log is short no full page is held out, and there is nothing to compare with.
        if "distinct_items" in figures and figures["distinct_items"] < _COLLAPSE * figures["distinct_items_before"]:
            return (
                f"collapse: {figures['distinct_items']:.2f} times as many distinct items as in real sequences, "
                f"{figures['distinct_items_before']:.2f} before"
            )
        return ""

    def calibrate(self, *liked: Batch) -> None:
        """Set the gate so that `real_acceptance` of the real held-out sequences would pass, and of what users liked."""
        judged = [self._judge(pages).double() for pages in (self.held_out, *liked)]
        self.gan.threshold = min(float(torch.quantile(each, 1 - self.settings.real_acceptance)) for each in judged)

    @torch.inference_mode()
    def monitors(self) -> dict[str, float]:
        """Figures of sequences written for the held-out histories: `health`, and how many the gate accepts.

        `acceptance` is of sequences drawn as in the loop; the others are drawn as the generator would have them.
        """
        items = self.gan.generator.items(self.table)
        free, as_in_loop = (
            self._imagine(items, self.held_out, torch.Generator().manual_seed(0), drawing).items
            for drawing in (Drawing(), self.drawing)
        )
        full = self.held_out.mask.all(dim=1)
        vectors = self.table.vectors.numpy()
        figures = health(self.held_out.items[full].numpy(), free[full].numpy(), vectors) if full.sum() > 1 else {}
        accepted = self._judge(replace(self.held_out, items=as_in_loop)) >= self.gan.threshold
        return figures | {"acceptance": float(accepted.double().mean())}

    @torch.inference_mode()
    def held_out_figures(self) -> dict[str, float]:
        """How well a held-out item is foretold among the whole catalogue.

        held_out_nll: mean negative log-likelihood, nats. held_out_mrr: mean of 1 / rank; ties count against it.
        """
        items, losses, ranks = self.gan.generator.items(self.table), [], []
        for rows in torch.arange(len(self.held_out.items)).split(256):
            data = self.held_out.take(rows)
            points = self.gan.generator(items, torch.cat([data.consumed, data.items[:, :-1]], dim=1))
            points = points[:, -data.items.shape[1] :][data.mask]  # (k, HIDDEN)
            logits, targets = points @ items.points.T + items.bias, data.items[data.mask]
            losses.append(nn.functional.cross_entropy(logits, targets, reduction="none"))
            ranks.append((logits >= logits.gather(1, targets[:, None])).sum(dim=1))
        mrr = (1 / torch.cat(ranks)).mean()
        return {"held_out_nll": float(torch.cat(losses).mean()), "held_out_mrr": float(mrr)}

    @torch.inference_mode()
    def _judge(self, data: Batch) -> Tensor:
        logits = self.gan.discriminator(data.pooled, self.table.vectors[data.items])  # (n, slate)
        return torch.sigmoid((logits * data.mask).sum(dim=1) / data.mask.sum(dim=1))

    def _noise(self, n: int) -> Tensor:
        return torch.randn(n, NOISE, generator=self.rng)

    @contextmanager
    def _learning(self) -> Iterator[None]:
        """Dropout on, its luck drawn from this trainer's own state."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._luck)
            self.gan.generator.train()
            try:
                yield
            finally:
                self.gan.generator.eval()
                self._luck = torch.get_rng_state()

    def _learn_likelihood(self, step: int, steps: int) -> None:
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in self._generator_steps.param_groups:
            group["lr"] = self.settings.learning_rate * min(1.0, (step + 1) / _WARM_UP) * decay
        with self._learning():
            _descend(self._generator_steps, self.gan.generator, self._next_items())

    def _next_items(self) -> Tensor:
        """Mean loss of the next item at every position of a batch of the log."""
        rows = torch.randint(len(self.log), (self.settings.batch_size,), generator=self.rng)
        batch = self.log[rows]
        batch = batch[:, (batch >= 0).any(dim=0).nonzero()[0, 0].clamp(min=1) - 1 :]  # no columns of padding alone
        return next_item_loss(self.gan.generator, self.table, batch, self._known, self._share, self.rng)

    def _imagine(self, items: Items, data: Batch, rng: torch.Generator, drawing: Drawing) -> Written:
        """One sequence for each history."""
        n, s = data.items.shape
        generator = self.gan.generator
        with torch.no_grad():
            among = shortlist(generator, items, data.consumed, data.consumed, s)
        noise = torch.randn(n, 1, NOISE, generator=rng)
        luck = torch.rand(n, 1, s, generator=rng).clamp(min=2**-25)  # it may be 0, which would draw a blocked item
        return write(generator, items, self.table.vectors, data.consumed, noise, among, luck, drawing)

    def _learn_to_judge(self, step: int) -> float:
        """One step of the discriminator on real against written sequences; returns its accuracy, 0..1.

        Every second step judges sequences drawn as in the loop: there the gate has to tell.
        """
        data = self.train.batch(self.settings.batch_size, self.rng)
        with torch.no_grad():
            items = self.gan.generator.items(self.table)
            fake = self._imagine(items, data, self.rng, self.drawing if step % 2 else Drawing()).items
        real_logits = self.gan.discriminator(data.pooled, self.table.vectors[data.items])[data.mask]
        fake_logits = self.gan.discriminator(data.pooled, self.table.vectors[fake])[data.mask]
        bce = nn.functional.binary_cross_entropy_with_logits
        # One-sided label smoothing (Salimans et al. 2016, section 3.4).
        loss = bce(real_logits, torch.full_like(real_logits, 0.9)) + bce(fake_logits, torch.zeros_like(fake_logits))
        _descend(self._discriminator_steps, self.gan.discriminator, loss)
        return float(((real_logits > 0).double().mean() + (fake_logits <= 0).double().mean()) / 2)

    def _learn_from_judge(self) -> None:
        """One step of the generator: written sequences should look more real than real ones (RelGAN, Nie et al. 2019).

        On the films (60 steps after the same pre-training, one seed) this took the Fréchet distance from .0300 to
        .0258; a policy gradient with a reward per position (ScratchGAN, d'Autume et al. 2019) left it at .0304.
        """
        data = self.train.batch(self.settings.batch_size, self.rng)
        generator = self.gan.generator
        items = generator.items(self.table, self._known)
        with torch.no_grad():
            among = shortlist(generator, items, data.consumed, data.consumed, data.items.shape[1])
            real = self.gan.discriminator(data.pooled, self.table.vectors[data.items])  # (n, slate)
        luck = torch.rand(*data.items.shape, among.items.shape[1], generator=self.rng).clamp(1e-9, 1 - 1e-6)
        noise = self._noise(len(data.items))[:, None]
        vectors = write_relaxed(generator, items, self.table.vectors, data.consumed, among, noise, luck)
        fake = self.gan.discriminator(data.pooled, vectors)  # (n, slate)
        adversarial = nn.functional.softplus(real - fake)[data.mask].mean()
        with self._learning():
            likelihood = self._next_items()
        _descend(self._generator_steps, generator, _ADVERSARY * adversarial + _LIKELIHOOD_PULL * likelihood)

    def learn_from_feedback(
        self,
        histories: NDArray[np.int32],
        pages: NDArray[np.int32],
        clicks: NDArray[np.bool_],
        steps: int = 20,
    ) -> dict[str, float]:
        """Update both players from generated pages that users were shown in the loop; returns figures of the update.

        histories: int32 (n, length). pages: int32 (n, slate_size). clicks: bool (n, slate_size).
        The generator's objective, for each item shown: its advantage (click or not, less the mean at that position)
        times the importance weight of its draw, clipped (Schulman et al. 2017, equation 7), less the divergence from
        the pre-trained generator, KL(pre-trained || now), over the whole catalogue at the same places. The
        discriminator learns pages with more clicks than the mean as real, beside the original sequences; the gate lets
        pass as many of the one as of the other.
        """
        data = Batch.of(Sequences(histories, pages), self.table)
        self._known[data.items] = True  # from now on these may have residuals, too
        taken = torch.from_numpy(clicks.astype(np.float32))
        worth = (taken - taken.mean(dim=0)) / taken.std().clamp(min=1e-6)  # (n, slate)
        liked = taken.sum(dim=1) > taken.sum(dim=1).mean()
        behaviour, sums = copy.deepcopy(self.gan.generator), {"feedback_gain": 0.0, "feedback_divergence": 0.0}
        for group in self._generator_steps.param_groups:
            group["lr"] = self.settings.learning_rate / _CAREFUL
        for _ in range(steps):
            rows = torch.randint(len(pages), (self.settings.batch_size,), generator=self.rng)
            gain, divergence = self._better(behaviour, data.take(rows), worth[rows])
            _descend(self._generator_steps, self.gan.generator, _FEEDBACK_PULL * divergence - gain)
            sums["feedback_gain"] += float(gain.detach()) / steps
            sums["feedback_divergence"] += float(divergence.detach()) / steps
            self._judge_feedback(data.take(rows), liked[rows])
        # What users like may look unlike the log: held to the log alone, the gate would stop what was just learned.
        self.calibrate(*([data.take(liked.nonzero()[:, 0])] if liked.any() else []))
        return sums

    def _better(self, behaviour: Generator, data: Batch, worth: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted advantage of a batch of shown pages, and how far the generator is from the pre-trained one, nats."""

        def logits_of(generator: Generator) -> Tensor:
            items = generator.items(self.table, self._known)
            points = generator(items, torch.cat([data.consumed, data.items[:, :-1]], dim=1))
            logits: Tensor = points[:, -data.items.shape[1] :] @ items.points.T + items.bias
            return logits  # (batch, slate, n_items)

        logits = logits_of(self.gan.generator)
        with torch.no_grad():
            before, first = logits_of(behaviour), torch.log_softmax(logits_of(self._pre_trained), dim=2)

        def drawn(logits: Tensor) -> Tensor:  # log-probability of the items shown, at the loop's temperature
            log_p = torch.log_softmax(logits / self.settings.temperature, dim=2)
            taken: Tensor = log_p.gather(2, data.items[:, :, None])[:, :, 0]
            return taken

        # Weights are truncated: one that overflows would be no number in the gradient.
        ratio = torch.exp((drawn(logits) - drawn(before)).clamp(max=_LOG_LARGEST_WEIGHT))
        gain = torch.minimum(ratio * worth, ratio.clamp(1 - _CLIP, 1 + _CLIP) * worth).mean()
        divergence = (first.exp() * (first - torch.log_softmax(logits, dim=2))).sum(dim=2).mean()
        return gain, divergence

    def _judge_feedback(self, data: Batch, liked: Tensor) -> None:
        real = self.train.batch(len(liked), self.rng)
        logits = self.gan.discriminator(data.pooled, self.table.vectors[data.items])  # (batch, slate)
        kept = self.gan.discriminator(real.pooled, self.table.vectors[real.items])[real.mask]
        bce = nn.functional.binary_cross_entropy_with_logits
        label = 0.9 * liked.float()[:, None].expand_as(logits)
        loss = bce(logits, label) + bce(kept, torch.full_like(kept, 0.9))
        _descend(self._discriminator_steps, self.gan.discriminator, loss)


def _descend(optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
    """One step. Raises Diverged, before any weight has changed, where loss or gradient is not finite."""
    optimiser.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise Diverged(f"loss {float(loss.detach())}, gradient norm {float(norm)}")
    optimiser.step()
