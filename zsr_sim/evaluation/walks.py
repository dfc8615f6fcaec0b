"""A few visits side by side, page by page: what a table of means cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zsr_sim.evaluation.replay import Replay


def walks(baseline: Replay, candidate: Replay, titles: Sequence[str]) -> list[dict[str, Any]]:
    """Three users with the same luck under two strategies; JSON-ready.

    They are those at the tenth, the middle and the ninetieth percent of the differences in return: whom the candidate
    costs most, bar a tenth; the one in the middle; whom it serves best, bar a tenth.

    Each entry: user (its number), difference (return under the candidate minus under the baseline), and under
    "baseline" and "candidate" a list of pages: items (titles and whether each was clicked), satisfaction after the
    page, left.
    """
    difference = (candidate.rewards - baseline.rewards).sum(axis=1, dtype=np.float64)
    order = np.argsort(difference, kind="stable")
    chosen = [int(order[round(share * (len(order) - 1))]) for share in (0.1, 0.5, 0.9)]
    return [
        {
            "user": user,
            "difference": float(difference[user]),
            "baseline": _pages(baseline, user, titles),
            "candidate": _pages(candidate, user, titles),
        }
        for user in chosen
    ]


def _pages(visits: Replay, user: int, titles: Sequence[str]) -> list[dict[str, Any]]:
    slates, clicks = visits.slates[user], visits.clicks[user]
    return [
        {
            "items": [[titles[item], bool(clicked)] for item, clicked in zip(slates[page], clicks[page], strict=True)],
            "satisfaction": round(float(visits.satisfaction[user, page]), 3),
            "left": bool(visits.left[user, page]),
        }
        for page in range(int((slates[:, 0] >= 0).sum()))
    ]
