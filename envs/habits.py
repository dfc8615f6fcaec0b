"""How users come, go and repeat themselves, from a log of what they consumed (ratings come later, many at once)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from zsr_sim.envs.estimates import Estimate, Weights, logistic
from zsr_sim.envs.hazards import Durations, fit_hazard
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.rhythm import DAY, Sessions, sessions_of
from zsr_sim.envs.tastes import TasteModel
from zsr_sim.envs.traits import Traits
from zsr_sim.interactions import Interactions

_CONTROLS, _OWN = 20, 5  # of the last item: items of the catalogue, and items consumed before
_ONE_CLICK = 0.5  # satisfaction where every page brings one item (`dynamics.page_success`)
_HABITS = ("leave_bias", "leave_mood", "return_rate", "return_mood", "repeat_penalty", "boredom")
_RATED = "default: ratings are given afterwards, they do not show the visit"


def habits(
    log: Interactions, last: NDArray[np.int64], weights: Weights, model: TasteModel, traits: Traits, seed: int
) -> dict[str, Estimate]:
    """Leaving, coming back and repeats; `last`: int64 (people,), the row of each person's last interaction.

    leave_bias, leave_mood: how many items sessions have, if a page brings one item (`fit_hazard`). return_rate,
    return_mood: on which day away users came back, those who never did being away until the log's end. repeat_penalty:
    see `_repeats`. Boredom keeps its default: a log of what users chose by themselves holds runs on one subject, and
    does not tell who was tired of it.
    """
    if not np.isnan(log.ratings).all():
        return {n: Estimate(n, 0.0, None, _RATED) for n in _HABITS}
    sessions = sessions_of(log)
    come_and_go = _leaving(sessions, traits) | _returning(log, sessions, traits)
    return come_and_go | _repeats(log, last, weights, model, seed)


def _leaving(sessions: Sessions, traits: Traits) -> dict[str, Estimate]:
    found = fit_hazard(stays(sessions))
    value = float(found.values[0]) + traits.leave_slope * _ONE_CLICK
    how = "how many items sessions have, if a page brings one item"
    leave = Estimate("leave_bias", value, float(found.errors[0]), how)
    return {"leave_bias": leave, "leave_mood": _mood("leave_mood", found, traits.leave_bias_sd, how)}


def _returning(log: Interactions, sessions: Sessions, traits: Traits) -> dict[str, Estimate]:
    seen = absences(log, sessions)
    if not seen.ended.any():
        return {"return_rate": Estimate("return_rate", 0.0, 0.0, "nobody came back")}
    found = fit_hazard(seen)
    rate, how = float(expit(found.values[0])), "on which day away users came back, to the end of the log"
    come = Estimate("return_rate", rate, float(found.errors[0]) * rate * (1 - rate), how)
    return {"return_rate": come, "return_mood": _mood("return_mood", found, traits.return_rate_sd, how)}


def _mood(name: str, found: Weights, between: float, how: str) -> Estimate:
    """What is left of a spread for a user's own times: between users it is as set."""
    value = math.sqrt(max(float(found.values[1]) ** 2 - between**2, 0.0))
    return Estimate(name, value, float(found.errors[1]), f"{how}; beside the spread between users")


def stays(sessions: Sessions) -> Durations:
    """How many items each session has."""
    return Durations(sessions.lengths, np.ones(len(sessions), dtype=np.bool_), sessions.users.astype(np.int64))


def absences(log: Interactions, sessions: Sessions) -> Durations:
    """On which day away users came back after each session, or how many days have passed to the end of the log."""
    is_last = np.append(np.diff(sessions.users) > 0, True)
    away = (log.timestamps.max() - log.timestamps[sessions.starts[1:] - 1]) / DAY
    days = np.where(is_last, np.floor(away), np.ceil(np.append(sessions.gaps[1:], 0.0)))
    return Durations(days.astype(np.int64), ~is_last, sessions.users.astype(np.int64))


def _repeats(
    log: Interactions, last: NDArray[np.int64], weights: Weights, model: TasteModel, seed: int
) -> dict[str, Estimate]:
    """Logistic regression of which of two items was each person's last, the one that was or another one.

    The other is one of 20 of the catalogue, or one of 5 that the person had before; affinity and appeal weigh what was
    fitted before. How often an item of either kind is drawn goes into the log-odds: it was i and j was drawn with odds
    P(i) q(j) / (P(j) q(i)), which is exact (McFadden 1978, "Modelling the choice of residential location").
    """
    n, users = len(model.appeal), log.users[last].astype(np.int64)
    before = np.ones(len(log), dtype=np.bool_)
    before[last] = False
    pairs = np.unique((log.users.astype(np.int64) * n + log.items)[before])  # each user's different items, in order
    counts = np.bincount(pairs // n, minlength=log.n_users)
    luck = uniforms(seed, np.arange(len(last)), 3, Purpose.SAMPLE_USERS, _CONTROLS + _OWN)
    catalogue = (luck[:, :_CONTROLS] * n).astype(np.int64)
    place = (np.cumsum(counts) - counts)[users, None] + (luck[:, _CONTROLS:] * counts[users, None]).astype(np.int64)
    rows = np.concatenate([log.items[last][:, None], catalogue, pairs[place] % n], axis=1)  # (people, 26)
    repeated = np.isin(users[:, None] * n + rows, pairs)
    drawn = np.where(np.arange(rows.shape[1]) <= _CONTROLS, ~repeated, repeated)  # a repeat is drawn as such
    tastes = model.tastes(log.items, log.starts[users], last)
    known = weights.values[0] * np.einsum("nd,nmd->nm", tastes, model.vectors[rows], dtype=np.float64)
    known += weights.values[1] * model.appeal[rows]
    known -= np.log(np.where(repeated, _OWN / counts[users, None], _CONTROLS / n))
    who, other = np.nonzero(drawn[:, 1:])
    x = repeated[who, 0].astype(np.float64) - repeated[who, 1 + other]
    offset = known[who, 0] - known[who, 1 + other]
    found = logistic(x[:, None], np.ones(len(x), dtype=np.bool_), who, [None], offset)
    how = "repeats among last items" + ("" if found.values[0] <= 0 else ", which are more than a choice by taste makes")
    return {"repeat_penalty": Estimate("repeat_penalty", float(-found.values[0]), float(found.errors[0]), how)}
