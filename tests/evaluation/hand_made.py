"""Visits with chosen figures, for tests of what is made of them."""

import math
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from zsr_sim.envs.visits import Visits
from zsr_sim.evaluation.comparison import compare_strategies

Array = NDArray[np.float64]
T3 = 3.182446305284263  # Student's t, 3 degrees of freedom, 97.5 % quantile (any printed table: 3.182)


def visits(returns: list[float] | Array, people: list[int] | None = None, **columns: float | Array) -> Visits:
    """Visits with these returns; other columns are the same for every user unless given."""
    n = len(returns)
    clicks = np.array(returns, dtype=float)
    usual: dict[str, float | Array] = {f.name: 0.0 for f in fields(Visits)}
    usual |= {
        "pages": 8.0, "click_rate": 0.25, "satisfaction": 0.5, "diversity": 0.8, "sessions": 1.0,
        "generated": np.nan, "return_rate": np.nan,
        "returns": clicks, "expected_returns": clicks, "clicks": clicks,
    }  # fmt: skip
    filled = {name: np.broadcast_to(np.asarray(v, dtype=float), n) for name, v in (usual | columns).items()}
    whose = np.arange(n) if people is None else np.array(people)
    return Visits(**filled | {"people": whose, "luck": np.zeros((n, 0))})


def compare(a: Visits, b: Visits, independent: bool = False) -> dict[str, Any]:
    """The one comparison of two strategies, a and b."""
    results = compare_strategies({"a": a, "b": b}, seed=0, world={}, independent=independent)
    only: dict[str, Any] = results["comparisons"][0]
    return only


def spread(mean: float, half_width: float, n: int = 4) -> Array:
    """n values, half of them above the mean and half below, whose 95 % interval is mean -+ half_width exactly."""
    step = half_width / float(stats.t.ppf(0.975, n - 1)) * math.sqrt(n - 1)  # the se of -+step is step / sqrt(n - 1)
    return np.asarray(mean + step * np.tile([1.0, -1.0], n // 2))


GOOD = visits([12.0, 12.0, 13.0, 13.0])
BASE = visits([10.0, 11.0, 10.0, 11.0])
