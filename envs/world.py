"""The world: many simulated users, one step at a time, arrays in and arrays out.

A user who is shown a slate looks at each position, clicks what is relevant, and changes: boredom and its recovery,
taste drift, satisfaction, perhaps leaving. The laws stand in `choice.py` and `dynamics.py`; this file only applies them
in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.envs.choice import ChoiceLaw, affinity, examination, relevance, sigmoid
from zsr_sim.envs.dynamics import DynamicsLaw, drift, leave_hazard, satisfied
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.noise import Purpose, uniform4
from zsr_sim.errors import InputError

F32: TypeAlias = NDArray[np.float32]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

_CLICK, _LEAVE = int(Purpose.CLICK), int(Purpose.LEAVE)


@dataclass(frozen=True)
class Users:
    """Who visits: one row per visit, what the user is like when it begins.

    ids: int64 (n,), the user in every random draw. people: int64 (n,), the person behind the visit; visits of one
    person are not independent. tastes: float32 (n, interests, d), unit vectors. click_bias, boredom, leave_bias:
    float32 (n,), in logits. histories: int32 (n, length), items consumed before the visit, most recent last, padded
    left with -1; `length` (at least 1) is how many items the user remembers.
    """

    ids: NDArray[np.int64]
    people: NDArray[np.int64]
    tastes: NDArray[np.float32]
    click_bias: NDArray[np.float32]
    boredom: NDArray[np.float32]
    leave_bias: NDArray[np.float32]
    histories: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64] | slice) -> Users:
        """The users at these rows."""
        return Users(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def copy(self) -> Users:
        """Users with arrays of their own."""
        return Users(**{name: getattr(self, name).copy() for name in self.__dataclass_fields__})


@dataclass
class WorldState:
    """Everything that changes during visits; `World.step` writes into these arrays.

    seeds: uint64 (n,). steps: int64 (n,), pages seen so far. present: bool (n,), False once the user has left.
    tastes: float32 (n, interests, d). boredom: float32 (n, n_topics), in clicks. satisfaction: float32 (n,), 0..1.
    histories: int32 (n, length). shown: int32 (n, capacity), the items shown in this visit, most recent last, padded
    left with -1.
    """

    users: Users
    seeds: NDArray[np.uint64]
    steps: NDArray[np.int64]
    present: NDArray[np.bool_]
    tastes: NDArray[np.float32]
    boredom: NDArray[np.float32]
    satisfaction: NDArray[np.float32]
    histories: NDArray[np.int32]
    shown: NDArray[np.int32]

    def copy(self) -> WorldState:
        """A state that may be stepped without touching this one."""
        return WorldState(**{name: getattr(self, name).copy() for name in self.__dataclass_fields__})

    def take(self, rows: NDArray[np.int64]) -> WorldState:
        """The users at these rows, in arrays of their own; a row may occur more than once."""
        columns = (name for name in self.__dataclass_fields__ if name != "users")
        return WorldState(users=self.users.take(rows), **{name: getattr(self, name)[rows] for name in columns})

    def reset_rows(self, rows: NDArray[np.int64], fresh: WorldState) -> None:
        """Begin new visits at these rows: take them over from a freshly started state of the same length as `rows`."""
        for name in self.__dataclass_fields__:
            if name != "users":
                getattr(self, name)[rows] = getattr(fresh, name)
        for name in self.users.__dataclass_fields__:
            getattr(self.users, name)[rows] = getattr(fresh.users, name)


@dataclass(frozen=True)
class Feedback:
    """What one page brought.

    clicks: bool (n, slate). left: bool (n,), the user left after this page. probabilities: float32 (n, slate), the
    true click probability at each position (no strategy sees it; for tests and references). Users who had left before:
    zeros.
    """

    clicks: NDArray[np.bool_]
    left: NDArray[np.bool_]
    probabilities: NDArray[np.float32]

    @property
    def reward(self) -> NDArray[np.float32]:
        """Clicks on the page, float32 (n,)."""
        return np.asarray(self.clicks.sum(axis=1, dtype=np.float32))


@dataclass(frozen=True)
class World:
    """The laws and the items; it holds no user.

    `shown_capacity`: how many of the items shown in a visit are remembered (strategies read them).
    """

    items: WorldItems
    choice: ChoiceLaw = field(default_factory=ChoiceLaw)
    dynamics: DynamicsLaw = field(default_factory=DynamicsLaw)
    slate_size: int = 10
    shown_capacity: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.slate_size <= len(self.items):
            raise InputError(
                f"slate_size is {self.slate_size}, the catalogue has {len(self.items)} items; "
                f"a slate needs 1 to {len(self.items)} different items"
            )
        if self.shown_capacity < self.slate_size:
            raise InputError(f"shown_capacity is {self.shown_capacity}; it must hold a page of {self.slate_size} items")

    def start(self, users: Users, seeds: int | NDArray[np.uint64]) -> WorldState:
        """The beginning of a visit for each user; `seeds`: one for all, or uint64 (n,).

        Raises InputError for tastes of other dimensions than the items, or histories that cannot hold an item.
        """
        n = len(users)
        if users.tastes.shape[2] != self.items.vectors.shape[1] or not users.histories.shape[1]:
            raise InputError(
                f"tastes have shape {users.tastes.shape} and histories {users.histories.shape}; expected (users, "
                f"interests, {self.items.vectors.shape[1]}), as the items have, and (users, at least 1)"
            )
        return WorldState(
            users=users.copy(),  # `reset_rows` writes into them; the caller's arrays may be shared
            seeds=np.array(np.broadcast_to(np.asarray(seeds, dtype=np.uint64), n)),
            steps=np.zeros(n, dtype=np.int64),
            present=np.ones(n, dtype=np.bool_),
            tastes=users.tastes.copy(),
            boredom=np.zeros((n, self.items.n_topics), dtype=np.float32),
            satisfaction=np.full(n, 0.5, dtype=np.float32),
            histories=users.histories.copy(),
            shown=np.full((n, self.shown_capacity), -1, dtype=np.int32),
        )

    def step(self, state: WorldState, slates: NDArray[np.int32]) -> Feedback:
        """Show each present user a slate, int32 (n, slate_size) of item rows without repeats; `state` changes in place.

        Raises InputError for slates of another shape or without integers, an item that is not in the catalogue, or an
        item twice on a page (the rows of users who have left are checked, too).
        """
        self._check(slates, state)
        n, s = slates.shape
        clicks, left = np.zeros((n, s), dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        probabilities = np.zeros((n, s), dtype=np.float32)
        _step_all(
            self.choice, self.dynamics, self.items.vectors, self.items.quality, self.items.topics,
            state.users.ids, state.users.click_bias, state.users.boredom, state.users.leave_bias,
            state.seeds, state.steps, state.present, state.tastes, state.boredom, state.satisfaction,
            state.histories, state.shown, np.ascontiguousarray(slates, dtype=np.int32), clicks, left, probabilities,
        )  # fmt: skip
        return Feedback(clicks, left, probabilities)

    def _check(self, slates: NDArray[np.int32], state: WorldState) -> None:
        expected = (len(state.steps), self.slate_size)
        if slates.shape != expected:
            raise InputError(f"slates have shape {slates.shape}, {expected} expected: (users, slate_size)")
        if slates.dtype.kind not in "iu":
            raise InputError(f"slates hold {slates.dtype.name}, integers (rows of the catalogue) expected")
        row = _first_bad_slate(np.ascontiguousarray(slates), len(self.items))  # before a cast could wrap a large number
        if row >= 0:
            raise InputError(
                f"the slate of row {row} is {slates[row].tolist()}; a slate holds {self.slate_size} different items, "
                f"each 0 to {len(self.items) - 1}"
            )


@law
def _first_bad_slate(slates: NDArray[np.int32], n_items: int) -> int:
    for i in range(slates.shape[0]):
        for j in range(slates.shape[1]):
            if slates[i, j] < 0 or slates[i, j] >= n_items:
                return i
            for k in range(j):
                if slates[i, k] == slates[i, j]:
                    return i
    return -1


@law
def _contains(items: NDArray[np.int32], item: int) -> bool:
    for j in range(items.shape[0] - 1, -1, -1):  # most recent first; the padding is on the left
        if items[j] == item:
            return True
        if items[j] < 0:
            return False
    return False


@law
def _remember(items: NDArray[np.int32], item: int) -> None:
    items[:-1] = items[1:]
    items[-1] = item


@law
def _step_user(
    choice: ChoiceLaw, dynamics: DynamicsLaw, vectors: F32, quality: F32, topics: I32,
    user: int, click_bias: float, sensitivity: float, leave_bias: float, seed: int, step: int,
    tastes: F32, boredom: F32, satisfaction: float, history: I32, shown: I32,
    slate: I32, clicks: Bools, probabilities: F32,
) -> tuple[float, bool]:  # fmt: skip
    """One page of one user: clicks and probabilities are filled in; returns (satisfaction, left)."""
    s = slate.shape[0]
    count = 0
    interests = np.empty(s, dtype=np.int32)
    for j in range(s):
        if j % 4 == 0:
            luck = uniform4(seed, user, step, _CLICK, j // 4)
        item = slate[j]
        cosine, interests[j] = affinity(tastes, vectors[item])
        bored = sensitivity * boredom[topics[item]]
        logit = relevance(choice, click_bias, cosine, quality[item], bored, _contains(history, item))
        p = examination(j, choice.examination_decay) * sigmoid(logit)
        probabilities[j] = p
        clicks[j] = luck[j % 4] < p
    for c in range(boredom.shape[0]):
        boredom[c] *= dynamics.boredom_memory
    shown[:-s] = shown[s:]
    shown[-s:] = slate
    for j in range(s):
        if clicks[j]:
            count += 1
            boredom[topics[slate[j]]] += dynamics.boredom_per_click
            drift(tastes[interests[j]], vectors[slate[j]], dynamics.drift_rate)
            _remember(history, slate[j])
    satisfaction = satisfied(satisfaction, count, dynamics.satisfaction_memory)
    hazard = leave_hazard(satisfaction, leave_bias, dynamics.leave_slope)
    return satisfaction, uniform4(seed, user, step, _LEAVE, 0)[0] < hazard


@batched
def _step_all(
    choice: ChoiceLaw, dynamics: DynamicsLaw, vectors: F32, quality: F32, topics: I32,
    ids: I64, click_bias: F32, sensitivity: F32, leave_bias: F32, seeds: NDArray[np.uint64], steps: I64, present: Bools,
    tastes: F32, boredom: F32, satisfaction: F32, histories: I32, shown: I32,
    slates: I32, clicks: Bools, left: Bools, probabilities: F32,
) -> None:  # fmt: skip
    for i in numba.prange(slates.shape[0]):
        if present[i]:
            satisfaction[i], left[i] = _step_user(
                choice, dynamics, vectors, quality, topics, ids[i], click_bias[i], sensitivity[i], leave_bias[i],
                seeds[i], steps[i], tastes[i], boredom[i], satisfaction[i], histories[i], shown[i], slates[i],
                clicks[i], probabilities[i],
            )  # fmt: skip
            steps[i] += 1
            present[i] = not left[i]
