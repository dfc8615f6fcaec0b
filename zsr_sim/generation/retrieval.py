"""Direct retrieval: pages by similarity, by neighbours of a past item, by popularity, by contrast, at random.

Items that cannot be had now, and those that the user has consumed or was shown in this visit, are left out as long as
the catalogue holds others.
Each user is scored alone: so the items found do not depend on how many users are scored together, and equal texts tie
exactly (the one that stands first wins).
"""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.encoders.features import Features
from zsr_sim.encoders.history import HistoryEncoder, pool, pooled
from zsr_sim.encoders.space import unit
from zsr_sim.envs.noise import Purpose, uniform4
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.index import ALWAYS, ItemIndex, Shelf, dot, holds, nearest, neighbours, note, place, standing
from zsr_sim.generation.search import search

CONTRAST = (0.95, 0.5)  # decay of the lasting and of the recent taste
_NO_CONTRAST = 1e-6  # a difference of two unit vectors that is nothing but rounding
_NEIGHBOURS = 64  # of each item that are known beforehand, in catalogues of up to so many items:
_MOST_KNOWN = 20_000
_RANDOM_ITEMS, _ANCHOR = int(Purpose.RANDOM_ITEMS), int(Purpose.ANCHOR)


class Retrieval:
    """Scores over one catalogue.

    vectors: float32 (n_items, d), unit length. popularity: float32 (n_items,), how often each was consumed, >= 0.
    appeal: float32 (n_items,), popularity on a log scale, 0 .. 1; 0 for an item that no log has seen. Up to `EXACT`
    items (`index.py`) every search is exact. history (`read_by`): what reads the users' histories; None for their
    pooled mean, the decay that each strategy asks for. shelf: when items can be had, where they come and go. features
    (`told_by`): what a generator reads of the items' texts; None for the vectors. turn: float32 (d, d of the users'
    profiles), what takes a profile into the space of `vectors`; None where these share one.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        popularity: NDArray[np.float32],
        shelf: Shelf = ALWAYS,
        turn: NDArray[np.float32] | None = None,
    ) -> None:
        self.vectors = vectors
        self.turn = turn
        self.popularity = popularity
        self.history: HistoryEncoder | None = None
        self.features: Features | None = None
        self.shelf = shelf
        counts = np.log1p(popularity)
        self.appeal = np.asarray(counts / max(float(counts.max()), 1e-12), dtype=np.float32)
        self._vectors64 = torch.from_numpy(vectors.astype(np.float64))
        self._popular = torch.from_numpy(popularity / max(float(popularity.max()), 1.0)).float()
        self.by_rank = np.argsort(-popularity, kind="stable").astype(np.int32)

    @functools.cached_property
    def index(self) -> ItemIndex:
        """The index over the vectors; made when it is first asked for, since many a catalogue is only scored."""
        return ItemIndex.of(self.vectors)

    @functools.cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """The nearest items of each, nearest first, int32 (n, up to 64); (n, 0) in a very large catalogue."""
        return neighbours(self.index, self.vectors, _NEIGHBOURS if len(self.vectors) <= _MOST_KNOWN else 0)

    def read_by(self, history: HistoryEncoder | None) -> Retrieval:
        """The same catalogue, and what is known of it already, where histories are read in another way."""
        other = copy.copy(self)
        other.history = history
        return other

    def told_by(self, features: Features) -> Retrieval:
        """The same catalogue, and what is known of it already, where a generator reads these features."""
        other = copy.copy(self)
        other.features = features
        return other

    def similarity(self, queries: NDArray[np.float32]) -> torch.Tensor:
        """Cosine of each query (n, d) with each item, float32 (n, n_items); a zero query is answered by popularity."""
        q = torch.from_numpy(queries.astype(np.float64))
        scores = (q @ self._vectors64.T).float()  # (n, n_items)
        unknown = torch.from_numpy(~queries.any(axis=1))
        scores[unknown] = self._popular
        return scores

    def nearest(self, queries: NDArray[np.float32], observation: Observation, k: int) -> NDArray[np.int32]:
        """The k new items nearest to each query (n, d), best first, int32 (n, k); a zero query gets popular ones."""
        out, found = np.empty((len(queries), k), dtype=np.int32), np.empty(len(queries), dtype=np.int64)
        o = observation
        search(self.index, queries, o.steps, self.shelf, o.histories, o.shown, out, found)
        if (found < k).any():
            _complete(self.index, self.by_rank, queries, o.steps, self.shelf, o.histories, o.shown, found, out)
        return out

    def read(self, observation: Observation, decay: float = 0.9) -> NDArray[np.float32]:
        """What the users' histories come to, float32 (n, d), unit length.

        A user without one is where the profile is; a user who has neither gets zeros. decay: of the pooled mean; a
        history encoder that was named has its own ways.
        """
        if self.history is None:
            return self.pool(observation, decay)
        return self._or_profile(self.history.encode(observation.histories), observation)

    def pool(self, observation: Observation, decay: float = 0.9) -> NDArray[np.float32]:
        """As `read`, by the pooled mean whatever history encoder was named: for who has learned from pooled means."""
        return self._or_profile(pooled(observation.histories, self.vectors, decay), observation)

    def _or_profile(self, tastes: NDArray[np.float32], observation: Observation) -> NDArray[np.float32]:
        """The tastes (n, d), and the profile of who has none."""
        profiles = observation.profiles
        if profiles is None:
            return tastes
        if self.turn is not None:  # each row summed alone: a product would depend on the batch
            profiles = unit(np.einsum("nf,df->nd", profiles.astype(np.float64), self.turn.astype(np.float64)))
        return np.where(tastes.any(axis=1, keepdims=True), tastes, profiles).astype(np.float32)

    def by_history(self, observation: Observation, k: int) -> NDArray[np.int32]:
        """The items most similar to what the history comes to."""
        return self.nearest(self.read(observation), observation, k)

    def by_neighbours(self, observation: Observation, k: int, count: int) -> NDArray[np.int32]:
        """The items most similar to single items of the history, drawn evenly from it: so many pages (n, count, k)."""
        out = np.empty((len(observation), count, k), dtype=np.int32)
        if count:
            _neighbours(
                self.index, self.neighbours, self.by_rank, self.vectors, observation.seeds, observation.users,
                observation.steps, self.shelf, observation.histories, observation.shown, out,
            )  # fmt: skip
        return out

    def by_popularity(self, observation: Observation, k: int) -> NDArray[np.int32]:
        """The items that were consumed most."""
        out = np.empty((len(observation), k), dtype=np.int32)
        _popular(self.by_rank, observation.steps, self.shelf, observation.histories, observation.shown, out)
        return out

    def contrast(self, observation: Observation) -> NDArray[np.float32]:
        """What users like in the long run and have not had just now: lasting minus recent taste, float32 (n, d).

        Zeros for who consumed a single item.
        """
        out = np.empty((len(observation), self.vectors.shape[1]), dtype=np.float32)
        _contrast(self.vectors, observation.histories, out)
        return out

    def by_contrast(
        self, observation: Observation, k: int, among: int | None = None, contrast: NDArray[np.float32] | None = None
    ) -> NDArray[np.int32]:
        """The items nearest to `contrast`, best first, popular ones for who has none.

        among: rank that many of the most popular new items before all others; None: all are alike. contrast: where it
        is known already.
        """
        queries = self.contrast(observation) if contrast is None else contrast
        if among is None:
            return self.nearest(queries, observation, k)
        pool = self.by_popularity(observation, min(among, len(self.vectors)))  # (n, among)
        few = len(self.vectors) < among + observation.histories.shape[1] + observation.shown.shape[1]
        few |= self.shelf is not ALWAYS
        out = np.empty((len(queries), k), dtype=np.int32)
        if few or among < k:  # the pool may hold fewer new items than the page: others follow
            out = self.nearest(queries, observation, k)
        _rank_first(
            self.vectors, queries, pool, observation.steps, self.shelf, observation.histories, observation.shown, out
        )
        return out

    def at_random(self, observation: Observation, k: int) -> NDArray[np.int32]:
        """Items drawn evenly, int32 (n, k)."""
        out = np.empty((len(observation), k), dtype=np.int32)
        _draw_pages(
            len(self.vectors), observation.seeds, observation.users, observation.steps, self.shelf,
            observation.histories, observation.shown, out,
        )  # fmt: skip
        return out


@law
def most_popular(
    order: NDArray[np.int32],
    step: int,
    shelf: Shelf,
    met: NDArray[np.bool_],
    out: NDArray[np.int32],
) -> None:
    """The first items of `order` that are new to the user; where there are too few, others follow (`standing`)."""
    count = 0
    for kind in range(3):
        for j in range(order.shape[0]):
            if count == out.shape[0]:
                return
            if standing(order[j], step, shelf, met) == kind:
                out[count] = order[j]
                count += 1


@batched
def _popular(
    begin: int,
    end: int,
    order: NDArray[np.int32],
    steps: NDArray[np.int64],
    shelf: Shelf,
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    met = np.zeros(len(order), dtype=np.bool_)
    for i in range(begin, end):
        note(met, histories[i], shown[i], True)
        most_popular(order, steps[i], shelf, met, out[i])
        note(met, histories[i], shown[i], False)


@batched
def _complete(
    begin: int, end: int, index: ItemIndex, order: NDArray[np.int32], queries: NDArray[np.float32],
    steps: NDArray[np.int64], shelf: Shelf, histories: NDArray[np.int32], shown: NDArray[np.int32],
    found: NDArray[np.int64], out: NDArray[np.int32],
) -> None:  # fmt: skip
    """Pages (n, k) of those for whom fewer than k items were found: looked for everywhere, or popular ones."""
    met, scores = np.zeros(len(order), dtype=np.bool_), np.empty(out.shape[1], dtype=np.float32)
    for i in range(begin, end):
        if found[i] == out.shape[1]:
            continue
        note(met, histories[i], shown[i], True)
        if queries[i].any():
            nearest(index, queries[i], steps[i], shelf, met, out[i], scores)
        else:
            most_popular(order, steps[i], shelf, met, out[i])
        note(met, histories[i], shown[i], False)


@batched
def _neighbours(
    begin: int, end: int,
    index: ItemIndex, known: NDArray[np.int32], order: NDArray[np.int32], vectors: NDArray[np.float32],
    seeds: NDArray[np.uint64], users: NDArray[np.int64], steps: NDArray[np.int64], shelf: Shelf,
    histories: NDArray[np.int32], shown: NDArray[np.int32], out: NDArray[np.int32],
) -> None:  # fmt: skip
    """Pages (n, count, k) of new items nearest to one item each: the known neighbours (n_items, m) first.

    A search where they do not fill a page.
    """
    k, width = out.shape[2], histories.shape[1]
    met, scores = np.zeros(len(order), dtype=np.bool_), np.empty(k, dtype=np.float32)
    for i in range(begin, end):
        note(met, histories[i], shown[i], True)
        length = (histories[i] >= 0).sum()
        for which in range(out.shape[1]):
            page, count = out[i, which], 0
            luck = uniform4(seeds[i], users[i], steps[i], _ANCHOR, which // 4)[which % 4]
            anchor = histories[i, width - 1 - int(luck * length)]
            for item in known[anchor] if anchor >= 0 else known[0, :0]:
                if count < k and standing(item, steps[i], shelf, met) == 0:
                    page[count] = item
                    count += 1
            if anchor < 0:
                most_popular(order, steps[i], shelf, met, page)
            elif count < k:
                nearest(index, vectors[anchor], steps[i], shelf, met, page, scores)
        note(met, histories[i], shown[i], False)


@batched
def _contrast(
    begin: int, end: int, vectors: NDArray[np.float32], histories: NDArray[np.int32], out: NDArray[np.float32]
) -> None:
    """Lasting minus recent taste, (n, d); zeros where that is nothing but rounding."""
    recent = np.empty(out.shape[1], dtype=np.float32)
    for i in range(begin, end):
        pool(histories[i], vectors, CONTRAST[0], out[i])
        pool(histories[i], vectors, CONTRAST[1], recent)
        out[i] -= recent
        if np.abs(out[i]).max() < _NO_CONTRAST:
            out[i] = 0


@batched
def _rank_first(
    begin: int, end: int, vectors: NDArray[np.float32], queries: NDArray[np.float32], pool: NDArray[np.int32],
    steps: NDArray[np.int64], shelf: Shelf, histories: NDArray[np.int32], shown: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:  # fmt: skip
    """Put the new items of each user's pool (n, among), the nearest first, before what `out` (n, k) holds."""
    k, met = out.shape[1], np.zeros(len(vectors), dtype=np.bool_)
    page, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
    for i in range(begin, end):
        note(met, histories[i], shown[i], True)
        count, contrast = 0, queries[i].any()
        for item in pool[i]:
            if standing(item, steps[i], shelf, met) == 0:
                if contrast:
                    count = place(page, scores, count, item, dot(vectors[item], queries[i]))
                elif count < k:
                    page[count] = item
                    count += 1
        for item in out[i]:
            if count < k and not holds(page[:count], item):
                page[count] = item
                count += 1
        out[i] = page
        note(met, histories[i], shown[i], False)


@batched
def _draw_pages(
    begin: int,
    end: int,
    n_items: int,
    seeds: NDArray[np.uint64],
    users: NDArray[np.int64],
    steps: NDArray[np.int64],
    shelf: Shelf,
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    met = np.zeros(n_items, dtype=np.bool_)
    for i in range(begin, end):
        note(met, histories[i], shown[i], True)
        page, k, tries = out[i], 0, 0
        while k < page.shape[0]:
            if tries % 4 == 0:
                luck = uniform4(seeds[i], users[i], steps[i], _RANDOM_ITEMS, tries // 4)
            item = int(luck[tries % 4] * n_items)
            tries += 1
            # After many refusals the catalogue is nearly used up: then only a repeat on the page itself is refused.
            old = tries < 50 * page.shape[0] and standing(item, steps[i], shelf, met) > 0
            if not old and not holds(page[:k], item):
                page[k] = item
                k += 1
        note(met, histories[i], shown[i], False)
