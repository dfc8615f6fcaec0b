"""The sequence GAN as a trained whole: it writes sequences, judges them, and lets pass what is plausible."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.encoders.history import pooled
from zsr_sim.envs.noise import Purpose, normals, uniforms
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, Candidates, RetrievalCandidates
from zsr_sim.generation.index import ItemIndex
from zsr_sim.generation.judging import Judge, judge_all
from zsr_sim.generation.networks import NOISE, Discriminator, Generator, Items, ItemTable, Writing, take
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.shortlists import find
from zsr_sim.generation.writing import Body, floats, write_all

SHORTLIST = 100  # items among which a sequence is written; as many as it is long, if that is more
DECAYS = (0.95, 0.6)  # the discriminator reads a history as a lasting taste and as what was consumed just now
RELAXATION = 0.7  # temperature of the Gumbel-softmax: low is close to a draw, high lets more gradient pass
_BLOCKED = 1e9  # logits; finite, so that gradients stay numbers
_LEFT_OUT = 1e3  # logits, far more than any two items differ by


def item_table(retrieval: Retrieval, dtype: torch.dtype = torch.float32) -> ItemTable:
    """The catalogue of a retrieval, in the precision of the networks that read it."""
    features = None if retrieval.features is None else torch.from_numpy(retrieval.features.values).to(dtype)
    return ItemTable(
        torch.from_numpy(retrieval.vectors).to(dtype), torch.from_numpy(retrieval.appeal).to(dtype), features
    )


def pooled_views(histories: NDArray[np.int32], table: ItemTable) -> Tensor:
    """Histories (n, length) as the discriminator reads them: a lasting and a recent mean, (n, 2 d)."""
    vectors = table.vectors.float().numpy()
    views = [torch.from_numpy(pooled(histories, vectors, decay)) for decay in DECAYS]
    return torch.cat(views, dim=1).to(table.vectors.dtype)


@dataclass(frozen=True)
class Drawing:
    """How items are drawn from a generator's logits.

    temperature: > 0; below 1 likelier items come more often than the generator would have them. top_k: draw among that
    many likeliest items; 0: all. nucleus: draw among the likeliest items that together have this probability (Holtzman
    et al. 2020), 0 .. 1. diversity: logits taken from an item per unit of its greatest cosine with an item already
    written (maximal marginal relevance, Carbonell and Goldstein 1998); 0: none.
    """

    temperature: float = 1.0
    top_k: int = 0
    nucleus: float = 1.0
    diversity: float = 0.0


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


def next_item_logits(generator: Generator, items: Items, histories: Tensor) -> Tensor:
    """Logits of what comes next, float32 (n, n_items), after histories int64 (n, length), padded left with -1.

    Single precision, so that equal texts tie exactly whatever the batch (see retrieval.py).
    """
    start = Writing(generator, items, histories, items.points.new_zeros(len(histories), 1, NOISE))
    return (start.points()[:, 0] @ items.points.T + items.bias).float()


def shortlist(generator: Generator, items: Items, histories: Tensor, left_out: Tensor, length: int) -> Shortlist:
    """The items most likely to come next without noise, for sequences of `length`.

    histories: int64 (n, any). left_out: int64 (n, any), items not to propose as long as the catalogue holds others.
    Both are padded with -1. Every item is scored, as training needs it; `shortlists.find` need not.
    """
    scores = next_item_logits(generator, items, histories)  # (n, n_items)
    rows, columns = torch.nonzero(left_out >= 0, as_tuple=True)
    columns = left_out[rows, columns]
    scores[rows, columns] -= _LEFT_OUT
    best = scores.topk(_size(length, scores.shape[1]), dim=1)
    late = best.values < best.values[:, :1] - _LEFT_OUT / 2  # none, where all are left out: then all are alike
    return Shortlist(best.indices, _LEFT_OUT * late.to(items.points.dtype))


def _size(length: int, n_items: int) -> int:
    """Of the shortlist for sequences of this length."""
    return min(max(SHORTLIST, length), n_items)


@torch.inference_mode()
def write(
    generator: Generator,
    items: Items,
    vectors: Tensor,
    histories: Tensor,
    noise: Tensor,
    among: Shortlist,
    luck: Tensor,
    drawing: Drawing,
) -> Written:
    """Write sequences item by item, without repeats, each item drawn among a shortlist by inversion of one uniform.

    No gradient, no dropout. vectors: (n_items, d), what `drawing.diversity` compares. histories: int64 (n, any). noise:
    (n, m, NOISE). among: of each history, at least as many items as the sequences are long. luck: (n, m, length), in
    (0, 1). Returns sequences (n * m, length), the m of one user beside each other.
    """
    bonus = take(items.bias, among.items) - among.handicap  # (n, size)
    log_p, written = torch.empty(luck.shape, dtype=torch.float64), torch.empty(luck.shape, dtype=torch.int64)
    write_all(
        Body.of(generator), floats(items.points), floats(items.memory), floats(vectors), histories.int().numpy(),
        among.items.contiguous().numpy(), floats(bonus), floats(noise), luck.double().contiguous().numpy(),
        drawing.temperature, drawing.top_k, drawing.nucleus, drawing.diversity, log_p.numpy(), written.numpy(),
    )  # fmt: skip
    return Written(written.flatten(0, 1), log_p.flatten(0, 1).to(luck.dtype))


def write_relaxed(
    generator: Generator,
    items: Items,
    vectors: Tensor,
    histories: Tensor,
    among: Shortlist,
    noise: Tensor,
    luck: Tensor,
) -> Tensor:
    """One sequence for each history, as item vectors (n, length, d) that let gradients pass to the generator.

    Forward these are items drawn without repeats; backward, mixtures of the shortlist by Gumbel-softmax (straight
    through: Jang et al. 2017, section 2.2), so that a discriminator's gradient reaches every choice, as in RelGAN (Nie
    et al. 2019). noise: (n, 1, NOISE). luck: (n, length, size of the shortlist), in (0, 1).
    """
    points, memory = take(items.points, among.items), take(items.memory, among.items)
    bonus, texts = (take(items.bias, among.items) - among.handicap)[:, None, :], vectors[among.items]
    writing = Writing(generator, items, histories, noise)
    blocked = torch.zeros_like(bonus, dtype=torch.bool)
    written = []
    for t in range(luck.shape[1]):
        logits = writing.points() @ points.transpose(1, 2) + bonus  # (n, 1, size)
        gumbel = -torch.log(-torch.log(luck[:, t, None]))
        soft = torch.softmax((logits + gumbel).masked_fill(blocked, -_BLOCKED) / RELAXATION, dim=2)
        pick = soft.argmax(dim=2, keepdim=True)
        blocked = blocked.scatter(2, pick, True)
        weights = torch.zeros_like(soft).scatter(2, pick, 1.0) + soft - soft.detach()
        written.append((weights @ texts)[:, 0])
        writing.blend(weights, points, memory)
    return torch.stack(written, dim=1)


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

    def moved(self, rows: NDArray[np.int64]) -> SequenceGan:
        """A copy for another catalogue. rows: (n_items,), where each of its items stood in this one; -1: nowhere."""
        residual = self.generator.residual.detach()
        padded = torch.cat([residual, residual.new_zeros(1, residual.shape[1])])
        moved = copy.deepcopy(self)
        moved.generator.residual = torch.nn.Parameter(padded[torch.from_numpy(rows)])
        return moved

    @torch.inference_mode()
    def scores(self, observation: Observation, retrieval: Retrieval, batch_size: int = 1024) -> NDArray[np.float32]:
        """Logits of what each user takes next, (n, n_items), over the whole catalogue, seen items too.

        Computed in double precision: a user's scores do not depend on the batch. Without a discriminator's veto.
        """
        acting = self.acting(torch.float64)
        items = acting.generator.items(item_table(retrieval, torch.float64))
        histories = torch.from_numpy(observation.histories.astype(np.int64))
        parts = [next_item_logits(acting.generator, items, part) for part in histories.split(batch_size)]
        return torch.cat(parts).numpy()


@dataclass
class GeneratedCandidates:
    """Candidates of which the first `n_generated` places are the generator's, as far as the discriminator accepts it.

    A sequence is offered as its overlapping windows: it is `slate_size + (windows - 1) * window_step` items long, and
    each window is a candidate of its own. For every two places three windows are written; a place that is left over is
    filled with a further page by similarity. The other places are retrieved.
    """

    gan: SequenceGan
    retrieval: Retrieval
    slate_size: int
    n_candidates: int = 8
    n_generated: int = 4
    drawing: Drawing = field(default_factory=lambda: Drawing(temperature=0.3))
    windows: int = 1
    window_step: int = 5
    _retrieved: RetrievalCandidates = field(init=False)
    _table: ItemTable = field(init=False)

    def __post_init__(self) -> None:
        self._retrieved = RetrievalCandidates(self.retrieval, self.slate_size)
        self._table = item_table(self.retrieval)
        room = (len(self.retrieval.vectors) - self.slate_size) // self.window_step  # no sequence repeats an item
        self.windows = min(self.windows, 1 + room)
        self.renew(self.gan)

    def renew(self, gan: SequenceGan) -> None:
        """Propose with these networks from now on (after an update from feedback)."""
        self.gan = gan
        acting = gan.acting(torch.float32)
        self._threshold, self._judge = gan.threshold, Judge.of(acting.discriminator)
        self._generator, self._body = acting.generator, Body.of(acting.generator)
        with torch.inference_mode():
            self._items = acting.generator.items(self._table)
        self._index = ItemIndex.of_products(self._items.points.numpy(), self._items.bias.numpy())

    @torch.inference_mode()
    def candidates(self, observation: Observation) -> Candidates:
        """Accepted sequences first, then pages in their stead, then retrieved pages."""
        pages, sources = self._retrieved.pages(observation, self.n_candidates - self.n_generated)
        written, plausible = self._judged(observation)  # (n, written, slate), (n, written)
        accepted = plausible >= self._threshold
        choose = np.argsort(~accepted, axis=1, kind="stable")[:, : self.n_generated]  # accepted first, in order
        rows = np.arange(len(observation))[:, None]
        passed = accepted[rows, choose]  # (n, g)
        generated = written[rows, choose]
        if not passed.all():
            generated = np.where(passed[:, :, None], generated, self._filler(observation))
        own = np.where(passed, SOURCES.index("generator"), SOURCES.index("similarity")).astype(np.int8)
        judged = np.full((len(observation), self.n_candidates), 0.5, dtype=np.float32)
        judged[:, : self.n_generated] = np.where(passed, plausible[rows, choose], 0.5)
        return Candidates(
            items=np.concatenate([generated, pages], axis=1),
            sources=np.concatenate([own, np.broadcast_to(sources, pages.shape[:2])], axis=1),
            plausibility=judged,
            accepted=float(accepted.mean()),
        )

    def _judged(self, observation: Observation) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Windows int32 (n, k, slate_size), at least 3 for 2 places, and their plausibility (n, k)."""
        written = self.sequences(observation)  # (n, m, length)
        windows = written.unfold(2, self.slate_size, self.window_step)  # (n, m, windows, slate)
        pages = windows.flatten(1, 2).int().numpy()
        views, plausible = pooled_views(observation.histories, self._table), np.empty(pages.shape[:2], np.float32)
        judge_all(
            self._judge, self.retrieval.vectors, views.numpy(), written.numpy(), self.slate_size, self.window_step,
            plausible,
        )  # fmt: skip
        return pages, plausible

    @torch.inference_mode()
    def sequences(self, observation: Observation) -> Tensor:
        """What the generator writes for each user before it is judged, int64 (n, m, length)."""
        m = -(-3 * self.n_generated // (2 * self.windows))
        n, length = len(observation), self.slate_size + (self.windows - 1) * self.window_step
        key = observation.seeds, observation.users, observation.steps
        luck = torch.from_numpy(uniforms(*key, Purpose.GENERATE, m * length)).view(n, m, length)
        noise = torch.from_numpy(normals(*key, Purpose.GENERATE_NOISE, m * NOISE)).view(n, m, NOISE)
        histories = torch.from_numpy(observation.histories)
        written = write(
            self._generator, self._items, self._table.vectors, histories, noise, self._among(observation, length),
            luck, self.drawing,
        )  # (n m, length)  # fmt: skip
        return written.items.view(n, m, length)

    def _among(self, observation: Observation, length: int) -> Shortlist:
        """Items that the user knows, or that cannot be had, only where there are too few others."""
        size = _size(length, len(self.retrieval.vectors))
        points, memory = self._items.points.numpy(), self._items.memory.numpy()
        items, kinds = find(self._body, points, memory, self._index, observation, self.retrieval.shelf, size)
        return Shortlist(torch.from_numpy(items), torch.from_numpy(_LEFT_OUT * (kinds - kinds[:, :1])))

    def _filler(self, observation: Observation) -> NDArray[np.int32]:
        """The pages by similarity that follow the first one, int32 (n, n_generated, slate_size)."""
        s, n_items = self.slate_size, len(self.retrieval.vectors)
        pages = min(self.n_generated + 1, n_items // s)
        ranked = self.retrieval.by_history(observation, pages * s).reshape(len(observation), pages, s)
        return ranked[:, np.arange(1, self.n_generated + 1) % pages]
