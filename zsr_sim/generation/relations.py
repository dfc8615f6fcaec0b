"""How candidate pages relate to their users: what a policy reads, and what the Gymnasium environments observe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import bare, batched
from zsr_sim.encoders.history import pooled, pooled_twice
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.tables import F32, I32, I64
from zsr_sim.generation.candidates import COMPOSED, PROPOSERS, SOURCES, Candidates
from zsr_sim.generation.index import dot, holds
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.products import LANES, add_products

_DECAYS = (0.95, 0.6)  # a lasting taste, and what was consumed just now: their difference is what boredom shows in
_LAST = (20, 4)  # how many of the items consumed last a page is held against, most first; multiples of 4
N_COSINES = 2 * len(_DECAYS) + len(_LAST) + 1
"""The first scalars of a page: those that lie in -1 .. 1; the others lie in 0 .. 1."""
N_RELATIONS = N_COSINES + 2 + len(PROPOSERS)
N_READ = N_RELATIONS + 1 + len(COMPOSED)
"""What a policy reads of a page: its relations, the clicks per item that the click model expects, 0 where none was
asked, and which of COMPOSED it is."""
N_CONTEXT = 3
_PROPOSERS, _KINDS = len(PROPOSERS), len(SOURCES)


@dataclass(frozen=True)
class Relations:
    """A batch of users and their candidate pages in numbers, all float32; item vectors have length 1 (or 0).

    lasting, recent: (n, d), the pooled history under slow and fast forgetting, -1 .. 1. means: (n, candidates, d), the
    mean vector of each page, -1 .. 1. scalars: (n, candidates, N_RELATIONS): mean cosine of the page's items with the
    lasting history and the best one, both again with the recent history; mean over its items of the cosine with
    the nearest of the last 20 consumed items, and of the last 4 (-1 without any); coherence (squared length of the
    mean), each -1 .. 1; plausibility and mean appeal, 0 .. 1; the source as 0 or 1 for each of PROPOSERS.
    context: (n, N_CONTEXT): share of the last page that was consumed, pages so far in units of 20 (at most 1), share of
    the history that is used, 0 .. 1.
    """

    lasting: NDArray[np.float32]
    recent: NDArray[np.float32]
    means: NDArray[np.float32]
    scalars: NDArray[np.float32]
    context: NDArray[np.float32]


def relate(observation: Observation, candidates: Candidates, retrieval: Retrieval) -> Relations:
    """Relate each candidate page to its user; a row depends on that user alone, whatever the batch."""
    lasting, recent, means, read = _read(observation, candidates, retrieval)
    scalars = np.ascontiguousarray(read[:, :, :N_RELATIONS])
    return Relations(lasting, recent, means, scalars, context(observation, candidates.items.shape[2]))


def relations(
    observation: Observation, candidates: Candidates, retrieval: Retrieval
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a policy reads of each candidate page, (n, candidates, N_READ), and of the user, (n, N_CONTEXT).

    Relations only, no coordinates of the item space: what is learned on one catalogue holds on another, and it is
    learned faster (films, 41 updates: return +26 % over `similarity`, with products of coordinates beside them 0 %).
    """
    return _read(observation, candidates, retrieval)[3], context(observation, candidates.items.shape[2])


def _read(
    observation: Observation, candidates: Candidates, retrieval: Retrieval
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Lasting and recent taste, the pages' means, as in `Relations`, and what a policy reads of them."""
    lasting, recent = tastes(observation, retrieval)
    n, count, _ = candidates.items.shape
    means = np.empty((n, count, retrieval.vectors.shape[1]), dtype=np.float32)
    read = np.empty((n, count, N_READ), dtype=np.float32)
    expected = np.zeros(candidates.sources.shape, np.float32) if candidates.expected is None else candidates.expected
    _relate(retrieval.vectors, observation.histories, candidates.items, np.array(_LAST), lasting, recent, means, read)
    _tell(
        candidates.items, np.ascontiguousarray(candidates.sources), candidates.plausibility, expected,
        retrieval.appeal, read,
    )  # fmt: skip
    return lasting, recent, means, read


def tastes(observation: Observation, retrieval: Retrieval) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The history under slow and under fast forgetting, float32 (n, d) each.

    The slow one is what the retrieval's history encoder makes of it; what was consumed just now is always pooled.
    """
    slow, fast = _DECAYS
    if retrieval.history is None and observation.profiles is None:
        return pooled_twice(observation.histories, retrieval.vectors, slow, fast)
    return retrieval.read(observation, slow), pooled(observation.histories, retrieval.vectors, fast)


def context(observation: Observation, slate_size: int) -> NDArray[np.float32]:
    """Where each user stands, float32 (n, N_CONTEXT), as in `Relations`."""
    out = np.empty((len(observation), N_CONTEXT), dtype=np.float32)
    _context(observation.histories, observation.shown, observation.steps, slate_size, out)
    return out


@batched
def _context(
    begin: int,
    end: int,
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    steps: NDArray[np.int64],
    slate_size: int,
    out: NDArray[np.float32],
) -> None:
    for i in range(begin, end):
        consumed = histories[i, -slate_size:]
        taken = 0
        for item in shown[i, -slate_size:]:
            taken += item >= 0 and holds(consumed, item)
        out[i, 0] = taken / slate_size
        out[i, 1] = min(steps[i] / 20.0, 1.0)
        out[i, 2] = (histories[i] >= 0).sum() / histories.shape[1]


@batched
def _tell(
    begin: int, end: int, items: NDArray[np.int32], sources: NDArray[np.int8], plausibility: NDArray[np.float32],
    expected: NDArray[np.float32], appeal: NDArray[np.float32], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Bound the cosines of each page in `out` (n, candidates, N_READ), and put what else is read of it after them."""
    for i in range(begin, end):
        for c in range(items.shape[1]):
            row, total = out[i, c], np.float32(0.0)
            for k in range(N_COSINES):  # rounding takes cosines of unit vectors past 1
                row[k] = min(max(row[k], np.float32(-1.0)), np.float32(1.0))
            for item in items[i, c]:
                total += appeal[item]
            row[N_COSINES], row[N_COSINES + 1] = plausibility[i, c], total / items.shape[2]
            for k in range(_KINDS):
                row[N_COSINES + 2 + k + (k >= _PROPOSERS)] = sources[i, c] == k
            row[N_RELATIONS] = expected[i, c]


@batched
def _relate(
    begin: int, end: int, vectors: F32, histories: I32, items: I32, lasts: I64, lasting: F32, recent: F32, means: F32,
    out: F32,
) -> None:  # fmt: skip
    """The mean vector of each page, and its cosines in the order of `Relations.scalars`."""
    count, slate, d, most = items.shape[1], items.shape[2], vectors.shape[1], lasts[0]
    length = histories.shape[1]
    width = -(-(most + 2) // LANES) * LANES
    rows, cosines = np.empty((count * slate, d), dtype=np.float32), np.empty((count * slate, width), dtype=np.float32)
    columns = np.empty((d, width), dtype=np.float32)
    for i in range(begin, end):
        past = min(most, (histories[i] >= 0).sum())
        columns[:] = 0.0
        for back in range(past):
            item = histories[i, length - 1 - back]
            for k in range(d):
                columns[k, back] = vectors[item, k]
        for k in range(d):
            columns[k, most], columns[k, most + 1] = lasting[i, k], recent[i, k]
        for r in range(count * slate):
            item = items[i, r // slate, r % slate]
            for k in range(d):
                rows[r, k] = vectors[item, k]
            for back in range(width):
                cosines[r, back] = -1.0 if past <= back < most else 0.0  # nothing is near what is not there
        add_products(rows, columns, cosines)
        for c in range(count):
            own = slice(c * slate, (c + 1) * slate)
            _sum_up(rows[own], cosines[own], lasts, means[i, c], out[i, c])


@bare
def _sum_up(rows: F32, cosines: F32, lasts: I64, mean: F32, out: F32) -> None:
    """A page's mean vector and its cosines, from its items' vectors (slate, d) and their cosines (slate, width).

    cosines: with what was consumed, the latest first, -1 where there is less; from column lasts[0] on with the tastes.
    """
    share = np.float32(1.0 / rows.shape[0])
    mean[:] = 0.0
    out[:] = 0.0
    out[1] = out[3] = -1.0
    for j in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            mean[k] += rows[j, k] * share
        for view in range(2):
            cosine = cosines[j, lasts[0] + view]
            out[2 * view] += cosine * share
            out[2 * view + 1] = cosine if cosine > out[2 * view + 1] else out[2 * view + 1]
        for window in range(lasts.shape[0]):
            a, b, c, d = cosines[j, 0], cosines[j, 1], cosines[j, 2], cosines[j, 3]
            for back in range(4, lasts[window], 4):  # four at a time: one waits for the other otherwise
                a = cosines[j, back] if cosines[j, back] > a else a
                b = cosines[j, back + 1] if cosines[j, back + 1] > b else b
                c = cosines[j, back + 2] if cosines[j, back + 2] > c else c
                d = cosines[j, back + 3] if cosines[j, back + 3] > d else d
            out[4 + window] += max(max(a, b), max(c, d)) * share
    out[4 + len(lasts)] = dot(mean, mean)
