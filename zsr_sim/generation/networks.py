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
_TEXT_SCALE = 8.0  # brings the entries of a unit vector of about 64 dimensions to a standard deviation of about 1
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
        return _heads(self.ask(self.norm(state))) / (HIDDEN // HEADS) ** 0.5

    def ago(self, distance: Tensor, hidden: Tensor) -> Tensor:
        """Logits (HEADS, *) of looking `distance` (*) items back where `hidden` (*) does not forbid it."""
        distance, hidden = distance.clamp(0, RECENT - 1), hidden | (distance >= RECENT)
        return self.recency[:, distance].masked_fill(hidden, _HIDDEN_FROM_VIEW)

    def conclude(self, state: Tensor, found: Tensor) -> Tensor:
        """The next state, (n, k, HIDDEN), from what was found (n, HEADS, k, HIDDEN / HEADS)."""
        found = found.transpose(1, 2).reshape(state.shape)
        state = state + self.dropout(self.answer(found))
        out: Tensor = state + self.think(state)
        return out


class Generator(nn.Module):
    """Writes a sequence of points; an item is drawn near each point by softmax over the catalogue.

    item[i] = A (8 x[i]) + residual[i]; bias[i] = w appeal[i] + residual_bias[i];
    state[t] = item[t] after two hops of attention over item[<= t] (as in end-to-end memory networks, Sukhbaatar et al.
    2015: what is remembered are the items, not earlier states, so keys and values of a catalogue are computed once);
    point[t] = norm(state[t]) + C noise; logits of the item after t: point[t] . item[i] + bias[i].
    `appeal` is what a log knows of an item's popularity, 0 for an item that no log has seen.
    """

    def __init__(self, dimensions: int, n_items: int = 0, dropout: float = 0.0) -> None:
        """n_items: of the catalogue that has residuals; 0: of none."""
        super().__init__()
        self.text = nn.Linear(dimensions, HIDDEN)
        self.residual = nn.Parameter(torch.zeros(n_items, HIDDEN + 1))  # (n_items, HIDDEN and bias)
        self.appeal_weight = nn.Parameter(torch.tensor(1.0))
        self.hops = nn.ModuleList([Hop(dropout) for _ in range(HOPS)])
        self.norm = nn.LayerNorm(HIDDEN)
        self.noise = nn.Linear(NOISE, HIDDEN, bias=False)
        self.dropout = nn.Dropout(dropout)

    def items(self, table: ItemTable, keep: Tensor | None = None) -> Items:
        """See a catalogue. keep: bool (n_items,), whose residuals count; None: all.

        Raises InputError where the residuals are of a catalogue of another size.
        """
        points, bias = self.text(_TEXT_SCALE * table.vectors), self.appeal_weight * table.appeal
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
        n, length = sequences.shape
        absent = sequences < 0
        state = self.dropout(items.points[sequences.clamp(min=0)] * ~absent[:, :, None])  # (n, length, HIDDEN)
        memory = self._memory(state)  # of what dropout leaves
        place = torch.arange(length)
        distance = place[:, None] - place[None, :]  # (length, length)
        for h, hop in enumerate(self.hops):
            keys, values = _heads(memory[:, :, h, 0]), _heads(memory[:, :, h, 1])  # (n, HEADS, length, HIDDEN / HEADS)
            logits = hop.question(state) @ keys.transpose(2, 3) + hop.ago(distance, distance < 0)
            logits = logits.masked_fill(absent[:, None, None, :], _HIDDEN_FROM_VIEW)
            state = hop.conclude(state, torch.softmax(logits, dim=3) @ values)
        points: Tensor = self.norm(state)
        return points if noise is None else points + self.noise(noise)[:, None, :]


class Writing:
    """m sequences for each of n histories, as far as they are written; each item costs one step, not a new reading."""

    def __init__(self, generator: Generator, items: Items, histories: Tensor, noise: Tensor) -> None:
        """histories: int64 (n, length), padded left with -1. noise: (n, m, NOISE)."""
        self.generator, self.items = generator, items
        histories = nn.functional.pad(histories[:, -RECENT:], (max(1 - histories.shape[1], 0), 0), value=-1)
        self.absent = histories < 0  # (n, length)
        memory = items.memory[histories.clamp(min=0)]  # (n, length, HOPS, 2, HIDDEN)
        self.memory = [(_heads(memory[:, :, h, 0]).transpose(2, 3), _heads(memory[:, :, h, 1])) for h in range(HOPS)]
        self.own: list[Tensor] = []  # (n, m, HOPS, 2, HIDDEN) of each item written
        last = items.points[histories[:, -1].clamp(min=0)] * ~self.absent[:, -1:]  # (n, HIDDEN)
        self.last = last[:, None, :].expand(-1, noise.shape[1], -1)  # (n, m, HIDDEN)
        self.push = generator.noise(noise)  # (n, m, HIDDEN)

    def points(self) -> Tensor:
        """The points near which the next items lie, (n, m, HIDDEN)."""
        state, t, length = self.last, len(self.own), self.absent.shape[1]
        distance = t + torch.arange(length - 1, -1, -1)
        for h, hop in enumerate(self.generator.hops):
            keys, values = self.memory[h]
            question = hop.question(state)  # (n, HEADS, m, HIDDEN / HEADS)
            logits = question @ keys + hop.ago(distance, distance < 0)[:, None, :]  # (n, HEADS, m, length)
            logits = logits.masked_fill(self.absent[:, None, None, :], _HIDDEN_FROM_VIEW)
            if not t:
                state = hop.conclude(state, torch.softmax(logits, dim=3) @ values)
                continue
            own = torch.stack([memory[:, :, h] for memory in self.own], dim=2)  # (n, m, t, 2, HIDDEN)
            own = own.unflatten(-1, (HEADS, -1)).movedim(4, 1)  # (n, HEADS, m, t, 2, HIDDEN / HEADS)
            back = torch.arange(t - 1, -1, -1)
            mine = (own[..., 0, :] @ question[..., None])[..., 0] + hop.ago(back, back < 0)[:, None, :]
            weights = torch.softmax(torch.cat([logits, mine], dim=3), dim=3)  # (n, HEADS, m, length + t)
            found = weights[..., :length] @ values
            found = found + (weights[..., None, length:] @ own[..., 1, :])[..., 0, :]
            state = hop.conclude(state, found)
        points: Tensor = self.generator.norm(state) + self.push
        return points

    def add(self, items: Tensor) -> None:
        """Go on after these items, int64 (n, m)."""
        self.own.append(self.items.memory[items])
        self.last = self.items.points[items]


def _heads(states: Tensor) -> Tensor:
    """(n, k, HIDDEN) as (n, HEADS, k, HIDDEN / HEADS)."""
    return states.unflatten(2, (HEADS, -1)).transpose(1, 2)


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
