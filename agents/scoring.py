"""The candidate-scoring network: it reads how a page relates to a history, so any number of pages and any items do.

Its parameters are torch's; scores and gradients are compiled, some users at a time: a user's scores do not depend on
the others, and learning from a page takes a fraction of the time that a graph of tensors takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import nn

from zsr_sim.compiled import bare, batched, inlined, law
from zsr_sim.envs.exponential import tanh
from zsr_sim.envs.tables import F32, I64
from zsr_sim.generation.relations import N_CONTEXT, N_READ
from zsr_sim.products import add_products

BLOCK = 16
"""Users who are judged at a time: enough to keep the multipliers busy, few enough to stay in the cache."""
_WIDTH = N_READ + N_CONTEXT
_ONE = np.float32(1.0)


class CandidateScorer(nn.Module):
    """Scores each candidate alone and with what the others are like; also values the situation (for the baseline).

    `read` reads each page with the context; `score` sees that, and that less its mean over the candidates; `value`
    sees this mean, the largest over the candidates and the context.
    """

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = hidden
        self.read = nn.Sequential(nn.Linear(_WIDTH, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.score = nn.Linear(2 * hidden, 1)
        self.value = nn.Sequential(nn.Linear(2 * hidden + N_CONTEXT, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.score.weight)  # the first policy draws evenly among the candidates
        nn.init.zeros_(self.score.bias)
        self._weights = tuple(self.parameters())  # looking for them takes torch longer than a gradient does

    def forward(self, pages: F32, context: F32) -> tuple[F32, F32]:
        """Logits (n, candidates) and values (n,) from `relations`; each user's are the same in any batch."""
        logits, values = np.empty(pages.shape[:2], dtype=np.float32), np.empty(len(pages), dtype=np.float32)
        _score(pages, context, self.weights(), self.hidden, logits, values)
        return logits, values

    def weights(self) -> F32:
        """A copy of all parameters side by side, float32 (weights,), as `layers` takes them apart."""
        return np.concatenate([weight.detach().numpy().T.ravel() for weight in self._weights])

    def set_weights(self, weights: F32) -> None:
        """The reverse of `weights`."""
        begin = 0
        for weight in self._weights:
            own = weight.detach().numpy().T
            own[...] = weights[begin : begin + own.size].reshape(own.shape)
            begin += own.size


class Layers(NamedTuple):
    """A scorer's parameters as compiled code reads them, or gradients by them.

    float32, shaped (inputs, outputs) and (outputs,). first, second: of `read`, h wide. score: (2 h,). value: (2 h +
    N_CONTEXT, h); worth: (h,), what comes after it.
    """

    first: F32
    first_bias: F32
    second: F32
    second_bias: F32
    score: F32
    score_bias: F32
    value: F32
    value_bias: F32
    worth: F32
    worth_bias: F32


class Back(NamedTuple):
    """Two of the layers as gradients pass them, (outputs, inputs): of the value only what it reads of `read`."""

    second: F32
    value: F32


@law
def layers(weights: F32, hidden: int) -> Layers:
    """Views of the parameters that lie side by side in `weights`, of networks so wide."""
    read, summary = _WIDTH * hidden, 2 * hidden + N_CONTEXT
    second = read + hidden
    score = second + hidden * hidden + hidden
    value = score + 2 * hidden + 1
    worth = value + summary * hidden + hidden
    return Layers(
        weights[:read].reshape(_WIDTH, hidden), weights[read:second],
        weights[second : score - hidden].reshape(hidden, hidden), weights[score - hidden : score],
        weights[score : value - 1], weights[value - 1 : value],
        weights[value : worth - hidden].reshape(summary, hidden), weights[worth - hidden : worth],
        weights[worth : worth + hidden], weights[worth + hidden :],
    )  # fmt: skip


@law
def back(layers: Layers) -> Back:
    """Of these layers."""
    return Back(layers.second.T.copy(), layers.value[: len(layers.score)].T.copy())


class Sheet(NamedTuple):
    """Scratch for b users of c candidates: what each layer says of them, and gradients by that.

    All float32; the candidates of a user are rows one after the other. inputs: (b c, N_READ + N_CONTEXT). first,
    second: (b c, h). summary: (b, 2 h + N_CONTEXT), what the values are read of. valued: (b, h). values: (b,).
    logits: (b, c). by_...: likewise, but by_summary (b, 2 h).
    """

    inputs: F32
    first: F32
    second: F32
    summary: F32
    valued: F32
    values: F32
    logits: F32
    by_first: F32
    by_second: F32
    by_summary: F32
    by_valued: F32
    by_logits: F32


@law
def make_sheet(candidates: int, hidden: int, users: int) -> Sheet:
    """For so many users of so many candidates, and networks so wide."""
    rows, said = users * candidates, 2 * hidden
    return Sheet(
        np.empty((rows, _WIDTH), dtype=np.float32), np.empty((rows, hidden), dtype=np.float32),
        np.empty((rows, hidden), dtype=np.float32), np.empty((users, said + N_CONTEXT), dtype=np.float32),
        np.empty((users, hidden), dtype=np.float32), np.empty(users, dtype=np.float32),
        np.empty((users, candidates), dtype=np.float32), np.empty((rows, hidden), dtype=np.float32),
        np.empty((rows, hidden), dtype=np.float32), np.empty((users, said), dtype=np.float32),
        np.empty((users, hidden), dtype=np.float32), np.empty((users, candidates), dtype=np.float32),
    )  # fmt: skip


@bare
def _layer(rows: F32, matrix: F32, bias: F32, out: F32) -> None:
    """Put tanh(rows (n, k) @ matrix (k, m) + bias (m,)) into out (n, m)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = bias[j]
    add_products(rows, matrix, out)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = tanh(out[i, j])


@bare
def judge(pages: F32, context: F32, users: I64, layers: Layers, sheet: Sheet) -> None:
    """Fill the sheet from pages (n, c, N_READ) and context (n, N_CONTEXT) of these rows, as many as it has room for."""
    count = pages.shape[1]
    for u in range(users.shape[0]):
        for c in range(count):
            row = sheet.inputs[u * count + c]
            for k in range(N_READ):
                row[k] = pages[users[u], c, k]
            for k in range(N_CONTEXT):
                row[N_READ + k] = context[users[u], k]
    _layer(sheet.inputs, layers.first, layers.first_bias, sheet.first)
    _layer(sheet.first, layers.second, layers.second_bias, sheet.second)
    for u in range(users.shape[0]):
        _compare(sheet.second[u * count : (u + 1) * count], layers, sheet.summary[u], sheet.logits[u])
        for k in range(N_CONTEXT):
            sheet.summary[u, 2 * sheet.second.shape[1] + k] = context[users[u], k]
    _layer(sheet.summary, layers.value, layers.value_bias, sheet.valued)
    for u in range(users.shape[0]):
        value = layers.worth_bias[0]
        for j in range(sheet.valued.shape[1]):
            value += sheet.valued[u, j] * layers.worth[j]
        sheet.values[u] = value


@inlined
def _compare(second: F32, layers: Layers, summary: F32, logits: F32) -> None:
    """Mean and largest over one user's candidates into the summary, and their logits."""
    count, hidden = second.shape
    mean, largest = summary[:hidden], summary[hidden : 2 * hidden]
    for j in range(hidden):
        mean[j], largest[j] = 0.0, -2.0
    for c in range(count):
        for j in range(hidden):
            said = second[c, j]
            mean[j] += said
            largest[j] = said if said > largest[j] else largest[j]
    for j in range(hidden):
        mean[j] /= np.float32(count)
    away = layers.score_bias[0]  # the mean's part of every logit
    own, other = layers.score[:hidden], layers.score[hidden:]
    for j in range(hidden):
        away -= mean[j] * other[j]
    for c in range(count):
        logit = away
        for j in range(hidden):
            logit += second[c, j] * (own[j] + other[j])
        logits[c] = logit


@bare
def _back_from_values(by_values: F32, layers: Layers, back: Back, sheet: Sheet, out: Layers) -> None:
    """From the values to the summaries, adding to the gradients of the layers between them."""
    for u in range(by_values.shape[0]):
        slope, by_valued = by_values[u], sheet.by_valued[u]
        out.worth_bias[0] += slope
        for j in range(by_valued.shape[0]):
            said = sheet.valued[u, j]
            out.worth[j] += slope * said
            by_valued[j] = slope * layers.worth[j] * (_ONE - said * said)
            out.value_bias[j] += by_valued[j]
        for k in range(sheet.by_summary.shape[1]):
            sheet.by_summary[u, k] = 0.0
    add_products(sheet.summary.T, sheet.by_valued, out.value)
    add_products(sheet.by_valued, back.value, sheet.by_summary)


@bare
def _back_from_logits(layers: Layers, sheet: Sheet, u: int, out: Layers) -> None:
    """From one user's logits and summary to what was read of the pages, before its tanh.

    Loops over few arrays each: LLVM turns one over many into no vector code, for any two of them might overlap.
    """
    count, hidden = sheet.logits.shape[1], sheet.second.shape[1]
    second, by_second = sheet.second[u * count : (u + 1) * count], sheet.by_second[u * count : (u + 1) * count]
    summary, by_summary, by_logits = sheet.summary[u], sheet.by_summary[u], sheet.by_logits[u]
    by_mean, by_largest, largest = by_summary[:hidden], by_summary[hidden:], summary[hidden:]
    own, other, by_other = layers.score[:hidden], layers.score[hidden:], out.score[hidden:]
    total = np.float32(0.0)
    for c in range(count):
        total += by_logits[c]
    out.score_bias[0] += total
    for j in range(hidden):
        by_other[j] -= total * summary[j]
        by_mean[j] = (by_mean[j] - total * other[j]) / np.float32(count)
    for c in range(count):
        slope = by_logits[c]
        for j in range(hidden):
            by_second[c, j] = slope * (own[j] + other[j]) + by_mean[j]
        for j in range(hidden):
            said = second[c, j]
            first = said == largest[j]  # of the largest: it alone was read
            by = by_second[c, j] + (by_largest[j] if first else np.float32(0.0))
            by_largest[j] = np.float32(0.0) if first else by_largest[j]
            by_second[c, j] = by * (_ONE - said * said)


@bare
def learn(by_values: F32, layers: Layers, back: Back, sheet: Sheet, out: Layers) -> None:
    """Add the users' gradients to `out`, from those by the logits (in the sheet, judged) and by the values.

    by_values: float32 (b,).
    """
    _back_from_values(by_values, layers, back, sheet, out)
    rows, hidden = sheet.second.shape
    for half in (out.score[:hidden], out.score[hidden:]):
        add_products(sheet.by_logits.reshape(1, rows), sheet.second, half.reshape(1, hidden))
    for u in range(by_values.shape[0]):
        _back_from_logits(layers, sheet, u, out)
    for i in range(rows):
        for j in range(hidden):
            out.second_bias[j] += sheet.by_second[i, j]
            sheet.by_first[i, j] = 0.0
    add_products(sheet.by_second, back.second, sheet.by_first)
    for i in range(rows):
        for j in range(hidden):
            sheet.by_first[i, j] *= _ONE - sheet.first[i, j] * sheet.first[i, j]
            out.first_bias[j] += sheet.by_first[i, j]
    add_products(sheet.first.T, sheet.by_second, out.second)
    add_products(sheet.inputs.T, sheet.by_first, out.first)


@batched
def _score(begin: int, end: int, pages: F32, context: F32, weights: F32, hidden: int, logits: F32, values: F32) -> None:
    rows, room, network = np.arange(begin, end), min(BLOCK, end - begin), layers(weights, hidden)
    sheet = make_sheet(pages.shape[1], hidden, room)
    for low in range(0, end - begin, BLOCK):
        users = rows[low : low + BLOCK]
        if len(users) < room:  # the last ones
            room = len(users)
            sheet = make_sheet(pages.shape[1], hidden, room)
        judge(pages, context, users, network, sheet)
        logits[users[0] : users[0] + room] = sheet.logits
        values[users[0] : users[0] + room] = sheet.values
