"""The sequence GAN as a trained whole: it writes sequences, judges them, and lets pass what is plausible."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.envs.noise import Purpose, normals, uniforms
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, Candidates, RetrievalCandidates
from zsr_sim.generation.networks import NOISE, Discriminator, Generator, Past, Read, read_histories
from zsr_sim.generation.retrieval import Retrieval

SHORTLIST = 100  # items among which a sequence is written; as many as it is long, if that is more
_LEFT_OUT = 1e3  # logits, far more than any two items differ by


@dataclass(frozen=True)
class ItemTable:
    """What the networks know of a catalogue.

    vectors: (n_items, d), unit length. appeal: (n_items,), popularity on a log scale, 0 .. 1; 0 for cold items.
    """

    vectors: Tensor
    appeal: Tensor

    @classmethod
    def of(cls, retrieval: Retrieval, dtype: torch.dtype = torch.float32) -> ItemTable:
        """The catalogue of a retrieval, in the precision of the networks that read it."""
        return cls(torch.from_numpy(retrieval.vectors).to(dtype), torch.from_numpy(retrieval.appeal).to(dtype))


@dataclass(frozen=True)
class Written:
    """Sequences that a generator wrote.

    items: int64 (n, length), rows of the catalogue. log_probabilities: (n, length), of each draw among the shortlist.
    """

    items: Tensor
    log_probabilities: Tensor


class Shortlist(NamedTuple):
    """Items among which sequences are written.

    items: int64 (n, size). handicap: (n, size), logits taken from items that should be left out; 0 for all others.
    """

    items: Tensor
    handicap: Tensor


def shortlist(generator: Generator, table: ItemTable, read: Read, left_out: Tensor, length: int) -> Shortlist:
    """The items nearest to the first point that the generator would write without noise, for sequences of `length`.

    read: what `Generator.read` makes of n histories. left_out: int64 (n, any), items not to propose as long as the
    catalogue holds others, padded with -1.
    """
    n = len(read.summary)
    first = read.summary.new_zeros(n, 1, generator.dimensions)
    hidden, _ = generator.gru(first, generator.start(read, read.summary.new_zeros(n, 1, NOISE)))
    point = generator.points(hidden, read)[:, 0]  # (n, d)
    # Single precision for the ranking, so that equal texts tie exactly (see retrieval.py).
    scores = (point @ table.vectors.T + generator.appeal_weight * table.appeal).float()  # (n, n_items)
    rows, columns = torch.nonzero(left_out >= 0, as_tuple=True)
    columns = left_out[rows, columns]
    scores[rows, columns] -= _LEFT_OUT
    late = torch.zeros(scores.shape, dtype=torch.bool)
    late[rows, columns] = True
    items = scores.topk(min(max(SHORTLIST, length), scores.shape[1]), dim=1).indices
    return Shortlist(items, _LEFT_OUT * late.gather(1, items).to(read.summary.dtype))


def write(
    generator: Generator,
    table: ItemTable,
    read: Read,
    noise: Tensor,
    among: Shortlist,
    luck: Tensor,
    temperature: float = 1.0,
) -> Written:
    """Write sequences item by item, without repeats, each item drawn among a shortlist by inversion of one uniform.

    read: what `Generator.read` makes of n histories. noise: (n, m, NOISE). among: of each history, at least as
    many items as the sequences are long. luck: (n, m, length), in (0, 1).
    temperature: > 0; below 1 the likelier items are drawn more often than the generator would have them.
    Returns sequences (n * m, length), the m of one user beside each other.
    """
    n, m, length = luck.shape
    vectors = table.vectors[among.items]  # (n, size, d)
    bonus = generator.appeal_weight * table.appeal[among.items] - among.handicap  # (n, size)
    hidden = generator.start(read, noise)  # (1, n m, hidden)
    current = noise.new_zeros(n * m, 1, generator.dimensions)
    blocked = torch.zeros(n, m, among.items.shape[1], dtype=torch.bool)
    items, log_probabilities = [], []
    for t in range(length):
        out, hidden = generator.gru(current, hidden)
        points = generator.points(out.view(n, m, -1), read)  # (n, m, d)
        logits = torch.bmm(points, vectors.transpose(1, 2)) + bonus[:, None, :]  # (n, m, size)
        log_p = torch.log_softmax(logits.masked_fill(blocked, -torch.inf) / temperature, dim=2)
        steps = log_p.exp().cumsum(dim=2)
        pick = (steps < luck[:, :, t, None] * steps[:, :, -1:]).sum(dim=2, keepdim=True)  # (n, m, 1)
        blocked = blocked.scatter(2, pick, True)
        log_probabilities.append(log_p.gather(2, pick)[:, :, 0])
        items.append(among.items.gather(1, pick[:, :, 0]))  # (n, m)
        current = vectors.gather(1, pick.expand(n, m, vectors.shape[2])).reshape(n * m, 1, -1)
    return Written(
        torch.stack(items, dim=2).view(n * m, length), torch.stack(log_probabilities, dim=2).view(n * m, length)
    )


def plausibility(discriminator: Discriminator, table: ItemTable, pooled: Tensor, items: Tensor) -> Tensor:
    """Probability that each sequence int64 (n, length) is real, (n,): the sigmoid of its mean logit over positions."""
    return torch.sigmoid(discriminator(pooled, table.vectors[items]).mean(dim=1))


@dataclass
class SequenceGan:
    """A generator, its discriminator, and the plausibility from which a sequence is accepted."""

    generator: Generator
    discriminator: Discriminator
    threshold: float = 0.5

    def acting(self, dtype: torch.dtype) -> SequenceGan:
        """A copy for decisions, in this precision."""
        generator, discriminator = copy.deepcopy(self.generator), copy.deepcopy(self.discriminator)
        return SequenceGan(generator.to(dtype).eval(), discriminator.to(dtype).eval(), self.threshold)


@dataclass
class GeneratedCandidates:
    """Candidates of which the first `n_generated` places are the generator's, as far as the discriminator accepts it.

    For every two of these places three sequences are written; a place that is left over is filled with a further page
    by similarity. The other places are retrieved.

    dtype: float64 for evaluation, so that rounding cannot make a choice depend on the batch; float32 is twice as fast
    and good enough for training, where batches are what they are.
    """

    gan: SequenceGan
    retrieval: Retrieval
    slate_size: int
    n_candidates: int = 8
    n_generated: int = 4
    temperature: float = 0.3
    dtype: torch.dtype = torch.float64
    _retrieved: RetrievalCandidates = field(init=False)
    _table: ItemTable = field(init=False)

    def __post_init__(self) -> None:
        self._retrieved = RetrievalCandidates(self.retrieval, self.slate_size)
        self._table = ItemTable.of(self.retrieval, self.dtype)
        self.renew(self.gan)

    def renew(self, gan: SequenceGan) -> None:
        """Propose with these networks from now on (after an update from feedback)."""
        self.gan = gan
        self._acting = gan.acting(self.dtype)

    @torch.inference_mode()
    def candidates(self, observation: Observation) -> Candidates:
        """Accepted sequences first, then pages in their stead, then retrieved pages."""
        pages, sources = self._retrieved.pages(observation, self.n_candidates - self.n_generated)
        past = read_histories(torch.from_numpy(observation.histories.astype(np.int64)), self._table.vectors)
        written, plausible = self._written(observation, past)  # (n, 3 g / 2, slate), (n, 3 g / 2)
        accepted = plausible >= self._acting.threshold
        filler = self._filler(observation)  # (n, g, slate)
        choose = np.argsort(~accepted, axis=1, kind="stable")[:, : self.n_generated]  # accepted first, in order
        rows = np.arange(len(observation))[:, None]
        passed = accepted[rows, choose]  # (n, g)
        generated = np.where(passed[:, :, None], written[rows, choose], filler)
        own = np.where(passed, SOURCES.index("generator"), SOURCES.index("similarity")).astype(np.int8)
        judged = np.full((len(observation), self.n_candidates), 0.5, dtype=np.float32)
        judged[:, : self.n_generated] = np.where(passed, plausible[rows, choose], 0.5)
        return Candidates(
            items=np.concatenate([generated, pages], axis=1),
            sources=np.concatenate([own, np.broadcast_to(sources, pages.shape[:2])], axis=1),
            plausibility=judged,
            accepted=float(accepted.mean()),
        )

    def _written(self, observation: Observation, past: Past) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        n, m, s = len(observation), -(-3 * self.n_generated // 2), self.slate_size
        key = observation.seeds, observation.users, observation.steps
        luck = torch.from_numpy(uniforms(*key, Purpose.GENERATE, m * s)).to(self.dtype).view(n, m, s)
        noise = torch.from_numpy(normals(*key, Purpose.GENERATE_NOISE, m * NOISE)).to(self.dtype).view(n, m, NOISE)
        left_out = torch.from_numpy(np.concatenate([observation.histories, observation.shown], axis=1).astype(np.int64))
        read = self._acting.generator.read(past)
        among = shortlist(self._acting.generator, self._table, read, left_out, s)
        written = write(self._acting.generator, self._table, read, noise, among, luck, self.temperature).items
        plausible = plausibility(
            self._acting.discriminator, self._table, past.pooled.repeat_interleave(m, dim=0), written
        )
        return written.view(n, m, s).numpy().astype(np.int32), plausible.view(n, m).numpy()

    def _filler(self, observation: Observation) -> NDArray[np.int32]:
        """The pages by similarity that follow the first one, int32 (n, n_generated, slate_size)."""
        s, n_items = self.slate_size, len(self.retrieval.vectors)
        pages = min(self.n_generated + 1, n_items // s)
        ranked = self.retrieval.by_history(observation, pages * s).reshape(len(observation), pages, s)
        return ranked[:, np.arange(1, self.n_generated + 1) % pages]
