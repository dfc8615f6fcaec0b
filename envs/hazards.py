"""How long things last that may end at each step, where one time is not like the other.

Whether a session ends after an item, and whether somebody comes back on a day away, have log-odds that are spread
normally: over users and, for one user, over sessions or absences (`dynamics.moods`). One hazard for all is the case
without spread; with it, what has lasted is likely to last longer, as it is in logs: mixed hazards (Heckman
and Singer 1984, "A method for minimizing the impact of distributional assumptions in econometric models for duration
data").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from zsr_sim.envs.estimates import Weights

_Z = np.linspace(-4.0, 4.0, 25)
"""Standard normals at which integrals are taken, by the trapezoidal rule."""
_W = np.exp(-0.5 * _Z**2) / np.exp(-0.5 * _Z**2).sum()
_BOUNDS = ((-9.0, 9.0), (0.0, 8.0))  # of level and spread
_LEAST_SPREAD = 0.1  # at which errors are told: at 0, a spread's score is 0


@dataclass(frozen=True)
class Durations:
    """What was seen of m durations: steps int64 (m,), from 1 where they ended, ended bool (m,), users int (m,).

    One that had not ended when the log did lasted for more than so many steps.
    """

    steps: NDArray[np.int64]
    ended: NDArray[np.bool_]
    users: NDArray[np.int64]


def fit_hazard(seen: Durations) -> Weights:
    """The most likely hazard: log-odds that a step is the last, their median over times and their spread.

    A duration's likelihood is an integral over its own log-odds. Errors: users independent, and durations of one user
    not (sandwich estimator: Liang and Zeger 1986), of a spread of at least 0.1.
    """
    cells, which = np.unique(2 * seen.steps + seen.ended, return_inverse=True)
    steps, ended = cells // 2, cells % 2
    counts = np.bincount(which)

    def of_cells(x: NDArray[np.float64]) -> NDArray[np.float64]:
        odds = x[0] + x[1] * _Z  # (nodes,)
        logs = ended[:, None] * log_expit(odds) + (steps - ended)[:, None] * log_expit(-odds)  # (cells, nodes)
        return np.asarray(logsumexp(logs, b=_W, axis=1))

    share = np.clip(seen.ended.sum() / max(seen.steps.sum(), 1), 1e-3, 1 - 1e-3)
    start = np.array([np.log(share / (1 - share)), 0.5])
    found = minimize(lambda x: -(counts * of_cells(x)).sum() / counts.sum(), start, method="L-BFGS-B", bounds=_BOUNDS).x
    at = np.array([found[0], max(found[1], _LEAST_SPREAD)])
    nudges = 1e-3 * np.eye(2)
    scores = np.stack([(of_cells(at + d) - of_cells(at - d)) / 2e-3 for d in nudges], axis=1)  # (cells, 2)
    bread = np.linalg.pinv((scores * counts[:, None]).T @ scores)  # the information, by the scores themselves
    of_users = np.zeros((seen.users.max() + 1, 2))
    np.add.at(of_users, seen.users, scores[which])
    return Weights(found, np.sqrt(np.diag(bread @ of_users.T @ of_users @ bread)))


def draw_durations(level: float, spread: float, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Steps until the end, from 1, of n durations, int64 (n,)."""
    chances = expit(level + spread * rng.standard_normal(n))
    return np.asarray(rng.geometric(np.maximum(chances, 1e-9)))
