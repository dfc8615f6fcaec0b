"""What an action means: what an agent may choose from, how it observes that, and the slate that its action names.

One class for each Gymnasium id; all else the ids share (`recommendation.py`, `vector.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self, Unpack

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.stage import Arrays, Stage, StageOptions, make_stage, observation_space, page_observation
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import SOURCES, Candidates, CandidateSource
from zsr_sim.generation.index import holds
from zsr_sim.generation.relations import N_CONTEXT, context, tastes

Masks = NDArray[np.int8]

_NAMES = np.array(SOURCES, dtype=object)
_NOBODY = np.empty(0, dtype=np.int64)
_RANDOM = SOURCES.index("random")


@dataclass(frozen=True)
class Chosen:
    """The slates that actions name, int32 (n, slate_size), and what `info` says of them, arrays with a row per user."""

    slates: NDArray[np.int32]
    facts: dict[str, NDArray[Any]] = field(default_factory=dict)


class Choices(ABC):
    """What the users who wait may be shown, and what an action on it means.

    space: of one user's action; each of its numbers lies in lowest .. highest. meaning: the action in words.
    observed: space of one user's observation. mask: int8 (n, choices), 1 for what is sensible to choose now; None
    where there is no telling.
    """

    space: spaces.Space[Any]
    lowest: float
    highest: float
    meaning: str
    observed: spaces.Dict[Any]
    mask: Masks | None = None

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def fit(self, actions: NDArray[Any]) -> bool:
        """Whether these are of the right kind: integers or numbers, the action of a user in each row."""
        kinds = "iu" if isinstance(self.lowest, int) else "iuf"
        return actions.shape[1:] == self.space.shape and actions.dtype.kind in kinds

    def wrong(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """The rows whose action, of (n, ...), has a number out of bounds or NaN."""
        lowest, highest = np.minimum.reduce(actions, axis=None), np.maximum.reduce(actions, axis=None)
        if self.lowest <= lowest and highest <= self.highest:
            return _NOBODY
        inside = (actions >= self.lowest) & (actions <= self.highest)
        return np.flatnonzero(~inside.reshape(len(actions), -1).all(axis=1))

    @abstractmethod
    def offer(self, waiting: Observation) -> Arrays:
        """Find out what these users may be shown; what an agent observes, float32 arrays with a row per user."""

    @abstractmethod
    def chosen(self, actions: NDArray[Any]) -> Chosen:
        """The slates that these actions (n, ...) name, of those who were offered a choice last."""


class Pages(Choices):
    """The action is the number of a candidate page."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        n = stage.source.n_candidates
        self.space, self.lowest, self.highest = spaces.Discrete(n), 0, n - 1
        self.meaning = f"an integer 0 to {n - 1} expected: the candidate page to show"
        self.observed = observation_space(stage.dimensions, n)
        self._offered: Candidates

    @classmethod
    def made(cls, n_candidates: int = 8, **options: Unpack[StageOptions]) -> Self:
        """Candidate pages on a stage of these options."""
        return cls(make_stage(n_candidates=n_candidates, **options))

    def offer(self, waiting: Observation) -> Arrays:
        """Candidate pages from all proposers."""
        self._offered = self.stage.source.candidates(waiting)
        items, pages = self.stage.world.items, self._offered.items
        self.mask = np.empty(pages.shape[:2], dtype=np.int8)
        _whole(pages, items.released, items.expires, waiting.steps, self.mask)
        return page_observation(waiting, self._offered, self.stage.source.retrieval)

    def chosen(self, actions: NDArray[Any]) -> Chosen:
        """These pages; `source`: the name of the proposer of each."""
        sources = _NAMES[self._offered.sources[np.arange(len(actions)), actions]]
        return Chosen(self._offered.chosen(actions), {"source": sources})


class Pool(Choices):
    """The action composes a page: for each position the number of an item in a pool.

    The pool is a shortlist: the first items of all candidate pages, then the second ones, and so on, each item once;
    if the pages hold too few, random new ones follow. `n_pool` None: the pool is the catalogue, item by item, always
    the same, and nobody proposes anything.
    """

    def __init__(self, stage: Stage, n_pool: int | None = 30) -> None:
        super().__init__(stage)
        slate, n_items = stage.world.slate_size, len(stage.world.items)
        if n_pool is not None and not (isinstance(n_pool, int) and slate <= n_pool <= n_items):
            raise InputError(
                f"n_pool is {n_pool!r}; an integer {slate} to {n_items} expected, at least a page and at most the "
                "catalogue, or None for the whole catalogue"
            )
        self._n = n_items if n_pool is None else n_pool
        self._whole = n_pool is None
        self.space, self.lowest, self.highest = spaces.MultiDiscrete([self._n] * slate), 0, self._n - 1
        self.meaning = f"{slate} integers 0 to {self._n - 1} expected: the pool items to show"
        if self._whole:
            self.observed = _taste_space(stage.dimensions)
        else:
            space = observation_space(stage.dimensions, self._n)
            self.observed = spaces.Dict({_pool_name(name): box for name, box in space.items()})
        self._catalogue = np.arange(n_items, dtype=np.int32)[None]
        self._items: NDArray[np.int32]
        self._sources: NDArray[np.int8]

    @classmethod
    def made(cls, n_pool: int | None = 30, n_candidates: int = 8, **options: Unpack[StageOptions]) -> Self:
        """A pool on a stage of these options."""
        return cls(make_stage(n_candidates=n_candidates, **options), n_pool)

    def offer(self, waiting: Observation) -> Arrays:
        """The shortlist of each user; nothing where the pool is the catalogue."""
        if self._whole:
            self.mask = self._sensible(self._catalogue, waiting)
            return _taste_observation(waiting, self.stage)
        entries = shortlist(self.stage.source, waiting, self._n)
        self._items, self._sources = entries.items[:, :, 0], entries.sources
        self.mask = self._sensible(self._items, waiting)
        seen = page_observation(waiting, entries, self.stage.source.retrieval)
        seen["context"] = context(waiting, self.stage.world.slate_size)  # pages have more than one item
        return {_pool_name(name): values for name, values in seen.items()}

    def _sensible(self, pool: NDArray[np.int32], waiting: Observation) -> Masks:
        world, mask = self.stage.world, np.empty((len(waiting), self._n), dtype=np.int8)
        _sensible(
            self._whole, pool, world.items.released, world.items.expires, waiting.steps, waiting.histories,
            waiting.shown, world.slate_size, mask,
        )  # fmt: skip
        return mask

    def chosen(self, actions: NDArray[Any]) -> Chosen:
        """Pages of these pool items; who is chosen again makes room for the next pool item that is free and sensible.

        `replaced`: bool (n, slate_size), where that happened. `sources`: int8 (n, slate_size), the proposer of each
        item as a row of SOURCES, unless the pool is the catalogue.
        """
        assert self.mask is not None  # `offer` comes first
        places = np.empty(actions.shape, dtype=np.int32)
        _different(actions, self.mask, places)
        facts: dict[str, NDArray[Any]] = {"replaced": places != actions}
        if self._whole:
            return Chosen(places, facts)
        rows = np.arange(len(actions))[:, None]
        return Chosen(self._items[rows, places], facts | {"sources": self._sources[rows, places]})


class Point(Choices):
    """The action is a point in item space: the new items nearest to it are shown, the nearest first."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        d = stage.dimensions
        self.space, self.lowest, self.highest = spaces.Box(-1, 1, (d,), np.float32), -1.0, 1.0
        self.meaning = f"{d} numbers -1 to 1 expected: a point in item space"
        self.observed = _taste_space(d)
        self._waiting: Observation

    @classmethod
    def made(cls, **options: Unpack[StageOptions]) -> Self:
        """Points on a stage of these options."""
        return cls(make_stage(**options))

    def offer(self, waiting: Observation) -> Arrays:
        """Everything that is new to the user."""
        self._waiting = waiting
        return _taste_observation(waiting, self.stage)

    def chosen(self, actions: NDArray[Any]) -> Chosen:
        """The items nearest to these points; popular ones for the point zero, to which all are equally near."""
        retrieval = self.stage.source.retrieval
        return Chosen(retrieval.nearest(actions.astype(np.float32), self._waiting, self.stage.world.slate_size))


def shortlist(source: CandidateSource, waiting: Observation, size: int) -> Candidates:
    """Different items from all proposers, as candidate pages of one item each, (n, size, 1).

    The first items of all candidate pages, then the second ones, and so on; if the pages hold too few, random new ones.
    """
    pages = source.candidates(waiting)
    rows = np.arange(len(waiting))[:, None]
    items = np.empty((len(waiting), size), dtype=np.int32)
    origins = np.empty((len(waiting), size), dtype=np.int64)  # the page that an item comes from; -1: none
    _interleave(pages.items, origins, items)
    if (items[:, -1] < 0).any():
        _fill(source.retrieval.at_random(waiting, size), items)
    added = origins < 0
    sources = np.where(added, _RANDOM, pages.sources[rows, origins]).astype(np.int8)
    plausibility = np.where(added, 0.5, pages.plausibility[rows, origins]).astype(np.float32)
    return Candidates(items[:, :, None], sources, plausibility)


Meaning = type[Pages] | type[Pool] | type[Point]


def _pool_name(name: str) -> str:
    return "pool" if name == "candidates" else name


def _taste_space(dimensions: int) -> spaces.Dict[Any]:
    """The space of `_taste_observation` for one user."""
    taste = spaces.Box(-1, 1, (dimensions,), np.float32)
    return spaces.Dict({"history": taste, "recent": taste, "context": spaces.Box(0, 1, (N_CONTEXT,), np.float32)})


def _taste_observation(waiting: Observation, stage: Stage) -> Arrays:
    """What is observed where nothing is proposed: a lasting and a recent taste, float32 (n, d), and the context."""
    lasting, recent = tastes(waiting, stage.source.retrieval)
    return {"history": lasting, "recent": recent, "context": context(waiting, stage.world.slate_size)}


@batched
def _interleave(
    begin: int, end: int, pages: NDArray[np.int32], origins: NDArray[np.int64], out: NDArray[np.int32]
) -> None:
    """The distinct items of each user's pages (n, pages, slate), first positions first; -1 where there are no more."""
    for i in range(begin, end):
        count = 0
        for j in range(pages.shape[2]):
            for c in range(pages.shape[1]):
                if count < out.shape[1] and not holds(out[i, :count], pages[i, c, j]):
                    out[i, count], origins[i, count] = pages[i, c, j], c
                    count += 1
        out[i, count:], origins[i, count:] = -1, -1


@batched
def _fill(begin: int, end: int, others: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Put other items, int32 (n, pool), of which there are as many as places, where `out` has -1."""
    for i in range(begin, end):
        count = 0
        while count < out.shape[1] and out[i, count] >= 0:
            count += 1
        for item in others[i]:
            if count < out.shape[1] and not holds(out[i, :count], item):
                out[i, count] = item
                count += 1


@law
def _at_hand(item: int, step: int, released: NDArray[np.int32], expires: NDArray[np.int32]) -> bool:
    return bool(released[item] <= step < expires[item])


@batched
def _whole(
    begin: int,
    end: int,
    pages: NDArray[np.int32],
    released: NDArray[np.int32],
    expires: NDArray[np.int32],
    steps: NDArray[np.int64],
    out: Masks,
) -> None:
    """Which pages (n, pages, slate) hold nothing that cannot be had; all of them, where none is whole."""
    for i in range(begin, end):
        count = 0
        for c in range(out.shape[1]):
            whole = True
            for item in pages[i, c]:
                whole &= _at_hand(item, steps[i], released, expires)
            out[i, c] = whole
            count += whole
        if count == 0:
            out[i] = 1


@batched
def _sensible(
    begin: int,
    end: int,
    whole: bool,
    items: NDArray[np.int32],
    released: NDArray[np.int32],
    expires: NDArray[np.int32],
    steps: NDArray[np.int64],
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    least: int,
    out: Masks,
) -> None:
    """Which items, int32 (n or 1, pool), can be had and are new to each user; whole: they are the catalogue, in order.

    Where these are fewer than `least`: which can be had; where these are, too, all.
    """
    for i in range(begin, end):
        pool = items[np.int64(i) % items.shape[0]]
        for care in range(2, -1, -1):
            if care == 0:
                out[i] = 1
            elif whole:
                for item in range(out.shape[1]):
                    out[i, item] = (released[item] <= steps[i]) & (steps[i] < expires[item])
            else:
                for place in range(out.shape[1]):
                    out[i, place] = _at_hand(pool[place], steps[i], released, expires)
            if care == 2:
                _leave_out(whole, pool, histories[i], out[i])
                _leave_out(whole, pool, shown[i], out[i])
            if out[i].sum() >= least:
                break


@law
def _leave_out(whole: bool, pool: NDArray[np.int32], old: NDArray[np.int32], out: Masks) -> None:
    """Mask the items of the pool that are among the old ones (-1: none)."""
    if whole:
        for item in old:
            if item >= 0:
                out[item] = 0
    else:
        for place in range(pool.shape[0]):
            if holds(old, pool[place]):
                out[place] = 0


@law
def _free(place: int, taken: NDArray[np.int32], mask: Masks) -> int:
    """`place`, or the next one round the pool that is not taken and that `mask` (pool,) allows, if there is one."""
    if not holds(taken, place):
        return place
    n, last_resort = mask.shape[0], -1
    for ahead in range(1, n):
        other: int = (place + ahead) % n
        if not holds(taken, other):
            if mask[other]:
                return other
            if last_resort < 0:
                last_resort = other
    return last_resort


@batched
def _different(begin: int, end: int, actions: NDArray[np.int64], mask: Masks, places: NDArray[np.int32]) -> None:
    """Actions (n, slate) without repeats."""
    for i in range(begin, end):
        for j in range(places.shape[1]):
            places[i, j] = _free(actions[i, j], places[i, :j], mask[i])
