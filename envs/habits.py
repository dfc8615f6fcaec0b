"""How users come, go and repeat themselves, from a log of what they consumed (ratings come later, many at once)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.estimates import Estimate, Weights, logistic, ratio
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.rhythm import DAY, Sessions, sessions_of
from zsr_sim.envs.tastes import TasteModel
from zsr_sim.envs.traits import Traits
from zsr_sim.interactions import Interactions

_CONTROLS, _OWN = 20, 5  # of the last item: items of the catalogue, and items consumed before
_ONE_CLICK = 0.5  # satisfaction where every page brings one item (`dynamics.page_success`)
_RATED = "default: ratings are given afterwards, they do not show the visit"


def habits(
    log: Interactions, last: NDArray[np.int64], weights: Weights, model: TasteModel, traits: Traits, seed: int
) -> dict[str, Estimate]:
    """Leaving, coming back and repeats; `last`: int64 (people,), the row of each person's last interaction.

    leave_bias: sessions end after an item with the frequency that the log shows, if a page brings one item.
    return_rate: share of days away on which users come back, those who never did being away until the log's end.
    repeat_penalty: see `_repeats`. Boredom keeps its default: a log of what users chose by themselves holds runs on one
    subject, and does not tell who was tired of it.
    """
    if not np.isnan(log.ratings).all():
        return {n: Estimate(n, 0.0, None, _RATED) for n in ("leave_bias", "return_rate", "repeat_penalty", "boredom")}
    sessions = sessions_of(log)
    return _leaving(log, sessions, traits) | _returning(log, sessions) | _repeats(log, last, weights, model, seed)


def _leaving(log: Interactions, sessions: Sessions, traits: Traits) -> dict[str, Estimate]:
    ends = np.bincount(sessions.users, minlength=log.n_users).astype(np.float64)
    share, error = ratio(ends, np.bincount(log.users, minlength=log.n_users).astype(np.float64))
    share = min(share, 1 - 1e-3)  # where nobody ever takes two items
    value = math.log(share / (1 - share)) + traits.leave_slope * _ONE_CLICK
    how = "share of items after which a session ends, if a page brings one item"
    return {"leave_bias": Estimate("leave_bias", value, error / (share * (1 - share)), how)}


def _returning(log: Interactions, sessions: Sessions) -> dict[str, Estimate]:
    returned = ~np.isnan(sessions.gaps)
    last = np.flatnonzero(np.append(np.diff(sessions.users) > 0, True))
    away = (log.timestamps.max() - log.timestamps[sessions.starts[1:][last] - 1]) / DAY  # (users with sessions,)
    days = np.zeros(log.n_users)
    np.add.at(days, sessions.users[returned], np.ceil(sessions.gaps[returned]))
    np.add.at(days, sessions.users[last], np.ceil(away))
    if days.sum() == 0:
        return {}
    rate, error = ratio(
        np.bincount(sessions.users[returned], minlength=log.n_users).astype(np.float64), days.astype(np.float64)
    )
    return {"return_rate": Estimate("return_rate", rate, error, "returns per day away, to the end of the log")}


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
