"""Where strategies stand in a world: between an even draw and the oracle that plans, and beside the myopic ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.visits import Visits
from zsr_sim.evaluation.estimates import Estimate, estimate_mean
from zsr_sim.evaluation.learnable import PLANNER
from zsr_sim.evaluation.metrics import metrics_of

FLOOR = "random"
MYOPIC = ("similarity", "bayes", "hybrid", "linucb", "thompson")
"""Strategies that look at the next page alone."""
METRICS = ("return", "click_rate", "visit_length", "diversity")

SeedVisits = Mapping[int, Visits]
"""Of each seed, the visits of users 0, 1, 2, ...; the oracle that plans may have met fewer of them."""


def standings(visits: Mapping[str, SeedVisits]) -> dict[str, Any]:
    """Each strategy's means and standing; JSON-ready.

    visits: by strategy, of the same seeds, `FLOOR` among them. Means and intervals are over users and seeds together,
    robust to what a user's visits under several seeds share (`estimate_mean`); `seeds` holds the return of each.

    gap_closed: (mean - floor) / (planner - floor), from expected returns; its interval takes numerator and denominator
    for independent, which widens it. ahead: the difference from the best of MYOPIC, paired user by user, and the share
    of the gap between that one and the planner that it closes. None where there is no planner, or no myopic strategy.
    """
    floor, planner = visits[FLOOR], visits.get(PLANNER)
    gap = None if planner is None else _beyond(planner, floor)
    mean = {name: _joined_mean(seeds) for name, seeds in visits.items()}
    best = max((name for name in MYOPIC if name in visits), key=mean.__getitem__, default=None)
    rest = None if planner is None or best is None else _beyond(planner, visits[best])
    found: dict[str, Any] = {}
    for name, seeds in visits.items():
        row: dict[str, Any] = _means(seeds)
        row["gap_closed"] = None if gap is None else _share(_beyond(seeds, floor), gap)
        row["gap_closed_by_seed"] = None if gap is None else [
            float((v.expected_returns - floor[seed].expected_returns[: len(v.people)]).mean() / gap.mean)
            for seed, v in seeds.items()
        ]  # fmt: skip
        row["ahead"] = None
        if best is not None and name != best:
            beyond = _beyond(seeds, visits[best])
            row["ahead"] = beyond.figures() | {"of": best, "gap_closed": None if rest is None else _share(beyond, rest)}
        found[name] = row
    return found


def _means(seeds: SeedVisits) -> dict[str, Any]:
    columns = [metrics_of(v) for v in seeds.values()]
    users = np.concatenate([np.arange(len(v.people)) for v in seeds.values()])
    row: dict[str, Any] = {
        name: estimate_mean(np.concatenate([c[name] for c in columns]), users).figures() for name in METRICS
    }
    return row | {"users": len(np.unique(users)), "seeds": [float(v.returns.mean()) for v in seeds.values()]}


def _joined_mean(seeds: SeedVisits) -> float:
    return float(np.concatenate([v.expected_returns for v in seeds.values()]).mean())


def _beyond(one: SeedVisits, other: SeedVisits) -> Estimate:
    """How much more one is expected to earn than the other from the same users with the same seeds."""
    parts: list[NDArray[np.float64]] = []
    for seed, visits in one.items():
        met = min(len(visits.people), len(other[seed].people))
        parts.append(visits.expected_returns[:met] - other[seed].expected_returns[:met])
    return estimate_mean(np.concatenate(parts), np.concatenate([np.arange(len(part)) for part in parts]))


def _share(part: Estimate, whole: Estimate) -> dict[str, Any] | None:
    """Part over whole, with the delta method's interval; None where the whole's own interval reaches 0."""
    if whole.ci95[0] <= 0:
        return None
    share = part.mean / whole.mean
    reach = 1.96 * math.hypot(part.standard_error, share * whole.standard_error) / whole.mean
    return {"mean": share, "ci95": [share - reach, share + reach]}
