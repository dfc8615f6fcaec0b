"""Pages composed item by item: the items that the click model finds likeliest, less or more alike.

How much a page should vary is not said: a narrow page earns most where the user is known, a wide one finds out, tires
nobody and rarely fails as a whole. Pages of each kind stand side by side, and the policy learns when to show which.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.tables import F32, I32, I64
from zsr_sim.generation.candidates import COMPOSED, SOURCES, Candidates, CandidateSource
from zsr_sim.generation.clicks import ClickModel, Judge
from zsr_sim.generation.evidence import N_EVIDENCE, Desk, Near, clear, evidence, make_desk, tire, tiredness, weigh
from zsr_sim.generation.index import Shelf, available, holds, note
from zsr_sim.generation.retrieval import Retrieval, most_popular

_READ, _POPULAR, _KEPT = 128, 64, 100  # items that the click model reads, and the likeliest, which pages are made of
_SPARSE = 1.0  # evidence that is next to none
_WEIGHTS = np.array(list(COMPOSED.values()), dtype=np.float32)


@dataclass
class ComposedCandidates:
    """Candidates of which the first are composed, in the kinds of COMPOSED; the others are those of another source.

    Each page is chosen greedily, next the item of largest log-odds - weight * (cosine with the nearest item on the
    page), by maximal marginal relevance (Carbonell and Goldstein 1998), the weights those of COMPOSED; the likeliest
    item comes first. All pages are judged by the click model: `expected`, `evidence`.
    """

    rest: CandidateSource
    model: ClickModel
    n_composed: int = len(COMPOSED)
    _near: Near = field(init=False)
    _judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self._near = Near.of(self.retrieval, self.slate_size)
        self.renew(self.model)

    def renew(self, model: ClickModel) -> None:
        """Compose by this model from now on (it has learned)."""
        self.model, self._judge = model, model.judge(self.slate_size)

    @property
    def n_candidates(self) -> int:
        """Pages that stand side by side."""
        return self.n_composed + self.rest.n_candidates

    @property
    def slate_size(self) -> int:
        """Items on a page."""
        return self.rest.slate_size

    @property
    def retrieval(self) -> Retrieval:
        """The catalogue that the pages are made of."""
        return self.rest.retrieval

    def candidates(self, observation: Observation) -> Candidates:
        """Composed pages, then the others."""
        others, k = self.rest.candidates(observation), self.n_composed
        n, shape = len(observation), (len(observation), self.n_candidates, self.slate_size)
        items = np.empty(shape, dtype=np.int32)
        items[:, k:] = others.items
        read = np.empty((*shape, N_EVIDENCE), dtype=np.float32)
        expected = np.empty(shape[:2], dtype=np.float32)
        retrieval = self.retrieval
        _compose(
            self._near, self._judge, retrieval.vectors, retrieval.by_rank, retrieval.shelf, _WEIGHTS[:k],
            observation.histories, observation.shown, observation.steps, items, read, expected,
        )  # fmt: skip
        own = np.broadcast_to(np.array([SOURCES.index(name) for name in COMPOSED][:k], dtype=np.int8), (n, k))
        return dataclasses.replace(
            others,
            items=items,
            sources=np.concatenate([own, others.sources], axis=1),
            plausibility=np.concatenate([np.full((n, k), 0.5, dtype=np.float32), others.plausibility], axis=1),
            expected=expected,
            evidence=read,
        )


@law
def _log_odds(judge: Judge, x: F32, items: I32, out: F32) -> None:
    """Of a click on each item (k,) with evidence x (k, N_EVIDENCE), into `out` (k,).

    The hidden layer, a power of two wide, is added up half to half: its own sum would be ordered by the compiler, one
    way where this law is compiled and another where it is read from the cache with its caller.
    """
    hidden = np.empty(judge.bias.shape[0], dtype=np.float32)
    for t in range(items.shape[0]):
        total = judge.level[0] + judge.attraction[items[t]]
        for h in range(hidden.shape[0]):
            hidden[h] = judge.bias[h]
        for e in range(N_EVIDENCE):
            value = x[t, e]
            total += judge.direct[e] * value
            for h in range(hidden.shape[0]):
                hidden[h] += judge.hidden[e, h] * value
        for h in range(hidden.shape[0]):
            hidden[h] = judge.score[h] * max(hidden[h], np.float32(0.0))
        half = hidden.shape[0] // 2
        while half > 0:
            for h in range(half):
                hidden[h] += hidden[h + half]
            half //= 2
        out[t] = total + hidden[0]


@law
def _shortlist(values: F32, count: int, k: int, out: I64) -> int:
    """Which of the first `count` values are the k largest, in their order, into `out` (k,) or longer; how many."""
    least, found = -np.inf, 0
    if count > k:
        least = np.partition(values[:count], count - k)[count - k]
    for t in range(count):
        if values[t] >= least and found < k:
            out[found] = t
            found += 1
    return found


@law
def _likeliest(
    near: Near, judge: Judge, by_rank: I32, shelf: Shelf, step: int, desk: Desk, count: int, told: F32, tired: F32,
    pool: I32, odds: F32,
) -> int:  # fmt: skip
    """Put the likeliest new items and their log-odds into pool and odds (_KEPT,); how many.

    The click model reads those neighbours of the history for which most speaks, narrow evidence over what was passed
    over nearby, and the most popular of the others.
    """
    items, values = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.float32)
    rows, found = np.empty(_READ, dtype=np.int64), 0
    for t in range(count):
        item = desk.touched[t]
        if desk.page[item] == 0:
            items[found], values[found] = item, desk.sums[item, 1] / (desk.sums[item, 7] + _SPARSE)
            found += 1
    if shelf.released.shape[0] > 0:
        there = 0
        for t in range(found):
            if available(items[t], step, shelf):
                items[there], values[there] = items[t], values[t]
                there += 1
        found = there
    found = _shortlist(values, found, _READ, rows)
    read = np.empty(found + _POPULAR, dtype=np.int32)
    read[:found] = items[rows[:found]]
    near_ones = found
    for item in by_rank:
        if found == len(read):
            break
        new = desk.page[item] == 0 and available(item, step, shelf)
        if new and not holds(read[:near_ones], item):
            read[found] = item
            found += 1
    read, values, rows = read[:found], np.empty(found, dtype=np.float32), np.empty(found, dtype=np.int64)
    x = np.empty((found, N_EVIDENCE), dtype=np.float32)
    evidence(near, read, desk, told, x)
    tiredness(read, judge.subjects, tired, x)
    _log_odds(judge, x, read, values)
    found = _shortlist(values, found, pool.shape[0], rows)
    for t in range(found):
        pool[t], odds[t] = read[rows[t]], values[rows[t]]
    return found


@law
def _vary(vectors: F32, pool: I32, odds: F32, count: int, weight: float, out: I32, likeness: F32) -> None:
    """Choose a page `out` (slate,) of the first `count` items of the pool, the likeliest first.

    likeness: float32 (count, count), cosines of the pool's items, rows filled where they are needed; -2: not yet.
    """
    slate = out.shape[0]
    chosen, best_cosine = np.empty(slate, dtype=np.int64), np.zeros(count, dtype=np.float32)
    value = odds[:count].copy()
    for s in range(slate):
        pick = int(np.argmax(value))
        chosen[s] = pick
        value[pick] = -np.inf
        if weight > 0.0:
            if likeness[pick, 0] < -1.5:
                _liken(vectors, pool, count, pick, likeness[pick])
            for t in range(count):
                if likeness[pick, t] > best_cosine[t]:
                    value[t] -= weight * (likeness[pick, t] - best_cosine[t])
                    best_cosine[t] = likeness[pick, t]
    chosen = chosen[np.argsort(-odds[chosen], kind="mergesort")]
    for s in range(slate):
        out[s] = pool[chosen[s]]


@law
def _liken(vectors: F32, pool: I32, count: int, pick: int, out: F32) -> None:
    for t in range(count):
        cosine = np.float32(0.0)
        for k in range(vectors.shape[1]):
            cosine += vectors[pool[t], k] * vectors[pool[pick], k]
        out[t] = cosine


@batched
def _compose(
    begin: int, end: int, near: Near, judge: Judge, vectors: F32, by_rank: I32, shelf: Shelf, weights: F32,
    histories: I32, shown: I32, steps: NDArray[np.int64], items: I32, read: F32, expected: F32,
) -> None:  # fmt: skip
    """Fill the first pages of items (n, candidates, slate), and judge them all: read, expected."""
    n_items, slate, k = len(vectors), items.shape[2], len(weights)
    desk, met = make_desk(n_items, vectors.shape[1]), np.zeros(n_items, dtype=np.bool_)
    told, chances = np.empty(3, dtype=np.float32), np.empty(slate, dtype=np.float32)
    tired = np.empty(judge.subjects.shape[1], dtype=np.float32)
    pool, odds = np.empty(_KEPT, dtype=np.int32), np.empty(_KEPT, dtype=np.float32)
    likeness = np.empty((_KEPT, _KEPT), dtype=np.float32)
    for i in range(begin, end):
        count = weigh(near, histories[i], shown[i], steps[i], desk, told)
        tire(histories[i], desk, judge.subjects, judge.memory[0], tired)
        kept = _likeliest(near, judge, by_rank, shelf, steps[i], desk, count, told, tired, pool, odds)
        likeness[:, 0] = -2.0
        for c in range(k):
            if kept < slate:  # next to nothing is new to the user
                note(met, histories[i], shown[i], True)
                most_popular(by_rank, steps[i], shelf, met, items[i, c])
                note(met, histories[i], shown[i], False)
            else:
                _vary(vectors, pool, odds, kept, weights[c], items[i, c], likeness)
        for c in range(items.shape[1]):
            evidence(near, items[i, c], desk, told, read[i, c])
            tiredness(items[i, c], judge.subjects, tired, read[i, c])
            _log_odds(judge, read[i, c], items[i, c], chances)
            total = 0.0
            for j in range(slate):
                total += judge.looks[j] / (1.0 + math.exp(-chances[j]))
            expected[i, c] = total / slate
        clear(near, histories[i], shown[i], count, desk)
