"""Searches of many users at a time: a cell of the index is read once for all who look into it.

Read for one user after the other, the cells come from far caches, which takes longer than the arithmetic.
"""

from __future__ import annotations

import numpy as np

from zsr_sim.compiled import bare, batched, law
from zsr_sim.envs.tables import F32, I32, I64
from zsr_sim.generation.index import ItemIndex, Shelf, available, holds, multiply_cell, place
from zsr_sim.products import LANES, add_products

_BLOCK = 16  # users whose products with a cell's items are taken at a time


@batched
def search(
    begin: int, end: int, index: ItemIndex, queries: F32, steps: I64, shelf: Shelf, histories: I32, shown: I32,
    items: I32, found: I64,
) -> None:  # fmt: skip
    """Put the items nearest to each query (n, d) into `items` (n, k), best first, and how many into found (n,).

    As `nearest`, but only among what is new in the cells that are probed: fewer than k where they hold fewer, none for
    a query of zeros.
    """
    n, d, cells = end - begin, queries.shape[1], len(index.centres)
    scores = np.empty((n, items.shape[1]), dtype=np.float32)
    block, products = np.empty((_BLOCK, d), dtype=np.float32), np.empty((_BLOCK, index.widest), dtype=np.float32)
    found[begin:end] = 0
    read, seen = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)  # where padding ends
    for u in range(n):
        read[u], seen[u] = (histories[begin + u] < 0).sum(), (shown[begin + u] < 0).sum()
    users, starts = _members(index, queries[begin:end])
    for cell in range(cells):
        for low in range(starts[cell], starts[cell + 1], _BLOCK):
            some = users[low : min(low + _BLOCK, starts[cell + 1])]
            for t in range(len(some)):
                block[t] = queries[begin + some[t]]
            multiply_cell(index, cell, block[: len(some)], products)
            for t in range(len(some)):
                row, u = some[t], begin + some[t]
                found[u] = _place_cell(
                    index, cell, products[t], steps[u], shelf, histories[u, read[row] :], shown[u, seen[row] :],
                    items[u], scores[row], found[u],
                )  # fmt: skip


@law
def _members(index: ItemIndex, queries: F32) -> tuple[I64, I64]:
    """Who looks into each cell: users, cell by cell, and where each cell's begin, (cells + 1,)."""
    n, cells = len(queries), len(index.centres)
    probed = np.zeros((n, index.probes), dtype=np.int32)
    if index.probes < cells:
        likeness, near = np.empty(index.probes, dtype=np.float32), np.zeros((n, index.signs.shape[1]), dtype=np.float32)
        add_products(queries, index.signs, near)
        for u in range(n):
            count = 0
            near[u, :cells] += index.centre_offsets
            for c in range(cells):
                if count < index.probes or near[u, c] > likeness[count - 1]:
                    count = place(probed[u], likeness, count, c, near[u, c])
    else:
        probed[:] = np.arange(cells)
    starts, known = np.zeros(cells + 1, dtype=np.int64), np.empty(n, dtype=np.bool_)
    for u in range(n):
        known[u] = queries[u].any()
        for cell in probed[u]:
            starts[cell + 1] += known[u]
    starts = np.cumsum(starts)
    users, after = np.empty(starts[-1], dtype=np.int64), starts.copy()
    for u in range(n):
        for cell in probed[u, : index.probes if known[u] else 0]:
            users[after[cell]] = u
            after[cell] += 1
    return users, starts


@bare
def _place_cell(
    index: ItemIndex, cell: int, products: F32, step: int, shelf: Shelf, history: I32, shown: I32, items: I32,
    scores: F32, count: int,
) -> int:  # fmt: skip
    """Place a cell's items that are new to the user and can be had; returns how many are placed by now."""
    k, begin, end = items.shape[0], index.starts[cell], index.starts[cell + 1]
    for low in range(0, end - begin, LANES):  # most are passed over as one
        least = scores[k - 1] if count == k else np.float32(-np.inf)
        worth, group = False, products[low : low + LANES]
        for t in range(LANES):
            worth |= group[t] >= least
        for t in range(low, min(low + LANES, end - begin) if worth else low):
            if count < k or products[t] >= scores[k - 1]:
                item = index.items[begin + t]
                if available(item, step, shelf) and not holds(shown, item) and not holds(history, item):
                    count = place(items, scores, count, item, products[t])
    return count
