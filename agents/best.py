"""The page of the items that score highest among those that are new to the user."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.index import ALWAYS, Shelf, note, place, standing


def best_page(
    scores: NDArray[np.float32], observation: Observation, k: int, shelf: Shelf = ALWAYS
) -> NDArray[np.int32]:
    """The k items that score highest, best first, int32 (n, k); of equal ones the lower row comes first.

    scores: float32 (n, n_items), finite. Items of the history, items shown in this visit and at last items that cannot
    be had follow only where the catalogue holds no others.
    """
    out = np.empty((len(observation), k), dtype=np.int32)
    scores = np.ascontiguousarray(scores, dtype=np.float32)
    _best(scores, observation.steps, shelf, observation.histories, observation.shown, out)
    return out


@batched
def _best(
    begin: int,
    end: int,
    scores: NDArray[np.float32],
    steps: NDArray[np.int64],
    shelf: Shelf,
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    met = np.zeros(scores.shape[1], dtype=np.bool_)
    for i in range(begin, end):
        note(met, histories[i], shown[i], True)
        best, count = np.empty(out.shape[1], dtype=np.float32), 0
        for kind in range(3):
            page, kept, found = out[i, count:], best[count:], 0
            for item in range(scores.shape[1]):
                score = scores[i, item]
                likely = len(kept) > 0 and (found < len(kept) or score > kept[-1])  # looked up only if it may be placed
                if likely and standing(item, steps[i], shelf, met) == kind:
                    found = place(page, kept, found, item, score)
            count += found
        note(met, histories[i], shown[i], False)
