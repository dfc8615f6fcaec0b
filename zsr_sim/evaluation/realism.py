"""Does simulated traffic look like real traffic? Fit on the earlier part of a log, simulate, hold it against the later.

Realism of traffic says little about whether a world orders strategies as reality does: that is asked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.careers import BLOCKS, Careers, block_edges, visitors
from zsr_sim.envs.fitting import fit
from zsr_sim.envs.items import make_items
from zsr_sim.envs.organic import Appetite, Consumers, Goods, popularity, taken
from zsr_sim.envs.population import FittedPopulation
from zsr_sim.envs.rhythm import sessions_of
from zsr_sim.envs.traits import Traits
from zsr_sim.errors import InputError
from zsr_sim.evaluation.habits import check_habits
from zsr_sim.evaluation.lines import EARLIER, compare_statistic
from zsr_sim.evaluation.statistics import (
    Items,
    neighbours_in_sessions,
    statistics,
)
from zsr_sim.interactions import Interactions

_HALVINGS, _MOST_MOMENTUM = 7, 16.0  # of the search for momentum: to an eighth


@dataclass(frozen=True)
class Ground:
    """What was fitted on the earlier part: `log`, the careers in it, the population, and what items are chosen by.

    tastes: float32 (n_users, interests, d), log-odds per unit of place, zeros for users with too little of a log.
    momentum: float64 (BLOCKS,), in each block. repeat_share: as in `Appetite`.
    """

    log: Interactions
    careers: Careers
    population: FittedPopulation
    tastes: NDArray[np.float32]
    goods: Goods
    momentum: NDArray[np.float64]
    repeat_share: float


def realism(
    vectors: NDArray[np.float32],
    features: NDArray[np.float32],
    log: Interactions,
    traits: Traits,
    seed: int,
    replications: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Statistics of the later part of a log against simulations that saw the earlier part only; ready for JSON.

    vectors: float32 (n_items, d), the items as their texts place them. features: float32 (n_items, e), what tastes are
    learned from (`features_of`). `statistics`, misses first: value in the later part, 95 % prediction interval of the
    simulation (luck, and from which blocks of the earlier log the rhythm is drawn), whether the value is inside, mean
    Kolmogorov-Smirnov distance of the distributions, and, for a miss, why. `fit`: where each parameter of the users
    comes from. `habits`: see `check_habits`.

    Raises InputError for fewer than 2 replications, a log without times, or one that nobody can be fitted to.
    """
    if replications < 2:
        raise InputError(f"--replications {replications}; an interval needs at least 2")
    cut, end = float(np.quantile(log.timestamps, EARLIER)), float(log.timestamps.max())
    early, late = log.before(cut), log.after(cut)
    if not len(early) or cut >= end:
        raise InputError("all interactions have one time; realism needs a log in which time passes")
    ground = learn(vectors, features, early, traits, seed)
    world = ground.population.items
    items = Items(vectors, world.topics, world.n_topics)
    heavy = int(np.median(np.diff(early.starts)[np.diff(early.starts) > 0]))
    real = statistics(late, items, np.diff(early.starts) > 0, heavy)
    before, stretch = stretch_before(early, end - cut)
    earlier = statistics(stretch, items, np.diff(before.starts) > 0, heavy) if len(stretch) > 1 else {}
    blocks, runs = max(round(BLOCKS * len(late) / len(early)), 1), []
    for replication in range(replications):
        simulated = simulate_log(ground, end, blocks, seed, replication)
        known = np.zeros(simulated.n_users, dtype=np.bool_)
        known[: early.n_users] = np.diff(early.starts) > 0
        runs.append(statistics(simulated, items, known, heavy))
        if progress:
            progress(replication + 1, replications)
    lines = [compare_statistic(key, value, runs, earlier.get(key)) for key, value in real.items()]
    lines.sort(key=lambda line: bool(line["inside"]))  # misses first, otherwise as they are
    return {
        "earlier": {"interactions": len(early), "until": cut},
        "later": {"interactions": len(late), "until": end},
        "replications": replications,
        "inside": sum(bool(line["inside"]) for line in lines) / len(lines),
        "momentum": ground.momentum.tolist(),
        "repeat_share": ground.repeat_share,
        "habits": check_habits(early, late, seed),
        "statistics": lines,
        "fit": [line.to_json() for line in ground.population.report],
    }


def learn(
    vectors: NDArray[np.float32], features: NDArray[np.float32], early: Interactions, traits: Traits, seed: int
) -> Ground:
    """Fit users, momentum and repeats to a log."""
    population = fit(make_items(vectors), early, traits, seed, features=features)
    tastes = np.zeros((early.n_users, *population.tastes.shape[1:]), dtype=np.float32)
    tastes[population.codes] = population.tastes * population.affinity_weights[:, None, None]
    goods = Goods(population.items.vectors, vectors)
    pairs = len(np.unique(early.users.astype(np.int64) * len(vectors) + early.items))
    later = len(early) - int((np.diff(early.starts) > 0).sum())
    momentum = _momentum(early, tastes, goods, seed)
    careers = Careers.of(early, sessions_of(early))
    return Ground(early, careers, population, tastes, goods, momentum, (len(early) - pairs) / max(later, 1))


def _momentum(early: Interactions, tastes: NDArray[np.float32], goods: Goods, seed: int) -> NDArray[np.float64]:
    """Momentum in each block of the log, (BLOCKS,): at which its sessions, filled anew, are as similar in themselves.

    The method of simulated moments (McFadden 1989), by bisection; popularity is that in the block. 0 where no session
    has two items.
    """
    out, edges = np.zeros(BLOCKS), block_edges(early)
    for block in range(BLOCKS):
        before = early.before(edges[block])
        part = early.after(edges[block]).before(edges[block + 1])
        sessions = sessions_of(part)
        real = neighbours_in_sessions(part.items, sessions, goods.texts)
        consumers, who = Consumers(tastes, before.starts, before.items), sessions.users.astype(np.int64)
        weights = np.bincount(part.items, minlength=len(goods.texts)) / max(len(part), 1)
        low, high = 0.0, _MOST_MOMENTUM
        for _ in range(_HALVINGS if len(real) else 0):
            out[block] = (low + high) / 2
            items = taken(who, sessions.lengths, consumers, goods, weights, Appetite(out[block], 0.0), seed)
            short = neighbours_in_sessions(items, sessions, goods.texts).mean() < real.mean()
            low, high = (out[block], high) if short else (low, out[block])
    return out


def simulate_log(ground: Ground, until: float, blocks: int, seed: int, replication: int) -> Interactions:
    """One simulated log from the end of the earlier part to `until`; users beyond the log's are new.

    Who comes when, and momentum, are those of so many blocks of the earlier part, drawn with replacement: as many as
    the time to come is long, so that what has changed from one stretch to the next may change again. A new user has the
    taste of one of the fitted people.
    """
    log, population = ground.log, ground.population
    rng = np.random.default_rng([seed, 6, replication])
    drawn = rng.integers(BLOCKS, size=blocks)
    come = visitors(log, ground.careers, drawn, until, rng)
    n = max(int(come.users.max(initial=-1)) + 1, log.n_users)
    like = population.codes[rng.integers(len(population.codes), size=n - log.n_users)]
    tastes = np.concatenate([ground.tastes, ground.tastes[like]])
    starts = np.concatenate([log.starts, np.full(n - log.n_users, log.starts[-1])])
    appeal = population.traits.appeal_weight * population.items.appeal
    weights = popularity(log, len(appeal), appeal, drawn, rng)
    consumers = Consumers(tastes, starts, log.items)
    appetite = Appetite(float(ground.momentum[drawn].mean()), ground.repeat_share)
    items = taken(come.users, come.lengths, consumers, ground.goods, weights, appetite, int(rng.integers(2**62)))
    within = np.arange(len(items)) - np.repeat(np.cumsum(come.lengths) - come.lengths, come.lengths)  # a second apart
    return Interactions(
        user_ids=tuple(map(str, range(n))),
        users=np.repeat(come.users, come.lengths).astype(np.int32),
        items=items,
        timestamps=np.repeat(come.begins, come.lengths) + within,
        values=np.full(len(items), np.nan, dtype=np.float32),
        feedback_names=(),
        feedback_codes=np.full(len(items), -1, dtype=np.int8),
    )


def stretch_before(early: Interactions, seconds: float) -> tuple[Interactions, Interactions]:
    """What came before a stretch as long as the later part, at the end of the earlier part, and that stretch."""
    begin = early.timestamps.max() - seconds
    return early.before(begin), early.after(begin)
