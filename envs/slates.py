"""Whether pages can be shown: each item in the catalogue, and none twice on a page."""

from __future__ import annotations

import numpy as np

from zsr_sim.compiled import inlined, shared
from zsr_sim.envs.tables import I32, Bools

_CHECKED = 32_768  # slates whose check takes longer than waking another thread for a part of them
_SIDE_BY_SIDE = 64  # slates checked at once: few enough to stay in the nearest cache


@shared(_CHECKED)
def find_bad_slates(begin: int, end: int, n_items: int, out: Bools, slates: I32) -> None:
    """Which rows, of slates that lie one after the other, hold an item twice or one that is not in the catalogue."""
    size, items = slates.shape[1], slates.reshape(-1)
    together = max(min(_SIDE_BY_SIDE, end - begin), 1)
    places = np.empty(together * size, dtype=slates.dtype)
    for p in range(len(places)):
        places[p] = p % size
    for first in range(begin, end, together):
        after = min(first + together, end)
        here = items[first * size : after * size]
        least = most = here[0]
        for p in range(len(here)):
            least, most = min(least, here[p]), max(most, here[p])
        bad = (least < 0) | (most >= n_items)
        for apart in range(1, size):
            others, limit = here[apart:], places[size - apart]
            for p in range(len(others)):  # without a branch, and in integers of one size: many are compared at once
                bad |= (here[p] == others[p]) & (places[p] < limit)
        for i in range(first, after):
            out[i] = bad and _is_bad(i, n_items, slates)


@inlined
def _is_bad(i: int, n_items: int, slates: I32) -> bool:
    bad = False
    for j in range(slates.shape[1]):
        bad |= (slates[i, j] < 0) | (slates[i, j] >= n_items)
        for k in range(j):
            bad |= slates[i, j] == slates[i, k]
    return bad
