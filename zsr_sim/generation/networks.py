"""The two players of the sequence GAN: a generator that writes sequences, a discriminator that judges them.

Both work on points of the item space. The generator adds to an item's text what the log taught about that very item (a
residual), if anything: an item that no log has seen has none, so that any catalogue can be written from and judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zsr_sim.errors import InputError

NOISE = 16  # length of the generator's noise vector
RECENT = 50  # items of a history that the generator reads
HIDDEN, HEADS, HOPS = 64, 2, 2
_DECAYS = (0.9, 0.98)  # of what a hop's heads heed, per item back, before any training
_SHARPNESS = 0.05  # length of an item's point before any training, as a share of sqrt(HIDDEN)
_HUSH = 0.1  # of the usual weights, of layers that should say little before any training
_HIDDEN_FROM_VIEW = -1e9  # logits of what attention must not see; finite, so that nothing to see is no NaN


@dataclass(frozen=True)
class ItemTable:
    """What the networks are told of a catalogue.

    vectors: (n_items, d), unit length. appeal: (n_items,), popularity on a log scale, 0 .. 1; 0 for cold items.
    features: (n_items, e), what the generator reads of each text (`encoders/features.py`); None: the vectors.
    """

    vectors: Tensor
    appeal: Tensor
    features: Tensor | None = None

    @property
    def texts(self) -> Tensor:
        """What the generator reads of the items' texts, (n_items, e)."""
        return self.vectors if self.features is None else self.features


class Items(NamedTuple):
    """A catalogue as a generator sees it.

    points: (n_items, HIDDEN), both what it reads and what it looks for. bias: (n_items,), logits. memory: (n_items,
    HOPS, 2, HIDDEN), keys and values under which each hop remembers an item.
    """

    points: Tensor
    bias: Tensor
    memory: Tensor


class Hop(nn.Module):
    """One look back at the items of a sequence: attention whose logits depend on content and on how long ago it was."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm, self.ask, self.answer = nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.remember = nn.Linear(HIDDEN, 2 * HIDDEN)
        self.recency = nn.Parameter(torch.log(torch.tensor(_DECAYS))[:, None] * torch.arange(RECENT))
        self.think = nn.Sequential(
            nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, 2 * HIDDEN), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(2 * HIDDEN, HIDDEN), nn.Dropout(dropout),
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():  # what is found at first is the mean of the items, recent ones counting more
            for layer, block in ((self.remember, self.remember.weight[HIDDEN:]), (self.answer, self.answer.weight)):
                layer.bias.zero_()
                nn.init.eye_(block)
            _hush(self.think[4])

    def question(self, state: Tensor) -> Tensor:
        """What states (n, k, HIDDEN) look for, (n, HEADS, k, HIDDEN / HEADS), scaled."""
        asked: Tensor = self.ask(self.norm(state)) / (HIDDEN // HEADS) ** 0.5
        return _heads(asked)

    def mask(self, distance: Tensor, hidden: Tensor) -> Tensor:
        """Logits of heeding an item because of its place, (n, HEADS, k, items), next to nothing where it is hidden.

        distance: int64 (*, items), how many items back it is. hidden: bool (n, 1, k or 1, items).
        """
        recency = self.recency[:, distance.clamp(0, RECENT - 1)]  # (HEADS, *, items)
        return recency.masked_fill(hidden | (distance >= RECENT), _HIDDEN_FROM_VIEW)

    def conclude(self, state: Tensor, found: Tensor) -> Tensor:
        """The next state, (n, k, HIDDEN), from what was found (n, HEADS, k, HIDDEN / HEADS)."""
        found = found.transpose(1, 2).reshape(state.shape)
        state = state + self.dropout(self.answer(found))
        out: Tensor = state + self.think(state)
        return out


class Generator(nn.Module):
    """Writes a sequence of points; an item is drawn near each point by softmax over the catalogue.

    item[i] = A x[i] + MLP(sqrt(d) x[i]) + residual[i]; bias[i] = w appeal[i] + residual_bias[i]; x[i]: what the item's
    text tells (`ItemTable.texts`), d: how many of its dimensions have length 1 together, at most HIDDEN;
    state[t] = item[t] after two hops of attention over item[<= t] (as in end-to-end memory networks, Sukhbaatar et al.
    2015: what is remembered are the items, not earlier states, so keys and values of a catalogue are computed once);
    point[t] = norm(state[t]) + C noise; logits of the item after t: point[t] . item[i] + bias[i].
    `appeal` is what a log knows of an item's popularity, 0 for an item that no log has seen.

    Before any training A turns x, of more than HIDDEN dimensions the first ones, the MLP says little, and a hop adds
    the recency-weighted mean: it begins as the cosine with the pooled history. The MLP forgets inputs and units at
    random, so that it cannot learn items by heart. Both serve items that no log has seen: with them these are ranked
    better than by the cosine (README), without either it falls below that in time.
    """

    def __init__(self, dimensions: int, n_items: int = 0, dropout: float = 0.0) -> None:
        """n_items: of the catalogue that has residuals; 0: of none."""
        super().__init__()
        self.text = nn.Linear(dimensions, HIDDEN)
        self.more = nn.Sequential(
            nn.Dropout(dropout / 2), nn.Linear(dimensions, 2 * HIDDEN), nn.GELU(), nn.Dropout(dropout / 2),
            nn.Linear(2 * HIDDEN, HIDDEN),
        )  # fmt: skip
        self.residual = nn.Parameter(torch.zeros(n_items, HIDDEN + 1))  # (n_items, HIDDEN and bias)
        self.appeal_weight = nn.Parameter(torch.tensor(1.0))
        self.first, self.second = Hop(dropout), Hop(dropout)
        self.norm = nn.LayerNorm(HIDDEN)
        self.noise = nn.Linear(NOISE, HIDDEN, bias=False)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            turned = nn.init.orthogonal_(torch.empty(HIDDEN, HIDDEN))  # dropout then takes a little of everything
            self.text.weight.zero_()[:, :HIDDEN] = _SHARPNESS * HIDDEN**0.5 * turned[:, :dimensions]
            self.text.bias.zero_()
            _hush(self.more[4])

    @property
    def hops(self) -> tuple[Hop, ...]:
        """In order."""
        return self.first, self.second

    def items(self, table: ItemTable, keep: Tensor | None = None) -> Items:
        """See a catalogue. keep: bool (n_items,), of which a log taught residual and appeal; None: of all.

        Raises InputError where the residuals are of a catalogue of another size.
        """
        texts = table.texts
        # The first HIDDEN have length 1 together: this brings their entries to a standard deviation of about 1.
        scale = min(texts.shape[1], HIDDEN) ** 0.5
        points = self.text(texts) + self.more(scale * texts)
        bias = self.appeal_weight * (table.appeal if keep is None else table.appeal * keep)
        if len(self.residual):
            if len(self.residual) != len(table.vectors):
                raise InputError(
                    f"this generator was trained on {len(self.residual)} items, the catalogue has "
                    f"{len(table.vectors)}; use SequenceGan.moved for another catalogue"
                )
            residual = self.residual if keep is None else self.residual * keep[:, None]
            points, bias = points + residual[:, :HIDDEN], bias + residual[:, HIDDEN]
        return Items(points, bias, self._memory(points))

    def _memory(self, points: Tensor) -> Tensor:
        """Keys and values of points (*, HIDDEN), (*, HOPS, 2, HIDDEN)."""
        both = [hop.remember(points).unflatten(-1, (2, HIDDEN)) for hop in self.hops]
        return torch.stack(both, dim=-3)

    def forward(self, items: Items, sequences: Tensor, noise: Tensor | None = None) -> Tensor:
        """The point near which the next item lies, after each item of given sequences, (n, length, HIDDEN).

        sequences: int64 (n, length), rows of the catalogue, padded left with -1. noise: (n, NOISE); None: none.
        """
        length = sequences.shape[1]
        absent = sequences < 0
        state = self.dropout(take(items.points, sequences.clamp(min=0)) * ~absent[:, :, None])  # (n, length, HIDDEN)
        memory = self._memory(state)  # of what dropout leaves
        place = torch.arange(length)
        distance = place[:, None] - place[None, :]  # (length, length)
        hidden = absent[:, None, None, :] | (distance < 0)  # (n, 1, length, length)
        for h, hop in enumerate(self.hops):
            keys, values = _heads(memory[:, :, h, 0]), _heads(memory[:, :, h, 1])  # (n, HEADS, length, HIDDEN / HEADS)
            logits = hop.question(state) @ keys.transpose(2, 3) + hop.mask(distance, hidden)
            found = torch.softmax(logits, dim=3) @ values
            # Where all is hidden the softmax is even: without this, what comes first would be told what follows.
            state = hop.conclude(state, found * ~absent[:, None, :, None])
        points: Tensor = self.norm(state)
        return points if noise is None else points + self.noise(noise)[:, None, :]


class Writing:
    """m sequences for each of n histories, as far as they are written; each item costs one step, not a new reading."""

    def __init__(self, generator: Generator, items: Items, histories: Tensor, noise: Tensor) -> None:
        """histories: int64 (n, length), padded left with -1. noise: (n, m, NOISE)."""
        self.generator, self.items = generator, items
        histories = nn.functional.pad(histories[:, -RECENT:], (max(1 - histories.shape[1], 0), 0), value=-1)
        used = int((histories >= 0).sum(dim=1).max()) if len(histories) else 0
        histories = histories[:, -max(used, 1) :]
        self.absent = histories < 0  # (n, length)
        # What is absent is remembered as zero: where a history is empty, attention finds nothing.
        memory = take(items.memory, histories.clamp(min=0)) * ~self.absent[:, :, None, None, None]
        memory = memory.permute(2, 3, 0, 1, 4)  # (HOPS, 2, n, length, HIDDEN)
        self.keys = [_heads(memory[h, 0]).transpose(2, 3).contiguous() for h in range(HOPS)]
        self.values = [_heads(memory[h, 1]).contiguous() for h in range(HOPS)]
        self.own: list[Tensor] = []  # of each item written, keys and values: (HOPS, 2, n, HEADS, m, HIDDEN / HEADS)
        last = take(items.points, histories[:, -1].clamp(min=0)) * ~self.absent[:, -1:]  # (n, HIDDEN)
        self.last = last[:, None, :].expand(-1, noise.shape[1], -1)  # (n, m, HIDDEN)
        self.push = generator.noise(noise)  # (n, m, HIDDEN)

    def points(self) -> Tensor:
        """The points near which the next items lie, (n, m, HIDDEN)."""
        state, t, length = self.last, len(self.own), self.absent.shape[1]
        distance = torch.arange(t + length - 1, -1, -1)[None]  # (1, length + t)
        hidden = nn.functional.pad(self.absent, (0, t))[:, None, None, :]  # (n, 1, 1, length + t)
        for h, hop in enumerate(self.generator.hops):
            question = hop.question(state)  # (n, HEADS, m, HIDDEN / HEADS)
            content = question @ self.keys[h]  # (n, HEADS, m, length)
            if t:  # few and small: products and sums are faster than as many tiny matrices
                mine = torch.stack([(question * memory[h, 0]).sum(dim=3) for memory in self.own], dim=3)
                content = torch.cat([content, mine], dim=3)
            weights = torch.softmax(content + hop.mask(distance, hidden), dim=3)  # (n, HEADS, m, length + t)
            found = weights[..., :length] @ self.values[h]
            for i, memory in enumerate(self.own):
                found = found + weights[..., length + i, None] * memory[h, 1]
            state = hop.conclude(state, found)
        points: Tensor = self.generator.norm(state) + self.push
        return points

    def blend(self, weights: Tensor, points: Tensor, memory: Tensor) -> None:
        """Go on after mixtures of items, of which a gradient can change the weights (n, m, size).

        points: (n, size, HIDDEN), memory: (n, size, HOPS, 2, HIDDEN), of the items that are mixed.
        """
        mixed = (weights @ memory.flatten(2)).unflatten(2, (HOPS, 2, HEADS, -1))
        self.own.append(mixed.permute(2, 3, 0, 4, 1, 5).contiguous())
        self.last = weights @ points


def take(table: Tensor, rows: Tensor) -> Tensor:
    """table[rows], (*rows, *), with a gradient that adds up in the same order every time, as indexing's does not."""
    found: Tensor = nn.functional.embedding(rows, table.reshape(len(table), -1))
    return found.reshape(*rows.shape, *table.shape[1:])


def _heads(states: Tensor) -> Tensor:
    """(n, k, HIDDEN) as (n, HEADS, k, HIDDEN / HEADS)."""
    heads: Tensor = states.unflatten(2, (HEADS, -1)).transpose(1, 2)
    return heads


def _hush(layer: nn.Module) -> None:
    """Let a layer say little until it has learned; zeros would be a saddle, in which it may stay."""
    for parameter in layer.parameters():
        parameter.mul_(_HUSH)


class Discriminator(nn.Module):
    """Judges (history, sequence): a logit per position that the sequence is real up to there."""

    def __init__(self, dimensions: int, hidden: int = 48) -> None:
        super().__init__()
        self.gru = nn.GRU(3 * dimensions, hidden, batch_first=True)
        self.judge = nn.Sequential(nn.Linear(hidden + 2 * dimensions, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, history: Tensor, items: Tensor) -> Tensor:
        """Logits (n, length) from pooled histories (n, 2 d) and item vectors (n, length, d)."""
        n, length, d = items.shape
        views = history.view(n, 1, 2, d)
        near = (views * items[:, :, None, :]).reshape(n, length, 2 * d)  # the items as the history weighs them
        hidden, _ = self.gru(torch.cat([items, near], dim=2))  # (n, length, hidden)
        whole = history[:, None, :].expand(n, length, 2 * d)
        logits: Tensor = self.judge(torch.cat([hidden, whole], dim=2))  # (n, length, 1)
        return logits[:, :, 0]
