"""The items among which sequences are written, found through an index: a user's cost hardly grows with the catalogue.

`gan.shortlist` finds the same by scoring every item, for training, where the items' points change with every step.
"""

from __future__ import annotations

import numpy as np

from zsr_sim.compiled import shared
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.tables import F32, I32, I64
from zsr_sim.generation.index import ItemIndex, Shelf, nearest, note, standing
from zsr_sim.generation.writing import Body, make_sheet, remember, tell_points

_USERS = 16  # whose shortlists are worth waking another thread


def find(
    body: Body, points: F32, memory: F32, index: ItemIndex, observation: Observation, shelf: Shelf, size: int
) -> tuple[I64, I64]:
    """The `size` items most likely to come next without noise, best first, and their standing, both int64 (n, size).

    New items first, then those that were consumed or shown, at last those that cannot be had; `index.standing` numbers
    them. points: (n_items, HIDDEN) and memory: see `networks.Items`. index: over points and bias.
    """
    items = np.empty((len(observation), size), dtype=np.int64)
    kinds = np.empty_like(items)
    _find(body, points, memory, index, observation.steps, shelf, observation.histories, observation.shown, items, kinds)
    return items, kinds


@shared(_USERS)
def _find(
    begin: int, end: int, body: Body, points: F32, memory: F32, index: ItemIndex, steps: I64, shelf: Shelf,
    histories: I32, shown: I32, items: I64, kinds: I64,
) -> None:  # fmt: skip
    size = items.shape[1]
    sheet, met = make_sheet(1, 1), np.zeros(points.shape[0], dtype=np.bool_)
    found, scores = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
    for i in range(begin, end):
        used = remember(sheet, points, memory, histories[i])
        tell_points(body, sheet, used, 0, 1)
        note(met, histories[i], shown[i], True)
        nearest(index, sheet.normed[0], steps[i], shelf, met, found, scores)
        for j in range(size):
            items[i, j], kinds[i, j] = found[j], standing(found[j], steps[i], shelf, met)
        note(met, histories[i], shown[i], False)
