"""The candidate-scoring network: it reads how a page relates to a history, so any number of pages and any items do.

Its parameters are torch's; scores and gradients are compiled, one user at a time: a user's scores do not depend on the
batch, and learning from a page takes a fraction of the time that a graph of tensors takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from zsr_sim.compiled import add_product, bare, batched, inlined, law
from zsr_sim.envs.exponential import tanh
from zsr_sim.envs.tables import F32
from zsr_sim.generation.relations import N_CONTEXT, N_READ

_WIDTH = N_READ + N_CONTEXT


class CandidateScorer(nn.Module):
    """Scores each candidate alone and with what the others are like; also values the situation (for the baseline).

    `read` reads each page with the context; `score` sees that, and that less its mean over the candidates; `value`
    sees this mean, the largest over the candidates and the context.
    """

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(_WIDTH, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.score = nn.Linear(2 * hidden, 1)
        self.value = nn.Sequential(nn.Linear(2 * hidden + N_CONTEXT, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.score.weight)  # the first policy draws evenly among the candidates
        nn.init.zeros_(self.score.bias)

    def forward(self, pages: F32, context: F32) -> tuple[F32, F32]:
        """Logits (n, candidates) and values (n,) from `relations`; each user's are the same in any batch."""
        logits, values = np.empty(pages.shape[:2], dtype=np.float32), np.empty(len(pages), dtype=np.float32)
        _score(pages, context, self.layers(), logits, values)
        return logits, values

    def layers(self) -> Layers:
        """The parameters as they are now."""
        first, first_bias, second, second_bias, score, score_bias, value, value_bias, worth, worth_bias = (
            parameter.detach().numpy() for parameter in self.parameters()
        )
        return Layers(
            first.T.copy(), first_bias, second.T.copy(), second_bias, score[0], score_bias, value.T.copy(), value_bias,
            worth[0], worth_bias,
        )  # fmt: skip

    def back(self) -> Back:
        """The parameters that gradients pass, as they are now."""
        return Back(*(self.get_parameter(name).detach().numpy() for name in ("read.2.weight", "value.0.weight")))

    def set_gradients(self, gradients: Layers) -> None:
        """Give the parameters these as their `grad`, added up over the first axis."""
        for parameter, parts in zip(self.parameters(), gradients, strict=True):
            parameter.grad = torch.from_numpy(parts.sum(axis=0).T.copy()).view_as(parameter)


class Layers(NamedTuple):
    """A scorer's parameters as compiled code reads them, or gradients by them with an axis before for parts of a batch.

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

    def gradients(self, parts: int) -> Layers:
        """Zeros to add to."""
        return Layers(*(np.zeros((parts, *layer.shape), dtype=np.float32) for layer in self))


class Back(NamedTuple):
    """Two of the layers as gradients pass them, (outputs, inputs)."""

    second: F32
    value: F32


class Sheet(NamedTuple):
    """Scratch for one user of c candidates: what each layer says of them, and gradients by that.

    All float32. inputs: (c, N_READ + N_CONTEXT). first, second: (c, h). summary: (2 h + N_CONTEXT,), what the value is
    read of. valued: (h,). logits: (c,). by_...: likewise.
    """

    inputs: F32
    first: F32
    second: F32
    summary: F32
    valued: F32
    logits: F32
    by_first: F32
    by_second: F32
    by_summary: F32
    by_valued: F32
    by_logits: F32


@law
def make_sheet(candidates: int, hidden: int) -> Sheet:
    """For users of so many candidates and networks so wide."""
    summary = 2 * hidden + N_CONTEXT
    return Sheet(
        np.empty((candidates, _WIDTH), dtype=np.float32), np.empty((candidates, hidden), dtype=np.float32),
        np.empty((candidates, hidden), dtype=np.float32),
        np.empty(summary, dtype=np.float32), np.empty(hidden, dtype=np.float32),
        np.empty(candidates, dtype=np.float32), np.empty((candidates, hidden), dtype=np.float32),
        np.empty((candidates, hidden), dtype=np.float32), np.empty(summary, dtype=np.float32),
        np.empty(hidden, dtype=np.float32), np.empty(candidates, dtype=np.float32),
    )  # fmt: skip


@inlined
def _layer(row: F32, matrix: F32, bias: F32, out: F32) -> None:
    """Put tanh(row (k,) @ matrix (k, m) + bias (m,)) into out (m,)."""
    for j in range(out.shape[0]):
        out[j] = bias[j]
    add_product(row, matrix, out)
    for j in range(out.shape[0]):
        out[j] = tanh(out[j])


@bare
def judge(pages: F32, context: F32, layers: Layers, sheet: Sheet) -> float:
    """Fill the sheet from one user's pages (c, N_READ) and context (N_CONTEXT,); the value of the situation."""
    count, hidden = pages.shape[0], layers.first_bias.shape[0]
    for c in range(count):
        for k in range(N_READ):
            sheet.inputs[c, k] = pages[c, k]
        for k in range(N_CONTEXT):
            sheet.inputs[c, N_READ + k] = context[k]
        _layer(sheet.inputs[c], layers.first, layers.first_bias, sheet.first[c])
        _layer(sheet.first[c], layers.second, layers.second_bias, sheet.second[c])
    mean, largest = sheet.summary[:hidden], sheet.summary[hidden : 2 * hidden]
    for j in range(hidden):
        mean[j], largest[j] = 0.0, -2.0
    for c in range(count):
        for j in range(hidden):
            said = sheet.second[c, j]
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
            logit += sheet.second[c, j] * (own[j] + other[j])
        sheet.logits[c] = logit
    for k in range(N_CONTEXT):
        sheet.summary[2 * hidden + k] = context[k]
    _layer(sheet.summary, layers.value, layers.value_bias, sheet.valued)
    value: float = layers.worth_bias[0]
    for j in range(hidden):
        value += sheet.valued[j] * layers.worth[j]
    return value


@bare
def _back_from_value(by_value: float, layers: Layers, back: Back, sheet: Sheet, out: Layers, part: int) -> None:
    """From the value to the summary, adding to the gradients of the layers between them."""
    slope = np.float32(by_value)
    out.worth_bias[part, 0] += slope
    for j in range(sheet.valued.shape[0]):
        out.worth[part, j] += slope * sheet.valued[j]
        sheet.by_valued[j] = slope * layers.worth[j] * (np.float32(1.0) - sheet.valued[j] * sheet.valued[j])
        out.value_bias[part, j] += sheet.by_valued[j]
    for k in range(sheet.summary.shape[0]):
        sheet.by_summary[k] = 0.0
        for j in range(sheet.valued.shape[0]):
            out.value[part, k, j] += sheet.summary[k] * sheet.by_valued[j]
    add_product(sheet.by_valued, back.value, sheet.by_summary)


@bare
def _back_from_logits(layers: Layers, sheet: Sheet, out: Layers, part: int) -> None:
    """From the logits and the summary to what was read of the pages, before its tanh."""
    count, hidden = sheet.second.shape
    total = np.float32(0.0)
    for c in range(count):
        total += sheet.by_logits[c]
    out.score_bias[part, 0] += total
    own, other, mean = layers.score[:hidden], layers.score[hidden:], sheet.summary[:hidden]
    by_own, by_other = out.score[part, :hidden], out.score[part, hidden:]
    by_mean, by_largest, largest = sheet.by_summary[:hidden], sheet.by_summary[hidden:], sheet.summary[hidden:]
    for j in range(hidden):
        by_other[j] -= total * mean[j]
    for c in range(count):
        slope = sheet.by_logits[c]
        for j in range(hidden):
            by_own[j] += slope * sheet.second[c, j]
            by_other[j] += slope * sheet.second[c, j]
            by = slope * (own[j] + other[j]) + (by_mean[j] - total * other[j]) / np.float32(count)
            first = sheet.second[c, j] == largest[j]  # of the largest: it alone was read
            by += by_largest[j] if first else np.float32(0.0)
            by_largest[j] = np.float32(0.0) if first else by_largest[j]
            sheet.by_second[c, j] = by * (np.float32(1.0) - sheet.second[c, j] * sheet.second[c, j])


@bare
def learn(by_value: float, layers: Layers, back: Back, sheet: Sheet, out: Layers, part: int) -> None:
    """Add one user's gradients to a part of `out`, from those by the logits (in the sheet, judged) and by the value."""
    _back_from_value(by_value, layers, back, sheet, out, part)
    _back_from_logits(layers, sheet, out, part)
    count, hidden = sheet.second.shape
    for c in range(count):
        for j in range(hidden):
            out.second_bias[part, j] += sheet.by_second[c, j]
            sheet.by_first[c, j] = 0.0
        add_product(sheet.by_second[c], back.second, sheet.by_first[c])
        for j in range(hidden):
            sheet.by_first[c, j] *= np.float32(1.0) - sheet.first[c, j] * sheet.first[c, j]
            out.first_bias[part, j] += sheet.by_first[c, j]
    for i in range(hidden):
        add_product(sheet.first[:, i], sheet.by_second, out.second[part, i])
    for k in range(_WIDTH):
        add_product(sheet.inputs[:, k], sheet.by_first, out.first[part, k])


@batched
def _score(begin: int, end: int, pages: F32, context: F32, layers: Layers, logits: F32, values: F32) -> None:
    sheet = make_sheet(pages.shape[1], len(layers.first_bias))
    for i in range(begin, end):
        values[i] = judge(pages[i], context[i], layers, sheet)
        logits[i] = sheet.logits
