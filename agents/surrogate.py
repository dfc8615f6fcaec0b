"""How a policy gradient draws, and what it goes down: PPO's clipped surrogate or REINFORCE's, values' error, entropy.

Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7 and 9. Compiled together with the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from zsr_sim.agents.scoring import BLOCK, back, judge, layers, learn, make_sheet
from zsr_sim.compiled import batched, law, shared
from zsr_sim.envs.exponential import exponential
from zsr_sim.envs.tables import F32, F64, I64

_PART = 64  # pages whose gradients are added up together: the sum does not depend on who adds them


@dataclass(frozen=True)
class Pages:
    """Pages that were shown, and what was known then; a row for each.

    pages: float32 (k, candidates, N_READ) and context: float32 (k, N_CONTEXT), see `relations`. actions: int64 (k,),
    which candidate was shown. log_p: float32 (k,), the logarithm of its probability. values: float32 (k,), of the
    situation.
    """

    pages: F32
    context: F32
    actions: I64
    log_p: F32
    values: F32

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All rows of these, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def descend(
    weights: F32, hidden: int, pages: Pages, rows: I64, gain: F32, targets: F32, clip: float, entropy: float,
    plain: bool,
) -> tuple[F32, dict[str, float]]:  # fmt: skip
    """Gradients of the mean loss over these rows of the pages by a scorer's weights, and the loss's parts.

    The gradients, float32 (parts, weights), are to be added up. hidden: the scorer's. gain: float32 (rows,),
    advantages, and targets: float32 (rows,), returns to come. clip: of the probability ratio. entropy: weight of its
    bonus. plain: REINFORCE (Williams 1992), gain times log-probability, instead of PPO.
    """
    parts = -(-len(rows) // _PART)
    gradients, sums = np.zeros((parts, len(weights)), dtype=np.float32), np.zeros((parts, 4))
    _descend(
        pages.pages, pages.context, pages.actions, pages.log_p, rows, gain, targets, clip, entropy, plain, weights,
        hidden, gradients, sums,
    )  # fmt: skip
    names = ("policy_loss", "value_loss", "entropy", "clipped")
    return gradients, dict(zip(names, (sums.sum(axis=0) / len(rows)).tolist(), strict=True))


@batched
def draw(begin: int, end: int, logits: F32, luck: F64, actions: I64, log_p: F32) -> None:
    """Draw a candidate for each user from the softmax of logits (n, c) by uniform luck (n, 1).

    Its row goes into actions (n,), the logarithm of its probability into log_p (n,).
    """
    chances = np.empty(logits.shape[1])
    for u in range(begin, end):
        most, total, action = np.float64(logits[u].max()), 0.0, 0
        for c in range(len(chances)):
            total += exponential(logits[u, c] - most)
            chances[c] = total
        for c in range(len(chances) - 1):
            action += chances[c] < luck[u, 0] * total
        actions[u], log_p[u] = action, logits[u, action] - most - math.log(total)


@law
def _surrogate(
    logits: F32, p: F32, action: int, old: float, gain: float, clip: float, entropy: float, plain: bool, share: float,
    sums: F64,
) -> None:  # fmt: skip
    """Put the gradient of `share` times one page's loss by its logits into p (c,), and add its parts to sums."""
    count, most, total, spread = logits.shape[0], logits.max(), 0.0, 0.0
    for c in range(count):
        p[c] = exponential(logits[c] - most)
        total += p[c]
    level = most + math.log(total)
    for c in range(count):
        p[c] /= total
        spread -= p[c] * (logits[c] - level)
    taken = logits[action] - level
    ratio = exponential(taken - old)
    off = abs(ratio - 1.0) > clip
    if plain:
        loss, pull = -taken * gain, gain
    else:
        clipped = min(max(ratio, 1.0 - clip), 1.0 + clip) * gain
        loss, pull = -min(ratio * gain, clipped), 0.0 if off and clipped < ratio * gain else ratio * gain
    for c in range(count):
        slope = p[c] * (pull + entropy * (logits[c] - level + spread))
        p[c] = share * (slope - pull if c == action else slope)
    sums[0] += loss
    sums[2] += spread
    sums[3] += off


@shared(2)
def _descend(
    begin: int, end: int, pages: F32, context: F32, actions: I64, log_p: F32, rows: I64, gain: F32, targets: F32,
    clip: float, entropy: float, plain: bool, weights: F32, hidden: int, gradients: F32, sums: F64,
) -> None:  # fmt: skip
    """Parts of the gradients (parts, weights) and of the sums (parts, 4) of the loss's terms."""
    sheet, share, network = make_sheet(pages.shape[1], hidden, BLOCK), 1.0 / len(rows), layers(weights, hidden)
    backwards = back(network)
    for part in range(begin, end):
        out = layers(gradients[part], hidden)
        last = min((part + 1) * _PART, len(rows))
        for low in range(part * _PART, last, BLOCK):
            users = rows[low : min(low + BLOCK, last)]
            if len(users) < BLOCK:  # the very last ones
                sheet = make_sheet(pages.shape[1], hidden, len(users))
            judge(pages, context, users, network, sheet)
            for u, row in enumerate(users):
                t = low + u
                _surrogate(
                    sheet.logits[u], sheet.by_logits[u], actions[row], log_p[row], gain[t], clip, entropy, plain,
                    share, sums[part],
                )  # fmt: skip
                error = sheet.values[u] - targets[t]
                sums[part, 1] += error * error
                sheet.values[u] = share * error  # the gradient of half the squared error
            learn(sheet.values, network, backwards, sheet, out)
