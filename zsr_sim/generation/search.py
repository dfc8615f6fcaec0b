"""Searches of many users at a time: a cell of the index is read once for all who look into it.

Read for one user after the other, the cells come from far caches, which takes longer than the arithmetic.
"""

from __future__ import annotations

import numpy as np

from zsr_sim.compiled import bare, batched, inlined, law
from zsr_sim.envs.tables import F32, I32, I64
from zsr_sim.generation.index import ItemIndex, Shelf, available, multiply_cell, place
from zsr_sim.products import LANES, add_products

_BLOCK = 16  # users whose products with a cell's items are taken at a time
_KEPT = 1 << 20  # products that wait for a user's other cells to be read
_NEVER = np.float32(-np.inf)


@batched
def search(
    begin: int, end: int, index: ItemIndex, queries: F32, steps: I64, shelf: Shelf, histories: I32, shown: I32,
    items: I32, found: I64,
) -> None:  # fmt: skip
    """Put the items nearest to each query (n, d) into `items` (n, k), best first, and how many into found (n,).

    As `nearest`, but only among what is new in the cells that are probed: fewer than k where they hold fewer, none for
    a query of zeros.
    """
    together = max(min(_KEPT // (index.probes * index.widest), end - begin), 1)
    near = np.empty(index.widest * (1 + together * index.probes), dtype=np.float32)
    block, lanes = np.empty((_BLOCK, queries.shape[1]), dtype=np.float32), np.empty(LANES, dtype=np.float32)
    scores, lines = np.empty(items.shape[1], dtype=np.float32), np.zeros(len(index.centres), dtype=np.int64)
    for low in range(begin, end, together):
        some = queries[low : min(low + together, end)]
        probed, rows, starts = _members(index, some)
        places, filled = np.empty(probed.shape, dtype=np.int64), index.widest
        for cell in range(len(index.centres)):
            width = (index.places[cell + 1] - index.places[cell]) // queries.shape[1]
            for first in range(starts[cell], starts[cell + 1], _BLOCK):
                those = rows[first : min(first + _BLOCK, starts[cell + 1])]
                for t in range(len(those)):
                    u, p = those[t] // index.probes, those[t] % index.probes
                    block[t], places[u, p] = some[u], filled + t * width
                products = near[filled : filled + len(those) * width].reshape(len(those), width)
                multiply_cell(index, cell, block[: len(those)], products)
                filled += len(those) * width
        for u in range(len(some)):
            found[low + u] = 0
            if probed[u, 0] >= 0:
                _strike_out(index, probed[u], places[u], histories[low + u], shown[low + u], lines, near)
                found[low + u] = _best(
                    index, probed[u], places[u], near, steps[low + u], shelf, items[low + u], scores, lanes
                )


@law
def _members(index: ItemIndex, queries: F32) -> tuple[I32, I64, I64]:
    """Cells that each user looks into, int32 (n, probes), -1 for a query of zeros; and the same the other way round.

    That is, cell by cell, the places in the first table, and where each cell's begin, (cells + 1,).
    """
    n, cells = len(queries), len(index.centres)
    probed = np.zeros((n, index.probes), dtype=np.int32)
    if index.probes < cells:
        likeness, near = np.empty(index.probes, dtype=np.float32), np.zeros((n, index.signs.shape[1]), dtype=np.float32)
        add_products(queries, index.signs, near)
        near[:, :cells] += index.centre_offsets
        near[:, cells:] = _NEVER
        lanes = np.empty(LANES, dtype=np.float32)
        for u in range(n):
            count, least = 0, _NEVER
            if index.probes <= LANES:
                lanes[:] = _NEVER
                _raise(lanes, near[u])
                least = _least(lanes, index.probes)
            for c in range(cells):
                if near[u, c] >= least and (count < index.probes or near[u, c] > likeness[count - 1]):
                    count = place(probed[u], likeness, count, c, near[u, c])
    else:
        probed[:] = np.arange(cells)
    starts = np.zeros(cells + 1, dtype=np.int64)
    for u in range(n):
        if not queries[u].any():
            probed[u] = -1
        for cell in probed[u]:
            starts[cell + 1] += cell >= 0
    starts = np.cumsum(starts)
    rows, after = np.empty(starts[-1], dtype=np.int64), starts.copy()
    for u in range(n):
        for p in range(index.probes):
            cell = probed[u, p]
            if cell >= 0:
                rows[after[cell]] = u * index.probes + p
                after[cell] += 1
    return probed, rows, starts


@bare
def _strike_out(
    index: ItemIndex, probed: I32, places: I64, history: I32, shown: I32, lines: I64, near: F32
) -> None:  # fmt: skip
    """Put -inf for what is not new, and for what is no item, where a user's products with these cells are in `near`.

    lines: scratch, (cells,), all 0 before and after: what lies in other cells is struck out in front, for nobody.
    """
    for p in range(probed.shape[0]):
        lines[probed[p]] = places[p]
        size = index.starts[probed[p] + 1] - index.starts[probed[p]]
        for t in range(size, -(-size // LANES) * LANES):
            near[places[p] + t] = _NEVER
    for old in (history, shown):
        for j in range(old.shape[0] - 1, -1, -1):
            if old[j] < 0:  # padding stands on the left
                break
            near[lines[index.homes[old[j], 0]] + index.homes[old[j], 1]] = _NEVER
    for cell in probed:
        lines[cell] = 0


@inlined
def _raise(lanes: F32, products: F32) -> None:
    """Raise each of the LANES columns to the largest of the products that stand in it."""
    for low in range(0, products.shape[0], LANES):
        group = products[low : low + LANES]
        for t in range(LANES):
            lanes[t] = group[t] if group[t] > lanes[t] else lanes[t]


@bare
def _least(lanes: F32, k: int) -> np.float32:
    """What at least k products come to: of the largest in each of LANES columns the k-th.

    Some fifteen items are as large where ten are looked for; those that were among the ten when they were met are four
    times as many.
    """
    least = np.float32(np.inf)
    for t in range(LANES):
        larger = 0
        for other in range(LANES):
            larger += lanes[other] > lanes[t]
        if larger < k:
            least = min(least, lanes[t])
    return least


@bare
def _best(
    index: ItemIndex, probed: I32, places: I64, near: F32, step: int, shelf: Shelf, items: I32, scores: F32, lanes: F32
) -> int:
    """Place the items of these cells that are new and can be had; returns how many are placed. lanes: scratch."""
    k, count, least = items.shape[0], 0, _NEVER
    if k <= LANES and shelf.released.shape[0] == 0:
        lanes[:] = _NEVER
        for p in range(probed.shape[0]):
            width = -(-(index.starts[probed[p] + 1] - index.starts[probed[p]]) // LANES) * LANES
            _raise(lanes, near[places[p] : places[p] + width])
        least = _least(lanes, k)
    for p in range(probed.shape[0]):
        begin = index.starts[probed[p]]
        products = near[places[p] : places[p] + index.starts[probed[p] + 1] - begin]
        for low in range(0, products.shape[0], LANES):  # most are passed over as one
            worth, group = False, near[places[p] + low : places[p] + low + LANES]
            for t in range(LANES):
                worth |= group[t] >= least
            for t in range(low, min(low + LANES, products.shape[0]) if worth else low):
                if products[t] >= least and products[t] > _NEVER:
                    item = index.items[begin + t]
                    if available(item, step, shelf):
                        count = place(items, scores, count, item, products[t])
                        if count == k:
                            least = max(least, scores[k - 1])
    return count
