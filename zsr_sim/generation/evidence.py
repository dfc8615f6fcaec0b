"""What a user's clicks and passes say of an item that is new to them: the numbers that the click model reads.

Everything follows from how near in meaning the item is to what the user consumed and to what the user was shown and
passed over, so it holds for items that nobody has met. An item speaks for its known neighbours alone: what it costs
does not grow with the catalogue.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.tables import F32, I32
from zsr_sim.generation.index import dot
from zsr_sim.generation.interests import SHARPNESS, SPOTS, find_interests
from zsr_sim.generation.retrieval import Retrieval

WIDE, NARROW = 8.0, 16.0  # exp(sharpness * (cosine - 0.7)) is what an item adds to the evidence for a neighbour
N_EVIDENCE = 15
"""Log of what the history adds up to (wide, narrow, narrow with memory 0.9 an item), the nearest cosine; what was
clicked in this visit (memory 0.9 a page) and just now (0.6); log of what was passed over (wide, narrow); appeal;
length of the history, pages so far, log of the user's click rate in this visit; the cosine with the nearest of what
are likely interests, log of what all of them add up to; how tired the user is of the item's subjects, which the click
model says."""
NEAREST_INTEREST = 12
"""Of these, the number that says most before anything is learned."""
_SUMS = 8  # of these, those that are summed up over what the user met
_CENTRE = 0.7
_PAST, _NOW = 0.9, 0.6  # memory of a page
_WHOLE = 4096  # items of a catalogue that is cleared faster as a whole than item by item
_FLOOR, _FAR = 1e-4, 6.0  # of an interest's chance; sharpness of what interests add up to
_LONGEST, _PAGES, _USUAL = 50.0, 20.0, 10.0


class Near(NamedTuple):
    """The items as the evidence reads them.

    vectors: float32 (n, d). neighbours: int32 (n, m), the nearest items of each. kernels: float32 (n, m, 3), their
    cosine, and what each adds to the evidence, wide and narrow. crowd: float32 (n,), how much of what anybody consumes
    lies near each (`find_interests`). appeal: float32 (n,), 0 .. 1. looks: float32 (slate,), at how many of 1 pages a
    user is taken to look at a position.
    """

    vectors: F32
    neighbours: I32
    kernels: F32
    crowd: F32
    appeal: F32
    looks: F32

    @classmethod
    def of(cls, retrieval: Retrieval, slate_size: int) -> Near:
        """Of a catalogue whose neighbours are known (`Retrieval.neighbours`)."""
        known = retrieval.neighbours
        cosines = np.empty(known.shape, dtype=np.float32)
        for column in range(known.shape[1]):  # one at a time: all together are m times the catalogue
            cosines[:, column] = np.einsum("nd,nd->n", retrieval.vectors, retrieval.vectors[known[:, column]])
        shares = (1.0 + retrieval.popularity) / (1.0 + retrieval.popularity).sum()
        crowd = shares + (shares[known] * np.exp(SHARPNESS * (cosines - 1.0))).sum(axis=1)
        kernels = np.stack([cosines, *(np.exp(s * (cosines - _CENTRE)) for s in (WIDE, NARROW))], axis=2)
        looks = 1.0 / np.sqrt(1.0 + np.arange(slate_size))
        return cls(
            retrieval.vectors, known, kernels.astype(np.float32), crowd.astype(np.float32), retrieval.appeal,
            looks.astype(np.float32),
        )  # fmt: skip


class Desk(NamedTuple):
    """Scratch over the catalogue, all zero between two users, and what is known of the one user who is read now.

    sums: float32 (n, 8). page: int32 (n,), pages since an item was shown, from 1, or -1 where it was consumed before;
    place: int32 (n,), its position, from 1, or 0 once it is known to have been clicked. touched: int32 (n,), neighbours
    of the history, each once, and whether an item is among them: `met`, bool (n,). points: float32 (SPOTS, d), and
    chances: float32 (SPOTS,): where the user's interests lie, and how likely.
    """

    sums: F32
    page: I32
    place: I32
    touched: I32
    met: NDArray[np.bool_]
    points: F32
    chances: F32


@law
def make_desk(n: int, d: int) -> Desk:
    """For a catalogue of n items of d dimensions."""
    sums, met = np.zeros((n, _SUMS), dtype=np.float32), np.zeros(n, dtype=np.bool_)
    points, chances = np.zeros((SPOTS, d), dtype=np.float32), np.zeros(SPOTS, dtype=np.float32)
    page, place, touched = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    return Desk(sums, page, place, touched, met, points, chances)


@law
def weigh(near: Near, history: I32, shown: I32, step: int, desk: Desk, told: F32) -> int:
    """Fill the desk with what one user's history and visit say, and `told` (3,) with what they say of the user.

    Returns how many items are touched.
    """
    slate, m = near.looks.shape[0], near.neighbours.shape[1]
    last, count, consumed, clicked = shown.shape[0] - 1, 0, 0, 0
    for back in range(shown.shape[0]):
        if shown[last - back] >= 0:
            desk.page[shown[last - back]] = back // slate + 1
            desk.place[shown[last - back]] = slate - back % slate
    memory = np.float32(1.0)
    for back in range(history.shape[0]):
        item = history[history.shape[0] - 1 - back]
        if item < 0:
            break
        past, now = np.float32(0.0), np.float32(0.0)
        if desk.page[item] > 0:
            past, now = np.float32(_PAST ** (desk.page[item] - 1)), np.float32(_NOW ** (desk.page[item] - 1))
            clicked += desk.place[item] > 0
            desk.place[item] = 0
        else:
            desk.page[item] = -1
        for q in range(m):
            other = near.neighbours[item, q]
            if not desk.met[other]:
                desk.met[other] = True
                desk.touched[count] = other
                count += 1
            sums, wide, narrow = desk.sums[other], near.kernels[item, q, 1], near.kernels[item, q, 2]
            sums[0] += wide
            sums[1] += narrow
            sums[2] += memory * narrow
            sums[3] = max(sums[3], near.kernels[item, q, 0])
            sums[4] += past * wide
            sums[5] += now * wide
        memory *= np.float32(_PAST)
        consumed += 1
    for back in range(shown.shape[0]):
        item = shown[last - back]
        if item >= 0 and desk.place[item] > 0:
            look = near.looks[desk.place[item] - 1]
            for q in range(m):
                sums = desk.sums[near.neighbours[item, q]]
                sums[6] += look * near.kernels[item, q, 1]
                sums[7] += look * near.kernels[item, q, 2]
    looked = 0.0
    for j in range(slate):
        looked += near.looks[j]
    find_interests(near.vectors, near.crowd, history, desk.page, desk.points, desk.chances)
    told[0], told[1] = consumed / _LONGEST, min(step / _PAGES, 1.0)
    told[2] = math.log((1.0 + clicked) / (_USUAL + step * looked))
    return count


@law
def clear(near: Near, history: I32, shown: I32, count: int, desk: Desk) -> None:
    """Make the desk all zero again after `weigh`."""
    for t in range(count):
        desk.met[desk.touched[t]] = False
    for item in history:
        if item >= 0:
            desk.page[item] = 0
    whole = len(desk.sums) <= _WHOLE
    if whole:
        desk.sums[:] = 0.0
    for t in range(0 if whole else count):
        desk.sums[desk.touched[t]] = 0.0
    for item in shown:
        if item >= 0:
            desk.page[item] = 0
            desk.place[item] = 0
            for q in range(0 if whole else near.neighbours.shape[1]):
                desk.sums[near.neighbours[item, q]] = 0.0


@law
def evidence(near: Near, items: I32, desk: Desk, told: F32, out: F32) -> None:
    """The evidence for each of these items (k,), into `out` (k, N_EVIDENCE), but for `tiredness`; of the order of 1.

    All of them in one call: passing the arrays costs more than an item does.
    """
    for t in range(items.shape[0]):
        item = items[t]
        out[t, 0] = math.log(desk.sums[item, 0] + 0.01)
        out[t, 1] = math.log(desk.sums[item, 1] + 0.001)
        out[t, 2] = math.log(desk.sums[item, 2] + 0.001)
        out[t, 3] = 4.0 * desk.sums[item, 3]
        out[t, 4] = desk.sums[item, 4]
        out[t, 5] = desk.sums[item, 5]
        out[t, 6] = math.log(desk.sums[item, 6] + 0.1)
        out[t, 7] = math.log(desk.sums[item, 7] + 0.02)
        out[t, 8] = near.appeal[item]
        for k in range(3):
            out[t, 9 + k] = told[k]
        out[t, NEAREST_INTEREST], out[t, NEAREST_INTEREST + 1] = _compare(near.vectors[item], desk)


@law
def _compare(vector: F32, desk: Desk) -> tuple[float, float]:
    """Cosine of an item with the nearest interest, less where that is unlikely, and the log of what all add up to."""
    best, total = 0.0, 0.0
    for k in range(SPOTS):
        if desk.chances[k] > 0.0:
            near = dot(vector, desk.points[k])
            best = max(best, near + math.log(desk.chances[k] + _FLOOR) / SHARPNESS)
            total += desk.chances[k] * math.exp(_FAR * (near - 1.0))
    return 4.0 * best, math.log(total + 0.001)


@law
def tire(history: I32, desk: Desk, subjects: F32, memory: float, out: F32) -> None:
    """What a user clicked in this visit of each subject, into `out` (k,); a page leaves `memory` of a click.

    subjects: float32 (n, k), the share of each item that is of each.
    """
    out[:] = 0.0
    for back in range(history.shape[0]):
        item = history[history.shape[0] - 1 - back]
        if item < 0:
            break
        if desk.page[item] > 0:
            left = np.float32(memory ** (desk.page[item] - 1))
            for k in range(out.shape[0]):
                out[k] += left * subjects[item, k]


@law
def tiredness(items: I32, subjects: F32, tired: F32, out: F32) -> None:
    """How tired the user is of each of these items (k,), the last number of its evidence in `out` (k, N_EVIDENCE)."""
    for t in range(items.shape[0]):
        total = np.float32(0.0)
        for k in range(tired.shape[0]):
            total += subjects[items[t], k] * tired[k]
        out[t, N_EVIDENCE - 1] = total
