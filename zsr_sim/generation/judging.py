"""The discriminator at work, compiled: one user after the other, all of a user's windows beside each other.

It computes what `networks.Discriminator` says. What a user's items are to the recurrent layer is linear in their
vectors, so that a user's history is folded into one matrix for all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from zsr_sim.compiled import bare, law, shared
from zsr_sim.envs.exponential import gelu, sigmoid, tanh
from zsr_sim.envs.tables import F32, I64
from zsr_sim.generation.networks import Discriminator
from zsr_sim.generation.writing import floats
from zsr_sim.products import add_products

_USERS = 16  # whose judging is worth waking another thread


class Judge(NamedTuple):
    """A discriminator's layers, float32, of h hidden units; gates are reset, update and new, as torch has them.

    text: (d, 3 h), and near: (2, d, 3 h), what items and items as the history weighs them mean to the gates.
    gate_bias: (3 h,), with the state's own for reset and update; new_bias: (h,), the state's for new. state: (h, 3 h).
    said: (h, h), whole: (2 d, h), whole_bias: (h,), from state and history to the verdict; last: (h,), last_bias: (1,).
    """

    text: F32
    near: F32
    gate_bias: F32
    new_bias: F32
    state: F32
    said: F32
    whole: F32
    whole_bias: F32
    last: F32
    last_bias: F32

    @classmethod
    @torch.no_grad()
    def of(cls, discriminator: Discriminator) -> Judge:
        """As they are now."""
        gru, verdict = discriminator.gru.get_parameter, discriminator.judge.get_parameter
        inputs, state_bias = gru("weight_ih_l0").T, gru("bias_hh_l0").clone()  # (3 d, 3 h), (3 h,)
        d, h = len(inputs) // 3, len(state_bias) // 3
        new_bias = state_bias[2 * h :].clone()
        state_bias[2 * h :] = 0
        said = verdict("0.weight").T  # (h + 2 d, h)
        layers = (
            inputs[:d], inputs[d:].unflatten(0, (2, d)), gru("bias_ih_l0") + state_bias, new_bias,
            gru("weight_hh_l0").T, said[:h], said[h:], verdict("0.bias"), verdict("2.weight")[0], verdict("2.bias"),
        )  # fmt: skip
        return cls(*(floats(layer) for layer in layers))


class Sheet(NamedTuple):
    """Scratch for one user's m sequences of `length` items, k windows in all.

    texts: (m * length, d). fold: (d, 3 h). read: (m * length, 3 h), what the items say to the gates. state: (k, h).
    gates: (k, 3 h). told: (h,), what the history says to the verdict. verdict: (k, h).
    """

    texts: F32
    fold: F32
    read: F32
    state: F32
    gates: F32
    told: F32
    verdict: F32


@law
def _make_sheet(items: int, k: int, judge: Judge) -> Sheet:
    (d, gates), h = judge.text.shape, judge.last.shape[0]
    return Sheet(
        np.empty((items, d), dtype=np.float32), np.empty((d, gates), dtype=np.float32),
        np.empty((items, gates), dtype=np.float32), np.empty((k, h), dtype=np.float32),
        np.empty((k, gates), dtype=np.float32), np.empty(h, dtype=np.float32), np.empty((k, h), dtype=np.float32),
    )  # fmt: skip


@bare
def _meet(view: F32, vectors: F32, written: I64, judge: Judge, sheet: Sheet) -> None:
    """Read a user's items (m * length) in the light of a history (2 d,)."""
    d, gates = judge.text.shape
    for k in range(d):
        lasting, recent = view[k], view[d + k]
        for g in range(gates):
            sheet.fold[k, g] = judge.text[k, g] + lasting * judge.near[0, k, g] + recent * judge.near[1, k, g]
    for i in range(written.shape[0]):
        for k in range(d):
            sheet.texts[i, k] = vectors[written[i], k]
        for g in range(gates):
            sheet.read[i, g] = judge.gate_bias[g]
    add_products(sheet.texts, sheet.fold, sheet.read)
    for j in range(judge.last.shape[0]):
        sheet.told[j] = judge.whole_bias[j]
    for k in range(2 * d):
        for j in range(judge.last.shape[0]):
            sheet.told[j] += view[k] * judge.whole[k, j]
    sheet.state[:] = 0.0


@bare
def _read_on(judge: Judge, sheet: Sheet, row: int, length: int, step: int, windows: int) -> None:
    """One item of each window, the first window's in this row: a gated recurrent unit (Cho et al. 2014)."""
    h = judge.last.shape[0]
    sheet.gates[:] = 0.0
    add_products(sheet.state, judge.state, sheet.gates)
    for k in range(sheet.state.shape[0]):
        read = sheet.read[row + k // windows * length + k % windows * step]
        state, gates = sheet.state[k], sheet.gates[k]
        for j in range(h):
            reset, update = sigmoid(gates[j] + read[j]), sigmoid(gates[h + j] + read[h + j])
            new = tanh(read[2 * h + j] + reset * (gates[2 * h + j] + judge.new_bias[j]))
            state[j] = new + update * (state[j] - new)


@bare
def _judge(judge: Judge, sheet: Sheet, out: F32) -> None:
    """Add the logits of the windows up to here, (k,)."""
    for k in range(out.shape[0]):
        for j in range(judge.last.shape[0]):
            sheet.verdict[k, j] = sheet.told[j]
    add_products(sheet.state, judge.said, sheet.verdict)
    for k in range(out.shape[0]):
        logit = judge.last_bias[0]
        for j in range(judge.last.shape[0]):
            logit += gelu(sheet.verdict[k, j]) * judge.last[j]
        out[k] += logit


@shared(_USERS)
def judge_all(
    begin: int, end: int, judge: Judge, vectors: F32, views: F32, written: I64, slate: int, step: int, out: F32
) -> None:
    """Plausibility, out: (n, k), of the windows of `slate` items that begin every `step` items of each sequence.

    vectors: (n_items, d). views: (n, 2 d), see `gan.pooled_views`. written: int64 (n, m, length).
    """
    (m, length), k = written.shape[1:], out.shape[1]
    sheet = _make_sheet(m * length, k, judge)
    for i in range(begin, end):
        _meet(views[i], vectors, written[i].reshape(m * length), judge, sheet)
        out[i] = 0.0
        for s in range(slate):
            _read_on(judge, sheet, s, length, step, k // m)
            _judge(judge, sheet, out[i])
        for w in range(k):
            out[i, w] = sigmoid(np.float32(out[i, w] / np.float32(slate)))
