"""Do the laws of leaving and coming back, fitted to the earlier part of a log, say what the later part does?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from zsr_sim.envs.habits import absences, stays
from zsr_sim.envs.hazards import Durations, draw_durations, fit_hazard
from zsr_sim.envs.rhythm import DAY, sessions_of
from zsr_sim.evaluation.statistics import ks_distance
from zsr_sim.interactions import Interactions

_DRAWS = 50_000  # durations at least, so that their distribution is known to a hundredth


def check_habits(early: Interactions, late: Interactions, seed: int) -> list[dict[str, Any]]:
    """Of session lengths and gaps: the law, and Kolmogorov-Smirnov distances from the later part; ready for JSON.

    `log_odds` and `spread`, with standard errors: `fit_hazard` on the earlier part, of a session ending after an item
    and of a return on a day away. `ks`: of what that law draws for each session of the later part (a gap only where it
    ends before the log does, at any time of its last day). `ks_one_hazard`: the same without spread. `ks_earlier`: of
    the earlier part itself. Empty where a part has nobody who came twice.
    """
    before, after = sessions_of(early), sessions_of(late)
    left = (late.timestamps.max() - late.timestamps[after.starts[1:] - 1]) / DAY  # days to the end of the log
    gaps, later_gaps = (sessions.gaps[~np.isnan(sessions.gaps)] for sessions in (before, after))
    if not len(gaps) or not len(later_gaps):
        return []
    lengths = before.lengths.astype(np.float64), after.lengths.astype(np.float64)
    return [
        _line("interactions per session", stays(before), *lengths, np.empty(0), seed),
        _line("days between sessions", absences(early, before), gaps, later_gaps, left, seed),
    ]


def _line(
    name: str, seen: Durations, earlier: NDArray[np.float64], later: NDArray[np.float64], left: NDArray[np.float64],
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """left: days in which a gap can end, (sessions,); none for what is no gap."""
    found = fit_hazard(seen)
    level, spread = found.values.tolist()
    one = float(logit(min(seen.ended.sum() / seen.steps.sum(), 1 - 1e-6)))
    return {
        "statistic": name,
        "log_odds": level,
        "spread": spread,
        "standard_errors": found.errors.tolist(),
        "ks": ks_distance(_simulated(level, spread, left, seed), later),
        "ks_one_hazard": ks_distance(_simulated(one, 0.0, left, seed), later),
        "ks_earlier": ks_distance(earlier, later),
    }


def _simulated(level: float, spread: float, left: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, 7])
    if not len(left):
        return draw_durations(level, spread, _DRAWS, rng).astype(np.float64)
    room = np.tile(left, -(-_DRAWS // len(left)))
    gaps = draw_durations(level, spread, len(room), rng) - rng.random(len(room))
    return np.asarray(gaps[gaps < room])
