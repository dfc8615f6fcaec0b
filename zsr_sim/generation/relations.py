"""How candidate pages relate to their users: what a policy reads, and what the Gymnasium environments observe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched
from zsr_sim.encoders.history import pooled, pooled_twice
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import COMPOSED, PROPOSERS, SOURCES, Candidates
from zsr_sim.generation.index import compare, dot, holds
from zsr_sim.generation.retrieval import Retrieval

_DECAYS = (0.95, 0.6)  # a lasting taste, and what was consumed just now: their difference is what boredom shows in
_LAST = (20, 4)  # how many of the items consumed last a page is held against one by one, most first
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
    begin: int, end: int,
    vectors: NDArray[np.float32], histories: NDArray[np.int32], items: NDArray[np.int32], lasts: NDArray[np.int64],
    lasting: NDArray[np.float32], recent: NDArray[np.float32], means: NDArray[np.float32], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """The mean vector of each page, and its cosines in the order of `Relations.scalars`."""
    slate, d, length = items.shape[2], vectors.shape[1], histories.shape[1]
    share = np.float32(1.0 / slate)
    for i in range(begin, end):
        past = min(lasts[0], (histories[i] >= 0).sum())
        against, cosines = np.empty((past + 2, d), dtype=np.float32), np.empty(past + 2, dtype=np.float32)
        against[past], against[past + 1] = lasting[i], recent[i]
        for back in range(past):
            against[back] = vectors[histories[i, length - 1 - back]]
        for c in range(items.shape[1]):
            mean, row = means[i, c], out[i, c]
            mean[:] = 0.0
            row[:] = 0.0
            row[1] = row[3] = -1.0
            for j in range(slate):
                item = items[i, c, j]
                for k in range(d):
                    mean[k] += vectors[item, k] * share
                compare(against, vectors, item, cosines)
                for view in range(2):
                    row[2 * view] += cosines[past + view] * share
                    row[2 * view + 1] = max(row[2 * view + 1], cosines[past + view])
                for window in range(len(lasts)):
                    best = np.float32(-1.0)
                    for back in range(min(past, lasts[window])):
                        best = max(best, cosines[back])
                    row[4 + window] += best * share
            row[4 + len(lasts)] = dot(mean, mean)
