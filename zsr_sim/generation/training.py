"""Training of the sequence GAN: likelihood first, then the adversary, then feedback from the loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.config import GeneratorSettings
from zsr_sim.generation.gan import ItemTable, SequenceGan, Written, shortlist, write
from zsr_sim.generation.networks import NOISE, Discriminator, Generator, Past, read_histories
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import Sequences

Report = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, figures so far)."""

_SOFTMAX_ITEMS = 4096  # larger catalogues are trained against the batch's own items and a sample of this size
_DISCOUNT = 0.9  # of later positions' plausibility in the generator's return
_LIKELIHOOD_PULL = 0.5  # weight of the likelihood in adversarial steps: keeps the generator from collapsing
_TOLERANCE = 0.1  # nats by which the adversary may cost held-out likelihood before it is stopped


@dataclass(frozen=True)
class _Data:
    """Sequences as the networks read them: items int64 (n, slate), mask bool (n, slate), consumed int64 (n, length)."""

    items: Tensor
    mask: Tensor
    past: Past
    consumed: Tensor

    @classmethod
    def of(cls, sequences: Sequences, table: ItemTable) -> _Data:
        targets = torch.from_numpy(sequences.targets.astype(np.int64))
        consumed = torch.from_numpy(sequences.histories.astype(np.int64))
        return cls(targets.clamp(min=0), targets >= 0, read_histories(consumed, table.vectors), consumed)

    def batch(self, size: int, rng: torch.Generator) -> _Data:
        return self.take(torch.randint(len(self.items), (size,), generator=rng))

    def take(self, rows: Tensor) -> _Data:
        return _Data(self.items[rows], self.mask[rows], self.past.take(rows), self.consumed[rows])


class GanTrainer:
    """Trains a generator and a discriminator on sequences; all randomness comes from `seed`."""

    def __init__(
        self, retrieval: Retrieval, train: Sequences, held_out: Sequences, settings: GeneratorSettings, seed: int
    ) -> None:
        self.settings = settings
        self.table = ItemTable.of(retrieval)
        self.train, self.held_out = _Data.of(train, self.table), _Data.of(held_out, self.table)
        self.rng = torch.Generator().manual_seed(seed)
        d = self.table.vectors.shape[1]
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            self.gan = SequenceGan(Generator(d), Discriminator(d))
        self._generator_steps = torch.optim.Adam(self.gan.generator.parameters(), settings.learning_rate)
        self._discriminator_steps = torch.optim.Adam(self.gan.discriminator.parameters(), 1e-3)

    def run(self, report: Report) -> dict[str, float]:
        """Likelihood, then adversary; returns the figures at the end. The generator kept is the last good one."""
        likelihood, adversarial = self.settings.likelihood_steps, self.settings.adversarial_steps
        total = likelihood + 2 * adversarial
        figures = {"held_out_nll_start": self.held_out_nll()}
        figures["held_out_nll"] = self._pre_train(total, figures, report)
        for step in range(adversarial):  # the discriminator first learns to tell, alone
            figures["discriminator_accuracy"] = self._learn_to_judge()
            if (step + 1) % 20 == 0:
                report(likelihood + step + 1, total, figures)
        self.calibrate()
        figures["acceptance_before"] = figures["acceptance"] = self.acceptance()
        self._adversarial(likelihood + adversarial, total, figures, report)
        self.calibrate()
        return figures | {"held_out_nll": self.held_out_nll(), "acceptance": self.acceptance()}

    def _pre_train(self, total: int, figures: dict[str, float], report: Report) -> float:
        """Learn by likelihood; keeps the weights that were best on held-out sequences and returns their loss, nats."""
        best, good = math.inf, self.gan.generator.state_dict()
        steps = self.settings.likelihood_steps
        for step in range(steps):
            self._learn_likelihood(step / steps)
            if (step + 1) % max(steps // 10, 1) == 0 or step + 1 == steps:
                now = self.held_out_nll()
                report(step + 1, total, figures | {"held_out_nll": now})
                if now < best:
                    best, good = now, copy.deepcopy(self.gan.generator.state_dict())
        self.gan.generator.load_state_dict(good)
        return best

    def _adversarial(self, done: int, total: int, figures: dict[str, float], report: Report) -> None:
        for group in self._generator_steps.param_groups:
            group["lr"] = self.settings.learning_rate / 10
        limit = figures["held_out_nll"] + _TOLERANCE
        good = copy.deepcopy(self.gan.generator.state_dict())
        for step in range(self.settings.adversarial_steps):
            figures["discriminator_accuracy"] = self._learn_to_judge()
            self._learn_from_judge()
            if (step + 1) % 20 == 0 or step + 1 == self.settings.adversarial_steps:
                self.calibrate()
                figures |= {"held_out_nll": self.held_out_nll(), "acceptance": self.acceptance()}
                report(done + step + 1, total, figures)
                if figures["held_out_nll"] > limit:
                    self.gan.generator.load_state_dict(good)
                    figures["adversary_stopped_at"] = float(step + 1)
                    return
                good = copy.deepcopy(self.gan.generator.state_dict())

    def calibrate(self) -> None:
        """Set the gate so that `real_acceptance` of the real held-out sequences would pass."""
        judged = self._judge(self.held_out)
        self.gan.threshold = float(torch.quantile(judged.double(), 1 - self.settings.real_acceptance))

    @torch.inference_mode()
    def acceptance(self) -> float:
        """Share of sequences written for held-out histories that the gate accepts."""
        fake = self._imagine(self.held_out, torch.Generator().manual_seed(0))
        return float((self._judge(replace(self.held_out, items=fake.items)) >= self.gan.threshold).double().mean())

    @torch.inference_mode()
    def held_out_nll(self) -> float:
        """Mean negative log-likelihood of a held-out item among the whole catalogue, nats."""
        noise = torch.zeros(len(self.held_out.items), NOISE)
        total, count = 0.0, 0
        for rows in torch.arange(len(noise)).split(256):
            part = self.held_out.take(rows)
            losses = self._nll(part, noise[rows], None)
            total, count = total + float(losses.sum()), count + int(part.mask.sum())
        return total / max(count, 1)

    @torch.inference_mode()
    def _judge(self, data: _Data) -> Tensor:
        logits = self.gan.discriminator(data.past.pooled, self.table.vectors[data.items])  # (n, slate)
        return torch.sigmoid((logits * data.mask).sum(dim=1) / data.mask.sum(dim=1))

    def _nll(self, data: _Data, noise: Tensor, among: Tensor | None) -> Tensor:
        """Losses of the real items (those under the mask) among the given items (None: all), one each."""
        points = self.gan.generator(data.past, noise, self.table.vectors[data.items])[data.mask]  # (k, d)
        vectors, appeal = self.table.vectors, self.table.appeal
        target = data.items[data.mask]
        if among is not None:
            vectors, appeal, target = vectors[among], appeal[among], torch.searchsorted(among, target)
        logits = points @ vectors.T + self.gan.generator.appeal_weight * appeal  # (k, items)
        return nn.functional.cross_entropy(logits, target, reduction="none")

    def _among(self, data: _Data) -> Tensor | None:
        n = len(self.table.vectors)
        if n <= _SOFTMAX_ITEMS:
            return None
        sample = torch.randint(n, (_SOFTMAX_ITEMS,), generator=self.rng)
        among: Tensor = torch.unique(torch.cat([data.items[data.mask], sample]))  # sorted, as searchsorted needs
        return among

    def _noise(self, n: int) -> Tensor:
        return torch.randn(n, NOISE, generator=self.rng)

    def _learn_likelihood(self, progress: float) -> None:
        for group in self._generator_steps.param_groups:
            group["lr"] = self.settings.learning_rate * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress)))
        data = self.train.batch(self.settings.batch_size, self.rng)
        loss = self._nll(data, self._noise(len(data.items)), self._among(data)).mean()
        _descend(self._generator_steps, self.gan.generator, loss)

    def _imagine(self, data: _Data, rng: torch.Generator) -> Written:
        """One sequence for each history."""
        n, s = data.items.shape
        read = self.gan.generator.read(data.past)
        among = shortlist(self.gan.generator, self.table, read, data.consumed, s)
        noise = torch.randn(n, 1, NOISE, generator=rng)
        luck = torch.rand(n, 1, s, generator=rng).clamp(min=2**-25)  # it may be 0, which would draw a blocked item
        return write(self.gan.generator, self.table, read, noise, among, luck)

    def _learn_to_judge(self) -> float:
        """One step of the discriminator on real against written sequences; returns its accuracy, 0..1."""
        data = self.train.batch(self.settings.batch_size, self.rng)
        with torch.no_grad():
            fake = self._imagine(data, self.rng).items
        real_logits = self.gan.discriminator(data.past.pooled, self.table.vectors[data.items])[data.mask]
        fake_logits = self.gan.discriminator(data.past.pooled, self.table.vectors[fake])[data.mask]
        bce = nn.functional.binary_cross_entropy_with_logits
        # One-sided label smoothing (Salimans et al. 2016, section 3.4).
        loss = bce(real_logits, torch.full_like(real_logits, 0.9)) + bce(fake_logits, torch.zeros_like(fake_logits))
        _descend(self._discriminator_steps, self.gan.discriminator, loss)
        return float(((real_logits > 0).double().mean() + (fake_logits <= 0).double().mean()) / 2)

    def _learn_from_judge(self) -> None:
        """One step of the generator: policy gradient, a reward per position (ScratchGAN, d'Autume et al. 2019)."""
        data = self.train.batch(self.settings.batch_size, self.rng)
        fake = self._imagine(data, self.rng)
        with torch.no_grad():
            logits = self.gan.discriminator(data.past.pooled, self.table.vectors[fake.items])  # (n, slate)
            reward = torch.sigmoid(logits)
            returns = discounted(reward - reward.mean(dim=0, keepdim=True), _DISCOUNT)
        adversarial = -(returns * fake.log_probabilities).sum(dim=1).mean()
        likelihood = self._nll(data, self._noise(len(data.items)), self._among(data)).mean()
        _descend(self._generator_steps, self.gan.generator, adversarial / 10 + _LIKELIHOOD_PULL * likelihood)

    def learn_from_feedback(self, histories: NDArray[np.int32], pages: NDArray[np.int32], clicks: NDArray[np.float32],
                            steps: int = 5) -> None:  # fmt: skip
        """Update both players from generated pages that users were shown in the loop.

        histories: int32 (n, length). pages: int32 (n, slate_size). clicks: float32 (n,), clicks on each page.
        The generator raises the likelihood of pages in proportion to how much better than the mean they did, with the
        likelihood of the original sequences as a pull; the discriminator learns the better half as real.
        """
        everything = _Data.of(Sequences(histories, pages), self.table)
        worth = torch.from_numpy((clicks - clicks.mean()) / (clicks.std() + 1e-6)).clamp(-2, 2)
        for _ in range(steps):
            rows = torch.randint(len(pages), (self.settings.batch_size,), generator=self.rng)
            data = everything.take(rows)
            noise = self._noise(len(rows))
            losses = self._nll(data, noise, self._among(data)).view(len(rows), -1).mean(dim=1)  # (batch,)
            real = self.train.batch(len(rows), self.rng)
            pull = self._nll(real, self._noise(len(rows)), self._among(real)).mean()
            # Only praise: pushing likelihood down has no lower bound and would undo the pre-training.
            _descend(self._generator_steps, self.gan.generator, (worth[rows].clamp(min=0) * losses).mean() * 0.2 + pull)
            logits = self.gan.discriminator(data.past.pooled, self.table.vectors[data.items])  # (batch, slate)
            label = (worth[rows] > 0).float()[:, None].expand_as(logits)
            kept = self.gan.discriminator(real.past.pooled, self.table.vectors[real.items])[real.mask]
            bce = nn.functional.binary_cross_entropy_with_logits
            loss = bce(logits, 0.9 * label) + bce(kept, torch.full_like(kept, 0.9))
            _descend(self._discriminator_steps, self.gan.discriminator, loss)
        self.calibrate()


def discounted(rewards: Tensor, discount: float) -> Tensor:
    """Discounted sum of the rewards from each position on, (n, length).

    >>> discounted(torch.tensor([[1.0, 2.0, 4.0]]), 0.5)
    tensor([[3., 4., 4.]])
    """
    out = torch.empty_like(rewards)
    running = torch.zeros(len(rewards))
    for t in range(rewards.shape[1] - 1, -1, -1):
        running = rewards[:, t] + discount * running
        out[:, t] = running
    return out


def _descend(optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
