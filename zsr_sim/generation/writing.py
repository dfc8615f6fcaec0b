"""The generator at work, compiled: one user after the other, all of a user's sequences beside each other.

It computes what `networks.Generator` says, in single precision, without the tensors between its layers, which cost more
than the layers. A user's sequences are the same in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from zsr_sim.compiled import bare, inlined, law, shared
from zsr_sim.envs.exponential import exponential32, gelu
from zsr_sim.envs.tables import F32, F64, I32, I64
from zsr_sim.generation.networks import HEADS, HIDDEN, HOPS, RECENT, Generator, Hop
from zsr_sim.products import LANES, add_products, tile

_HEAD = HIDDEN // HEADS
_EPSILON = 1e-5  # of torch's LayerNorm
_add_scores, _add_found = tile(1, LANES), tile(1, _HEAD)  # of what one sequence has written
_USERS = 4  # whose writing is worth waking another thread


class Body(NamedTuple):
    """A generator's layers, float32, shaped (HOPS, inputs, outputs) and (HOPS, outputs).

    before, amid: (HOPS, 2, HIDDEN), scale and shift of what is normalised before a hop asks, and before it thinks;
    after: (2, HIDDEN), before a point is told. recency: (HOPS, HEADS, RECENT + LANES), logits,
    most recent last, then minus infinity. noise: (NOISE, HIDDEN).
    """

    before: F32
    ask: F32
    ask_bias: F32
    recency: F32
    answer: F32
    answer_bias: F32
    amid: F32
    up: F32
    up_bias: F32
    down: F32
    down_bias: F32
    after: F32
    noise: F32

    @classmethod
    def of(cls, generator: Generator) -> Body:
        """As they are now; questions come scaled."""

        def each(part: Callable[[Hop], Tensor]) -> F32:
            return floats(torch.stack([part(hop) for hop in generator.hops]))

        def think(hop: Hop, name: str) -> Tensor:
            return hop.think.get_parameter(name)

        return cls(
            each(lambda hop: torch.stack([hop.norm.weight, hop.norm.bias])),
            each(lambda hop: hop.ask.weight.T / _HEAD**0.5), each(lambda hop: hop.ask.bias / _HEAD**0.5),
            each(lambda hop: pad(hop.recency.flip(1), (0, LANES), value=-torch.inf)),
            each(lambda hop: hop.answer.weight.T), each(lambda hop: hop.answer.bias),
            each(lambda hop: torch.stack([think(hop, "0.weight"), think(hop, "0.bias")])),
            each(lambda hop: think(hop, "1.weight").T), each(lambda hop: think(hop, "1.bias")),
            each(lambda hop: think(hop, "4.weight").T), each(lambda hop: think(hop, "4.bias")),
            floats(torch.stack([generator.norm.weight, generator.norm.bias])), floats(generator.noise.weight.T),
        )  # fmt: skip


def floats(tensor: Tensor) -> F32:
    """As compiled code reads it."""
    array: F32 = tensor.detach().float().contiguous().numpy()
    return array


class Sheet(NamedTuple):
    """Scratch for one user's m sequences of `length` items.

    state, normed, asked, found, push: (m, HIDDEN). wide: (m, 2 HIDDEN). keys: (HOPS, HIDDEN, RECENT or more) and
    values: (HOPS, RECENT, HIDDEN), of the history. own_keys: (HOPS, m, HIDDEN, length or more) and own_values:
    (HOPS, m, length, HIDDEN), of what is written. weights: (m, RECENT + length or more).
    """

    state: F32
    normed: F32
    asked: F32
    found: F32
    push: F32
    wide: F32
    keys: F32
    values: F32
    own_keys: F32
    own_values: F32
    weights: F32


@law
def _whole(size: int) -> int:
    """As many or more, a multiple of LANES."""
    return -(-size // LANES) * LANES


@law
def make_sheet(m: int, length: int) -> Sheet:
    """For so many sequences of so many items; zeros where whole vectors are read that may be filled in part."""
    return Sheet(
        np.empty((m, HIDDEN), dtype=np.float32), np.empty((m, HIDDEN), dtype=np.float32),
        np.empty((m, HIDDEN), dtype=np.float32), np.empty((m, HIDDEN), dtype=np.float32),
        np.empty((m, HIDDEN), dtype=np.float32), np.empty((m, 2 * HIDDEN), dtype=np.float32),
        np.zeros((HOPS, HIDDEN, _whole(RECENT)), dtype=np.float32),
        np.empty((HOPS, RECENT, HIDDEN), dtype=np.float32),
        np.zeros((HOPS, m, HIDDEN, _whole(length)), dtype=np.float32),
        np.empty((HOPS, m, length, HIDDEN), dtype=np.float32),
        np.zeros((m, _whole(RECENT) + _whole(length)), dtype=np.float32),
    )  # fmt: skip


@bare
def _normalise(rows: F32, scale: F32, out: F32) -> None:
    """Layer normalisation (Ba, Kiros and Hinton 2016) of rows (m, HIDDEN); scale: (2, HIDDEN), and shift."""
    share = np.float32(1 / HIDDEN)
    for r in range(rows.shape[0]):
        mean, square = np.float32(0.0), np.float32(0.0)
        for k in range(HIDDEN):
            mean += rows[r, k]
        mean *= share
        for k in range(HIDDEN):
            square += (rows[r, k] - mean) * (rows[r, k] - mean)
        steep = np.float32(1.0 / math.sqrt(square * share + _EPSILON))
        for k in range(HIDDEN):
            out[r, k] = (rows[r, k] - mean) * steep * scale[0, k] + scale[1, k]


@bare
def _put_layer(rows: F32, matrix: F32, bias: F32, out: F32) -> None:
    """Put rows (m, k) @ matrix (k, o) + bias (o,) into out (m, o)."""
    for r in range(rows.shape[0]):
        for j in range(bias.shape[0]):
            out[r, j] = bias[j]
    add_products(rows, matrix, out)


@inlined
def _soften(weights: F32, recency: F32) -> None:
    """Turn logits (k,) and these (k,) into shares by softmax; nothing into nothing."""
    most, total = np.float32(-np.inf), np.float32(0.0)
    for j in range(weights.shape[0]):
        weights[j] += recency[j]
        most = weights[j] if weights[j] > most else most
    for j in range(weights.shape[0]):
        weights[j] = exponential32(np.float32(weights[j] - most))
        total += weights[j]
    share = np.float32(1.0) / total
    for j in range(weights.shape[0]):
        weights[j] *= share


@bare
def _look_back(body: Body, sheet: Sheet, hop: int, used: int, t: int, rows: int) -> None:
    """What each sequence finds among the `used` items of the history and the `t` that are written, into `found`."""
    width, last = -(-used // LANES) * LANES, used + t
    first, weights = max(last - RECENT, 0), sheet.weights[:rows]
    sheet.found[:rows] = 0.0
    for head in range(HEADS):
        low, high = head * _HEAD, head * _HEAD + _HEAD
        asked, recency = sheet.asked[:rows, low:high], body.recency[hop, head, RECENT - (last - first) :]
        weights[:, :width] = 0.0
        add_products(asked, sheet.keys[hop, low:high, :width], weights[:, :width])
        for r in range(rows):
            keys, values = sheet.own_keys[hop, r, low:high], sheet.own_values[hop, r, :t]
            for s in range(0, t, LANES):
                sheet.weights[r, used + s : used + s + LANES] = 0.0
                _add_scores(asked, keys, weights[:, used:], r, s)
            weights[r, :first] = 0.0
            whole = -(-(last - first) // LANES) * LANES
            _soften(weights[r, first : first + whole], recency[:whole])
            if t:
                _add_found(weights[:, used:], values, sheet.found, r, low)
        add_products(weights[:, :used], sheet.values[hop, :used, low:high], sheet.found[:rows, low:high])


@bare
def _add_layer(rows: F32, matrix: F32, bias: F32, out: F32) -> None:
    """Add rows (m, k) @ matrix (k, o) + bias (o,) to out (m, o)."""
    for r in range(rows.shape[0]):
        for j in range(bias.shape[0]):
            out[r, j] += bias[j]
    add_products(rows, matrix, out)


@law
def tell_points(body: Body, sheet: Sheet, used: int, t: int, rows: int) -> None:
    """From the items written last (`state`) to the points near which the next ones lie, without noise (`normed`).

    used: items of the history. t: items written. rows: of how many sequences, the first ones.
    """
    state, normed, asked, wide = sheet.state[:rows], sheet.normed[:rows], sheet.asked[:rows], sheet.wide[:rows]
    for hop in range(HOPS):
        _normalise(state, body.before[hop], normed)
        asked[:] = 0.0
        _add_layer(normed, body.ask[hop], body.ask_bias[hop], asked)
        _look_back(body, sheet, hop, used, t, rows)
        _add_layer(sheet.found[:rows], body.answer[hop], body.answer_bias[hop], state)
        _normalise(state, body.amid[hop], normed)
        wide[:] = 0.0
        _add_layer(normed, body.up[hop], body.up_bias[hop], wide)
        for r in range(rows):
            for k in range(2 * HIDDEN):
                wide[r, k] = gelu(wide[r, k])
        _add_layer(wide, body.down[hop], body.down_bias[hop], state)
    _normalise(state, body.after, normed)


@law
def probabilities(logits: F32, temperature: float, top_k: int, nucleus: float, out: F32) -> None:
    """Of items with these logits (size,), which may be minus infinity, into `out` (size,); see `Drawing`."""
    size, inverse = logits.shape[0], np.float32(1.0 / temperature)
    least = np.sort(logits)[size - top_k] if 0 < top_k < size else np.float32(-np.inf)
    most, total = np.float32(-np.inf), np.float32(0.0)
    for j in range(size):
        most = logits[j] if logits[j] > most else most
    for j in range(size):
        weight = exponential32(np.float32((logits[j] - most) * inverse))
        out[j] = weight if logits[j] >= least else np.float32(0.0)
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
def _pick(p: F32, luck: float) -> int:
    """The item at which the probabilities (size,) add up to `luck` or more; one of those that have any."""
    size: int = p.shape[0]
    so_far = 0.0
    for begin in range(0, size, LANES):
        end, block = min(begin + LANES, size), np.float32(0.0)
        for j in range(begin, end):
            block += p[j]
        if so_far + block < luck:
            so_far += float(block)
            continue
        for j in range(begin, end):
            so_far += float(p[j])
            if so_far >= luck and p[j] > np.float32(0.0):
                return j
    last = size - 1  # where they add up to a little less than one
    while last > 0 and not p[last] > np.float32(0.0):
        last -= 1
    return last


@law
def remember(sheet: Sheet, points: F32, memory: F32, history: I32) -> int:
    """Read a history (length,), padded left with -1: what of it is used, its last RECENT items at most, into the sheet.

    Returns how many these are. points, memory: see `networks.Items`.
    """
    end = history.shape[0]
    used = min((history >= 0).sum(), RECENT)
    for j in range(used):
        kept = memory[history[end - used + j]]
        for hop in range(HOPS):
            for k in range(HIDDEN):
                sheet.keys[hop, k, j] = kept[hop, 0, k]
                sheet.values[hop, j, k] = kept[hop, 1, k]
    for k in range(HIDDEN):
        sheet.state[0, k] = points[history[end - 1], k] if used else np.float32(0.0)
    return int(used)


@bare
def _note(sheet: Sheet, point: F32, memory: F32, r: int, t: int) -> None:
    """Write down that sequence r goes on with the item of this point (HIDDEN,) and memory (HOPS, 2, HIDDEN)."""
    for k in range(HIDDEN):
        sheet.state[r, k] = point[k]
    for hop in range(HOPS):
        for k in range(HIDDEN):
            sheet.own_keys[hop, r, k, t] = memory[hop, 0, k]
            sheet.own_values[hop, r, t, k] = memory[hop, 1, k]


@bare
def _score(sheet: Sheet, near: F32, left: F32, logits: F32) -> None:
    """Logits (m, size) of the items whose points are near (HIDDEN, size), from `normed`, the noise and what is left."""
    for r in range(left.shape[0]):
        for k in range(HIDDEN):
            sheet.normed[r, k] += sheet.push[r, k]
        for j in range(left.shape[1]):
            logits[r, j] = left[r, j]
    add_products(sheet.normed, near, logits)


@bare
def _compare(vectors: F32, item: int, among: I64, alike: F32) -> None:
    """Keep in `alike` (size,) the greatest cosine of each item among these with any item written."""
    for j in range(among.shape[0]):
        cosine = np.float32(0.0)
        for k in range(vectors.shape[1]):
            cosine += vectors[item, k] * vectors[among[j], k]
        alike[j] = max(alike[j], cosine)


@shared(_USERS)
def write_all(
    begin: int, end: int, body: Body, points: F32, memory: F32, vectors: F32, histories: I32, among: I64, bonus: F32,
    noise: F32, luck: F64, temperature: float, top_k: int, nucleus: float, diversity: float, log_p: F64, out: I64,
) -> None:  # fmt: skip
    """Write sequences, out: int64 (n, m, length), and the log-probability of each draw (n, m, length).

    points: (n_items, HIDDEN) and memory: (n_items, HOPS, 2, HIDDEN), see `networks.Items`. vectors: (n_items, d), what
    diversity compares. histories: int32 (n, any), padded left with -1. among: int64 (n, size), the shortlist, and
    bonus: (n, size), what is added to its logits. noise: (n, m, NOISE). luck: (n, m, length), in (0, 1).
    """
    m, length, size = out.shape[1], out.shape[2], among.shape[1]
    sheet, wide = make_sheet(m, length), _whole(size)
    near, logits = np.zeros((HIDDEN, wide), dtype=np.float32), np.zeros((m, wide), dtype=np.float32)
    left, alike = np.full((m, wide), np.float32(-np.inf)), np.empty((m, size), dtype=np.float32)
    p = np.empty(wide, dtype=np.float32)
    for i in range(begin, end):
        used = remember(sheet, points, memory, histories[i])
        sheet.push[:] = 0.0
        add_products(noise[i], body.noise, sheet.push)
        for j in range(size):
            for k in range(HIDDEN):
                near[k, j] = points[among[i, j], k]
        for r in range(m):
            for j in range(size):
                left[r, j], alike[r, j] = bonus[i, j], np.float32(-1.0)
        for t in range(length):
            if t == 0:  # before the noise, all sequences begin alike
                tell_points(body, sheet, used, t, 1)
                for r in range(1, m):
                    for k in range(HIDDEN):
                        sheet.normed[r, k] = sheet.normed[0, k]
            else:
                tell_points(body, sheet, used, t, m)
            _score(sheet, near, left, logits)
            for r in range(m):
                if diversity and t:
                    for j in range(size):
                        logits[r, j] -= np.float32(diversity) * alike[r, j]
                probabilities(logits[r], temperature, top_k, nucleus, p)
                pick = _pick(p, luck[i, r, t])
                item, left[r, pick] = among[i, pick], -np.inf
                out[i, r, t], log_p[i, r, t] = item, math.log(p[pick])
                _note(sheet, points[item], memory[item], r, t)
                if diversity:
                    _compare(vectors, item, among[i], alike[r])
