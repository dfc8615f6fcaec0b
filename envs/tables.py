"""What the compiled step reads and writes: items, users and pages as columns, and a page's intermediate results."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
Bools: TypeAlias = NDArray[np.bool_]

LANES = 8
"""Doubles in a vector register: what is computed for each position of a page is computed for so many at once."""


class Rules(NamedTuple):
    """What holds for everybody: see `World`, whose fields these are."""

    choice: int
    max_gap: int
    click: float
    like: float
    purchase: float
    dwell: float


class _Facts(NamedTuple):
    """Columns of `ItemColumns.facts`."""

    APPEAL: int = 0
    QUALITY: int = 1
    TOPIC: int = 2
    RELEASED: int = 3
    EXPIRES: int = 4


Fact = _Facts()
"""Each column; plain numbers, as `Trait` is."""


class ItemColumns(NamedTuple):
    """Items, seasons and positions as the step reads them.

    vectors: float32 (n, d). facts: float32 (n, 5), the other columns of `WorldItems` side by side (`Fact`), so that one
    item's lie in one line of the cache. seasons: float32 (period, topics), how much a topic is in season on a page.
    log_positions: float64 (places,), logarithm of each position from 1; as many as the slate has, and on to a multiple
    of `LANES`. pleasures: float32 (n, e), as in `WorldItems`.
    """

    vectors: F32
    facts: F32
    seasons: F32
    log_positions: F64
    pleasures: F32


class UserColumns(NamedTuple):
    """Columns of `WorldState` and its `Users`."""

    ids: I64
    traits: F32
    seeds: U64
    steps: I64
    present: Bools
    tastes: F32
    boredom: F32
    satisfaction: F32
    patience: F32
    sessions: I32
    moods: F64
    pending: NDArray[np.uint8]
    histories: I32
    shown: I32
    likings: F32


class PageColumns(NamedTuple):
    """The pages, int32 (n, slate), answers (see `World.step`), and the columns of `Feedback`, which are filled in.

    answers: float32 (n, slate), or (0, slate) where the laws alone say what attracts.
    """

    slates: I32
    answers: F32
    clicks: Bools
    likes: Bools
    purchases: Bools
    skips: Bools
    unavailable: Bools
    dwell: F32
    probabilities: F32
    left: Bools
    leave_probability: F32
    gaps: F32
    reward: F32
    expected_reward: F32
    amounts: F32


class Scratch(NamedTuple):
    """Of the positions of one page, and on to a multiple of `LANES`: what the laws say on the way to its feedback.

    relevance: log-odds of a click. worth: once clicked. there: 1, or 0 where an item cannot be had. looks:
    `examination`. attraction: probability of a click where the user looks. luck: a uniform, in whole blocks of four, on
    a CPU in `LANES` blocks or a multiple. gains: reward to expect once clicked. cosines, interests: with and of the
    nearest interest. rates: at which that follows the item once it was looked at, or flees it (below 0). appeal,
    quality, bored, season: what `relevance` and `worth` take of the item and its topic. repeated: whether it was
    consumed before. places: positions with something in common. Of the user: remembered, int32, the history, with -1 on
    to whole vector registers.
    """

    relevance: F64
    worth: F64
    there: F64
    looks: F64
    attraction: F64
    luck: F64
    gains: F64
    cosines: F64
    rates: F64
    interests: I32
    appeal: F32
    quality: F32
    bored: F32
    season: F32
    repeated: Bools
    places: I32
    remembered: I32
