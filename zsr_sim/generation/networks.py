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
_HIDDEN_FROM_VIEW = -1e9  # logits of what attention must not see; finite, so that nothing to see is no NaN


@dataclass(frozen=True)
class ItemTable:
    """What the networks are told of a catalogue.

    vectors: (n_items, d), unit length. appeal: (n_items,), popularity on a log scale, 0 .. 1; 0 for cold items.
    """

    vectors: Tensor
    appeal: Tensor


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
        self.recency = nn.Parameter(torch.zeros(HEADS, RECENT))
        self.think = nn.Sequential(
            nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, 2 * HIDDEN), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(2 * HIDDEN, HIDDEN), nn.Dropout(dropout),
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout)

    def question(self, state: Tensor) -> Tensor:
        """What states (n, k, HIDDEN) look for, (n, HEADS, k, HIDDEN / HEADS), scaled."""
        asked: Tensor = self.ask(self.norm(state)) / (HIDDEN // HEADS) ** 0.5
        return _heads(asked)

    def weights(self, content: Tensor, distance: Tensor, hidden: Tensor) -> Tensor:
        """How much each question heeds each item, (n, HEADS, k, items); nothing at all where everything is hidden.

        content: logits of that shape. distance: int64 (*), how many items back it is. hidden: bool, what must not be
        seen. The shapes of both end in items and broadcast to that of `content` (distance without n and HEADS).
        """
        hidden = hidden | (distance >= RECENT)
        logits = content + self.recency[:, distance.clamp(0, RECENT - 1)]
        # A finite mask, since a softmax of minus infinities is no number; masked again, so that nothing leaks there.
        weights: Tensor = torch.softmax(logits.masked_fill(hidden, _HIDDEN_FROM_VIEW), dim=3).masked_fill(hidden, 0.0)
        return weights

    def conclude(self, state: Tensor, found: Tensor) -> Tensor:
        """The next state, (n, k, HIDDEN), from what was found (n, HEADS, k, HIDDEN / HEADS)."""
        found = found.transpose(1, 2).reshape(state.shape)
        state = state + self.dropout(self.answer(found))
        out: Tensor = state + self.think(state)
        return out


class Generator(nn.Module):
    """Writes a sequence of points; an item is drawn near each point by softmax over the catalogue.

    item[i] = A x[i] + MLP(sqrt(d) x[i]) + residual[i]; bias[i] = w appeal[i] + residual_bias[i];
    state[t] = item[t] after two hops of attention over item[<= t] (as in end-to-end memory networks, Sukhbaatar et al.
    2015: what is remembered are the items, not earlier states, so keys and values of a catalogue are computed once);
    point[t] = norm(state[t]) + C noise; logits of the item after t: point[t] . item[i] + bias[i].
    `appeal` is what a log knows of an item's popularity, 0 for an item that no log has seen.
    """

    def __init__(self, dimensions: int, n_items: int = 0, dropout: float = 0.0) -> None:
        """n_items: of the catalogue that has residuals; 0: of none."""
        super().__init__()
        self.text = nn.Linear(dimensions, HIDDEN)
        self.more = nn.Sequential(nn.Linear(dimensions, 2 * HIDDEN), nn.GELU(), nn.Linear(2 * HIDDEN, HIDDEN))
        self.residual = nn.Parameter(torch.zeros(n_items, HIDDEN + 1))  # (n_items, HIDDEN and bias)
        self.appeal_weight = nn.Parameter(torch.tensor(1.0))
        self.first, self.second = Hop(dropout), Hop(dropout)
        self.norm = nn.LayerNorm(HIDDEN)
        self.noise = nn.Linear(NOISE, HIDDEN, bias=False)
        self.dropout = nn.Dropout(dropout)

    @property
    def hops(self) -> tuple[Hop, ...]:
        """In order."""
        return self.first, self.second

    def items(self, table: ItemTable, keep: Tensor | None = None) -> Items:
        """See a catalogue. keep: bool (n_items,), whose residuals count; None: all.

        Raises InputError where the residuals are of a catalogue of another size.
        """
        scale = table.vectors.shape[1] ** 0.5  # brings the entries of unit vectors to a standard deviation of about 1
        points = self.text(table.vectors) + self.more(scale * table.vectors)
        bias = self.appeal_weight * table.appeal
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
            content = hop.question(state) @ keys.transpose(2, 3)
            state = hop.conclude(state, hop.weights(content, distance, hidden) @ values)
        points: Tensor = self.norm(state)
        return points if noise is None else points + self.noise(noise)[:, None, :]


class Writing:
    """m sequences for each of n histories, as far as they are written; each item costs one step, not a new reading."""

    def __init__(self, generator: Generator, items: Items, histories: Tensor, noise: Tensor) -> None:
        """histories: int64 (n, length), padded left with -1. noise: (n, m, NOISE)."""
        self.generator, self.items = generator, items
        histories = nn.functional.pad(histories[:, -RECENT:], (max(1 - histories.shape[1], 0), 0), value=-1)
        self.absent = histories < 0  # (n, length)
        memory = take(items.memory, histories.clamp(min=0))  # (n, length, HOPS, 2, HIDDEN)
        self.memory = [(_heads(memory[:, :, h, 0]).transpose(2, 3), _heads(memory[:, :, h, 1])) for h in range(HOPS)]
        self.own: list[Tensor] = []  # (n, m, HOPS, 2, HIDDEN) of each item written
        last = take(items.points, histories[:, -1].clamp(min=0)) * ~self.absent[:, -1:]  # (n, HIDDEN)
        self.last = last[:, None, :].expand(-1, noise.shape[1], -1)  # (n, m, HIDDEN)
        self.push = generator.noise(noise)  # (n, m, HIDDEN)

    def points(self) -> Tensor:
        """The points near which the next items lie, (n, m, HIDDEN)."""
        state, t, length = self.last, len(self.own), self.absent.shape[1]
        distance = torch.arange(t + length - 1, -1, -1)[None]  # (1, length + t)
        hidden = nn.functional.pad(self.absent, (0, t))[:, None, None, :]  # (n, 1, 1, length + t)
        for h, hop in enumerate(self.generator.hops):
            keys, values = self.memory[h]
            question = hop.question(state)  # (n, HEADS, m, HIDDEN / HEADS)
            content = question @ keys  # (n, HEADS, m, length)
            if not t:
                state = hop.conclude(state, hop.weights(content, distance, hidden) @ values)
                continue
            own = torch.stack([memory[:, :, h] for memory in self.own], dim=2)  # (n, m, t, 2, HIDDEN)
            own = own.unflatten(-1, (HEADS, -1)).movedim(4, 1)  # (n, HEADS, m, t, 2, HIDDEN / HEADS)
            mine = (own[..., 0, :] @ question[..., None])[..., 0]  # (n, HEADS, m, t)
            weights = hop.weights(torch.cat([content, mine], dim=3), distance, hidden)
            found = weights[..., :length] @ values + (weights[..., None, length:] @ own[..., 1, :])[..., 0, :]
            state = hop.conclude(state, found)
        points: Tensor = self.generator.norm(state) + self.push
        return points

    def add(self, items: Tensor) -> None:
        """Go on after these items, int64 (n, m)."""
        self.own.append(take(self.items.memory, items))
        self.last = take(self.items.points, items)


def take(table: Tensor, rows: Tensor) -> Tensor:
    """table[rows], (*rows, *), with a gradient that adds up in the same order every time, as indexing's does not."""
    found: Tensor = nn.functional.embedding(rows, table.reshape(len(table), -1))
    return found.reshape(*rows.shape, *table.shape[1:])


def _heads(states: Tensor) -> Tensor:
    """(n, k, HIDDEN) as (n, HEADS, k, HIDDEN / HEADS)."""
    heads: Tensor = states.unflatten(2, (HEADS, -1)).transpose(1, 2)
    return heads


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
