"""Upper references: strategies that see what is hidden in a user and know the world's laws. No recommender could."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.envs.asked import AskedWorld
from zsr_sim.envs.choice import affinity, relevance, sigmoid
from zsr_sim.envs.feedback import dwell_median, reaction_probability, worth
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.tables import Fact, ItemColumns, Rules
from zsr_sim.envs.traits import Trait
from zsr_sim.envs.world import World, WorldState
from zsr_sim.errors import InputError
from zsr_sim.generation.index import holds

POOL = 256  # items that the planner builds its pages of
NOT_NEW = -1.0  # below it stands, in the same order, what the user has had: NOT_NEW - 1 / (1 + expected reward)
_LAST = -1e6  # a score below any of an item that is new
_CHUNK = 64  # users whose futures are played at once


class Plan(NamedTuple):
    """A way to fill pages: the items with the highest expected reward, but with an eye on what comes after.

    quality: how much an item's quality, per standard deviation, adds to the logarithm of its expected reward. cap: most
    items of one topic on a page. rest: share of the positions, at the end of the page, that are filled with the items
    of least expected reward: a page that spares the user.
    """

    quality: float = 0.0
    cap: int = 1_000_000
    rest: float = 0.0


PLANS = (
    Plan(), Plan(cap=1), Plan(cap=2), Plan(cap=4), Plan(quality=0.5), Plan(quality=1.0), Plan(quality=2.0),
    Plan(quality=0.5, cap=2), Plan(rest=0.5),
)  # fmt: skip
"""What the planner chooses among, page by page; the first is `oracle-myopic`."""


@dataclass(frozen=True)
class OracleMyopic:
    """Shows the items with the highest expected reward on this page, by their true probabilities, best first.

    With users who look at positions independently of each other (position-based choice) no page earns more now; with
    cascade or logit choice it is a greedy page. Where nothing has a long-term effect it is the optimum.

    repeats: whether it may show what the user has had or was shown; then the world's repeat penalty alone speaks
    against it. Without, it keeps to the rule of every other strategy: new items, as long as there are any.
    """

    world: World
    repeats: bool = False

    def act(self, observation: Observation) -> Decision:
        """An oracle cannot act on an observation alone. Raises InputError."""
        raise InputError("it sees the users' hidden state, which only the simulation can show it; use it in compare")

    def act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        """The page that earns most now."""
        values = page_values(self.world, state, repeats=self.repeats)
        return Decision(fill(values, self.world, np.zeros(len(state.steps), dtype=np.int64)))


@dataclass(frozen=True)
class OraclePlanner:
    """Looks ahead: plays each user's future under each of `PLANS` and shows the page of the best.

    Every plan begins at the same copy of the user's state and meets the same luck (common random numbers), never the
    luck that the user will meet; its worth is the mean of the expected rewards of `depth` pages over `rollouts` such
    futures. So each page is at least as good as switching to any one of the plans for good, within the depth (policy
    switching: Chang, Givan and Chong 2004). An upper reference, not the optimum. horizon: pages of a visit. repeats: as
    for `OracleMyopic`.
    """

    world: World
    horizon: int
    depth: int = 8
    rollouts: int = 4
    repeats: bool = False

    def act(self, observation: Observation) -> Decision:
        """An oracle cannot act on an observation alone. Raises InputError."""
        return OracleMyopic(self.world).act(observation)

    def act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        """The first page of the plan that earns most within the depth."""
        slates = np.empty((len(observation), self.world.slate_size), dtype=np.int32)
        for begin in range(0, len(observation), _CHUNK):
            rows = np.arange(begin, min(begin + _CHUNK, len(observation)))
            part = state.take(rows)
            pool = self._pool(part)
            best = self.worth(part, pool).argmax(axis=1)  # (k,)
            slates[rows] = fill(self._values(part, pool), self.world, best, pool)
        return Decision(slates)

    def worth(self, state: WorldState, pool: NDArray[np.int32]) -> NDArray[np.float64]:
        """Expected reward within the depth of each plan for each user, float64 (k, plans)."""
        k, m = len(state.steps), len(PLANS)
        who = np.repeat(np.arange(k), m * self.rollouts)
        plans = np.tile(np.repeat(np.arange(m), self.rollouts), k)
        future, pools = state.take(who), np.ascontiguousarray(pool[who])
        future.seeds[:] = self._luck(state)[:, None, :].repeat(m, axis=1).ravel()
        future.draw_moods()
        last = np.minimum(future.steps + self.depth, self.horizon)
        earned = np.zeros(len(who))
        while (future.present & (future.steps < last)).any():
            future.present &= future.steps < last
            slates = fill(self._values(future, pools), self.world, plans, pools)
            earned += self.world.step(future, slates).expected_reward
        return np.asarray(earned.reshape(k, m, self.rollouts).mean(axis=2))

    def _values(self, state: WorldState, pool: NDArray[np.int32] | None = None) -> NDArray[np.float64]:
        return page_values(self.world, state, pool, self.repeats)

    def _luck(self, state: WorldState) -> NDArray[np.uint64]:
        """Seeds of the futures, uint64 (k, rollouts): functions of (seed, user, step), and not the user's own seed."""
        draws = uniforms(state.seeds, state.users.ids, state.steps, Purpose.PLAN, self.rollouts)
        return (draws * 2.0**53).astype(np.uint64)

    def _pool(self, state: WorldState) -> NDArray[np.int32]:
        """The items among which pages are planned: the best of the plans that differ most, int32 (k, POOL)."""
        n_items = len(self.world.items)
        size = min(POOL, n_items)
        if size == n_items:
            return np.tile(np.arange(n_items, dtype=np.int32), (len(state.steps), 1))
        values = self._values(state)
        by_quality = np.log(np.maximum(values, 0.0) + 1e-30) + self.world.items.quality
        lists = [np.argsort(-v, axis=1, kind="stable")[:, :size] for v in (values, by_quality)]
        both = np.stack(lists, axis=2).reshape(len(values), -1)  # best of one, best of the other, second of one, ...
        out = np.empty((len(values), size), dtype=np.int32)
        for row, items in enumerate(both):
            _, first = np.unique(items, return_index=True)
            out[row] = items[np.sort(first)[:size]]
        return out


def page_values(
    world: World, state: WorldState, pool: NDArray[np.int32] | None = None, repeats: bool = True
) -> NDArray[np.float64]:
    """Expected reward now of each item if it is looked at, float64 (n, n_items), or (n, m) for a pool (n, m) of items.

    With position-based choice the expected reward of a page is the sum over its positions of examination times this;
    purchases that arrive later are not in it. 0 for an item that cannot be had; without `repeats`, NOT_NEW or
    less for one that the user has had or was shown in this visit.

    Raises InputError where a language model answers in the users' place: no law says what it will answer.
    """
    if isinstance(world, AskedWorld):
        raise InputError("an oracle knows laws, not a language model's answers; leave it out or set users=distilled")
    if pool is None:
        everything = np.arange(len(world.items), dtype=np.int32)[None, :]
        pool = np.broadcast_to(everything, (len(state.steps), len(world.items)))
    out = np.empty(pool.shape)
    _values(
        world.columns, world.rules, state.users.traits, state.users.likings, state.tastes, state.boredom,
        state.histories, state.steps, np.ascontiguousarray(pool), out,
    )  # fmt: skip
    if not repeats:
        _leave_out(np.ascontiguousarray(pool), state.histories, state.latest_pages(), out)
    return out


@batched
def _leave_out(
    begin: int, end: int, pool: NDArray[np.int32], histories: NDArray[np.int32], shown: NDArray[np.int32],
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    for i in range(begin, end):
        for j in range(out.shape[1]):
            if holds(histories[i], pool[i, j]) or holds(shown[i], pool[i, j]):
                out[i, j] = NOT_NEW - 1.0 / (1.0 + max(out[i, j], 0.0))


@batched
def _values(
    begin: int, end: int, items: ItemColumns, rules: Rules, traits: NDArray[np.float32], likings: NDArray[np.float32],
    tastes: NDArray[np.float32], boredom: NDArray[np.float32], histories: NDArray[np.int32], steps: NDArray[np.int64],
    pool: NDArray[np.int32], out: NDArray[np.float64],
) -> None:  # fmt: skip
    for i in range(begin, end):
        for j in range(out.shape[1]):
            out[i, j] = _value(items, rules, i, traits, likings, tastes, boredom, histories[i], steps[i], pool[i, j])


@law
def _value(
    items: ItemColumns, rules: Rules, i: int, traits: NDArray[np.float32], likings: NDArray[np.float32],
    tastes: NDArray[np.float32], boredom: NDArray[np.float32], history: NDArray[np.int32], step: int, item: int,
) -> float:  # fmt: skip
    """Probability of a click of user i times what it is expected to bring (`step.py`: _judge, _react)."""
    if step < items.facts[item, Fact.RELEASED] or step >= items.facts[item, Fact.EXPIRES]:
        return 0.0
    topic, appeal = int(items.facts[item, Fact.TOPIC]), items.facts[item, Fact.APPEAL]
    cosine, _ = affinity(tastes, i, items.vectors, item)
    season = items.seasons[step % items.seasons.shape[0], topic]
    logit = relevance(traits, i, cosine, appeal, boredom[i, topic], season, holds(history, item))
    lift, quality = traits[i, Trait.APPEAL_WEIGHT], items.facts[item, Fact.QUALITY]
    gain = worth(lift, logit, appeal, quality, likings, i, items.pleasures, item)
    value = rules.click
    if rules.like != 0.0:
        value += rules.like * reaction_probability(gain, traits[i, Trait.LIKE_RATE], traits[i, Trait.LIKE_SLOPE])
    if rules.purchase != 0.0 and traits[i, Trait.PURCHASE_DELAY] < 0.5:
        rate, slope = traits[i, Trait.PURCHASE_RATE], traits[i, Trait.PURCHASE_SLOPE]
        value += rules.purchase * reaction_probability(gain, rate, slope)
    if rules.dwell != 0.0:
        noise = traits[i, Trait.DWELL_NOISE]
        median = dwell_median(gain, traits[i, Trait.DWELL], traits[i, Trait.DWELL_SLOPE])
        value += rules.dwell * median * math.exp(0.5 * noise * noise)
    return sigmoid(logit) * value


def fill(
    values: NDArray[np.float64], world: World, plans: NDArray[np.int64], pool: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """A page for each user by the plan that `plans` (n,) names, int32 (n, slate_size), from `page_values`."""
    if pool is None:
        everything = np.arange(len(world.items), dtype=np.int32)[None, :]
        pool = np.broadcast_to(everything, values.shape)
    rules = np.array(PLANS)[plans]  # (n, 3)
    out = np.empty((len(values), world.slate_size), dtype=np.int32)
    _fill(values, np.ascontiguousarray(pool), rules, world.items.quality, world.items.topics, world.items.n_topics, out)
    return out


@batched
def _fill(
    begin: int, end: int,
    values: NDArray[np.float64], pool: NDArray[np.int32], rules: NDArray[np.float64], quality: NDArray[np.float32],
    topics: NDArray[np.int32], n_topics: int, out: NDArray[np.int32],
) -> None:  # fmt: skip
    s, m = out.shape[1], pool.shape[1]
    for i in range(begin, end):
        score = np.empty(m)
        for j in range(m):
            if values[i, j] < 0.0:
                score[j] = _LAST + values[i, j]  # only where there is nothing else, the best first
                continue
            score[j] = math.log(values[i, j] + 1e-30) + rules[i, 0] * quality[pool[i, j]]
        order = np.argsort(-score, kind="mergesort")
        spared = int(rules[i, 2] * s)
        taken, used = np.zeros(m, dtype=np.bool_), np.zeros(n_topics, dtype=np.int64)
        count = 0
        for capped in (True, False):  # where the cap leaves the page open, the best of the others
            for j in order:
                topic = topics[pool[i, j]]
                passed = capped and (used[topic] >= rules[i, 1] or values[i, j] < 0.0)
                if count < s - spared and not taken[j] and not passed:
                    out[i, count] = pool[i, j]
                    taken[j] = True
                    used[topic] += 1
                    count += 1
        for spare in (True, False):
            for j in order[::-1]:
                if count < s and not taken[j] and not (spare and values[i, j] < 0.0):
                    out[i, count] = pool[i, j]
                    taken[j] = True
                    count += 1
