"""Who the users are: made up from the catalogue, or fitted to a log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from zsr_sim.compiled import bare, batched
from zsr_sim.encoders.space import unit
from zsr_sim.envs.choice import affinity, relevance
from zsr_sim.envs.estimates import Estimate
from zsr_sim.envs.exponential import exponential
from zsr_sim.envs.items import STRIP, WorldItems
from zsr_sim.envs.noise import Purpose, normals, uniform4, uniforms
from zsr_sim.envs.tables import F32, F64, I32, I64
from zsr_sim.envs.traits import Trait, Traits, draw_traits
from zsr_sim.envs.world import Users
from zsr_sim.errors import InputError
from zsr_sim.products import add_products

HISTORY_LENGTH = 50
_ORGANIC = int(Purpose.ORGANIC)
_CONSIDERED = 256  # items that a user comes across before choosing one without a recommender
_CLOSE = 16_384  # items of a catalogue up to which a user is compared with all of them at once
_TOGETHER = 16  # users who are compared at a time


class Population(Protocol):
    """Where visitors come from; who a visitor is, is a function of the id alone."""

    @property
    def traits(self) -> Traits:
        """How the parameters of these users are distributed."""

    @property
    def people(self) -> int | None:
        """How many distinct people stand behind the visits; None: as many as there are ids."""

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """The users with these ids (0 .. 2**62), one row each."""

    def split(self, share: float, seed: int) -> tuple[Population, Population]:
        """Two populations without a common user; the second is for evaluation and has about `share` of the people."""


@dataclass(frozen=True)
class MadeUpPopulation:
    """Users for a catalogue without a log: each has a few interests, drawn among the catalogue's items.

    An interest is a point near an item, `spread` away from it; users differ in traits; what they consumed before the
    visit is drawn from their own taste (`organic`). Ids 0 .. room - 1 stand for the users from `first_id` on: two
    populations with ranges apart share no user.
    """

    items: WorldItems
    traits: Traits
    seed: int
    first_id: int = 0
    room: int = 2**62
    n_interests: int = 3
    spread: float = 0.6
    click_bias: float = -4.0

    @classmethod
    def create(cls, items: WorldItems, traits: Traits, seed: int, n_interests: int = 3) -> MadeUpPopulation:
        """Users whose mean click level is `traits.base_click_rate`."""
        raw = cls(items, traits, seed, n_interests=n_interests, click_bias=0.0)
        some = raw.newcomers(np.arange(512, dtype=np.int64))
        return replace(raw, click_bias=click_level(items, some, traits.base_click_rate, seed))

    @property
    def people(self) -> int | None:
        """Every id is a person of its own."""
        return None

    def split(self, share: float, seed: int) -> tuple[MadeUpPopulation, MadeUpPopulation]:
        """Each population gets half of the ids, whatever the share: more than anybody will ask for."""
        half = self.room // 2
        return replace(self, room=half), replace(self, first_id=self.first_id + half, room=half)

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """Users with a history of 4 to 20 items that they chose without a recommender.

        Raises InputError for ids outside 0 .. room - 1.
        """
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.room:
            raise InputError(f"user ids run from {ids.min()} to {ids.max()}; this population has 0 to {self.room - 1}")
        users = self.newcomers(ids)
        lengths = 4 + (uniforms(self.seed, users.ids, 0, Purpose.ORGANIC, 1)[:, 0] * 17).astype(np.int64)
        return replace(users, histories=organic(self.items, users, lengths, self.seed, HISTORY_LENGTH))

    def newcomers(self, ids: NDArray[np.int64]) -> Users:
        """The users with these ids before they have consumed anything."""
        ids = np.asarray(ids, dtype=np.int64) + self.first_id
        n, k, d = len(ids), self.n_interests, self.items.vectors.shape[1]
        anchor = (uniforms(self.seed, ids, 0, Purpose.INTERESTS, k) * len(self.items)).astype(np.int64)
        noise = normals(self.seed, ids, 0, Purpose.TASTE, k * d).reshape(n, k, d)
        tastes = unit(self.items.vectors[anchor] + self.spread * noise / np.sqrt(d))  # (n, k, d)
        traits = draw_traits(self.traits, self.seed, ids, self.click_bias)
        empty = np.full((n, HISTORY_LENGTH), -1, dtype=np.int32)
        return Users(ids, ids, tastes.astype(np.float32), traits, empty)


@dataclass(frozen=True)
class FittedPopulation:
    """The people of a log: a visit is by one of them, with the tastes and the history that the log shows.

    items: as these users see them. tastes: float32 (people, interests, d), unit vectors. affinity_weights: float32
    (people,), the trait of that name: the more a log shows of a person, the surer the taste. likings: float32 (people,
    e), as in `Users`. report: where each parameter comes from. histories: int32 (people, length). codes: int64
    (people,), which user of the log it is, -1 for a newcomer (`newcomers.py`). keys: int64 (people,), a hash of the
    user's id, ascending: people stand in an order that has nothing to do with the log's, and a person keeps side and
    traits when others join. Visit i is by person i mod rows; visits of one person differ in luck only. Rows with one
    key are one person (`replicates.bootstrap`). profiles: float32 (people, d), as in `Users`; (0, 0) where nobody has
    one.
    """

    items: WorldItems
    traits: Traits
    seed: int
    tastes: NDArray[np.float32]
    histories: NDArray[np.int32]
    codes: NDArray[np.int64]
    keys: NDArray[np.int64]
    affinity_weights: NDArray[np.float32]
    likings: NDArray[np.float32]
    click_bias: float
    report: tuple[Estimate, ...]
    profiles: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    @property
    def people(self) -> int | None:
        """Number of people in the log with enough interactions to be fitted."""
        return len(np.unique(self.keys))

    def split(self, share: float, seed: int) -> tuple[FittedPopulation, FittedPopulation]:
        """People are told apart by a draw of their own, whatever other people there are."""
        second = uniforms(seed, self.keys, 0, Purpose.SAMPLE_USERS, 1)[:, 0] < share
        if second.all() or not second.any():
            raise InputError(
                f"a share of {share} of {len(self.codes)} people leaves a part without anybody; "
                f"use a log with more users or another share"
            )
        return self._only(~second), self._only(second)

    def _only(self, rows: NDArray[np.bool_]) -> FittedPopulation:
        columns = ["tastes", "histories", "codes", "keys", "affinity_weights", "likings"]
        columns += ["profiles"] if len(self.profiles) else []
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """Users with the history of their log."""
        ids = np.asarray(ids, dtype=np.int64)
        rows = ids % len(self.codes)
        traits = draw_traits(self.traits, self.seed, self.keys[rows], self.click_bias)
        traits[:, Trait.AFFINITY_WEIGHT] = self.affinity_weights[rows]
        profiles = self.profiles[rows] if len(self.profiles) else self.profiles
        return Users(
            ids, self.keys[rows], self.tastes[rows], traits, self.histories[rows], self.likings[rows], profiles
        )


def organic(
    items: WorldItems, users: Users, lengths: int | NDArray[np.int64], seed: int, width: int | None = None
) -> NDArray[np.int32]:
    """What users consume by themselves, without a recommender: item rows, int32 (n, width), most recent last.

    lengths: how many items each consumes, int64 (n,), or one number for all. Rows are padded left with -1, to `width`
    or else to the longest. Each time a user comes across some items at random and takes one with probability
    proportional to exp(relevance) (multinomial logit, McFadden 1974); the topic just consumed is less relevant for a
    while, as in a visit.
    """
    each = np.array(np.broadcast_to(np.asarray(lengths, dtype=np.int64), len(users)))
    out = np.full((len(users), width or each.max(initial=0)), -1, dtype=np.int32)
    d = items.vectors.shape[1]
    columns = items.strips if len(items) <= _CLOSE else np.empty((0, d, STRIP), dtype=np.float32)
    _organic(
        items.vectors, columns, items.appeal, items.topics, items.n_topics, users.ids, users.tastes, users.traits,
        np.uint64(seed), each, out,
    )  # fmt: skip
    return out


def click_level(items: WorldItems, users: Users, rate: float, seed: int) -> float:
    """The click bias, on top of these users' own, at which they click `rate` of the random items that they look at.

    By bisection; nobody has consumed anything, is bored, or minds the season.
    """
    rows = (uniforms(seed, users.ids, 1, Purpose.SAMPLE_USERS, 64) * len(items)).astype(np.int64)  # (n, 64)
    cosine = np.einsum("nkd,nmd->nkm", users.tastes, items.vectors[rows]).max(axis=1)  # (n, 64)
    bias, affinity_weight, appeal_weight = (
        users.traits[:, trait, None].astype(np.float64)  # (n, 1)
        for trait in (Trait.CLICK_BIAS, Trait.AFFINITY_WEIGHT, Trait.APPEAL_WEIGHT)
    )
    logits = bias + affinity_weight * cosine + appeal_weight * items.appeal[rows]
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(logits + middle).mean() < rate else (low, middle)
    return low


@bare
def _choose(
    u: int, vectors: F32, appeal: F32, topics: I32, boredom: F64, traits: F32, tastes: F32, taken: I32,
    seed: np.uint64, user: int, step: int, close: F32, met: I32, again: NDArray[np.bool_], values: F64,
) -> int:  # fmt: skip
    """The item that a user takes among some that he comes across.

    close: the user's `affinity` for each item, or nothing. met, again, values: scratch, (considered,).
    """
    for c in range(0, met.shape[0], 4):
        luck = uniform4(seed, user, step, _ORGANIC, 1 + c // 4)
        for k in range(4):
            met[c + k] = int(luck[k] * vectors.shape[0])
    for c in range(met.shape[0]):
        again[c] = False
    for t in range(taken.shape[0]):
        for c in range(met.shape[0]):
            again[c] |= met[c] == taken[t]
    best = -np.inf
    for c in range(met.shape[0]):
        item = met[c]
        cosine = np.float64(close[item]) if close.shape[0] else affinity(tastes, u, vectors, item)[0]
        values[c] = relevance(traits, u, cosine, appeal[item], boredom[topics[item]], 0.0, again[c])
        best = max(best, values[c])
    for c in range(met.shape[0]):
        values[c] = exponential(values[c] - best)
    total = 0.0
    for c in range(met.shape[0]):
        total += values[c]
        values[c] = total
    luck = uniform4(seed, user, step, _ORGANIC, 1 + met.shape[0] // 4)
    place = 0
    while values[place] < luck[0] * total:
        place += 1
    return int(met[place])


@bare
def _compare(tastes: F32, columns: F32, products: F32, close: F32) -> None:
    """Put the `affinity` of users (u, interests, d) for all items, columns (strips, d, STRIP), into close (u, n)."""
    count, interests, d = tastes.shape
    for s in range(columns.shape[0]):
        some = products[: count * interests]
        for i in range(some.shape[0]):
            for j in range(STRIP):
                some[i, j] = 0.0
        add_products(tastes.reshape(count * interests, d), columns[s], some)
        for u in range(count):
            best = close[u, s * STRIP : (s + 1) * STRIP]
            for j in range(STRIP):
                best[j] = some[u * interests, j]
            for k in range(1, interests):
                own = some[u * interests + k]
                for j in range(STRIP):
                    best[j] = own[j] if own[j] > best[j] else best[j]


@batched
def _organic(
    begin: int, end: int, vectors: F32, columns: F32, appeal: F32, topics: I32, n_topics: int,
    ids: I64, tastes: F32, traits: F32, seed: np.uint64, lengths: I64, out: I32,
) -> None:  # fmt: skip
    close = np.empty((_TOGETHER, columns.shape[0] * STRIP), dtype=np.float32)
    products = np.empty((_TOGETHER * tastes.shape[1], STRIP), dtype=np.float32)
    met, again = np.empty(_CONSIDERED, dtype=np.int32), np.empty(_CONSIDERED, dtype=np.bool_)
    values = np.empty(_CONSIDERED)
    for u in range(begin, end):
        if (u - begin) % _TOGETHER == 0:
            _compare(tastes[u : min(u + _TOGETHER, end)], columns, products, close)
        boredom, first = np.zeros(n_topics), out.shape[1] - lengths[u]
        for step in range(lengths[u]):
            taken = out[u, first : first + step]
            item = _choose(
                u, vectors, appeal, topics, boredom, traits, tastes, taken, seed, ids[u], step,
                close[(u - begin) % _TOGETHER], met, again, values,
            )  # fmt: skip
            out[u, first + step] = item
            boredom *= traits[u, Trait.BOREDOM_MEMORY]
            boredom[topics[item]] += 1.0
