"""The items nearest to a point of the item space: every item is looked at in a small catalogue, some in a large one.

An inverted file (Sivic and Zisserman 2003; Jégou, Douze and Schmid 2011, section 3, without compression): items lie in
cells around the centres of a spherical k-means, and a search looks into the cells whose centres are nearest. With
sqrt(n) cells its cost grows with the square root of the catalogue. Items can also be those whose scalar product with
the point, plus an offset of their own, is largest.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import bare, batched, inlined, law
from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.products import LANES, add_products

EXACT = 4096
"""Up to so many items every search looks at all of them."""
LOOKED_AT = 8192
"""Items that a search for the largest scalar products looks at in a catalogue of up to `_CROWDED`."""
_CROWDED = 65_536  # items; in a larger catalogue what is looked at grows with the square root, or most would be missed
_PROBES = 8  # cells that a search looks into
_SAMPLE = 64  # items per cell that the centres are fitted to
_ROUNDS = 10  # of k-means


class ItemIndex(NamedTuple):
    """A catalogue in cells, as the compiled searches read it.

    centres: float32 (cells, d). starts: int64 (cells + 1,), where each cell's items begin. items: int32 (n,), item
    rows, cell by cell and ascending within each. vectors: float32 (n, d), in that order. probes: cells to look into.
    offsets: float32 (n,), in that order, and centre_offsets: float32 (cells,), what is added to scalar products.
    columns: float32 (d * all widths,), the vectors once more, cell by cell as (d, width) for products, the width a
    multiple of LANES, zeros after the last item; places: int64 (cells + 1,), where each cell's begin. signs: float32
    (d, width), likewise the centres. widest: the largest width of a cell. homes: int32 (n, 2), each item's cell and its
    place in that.
    """

    centres: NDArray[np.float32]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    vectors: NDArray[np.float32]
    probes: int
    offsets: NDArray[np.float32]
    centre_offsets: NDArray[np.float32]
    columns: NDArray[np.float32]
    places: NDArray[np.int64]
    signs: NDArray[np.float32]
    widest: int
    homes: NDArray[np.int32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], exact: int = EXACT) -> ItemIndex:
        """An index over unit vectors, float32 (n, d); one cell, hence exact, where n is at most `exact`."""
        n = len(vectors)
        cells = 1 if n <= exact else round(np.sqrt(n))
        return cls._in_cells(vectors, np.zeros(n, dtype=np.float32), *clusters(vectors, cells), min(_PROBES, cells))

    @classmethod
    def of_products(
        cls, vectors: NDArray[np.float32], offsets: NDArray[np.float32], look_at: int = LOOKED_AT
    ) -> ItemIndex:
        """An index for the largest scalar products plus offsets (n,), of vectors (n, d) of any length.

        A search looks at about `look_at` items, more in a catalogue beyond `_CROWDED`; it is exact where there are no
        more. (Of the exact top 100 of 1,000,000 items in all directions it finds about .55, .26 without the more; in
        5,000 clusters .68 and .42.) Cells are of the vectors with their offsets, lengthened by one dimension to a
        common length: then who has the largest product is nearest
        (Bachrach et al. 2014, "Speeding up the Xbox recommender system using a Euclidean transformation", theorem 1).
        """
        n, d = vectors.shape
        cells = 1 if n <= look_at else round(np.sqrt(n))
        whole = np.column_stack([vectors, offsets])
        squares = np.square(whole, dtype=np.float64).sum(axis=1)
        common = unit(np.column_stack([whole, np.sqrt(squares.max() - squares)])).astype(np.float32)
        centres, cell = clusters(common, cells)
        wanted = look_at * max(1.0, math.sqrt(n / _CROWDED))
        probes = 1 if cells == 1 else math.ceil(wanted * cells / n)
        index = cls._in_cells(vectors, offsets, np.ascontiguousarray(centres[:, :d]), cell, probes)
        return index._replace(centre_offsets=np.ascontiguousarray(centres[:, d]))

    @classmethod
    def _in_cells(
        cls,
        vectors: NDArray[np.float32],
        offsets: NDArray[np.float32],
        centres: NDArray[np.float32],
        cell: NDArray[np.int64],
        probes: int,
    ) -> ItemIndex:
        order, cells = np.argsort(cell, kind="stable"), len(centres)
        starts = np.concatenate([[0], np.bincount(cell, minlength=cells).cumsum()])
        ordered = np.ascontiguousarray(vectors[order])
        parts = [_columns(ordered[begin:end]) for begin, end in itertools.pairwise(starts)]
        places = np.concatenate([[0], np.cumsum([part.size for part in parts])])
        homes = np.stack([cell, np.argsort(order, kind="stable") - starts[cell]], axis=1).astype(np.int32)
        return cls(
            centres, starts, order.astype(np.int32), ordered, probes, np.ascontiguousarray(offsets[order]),
            np.zeros(cells, dtype=np.float32), np.concatenate([part.ravel() for part in parts]), places,
            _columns(centres), max(part.shape[1] for part in parts), homes,
        )  # fmt: skip


def _columns(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (n, d) side by side, float32 (d, width): the width is the next multiple of LANES, zeros fill it."""
    out = np.zeros((vectors.shape[1], -(-len(vectors) // LANES) * LANES), dtype=np.float32)
    out[:, : len(vectors)] = vectors.T
    return out


class Shelf(NamedTuple):
    """When each item can be had: released, expires, int32 (n,), as in `WorldItems`; both empty where all always can."""

    released: NDArray[np.int32]
    expires: NDArray[np.int32]

    @classmethod
    def of(cls, items: WorldItems) -> Shelf:
        """As the world has them."""
        return cls(items.released, items.expires) if items.come_and_go else ALWAYS


ALWAYS = Shelf(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))


@inlined
def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Scalar product in single precision: equal vectors score equally, whatever is scored beside them."""
    total = np.float32(0.0)
    for k in range(a.shape[0]):
        total += a[k] * b[k]
    return float(total)


@inlined
def holds(items: NDArray[np.int32], item: int) -> bool:
    """Whether an item is among these; without a way out of the loop, so that it runs on vector registers."""
    found = False
    for j in range(items.shape[0]):
        found |= items[j] == item
    return found


@inlined
def available(item: int, step: int, shelf: Shelf) -> bool:
    """Whether an item can be had on page `step` of a visit."""
    return shelf.released.shape[0] == 0 or bool(shelf.released[item] <= step < shelf.expires[item])


@law
def note(met: NDArray[np.bool_], history: NDArray[np.int32], shown: NDArray[np.int32], known: bool) -> None:
    """Write down, bool (n_items,), that a user has consumed these items and was shown those; or strike them out."""
    for item in history:
        if item >= 0:
            met[item] = known
    for item in shown:
        if item >= 0:
            met[item] = known


@inlined
def standing(item: int, step: int, shelf: Shelf, met: NDArray[np.bool_]) -> int:
    """Of an item with a user on page `step` of a visit: 0, new; 1, consumed or shown (`note`); 2, it cannot be had."""
    if not available(item, step, shelf):
        return 2
    return 1 if met[item] else 0


@law
def place(items: NDArray[np.int32], scores: NDArray[np.float32], count: int, item: int, score: float) -> int:
    """Insert an item into the best so far, best first (ties: the lower row); returns how many there are now.

    items, scores: (k,), of which the first `count` are filled.
    """
    k: int = items.shape[0]
    rounded = np.float32(score)
    if count == k and (scores[k - 1] > rounded or (scores[k - 1] == rounded and items[k - 1] < item)):
        return count
    j = min(count, k - 1)
    while j > 0 and (scores[j - 1] < rounded or (scores[j - 1] == rounded and items[j - 1] > item)):
        items[j], scores[j] = items[j - 1], scores[j - 1]
        j -= 1
    items[j], scores[j] = item, rounded
    return min(count + 1, k)


@law
def nearest(
    index: ItemIndex,
    query: NDArray[np.float32],
    step: int,
    shelf: Shelf,
    met: NDArray[np.bool_],
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Fill `items` (k,) with the items nearest to `query` (d,) that can be had and are new to the user.

    Where the cells hold too few, all are looked at; where the catalogue does, old items follow, the nearest first, and
    at last items that cannot be had.
    """
    cells, count = len(index.centres), 0
    row = np.empty((1, max(index.signs.shape[1], index.widest)), dtype=np.float32)
    if index.probes < cells:
        probed, likeness = np.empty(index.probes, dtype=np.int32), np.empty(index.probes, dtype=np.float32)
        found = 0
        multiply(query.reshape(1, query.shape[0]), index.signs, index.centre_offsets, row)
        for c in range(cells):
            if found < index.probes or row[0, c] > likeness[found - 1]:
                found = place(probed, likeness, found, c, row[0, c])
        for p in range(index.probes):
            count = _scan(index, int(probed[p]), query, row, step, shelf, met, 0, items, scores, count)
    if count == items.shape[0]:
        return
    count = 0
    for kind in range(3):
        rest, likeness, placed = items[count:], scores[count:], 0
        for cell in range(cells if count < items.shape[0] else 0):
            placed = _scan(index, cell, query, row, step, shelf, met, kind, rest, likeness, placed)
        count += placed


@bare
def multiply(
    queries: NDArray[np.float32], columns: NDArray[np.float32], offsets: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Put scalar products of queries (n, d) with columns (d, m), plus offsets, at the head of as many rows of `out`."""
    for t in range(queries.shape[0]):
        for j in range(columns.shape[1]):
            out[t, j] = 0.0
        for j in range(offsets.shape[0]):
            out[t, j] = offsets[j]
    add_products(queries, columns, out[: queries.shape[0], : columns.shape[1]])


@inlined
def multiply_cell(index: ItemIndex, cell: int, queries: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """`multiply` with the items of a cell."""
    columns, d = index.columns[index.places[cell] : index.places[cell + 1]], queries.shape[1]
    offsets = index.offsets[index.starts[cell] : index.starts[cell + 1]]
    multiply(queries, columns.reshape(d, columns.shape[0] // d), offsets, out)


@bare
def _scan(
    index: ItemIndex,
    cell: int,
    query: NDArray[np.float32],
    row: NDArray[np.float32],
    step: int,
    shelf: Shelf,
    met: NDArray[np.bool_],
    kind: int,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    count: int,
) -> int:
    """Place the items of a cell of this `standing` with the user; returns how many are placed. row: scratch."""
    k, begin, near = items.shape[0], index.starts[cell], row[0]
    size = index.starts[cell + 1] - begin
    multiply_cell(index, cell, query.reshape(1, query.shape[0]), row)
    for low in range(0, size, LANES):  # most are passed over as one
        least = scores[k - 1] if count == k else np.float32(-np.inf)
        worth, group = False, near[low : low + LANES]
        for t in range(LANES):
            worth |= group[t] >= least
        for t in range(low, min(low + LANES, size) if worth else low):
            if count < k or near[t] >= scores[k - 1]:
                item = index.items[begin + t]
                if standing(item, step, shelf, met) == kind:
                    count = place(items, scores, count, item, near[t])
    return count


def neighbours(index: ItemIndex, vectors: NDArray[np.float32], m: int) -> NDArray[np.int32]:
    """The m items nearest to each item (fewer in a smaller catalogue), nearest first, without itself; int32 (n, m)."""
    out = np.empty((len(vectors), max(min(m, len(vectors) - 1), 0)), dtype=np.int32)
    if out.size:
        _neighbours(index, vectors, out)
    return out


@batched
def _neighbours(begin: int, end: int, index: ItemIndex, vectors: NDArray[np.float32], out: NDArray[np.int32]) -> None:
    met, scores = np.zeros(len(vectors), dtype=np.bool_), np.empty(out.shape[1], dtype=np.float32)
    for i in range(begin, end):
        met[i] = True
        nearest(index, vectors[i], 0, ALWAYS, met, out[i], scores)
        met[i] = False


def clusters(vectors: NDArray[np.float32], cells: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Centres, float32 (cells, d), and the cell of each item, int64 (n,), by spherical k-means on a sample."""
    n = len(vectors)
    if cells == 1:
        return unit(vectors.mean(axis=0, keepdims=True)).astype(np.float32), np.zeros(n, dtype=np.int64)
    luck = uniforms(0, np.arange(n), 0, Purpose.RANDOM_ITEMS, 1)[:, 0]
    sample = vectors[np.argsort(luck)[: _SAMPLE * cells]]
    centres, cell = sample[:cells].copy(), np.empty(len(sample), dtype=np.int64)
    for _ in range(_ROUNDS):
        _assign(sample, centres, cell)
        sums = np.zeros(centres.shape)
        np.add.at(sums, cell, sample)
        filled = np.bincount(cell, minlength=cells) > 0  # an empty cell keeps its centre
        centres[filled] = unit(sums[filled])
    whole = np.empty(n, dtype=np.int64)
    _assign(vectors, centres, whole)
    return centres, whole


@batched
def _assign(
    begin: int, end: int, vectors: NDArray[np.float32], centres: NDArray[np.float32], cell: NDArray[np.int64]
) -> None:
    for i in range(begin, end):
        best = -np.inf
        for c in range(centres.shape[0]):
            cosine = dot(centres[c], vectors[i])
            if cosine > best:
                best = cosine
                cell[i] = c
