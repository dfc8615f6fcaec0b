"""How far down a page users look, and how often they click what they look at, from logged pages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from zsr_sim.envs.estimates import Estimate
from zsr_sim.impressions import CLICKS, Impressions

_STEEPEST = 5.0


@dataclass(frozen=True)
class Glances:
    """The position-based model of a log: item i is clicked at position j (from 1) with probability a_i / j ** decay.

    attractions: float64 (n_items,), the mean of the others for an item that was not shown. decay_error, rate_error:
    standard errors, users independent. rate: mean attraction of the items that were shown.
    """

    attractions: NDArray[np.float64]
    decay: float
    decay_error: float
    rate: float
    rate_error: float

    def probabilities(self, items: NDArray[np.int32], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of a click on items (m,) at positions (m,) from 0."""
        return np.asarray(np.minimum(self.attractions[items] * (1.0 + positions) ** -self.decay, 1.0))

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The traits that follow: position bias and click level."""
        how = "position-based model of the logged pages, each item compared with itself at other positions"
        level = "clicks on items that are looked at, the mean over the items of the logged pages"
        return {
            "examination_decay": Estimate("examination_decay", self.decay, self.decay_error, how),
            "base_click_rate": Estimate("base_click_rate", self.rate, self.rate_error, level),
        }


def clicked(log: Impressions) -> NDArray[np.bool_]:
    """Whether an item was clicked, bool (n, s); what was liked or bought was clicked."""
    known = [name for name in CLICKS if name in log.feedback_names]
    return np.asarray(log.reward(tuple(known)) > 0) if known else np.zeros(log.items.shape, dtype=np.bool_)


def learn_glances(log: Impressions, n_items: int, weights: NDArray[np.float64] | None = None) -> Glances | None:
    """Fit the model; weights: float64 (n_users,), how often each user counts. None where the log cannot tell.

    A Poisson model with a level of each item's own (conditional likelihood: Hausman, Hall and Griliches 1984,
    "Econometric models for count data"): only the same item at different positions says anything about the decay, so
    that a policy that puts what is liked on top is not taken for users who look at the top only. It cannot tell where
    nothing was clicked, or no clicked item was seen at two positions; nor the click level where all was clicked.
    """
    pages, places = np.nonzero(log.shown)
    items, users, s = log.items[pages, places], log.users[pages], log.items.shape[1]
    times = np.ones(len(items)) if weights is None else weights[users]
    hits = clicked(log)[pages, places] * times
    cells = items.astype(np.int64) * s + places
    shown = np.bincount(cells, times, n_items * s).reshape(n_items, s)
    clicks = np.bincount(items, hits, n_items)
    depth = np.log1p(np.arange(s))
    deep = float((hits * depth[places]).sum())

    def expected(decay: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        looks = shown * np.exp(-decay * depth)  # (n_items, s)
        total = np.maximum(looks.sum(axis=1), 1e-300)
        mean = looks @ depth / total
        return total, mean, np.maximum(looks @ depth**2 / total - mean**2, 0.0)

    def slope(decay: float) -> float:
        return float(clicks @ expected(decay)[1]) - deep

    if clicks @ expected(0.0)[2] <= 1e-9:
        return None
    decay = 0.0 if slope(0.0) <= 0 else _STEEPEST if slope(_STEEPEST) >= 0 else float(brentq(slope, 0.0, _STEEPEST))
    total, mean, spread = expected(decay)
    there = shown.sum(axis=1) > 0
    attractions = np.where(there, clicks / total, 0.0)
    if attractions[there].mean() >= 1.0:
        return None
    attractions[~there] = attractions[there].mean()
    left = hits - times * attractions[items] * np.exp(-decay * depth[places])
    decay_error = _clustered(left * (depth[places] - mean[items]), users) / max(float(clicks @ spread), 1e-300)
    rate_error = _clustered(left / total[items], users) / there.sum()
    return Glances(attractions, decay, decay_error, float(attractions[there].mean()), float(rate_error))


def _clustered(scores: NDArray[np.float64], users: NDArray[np.int32]) -> float:
    return float(np.sqrt((np.bincount(users, scores) ** 2).sum()))
