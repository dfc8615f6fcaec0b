"""What is compared: each metric is a mean over users of one number a user, so that every one of them can be paired."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.visits import Visits

PRIMARY = "return"
"""The metric that decides, unless a guardrail forbids."""

_FIELDS = {
    "return": "returns",
    "click_rate": "click_rate",
    "visit_length": "pages",
    "satisfaction": "satisfaction",
    "diversity": "diversity",
}
"""Metric in results.json: column of `Visits`."""


def metrics_of(visits: Visits) -> dict[str, NDArray[np.float64]]:
    """Every metric of these visits by name, float64 (n,) each; return_rate only where users may come back."""
    found = {name: getattr(visits, field) for name, field in _FIELDS.items()}
    if (visits.sessions > 1).any():
        found["return_rate"] = ratio(visits.sessions - 1, visits.ended)
    return found


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ratio of sums as a mean over users: numbers whose mean is sum(above) / sum(below), and whose variance is its.

    The delta method: R + (above - R * below) / mean(below) (Deng, Knoblich and Lu 2018, "Applying the delta method in
    metric analytics", eq. 2). Raises ValueError where `below` is zero for everybody.
    """
    if not below.any():
        raise ValueError("a ratio to a sum of zero")
    whole = above.sum() / below.sum()
    return np.asarray(whole + (above - whole * below) / below.mean())


def concentration(shown: NDArray[np.int32], n_items: int) -> NDArray[np.float64]:
    """How far attention gathers on few items: (n,), whose mean is the chance that two users were shown the same item.

    shown: int32 (n, pages, slate), n >= 2, rows of the catalogue, -1 where nothing was shown; every user saw a page.
    Draw two different users at random and from what each was shown one item at random: the chance that the two items
    are one is a Herfindahl index without the pairs of a user with himself (1 / n_items where all are shown evenly).

    It is a mean over pairs, so that a user's number stands for what he adds to it: with p_u the shares of the items
    shown to user u and U the index, 2 p_u . mean of the others' p - U. Its mean is U, its variance that of U (the first
    term of Hoeffding 1948, "A class of statistics with asymptotically normal distribution").
    """
    n = len(shown)
    flat = shown.reshape(n, -1)
    users, places = np.nonzero(flat >= 0)
    weights = 1.0 / (flat >= 0).sum(axis=1)[users]
    items = flat[users, places]
    total = np.bincount(items, weights, minlength=n_items)  # (n_items,), sum of shares over users
    with_all = np.bincount(users, weights * total[items], minlength=n)  # p_u . sum of all p
    keys, where = np.unique(users * n_items + items, return_inverse=True)
    own = np.bincount(where, weights)  # share of each (user, item)
    with_himself = np.bincount(keys // n_items, own**2, minlength=n)
    others = (with_all - with_himself) / (n - 1)
    return np.asarray(2 * others - others.mean())
