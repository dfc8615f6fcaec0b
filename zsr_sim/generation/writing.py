"""The generator at work, compiled: sequences for one user after the other, each item drawn among a shortlist.

It computes what `networks.Generator` says, without the tensors between its layers, which cost more than the layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.compiled import add_product, bare, inlined, law, shared
from zsr_sim.envs.exponential import exponential32
from zsr_sim.envs.tables import F64, I64
from zsr_sim.generation.networks import HEADS, HIDDEN, HOPS, RECENT, Generator, Hop

Reals = NDArray[Any]
"""Of the precision of the networks: float32 or float64."""

_HEAD = HIDDEN // HEADS
_LANES = 16  # numbers in a vector register: rows of keys are as many, or twice, ...
_EPSILON = 1e-5  # of torch's LayerNorm
_SEQUENCES = 4  # whose writing is worth waking another thread


class Body(NamedTuple):
    """A generator's layers, shaped (HOPS, inputs, outputs) and (HOPS, outputs).

    before, amid: (HOPS, 2, HIDDEN), scale and shift of what is normalised before a hop asks, and before it thinks;
    after: (2, HIDDEN), before a point is told. recency: (HOPS, HEADS, RECENT), logits, most recent last.
    """

    before: Reals
    ask: Reals
    ask_bias: Reals
    recency: Reals
    answer: Reals
    answer_bias: Reals
    amid: Reals
    up: Reals
    up_bias: Reals
    down: Reals
    down_bias: Reals
    after: Reals

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator) -> Body:
        """As they are now; questions come scaled."""

        def each(part: Callable[[Hop], Tensor]) -> Reals:
            return torch.stack([part(hop) for hop in generator.hops]).numpy()

        def think(hop: Hop, name: str) -> Tensor:
            return hop.think.get_parameter(name)

        return cls(
            each(lambda hop: torch.stack([hop.norm.weight, hop.norm.bias])),
            each(lambda hop: hop.ask.weight.T / _HEAD**0.5), each(lambda hop: hop.ask.bias / _HEAD**0.5),
            each(lambda hop: hop.recency.flip(1)),
            each(lambda hop: hop.answer.weight.T), each(lambda hop: hop.answer.bias),
            each(lambda hop: torch.stack([think(hop, "0.weight"), think(hop, "0.bias")])),
            each(lambda hop: think(hop, "1.weight").T), each(lambda hop: think(hop, "1.bias")),
            each(lambda hop: think(hop, "4.weight").T), each(lambda hop: think(hop, "4.bias")),
            torch.stack([generator.norm.weight, generator.norm.bias]).numpy(),
        )  # fmt: skip


class Sheet(NamedTuple):
    """Scratch for one user's m sequences of `length` items.

    state, normed, asked: (m, HIDDEN). found: (m, HEADS, HIDDEN / HEADS). wide: (m, 2 HIDDEN). keys: (HOPS, HIDDEN,
    RECENT or more), values: (HOPS, HEADS, RECENT, HIDDEN / HEADS), of the history. own: (HOPS, 2, length, m, HIDDEN),
    keys and values of what is written. weights: (RECENT or more,).
    """

    state: Reals
    normed: Reals
    asked: Reals
    found: Reals
    wide: Reals
    keys: Reals
    values: Reals
    own: Reals
    weights: Reals


@law
def _make_sheet(m: int, length: int, like: Reals) -> Sheet:
    room, kind = -(-(RECENT + length) // _LANES) * _LANES, like.dtype
    return Sheet(
        np.empty((m, HIDDEN), dtype=kind), np.empty((m, HIDDEN), dtype=kind), np.empty((m, HIDDEN), dtype=kind),
        np.empty((m, HEADS, _HEAD), dtype=kind), np.empty((m, 2 * HIDDEN), dtype=kind),
        np.zeros((HOPS, HIDDEN, room), dtype=kind), np.empty((HOPS, HEADS, RECENT, _HEAD), dtype=kind),
        np.empty((HOPS, 2, length, m, HIDDEN), dtype=kind), np.empty(room, dtype=kind),
    )  # fmt: skip


@law
def _gelu(x: float) -> float:
    """Gaussian error linear unit (Hendrycks and Gimpel 2016): x times the normal distribution function.

    To within 1e-7 times x: the error function by Abramowitz and Stegun 1964, 7.1.26.
    """
    z = np.float32(abs(x)) * np.float32(math.sqrt(0.5))
    t = np.float32(1.0) / (np.float32(1.0) + np.float32(0.3275911) * z)
    p = np.float32(-1.453152027) + t * np.float32(1.061405429)
    p = t * (np.float32(0.254829592) + t * (np.float32(-0.284496736) + t * (np.float32(1.421413741) + t * p)))
    tail = np.float32(0.5) * p * exponential32(-z * z)
    share = np.float32(1.0) - tail if x > 0.0 else tail
    return float(x * share)


@bare
def _normalise(rows: Reals, scale: Reals, out: Reals) -> None:
    """Layer normalisation (Ba, Kiros and Hinton 2016) of rows (m, HIDDEN); scale: (2, HIDDEN), and shift."""
    for r in range(rows.shape[0]):
        mean, square = 0.0, 0.0
        for k in range(HIDDEN):
            mean += rows[r, k] / HIDDEN
        for k in range(HIDDEN):
            square += (rows[r, k] - mean) * (rows[r, k] - mean) / HIDDEN
        steep = 1.0 / math.sqrt(square + _EPSILON)
        for k in range(HIDDEN):
            out[r, k] = (rows[r, k] - mean) * steep * scale[0, k] + scale[1, k]


@bare
def _add_layer(rows: Reals, matrix: Reals, bias: Reals, out: Reals) -> None:
    """Add rows (m, k) @ matrix (k, o) + bias (o,) to out (m, o)."""
    for r in range(rows.shape[0]):
        for j in range(bias.shape[0]):
            out[r, j] += bias[j]
        add_product(rows[r], matrix, out[r])


@inlined
def _soften(weights: Reals, recency: Reals) -> None:
    """Turn logits (k,) and these (k,) into shares by softmax; nothing into nothing."""
    most, total = np.float32(-np.inf), np.float32(0.0)
    for j in range(weights.shape[0]):
        weights[j] += recency[j]
        most = weights[j] if weights[j] > most else most
    for j in range(weights.shape[0]):
        weights[j] = exponential32(np.float32(weights[j] - most))
        total += weights[j]
    for j in range(weights.shape[0]):
        weights[j] /= total


@bare
def _look_back(body: Body, sheet: Sheet, hop: int, used: int, t: int) -> None:
    """What each sequence finds among the `used` items of the history and the `t` that are written, into `found`."""
    for r in range(sheet.state.shape[0]):
        for head in range(HEADS):
            low, weights, found = head * _HEAD, sheet.weights, sheet.found[r, head]
            question = sheet.asked[r, low : low + _HEAD]
            width = -(-used // _LANES) * _LANES
            weights[:width] = 0.0
            found[:] = 0.0
            add_product(question, sheet.keys[hop, low : low + _HEAD], weights[:width])
            for s in range(t):
                key, score = sheet.own[hop, 0, s, r, low : low + _HEAD], np.float32(0.0)
                for k in range(_HEAD):
                    score += question[k] * key[k]
                weights[used + s] = score
            first, last = max(used + t - RECENT, 0), used + t
            weights[:first] = 0.0
            _soften(weights[first:last], body.recency[hop, head, RECENT - (last - first) :])
            add_product(weights[:used], sheet.values[hop, head], found)
            for s in range(t):
                weight, value = weights[used + s], sheet.own[hop, 1, s, r, low : low + _HEAD]
                for k in range(_HEAD):
                    found[k] += weight * value[k]


@law
def _points(body: Body, sheet: Sheet, used: int, t: int) -> None:
    """From the items written last (`state`) to the points near which the next ones lie, without noise (`normed`)."""
    found = sheet.found.reshape(sheet.state.shape)
    for hop in range(HOPS):
        _normalise(sheet.state, body.before[hop], sheet.normed)
        sheet.asked[:] = 0.0
        _add_layer(sheet.normed, body.ask[hop], body.ask_bias[hop], sheet.asked)
        _look_back(body, sheet, hop, used, t)
        _add_layer(found, body.answer[hop], body.answer_bias[hop], sheet.state)
        _normalise(sheet.state, body.amid[hop], sheet.normed)
        sheet.wide[:] = 0.0
        _add_layer(sheet.normed, body.up[hop], body.up_bias[hop], sheet.wide)
        for r in range(sheet.wide.shape[0]):
            for k in range(2 * HIDDEN):
                sheet.wide[r, k] = _gelu(sheet.wide[r, k])
        _add_layer(sheet.wide, body.down[hop], body.down_bias[hop], sheet.state)
    _normalise(sheet.state, body.after, sheet.normed)


@law
def probabilities(logits: Reals, temperature: float, top_k: int, nucleus: float, out: F64) -> None:
    """Of items with these logits (size,), which may be minus infinity, into `out` (size,); see `Drawing`."""
    size = logits.shape[0]
    least = np.sort(logits)[size - top_k] if 0 < top_k < size else -np.inf
    most, total = logits.max(), 0.0
    for j in range(size):
        out[j] = exponential32(np.float32((logits[j] - most) / temperature)) if logits[j] >= least else 0.0
        total += out[j]
    for j in range(size):
        out[j] /= total
    if nucleus < 1.0:
        before, kept = 0.0, 0.0
        for j in np.argsort(-out, kind="mergesort"):
            p = out[j]
            if before >= nucleus:  # the item that crosses the line is inside
                out[j] = 0.0
            before += p
            kept += out[j]
        for j in range(size):
            out[j] /= kept


@law
def _remember(sheet: Sheet, memory: Reals, history: I64, first: int) -> None:
    """Lay the keys and values of the history's items, from `first` on, side by side."""
    for hop in range(HOPS):
        for j in range(first, history.shape[0]):
            for k in range(HIDDEN):
                sheet.keys[hop, k, j - first] = memory[history[j], hop, 0, k]
                sheet.values[hop, k // _HEAD, j - first, k % _HEAD] = memory[history[j], hop, 1, k]


@shared(_SEQUENCES)
def write_all(
    begin: int, end: int, body: Body, points: Reals, memory: Reals, vectors: Reals, histories: I64, among: I64,
    bonus: Reals, push: Reals, luck: Reals, temperature: float, top_k: int, nucleus: float, diversity: float,
    log_p: F64, out: I64,
) -> None:  # fmt: skip
    """Write sequences, out: int64 (n, m, length), and the log-probability of each draw (n, m, length).

    points: (n_items, HIDDEN) and memory: (n_items, HOPS, 2, HIDDEN), see `networks.Items`. vectors: (n_items, d), what
    diversity compares. histories: int64 (n, up to RECENT), padded left with -1. among: int64 (n, size), the shortlist,
    and bonus: (n, size), what is added to its logits. push: (n, m, HIDDEN), the noise. luck: (n, m, length), in (0, 1).
    """
    m, length, size = out.shape[1], out.shape[2], among.shape[1]
    sheet = _make_sheet(m, length, points)
    near, alike = np.empty((HIDDEN, size), dtype=points.dtype), np.empty((m, size), dtype=points.dtype)
    logits, p, blocked = np.empty(size, dtype=points.dtype), np.empty(size), np.empty((m, size), dtype=np.bool_)
    for i in range(begin, end):
        history, first = histories[i], (histories[i] < 0).sum()
        _remember(sheet, memory, history, first)
        used = history.shape[0] - first
        blocked[:], alike[:] = False, -1.0
        for k in range(HIDDEN):
            for j in range(size):
                near[k, j] = points[among[i, j], k]
            sheet.state[:, k] = points[history[-1], k] if used else 0.0
        for t in range(length):
            _points(body, sheet, used, t)
            for r in range(m):
                for k in range(HIDDEN):
                    sheet.normed[r, k] += push[i, r, k]
                for j in range(size):
                    logits[j] = bonus[i, j] - (diversity * alike[r, j] if t else 0.0)
                add_product(sheet.normed[r], near, logits)
                for j in range(size):
                    logits[j] = -np.inf if blocked[r, j] else logits[j]
                probabilities(logits, temperature, top_k, nucleus, p)
                pick = _pick(p, luck[i, r, t])
                item, blocked[r, pick] = among[i, pick], True
                out[i, r, t], log_p[i, r, t] = item, math.log(p[pick])
                sheet.state[r] = points[item]
                for hop in range(HOPS):
                    sheet.own[hop, 0, t, r], sheet.own[hop, 1, t, r] = memory[item, hop, 0], memory[item, hop, 1]
                for j in range(size if diversity else 0):
                    cosine = 0.0
                    for k in range(vectors.shape[1]):
                        cosine += vectors[item, k] * vectors[among[i, j], k]
                    alike[r, j] = max(alike[r, j], cosine)


@law
def _pick(p: F64, luck: float) -> int:
    """The item at which the probabilities (size,) add up to `luck` or more; one of those that have any."""
    last, sum_so_far = 0, 0.0
    for j in range(p.shape[0]):
        if p[j] > 0.0:
            last = j
            sum_so_far += p[j]
            if sum_so_far >= luck:
                return j
    return last
