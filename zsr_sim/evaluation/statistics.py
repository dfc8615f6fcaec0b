"""What a stretch of a log looks like: who was how active, when, on what; the same of real and simulated logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.rhythm import Sessions, sessions_of
from zsr_sim.interactions import Interactions

_HEAD = 0.01  # of the catalogue
HEAD, SIMILARITY = "share of the most popular 1 %", "similarity within a session"


@dataclass(frozen=True)
class Items:
    """texts: float32 (n_items, d), unit vectors. topics: int32 (n_items,), 0 .. n_topics - 1."""

    texts: NDArray[np.float32]
    topics: NDArray[np.int32]
    n_topics: int


class Statistic(NamedTuple):
    """A number, and the sample whose mean it is (None: it is no mean), for the distance of distributions."""

    value: float
    sample: NDArray[np.float64] | None


def statistics(log: Interactions, items: Items, old: NDArray[np.bool_], heavy: int) -> dict[tuple[str, str], Statistic]:
    """Statistics of a stretch of a log, by name and segment; what a segment has nobody for is left out.

    old: bool (n_users,), who was known before; all others are new. heavy: users with more interactions than this in the
    stretch are heavy, the others light.
    """
    if not len(log):
        return {("users", "all"): Statistic(0.0, None)}
    per_user = np.diff(log.starts)
    active = per_user > 0
    segments = {
        "all": active,
        "light": active & (per_user <= heavy),
        "heavy": active & (per_user > heavy),
        "new": active & ~old,
        "old": active & old,
    }
    found: dict[tuple[str, str], Statistic] = {}
    for name, users in segments.items():
        if users.any():
            found |= {(statistic, name): value for statistic, value in _of_users(log, items, users).items()}
    return found | {(name, "all"): Statistic(value, None) for name, value in _of_items(log, items).items()}


def _of_users(log: Interactions, items: Items, users: NDArray[np.bool_]) -> dict[str, Statistic]:
    part = log.where(users[log.users])
    sessions = sessions_of(part)
    gaps = sessions.gaps[~np.isnan(sessions.gaps)]
    samples = {
        "interactions per user": np.diff(part.starts)[users],
        "sessions per user": np.bincount(sessions.users, minlength=log.n_users)[users],
        "interactions per session": sessions.lengths,
        "days between sessions": gaps,
        SIMILARITY: neighbours_in_sessions(part.items, sessions, items.texts),
    }
    found = {
        name: Statistic(float(sample.mean()), sample.astype(np.float64))
        for name, sample in samples.items()
        if len(sample)
    }
    return {"users": Statistic(float(users.sum()), None)} | found


def _of_items(log: Interactions, items: Items) -> dict[str, float]:
    counts = np.bincount(log.items, minlength=len(items.texts))
    pairs = log.users.astype(np.int64) * len(counts) + log.items
    mix = np.bincount(items.topics[log.items], minlength=items.n_topics) / len(log)
    return {
        "Gini of popularity": gini(counts),
        HEAD: head_share(counts),
        "share of repeats": 1.0 - len(np.unique(pairs)) / len(log),
        "entropy of topics (bits)": float(-(mix[mix > 0] * np.log2(mix[mix > 0])).sum()),
        "share of the largest topic": float(mix.max()),
    }


def neighbours_in_sessions(
    items: NDArray[np.int32], sessions: Sessions, texts: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Cosine of the texts of each two items (m,) that follow one another in a session, (pairs,)."""
    inside = np.ones(max(len(items) - 1, 0), dtype=np.bool_)
    inside[sessions.starts[1:-1] - 1] = False  # from the last item of a session to the first of the next
    return np.asarray((texts[items[:-1][inside]] * texts[items[1:][inside]]).sum(axis=1), dtype=np.float64)


def head_share(counts: NDArray[np.int64]) -> float:
    """Share of all interactions that the most popular 1 % of the items have, at least one item; counts: (n_items,)."""
    head = max(int(_HEAD * len(counts)), 1)
    return float(np.sort(counts)[-head:].sum() / max(counts.sum(), 1))


def ks_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Largest difference of two empirical distribution functions, 0..1 (Kolmogorov-Smirnov); samples (n,) and (m,).

    >>> ks_distance(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    values = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(one), values, side="right") / len(one) for one in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def gini(counts: NDArray[np.int64]) -> float:
    """Gini coefficient of counts (n,), 0 where all are the same, 1 - 1 / n where one has everything.

    sum_i (2 i - n - 1) x_i / (n sum x), the x ascending, i from 1.

    >>> gini(np.array([0, 0, 0, 5]))
    0.75
    """
    x = np.sort(counts).astype(np.float64)
    n = len(x)
    return float(((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * max(x.sum(), 1e-12)))
