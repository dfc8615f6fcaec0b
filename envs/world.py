"""The world: many simulated users, one page at a time, arrays in and arrays out.

A user who is shown a slate looks at its positions, clicks what is relevant, likes or buys some of it, and changes:
boredom and its recovery, taste drift, satisfaction, perhaps leaving, perhaps for some days only. The laws stand in
`choice.py`, `feedback.py` and `dynamics.py`; `step.py` applies them in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import aligned, batched
from zsr_sim.envs.choice import CHOICES, seasonal
from zsr_sim.envs.columns import Columns
from zsr_sim.envs.feedback import Feedback, RewardWeights
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.slates import find_bad_slates
from zsr_sim.envs.step import MAX_DELAY, draw_moods, step_all
from zsr_sim.envs.tables import LANES, ItemColumns, PageColumns, Rules, UserColumns
from zsr_sim.envs.traits import N_TRAITS, Trait
from zsr_sim.errors import InputError, nearest


@dataclass(frozen=True)
class Users(Columns):
    """Who visits: one row per visit, what the user is like when it begins.

    ids: int64 (n,), the user in every random draw. people: int64 (n,), the person behind the visit; visits of one
    person are not independent. tastes: float32 (n, interests, d), unit vectors. traits: float32 (n, N_TRAITS), the
    user's parameter of each law (`traits.py`). histories: int32 (n, length), items consumed before the visit, most
    recent last, padded left with -1; `length` (at least 1) is how many items the user remembers. likings: float32
    (n, e), what pleases the user beyond quality, in standard deviations of it (`WorldItems.pleasures`); e = 0: nothing
    but what draws the user, too. profiles: float32 (n, d), where a text on the user lies in the item space, zeros for a
    user without one; (n, 0) where nobody has one.
    """

    ids: NDArray[np.int64]
    people: NDArray[np.int64]
    tastes: NDArray[np.float32]
    traits: NDArray[np.float32]
    histories: NDArray[np.int32]
    likings: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    profiles: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def __post_init__(self) -> None:
        for name in ("likings", "profiles"):
            if len(getattr(self, name)) != len(self):
                object.__setattr__(self, name, np.empty((len(self), 0), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class WorldState(Columns):
    """Everything that changes during visits; `World.step` writes into these arrays.

    seeds: uint64 (n,). steps: int64 (n,), pages seen so far. present: bool (n,), False once the visit is over.
    tastes: float32 (n, interests, d). boredom: float32 (n, n_topics), in clicks. satisfaction: float32 (n,), 0..1.
    patience: float32 (n,), pages that are left of it. sessions: int32 (n,), sessions begun so far. moods: float64
    (n, 2), of the session under way and of the absence after it, in standard deviations (`dynamics.moods`). pending:
    uint8 (n, MAX_DELAY), purchases that arrive at page p stand in column p mod MAX_DELAY. histories: int32 (n, length).
    shown: int32 (n, capacity, slate), the latest pages of this visit: page p stands at p mod capacity; -1: none yet.
    """

    users: Users
    seeds: NDArray[np.uint64]
    steps: NDArray[np.int64]
    present: NDArray[np.bool_]
    tastes: NDArray[np.float32]
    boredom: NDArray[np.float32]
    satisfaction: NDArray[np.float32]
    patience: NDArray[np.float32]
    sessions: NDArray[np.int32]
    moods: NDArray[np.float64]
    pending: NDArray[np.uint8]
    histories: NDArray[np.int32]
    shown: NDArray[np.int32]

    def latest_pages(self) -> NDArray[np.int32]:
        """Items shown in this visit, int32 (n, capacity * slate), most recent last, padded left with -1."""
        out = np.empty_like(self.shown)
        _unroll(self.shown, self.steps, out)
        return out.reshape(len(out), -1)

    def draw_moods(self) -> None:
        """Draw the moods of the sessions under way from `seeds`, as where these have changed."""
        draw_moods(self.seeds, self.users.ids, self.sessions, self.moods)


def user_columns(state: WorldState) -> UserColumns:
    """The arrays of `state` themselves, as the step takes them."""
    return UserColumns(
        state.users.ids, state.users.traits, state.seeds, state.steps, state.present, state.tastes, state.boredom,
        state.satisfaction, state.patience, state.sessions, state.moods, state.pending, state.histories, state.shown,
        state.users.likings,
    )  # fmt: skip


@batched
def _unroll(begin: int, end: int, ring: NDArray[np.int32], steps: NDArray[np.int64], out: NDArray[np.int32]) -> None:
    for i in range(begin, end):
        capacity = ring.shape[1]
        oldest = steps[i] % capacity
        out[i, : capacity - oldest], out[i, capacity - oldest :] = ring[i, oldest:], ring[i, :oldest]


@dataclass(frozen=True)
class World:
    """The items and what holds for all users; it holds no user.

    choice: how a page is looked at, one of `CHOICES`. rewards: what each kind of feedback is worth. shown_capacity: how
    many of the items shown in a visit are remembered, in whole pages (strategies read them). season_period: pages until
    topics are in season again. max_gap: days away after which a user is taken to have left.
    """

    items: WorldItems
    choice: str = "position"
    rewards: RewardWeights = field(default_factory=RewardWeights)
    slate_size: int = 10
    shown_capacity: int = 200
    season_period: int = 40
    max_gap: int = 30
    columns: ItemColumns = field(init=False, repr=False, compare=False)  # what the compiled step takes
    rules: Rules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise InputError(
                f"choice is {self.choice!r}; one of {', '.join(CHOICES)} expected{nearest(self.choice, CHOICES)}"
            )
        if not 1 <= self.slate_size <= len(self.items):
            raise InputError(
                f"slate_size is {self.slate_size}, the catalogue has {len(self.items)} items; "
                f"a slate needs 1 to {len(self.items)} different items"
            )
        if self.shown_capacity < self.slate_size:
            raise InputError(f"shown_capacity is {self.shown_capacity}; it must hold a page of {self.slate_size} items")
        items, period, topics = self.items, self.season_period, self.items.n_topics
        seasons = [[seasonal(page, topic, topics, period) for topic in range(topics)] for page in range(period)]
        facts = np.stack([items.appeal, items.quality, items.topics, items.released, items.expires], axis=1)
        columns = ItemColumns(
            aligned(items.vectors), aligned(facts.astype(np.float32)), np.array(seasons, dtype=np.float32),
            np.log(1.0 + np.arange(-(-self.slate_size // LANES) * LANES)), items.pleasures,
        )  # fmt: skip
        rules = Rules(CHOICES[self.choice], self.max_gap, *map(float, self.rewards))
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "rules", rules)

    def start(self, users: Users, seeds: int | NDArray[np.uint64]) -> WorldState:
        """The beginning of a visit for each user; `seeds`: one for all, or uint64 (n,).

        Raises InputError for tastes of other dimensions than the items, another number of traits, or histories that
        cannot hold an item.
        """
        n = len(users)
        if users.tastes.shape[2] != self.items.vectors.shape[1] or not users.histories.shape[1]:
            raise InputError(
                f"tastes have shape {users.tastes.shape} and histories {users.histories.shape}; expected (users, "
                f"interests, {self.items.vectors.shape[1]}), as the items have, and (users, at least 1)"
            )
        if users.likings.shape != (n, self.items.pleasures.shape[1]):
            raise InputError(
                f"likings have shape {users.likings.shape}; expected {(n, self.items.pleasures.shape[1])}: (users, "
                "columns of the items' pleasures)"
            )
        if users.traits.shape != (n, N_TRAITS):
            raise InputError(f"traits have shape {users.traits.shape}; expected {(n, N_TRAITS)}: (users, traits)")
        state = WorldState(
            users=users.copy(),  # `put` writes into them; the caller's arrays may be shared
            seeds=np.array(np.broadcast_to(np.asarray(seeds, dtype=np.uint64), n)),
            steps=np.zeros(n, dtype=np.int64),
            present=np.ones(n, dtype=np.bool_),
            tastes=aligned(users.tastes),
            boredom=aligned(np.zeros((n, self.items.n_topics), dtype=np.float32)),
            satisfaction=np.full(n, 0.5, dtype=np.float32),
            patience=users.traits[:, Trait.PATIENCE].copy(),
            sessions=np.ones(n, dtype=np.int32),
            moods=np.empty((n, 2)),
            pending=np.zeros((n, MAX_DELAY), dtype=np.uint8),
            histories=aligned(users.histories),
            shown=np.full((n, self.shown_capacity // self.slate_size, self.slate_size), -1, dtype=np.int32),
        )
        state.draw_moods()
        return state

    def step(
        self, state: WorldState, slates: NDArray[np.int32], answers: NDArray[np.float32] | None = None
    ) -> Feedback:
        """Show each present user a slate, int32 (n, slate_size) of item rows without repeats; `state` changes in place.

        answers: float32 (n, slate_size), log-odds with which somebody else, such as a language model, says that the
        user clicks an item that is looked at; they take the place of taste and appeal (`choice.attraction`), all other
        laws stay.

        Raises InputError for slates of another shape or without integers, an item that is not in the catalogue, or an
        item twice on a page (the rows of users who have left are checked, too).
        """
        self.check(slates, len(state.steps))
        slates = np.ascontiguousarray(slates, dtype=np.int32)
        feedback = Feedback.empty(*slates.shape)
        users = user_columns(state)
        if answers is None:
            answers = np.empty((0, self.slate_size), dtype=np.float32)
        answers = np.ascontiguousarray(answers, dtype=np.float32)
        page = PageColumns(slates, answers, *vars(feedback).values())
        step_all(tuple(self.columns), tuple(users), tuple(page), tuple(self.rules), slates)
        return feedback

    def available(self, step: int) -> NDArray[np.bool_]:
        """Which items can be had on page `step` (from 0) of a visit, bool (n_items,): released and not expired."""
        return np.asarray((self.items.released <= step) & (step < self.items.expires))

    def check(self, slates: NDArray[np.int32], n: int) -> None:
        """Raises InputError as `step` does for slates that n users cannot be shown."""
        expected = (n, self.slate_size)
        if slates.shape != expected:
            raise InputError(f"slates have shape {slates.shape}, {expected} expected: (users, slate_size)")
        if slates.dtype.kind not in "iu":
            raise InputError(f"slates hold {slates.dtype.name}, integers (rows of the catalogue) expected")
        bad = np.empty(len(slates), dtype=np.bool_)
        wide = slates.dtype if slates.dtype.itemsize >= 4 else np.int32  # before a cast could wrap a large number
        find_bad_slates(len(self.items), bad, np.ascontiguousarray(slates, dtype=wide))
        if np.count_nonzero(bad):
            row = int(bad.argmax())
            raise InputError(
                f"the slate of row {row} is {slates[row].tolist()}; a slate holds {self.slate_size} different items, "
                f"each 0 to {len(self.items) - 1}"
            )
