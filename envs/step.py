"""One page of many users: the laws of `choice.py`, `feedback.py` and `dynamics.py`, applied in order.

The functions up to `_step_user` are about one user, row `i` of every column. They allocate nothing and call nothing
that numba could not also compile for a GPU, so that the same functions serve one user, a batch, and a kernel.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.envs.choice import CASCADE, LOGIT, affinity, cascade_reach, examination, relevance, sigmoid
from zsr_sim.envs.dynamics import (
    drift,
    enjoyment,
    fulfilment,
    gap,
    leave_hazard,
    page_success,
    patience_left,
    pull,
    return_hazard,
    satisfied,
)
from zsr_sim.envs.feedback import dwell_median, dwell_time, reaction_probability
from zsr_sim.envs.noise import Purpose, uniform4
from zsr_sim.envs.traits import Trait

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
Bools: TypeAlias = NDArray[np.bool_]

MAX_DELAY = 16
"""Places for purchases under way: a delay is at least one page less."""
_CHUNK = 64  # users who share one piece of scratch memory

_CLICK, _LEAVE, _REACTION = int(Purpose.CLICK), int(Purpose.LEAVE), int(Purpose.REACTION)


class Rules(NamedTuple):
    """What holds for everybody: see `World`, whose fields these are."""

    choice: int
    max_gap: float
    click: float
    like: float
    purchase: float
    dwell: float


class ItemColumns(NamedTuple):
    """Columns of `WorldItems`."""

    vectors: F32
    appeal: F32
    quality: F32
    topics: I32
    released: I32
    expires: I32
    seasons: F32


class UserColumns(NamedTuple):
    """Columns of `WorldState` and its `Users`."""

    ids: I64
    traits: F32
    seeds: U64
    steps: I64
    present: Bools
    tastes: F32
    boredom: F32
    satisfaction: F32
    patience: F32
    sessions: I32
    pending: NDArray[np.uint8]
    histories: I32
    shown: I32


class PageColumns(NamedTuple):
    """The pages, int32 (n, slate), and the columns of `Feedback`, which are filled in."""

    slates: I32
    clicks: Bools
    likes: Bools
    purchases: Bools
    skips: Bools
    unavailable: Bools
    dwell: F32
    probabilities: F32
    left: Bools
    leave_probability: F32
    gaps: F32
    reward: F32
    expected_reward: F32
    amounts: F32


class Scratch(NamedTuple):
    """Of the items on one user's page: log-odds of a click, the same by quality, and the nearest interest."""

    relevance: F64
    worth: F64
    interests: I32


@law
def _judge(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, out: Scratch) -> None:
    """Relevance of each item on the page to user i, and its worth: relevance with quality in place of appeal."""
    traits, step = users.traits[i], users.steps[i]
    for j in range(page.slates.shape[1]):
        item = page.slates[i, j]
        topic, appeal = items.topics[item], items.appeal[item]
        page.unavailable[i, j] = step < items.released[item] or step >= items.expires[item]
        cosine, out.interests[j] = affinity(users.tastes[i], items.vectors[item])
        season = items.seasons[step % items.seasons.shape[0], topic]
        repeated = _contains(users.histories[i], item)
        out.relevance[j] = relevance(traits, cosine, appeal, users.boredom[i, topic], season, repeated)
        out.worth[j] = out.relevance[j] + traits[Trait.APPEAL_WEIGHT] * (items.quality[item] - appeal)


@law
def _choose_by_position(i: int, users: UserColumns, page: PageColumns, judged: Scratch) -> None:
    decay = users.traits[i, Trait.EXAMINATION_DECAY]
    luck = (0.0, 0.0, 0.0, 0.0)
    for j in range(page.slates.shape[1]):
        if j % 4 == 0:
            luck = uniform4(users.seeds[i], users.ids[i], users.steps[i], _CLICK, j // 4)
        if page.unavailable[i, j]:
            continue
        looks = examination(j, decay)
        p = looks * sigmoid(judged.relevance[j])
        page.probabilities[i, j] = p
        page.clicks[i, j] = luck[j % 4] < p
        page.skips[i, j] = p <= luck[j % 4] < looks


@law
def _choose_by_cascade(i: int, users: UserColumns, page: PageColumns, judged: Scratch, endurance: float) -> None:
    """`endurance`: a uniform; the user looks at each position that is reached with a higher probability."""
    decay, after = users.traits[i, Trait.EXAMINATION_DECAY], users.traits[i, Trait.CONTINUE_AFTER_CLICK]
    luck = (0.0, 0.0, 0.0, 0.0)
    reach, expected_reach = 1.0, 1.0  # given the clicks so far, and before the page is looked at
    for j in range(page.slates.shape[1]):
        if j % 4 == 0:
            luck = uniform4(users.seeds[i], users.ids[i], users.steps[i], _CLICK, j // 4)
        attraction = 0.0 if page.unavailable[i, j] else sigmoid(judged.relevance[j])
        page.probabilities[i, j] = expected_reach * attraction
        looks = endurance < reach
        clicked = looks and luck[j % 4] < attraction
        page.clicks[i, j] = clicked
        page.skips[i, j] = looks and not clicked and not page.unavailable[i, j]
        reach = cascade_reach(reach, j, decay, 1.0 if clicked else 0.0, after)
        expected_reach = cascade_reach(expected_reach, j, decay, attraction, after)


@law
def _choose_by_logit(i: int, users: UserColumns, page: PageColumns, judged: Scratch, luck: float) -> None:
    """`luck`: a uniform, by which one item is taken, or none."""
    s, decay = page.slates.shape[1], users.traits[i, Trait.EXAMINATION_DECAY]
    highest = 0.0  # of the utilities, that of taking nothing among them; subtracted so that no exp overflows
    for j in range(s):
        judged.relevance[j] -= decay * math.log(1.0 + j)
        if not page.unavailable[i, j]:
            highest = max(highest, judged.relevance[j])
    total = math.exp(-highest)
    for j in range(s):
        if not page.unavailable[i, j]:
            total += math.exp(judged.relevance[j] - highest)
    below = 0.0
    for j in range(s):
        if page.unavailable[i, j]:
            continue
        p = math.exp(judged.relevance[j] - highest) / total
        page.probabilities[i, j] = p
        page.clicks[i, j] = below <= luck < below + p
        page.skips[i, j] = not page.clicks[i, j]
        below += p


@law
def _react(i: int, users: UserColumns, page: PageColumns, rules: Rules, worth: F64) -> None:
    """Like, purchase and dwell of what was clicked; the reward and its expectation."""
    traits, step = users.traits[i], users.steps[i]
    delay = min(int(traits[Trait.PURCHASE_DELAY] + 0.5), MAX_DELAY - 1)
    clicks, likes, bought, seconds, expected = 0.0, 0.0, 0.0, 0.0, 0.0
    now = step % MAX_DELAY
    bought += users.pending[i, now]
    users.pending[i, now] = 0
    expected += rules.purchase * bought
    noise = traits[Trait.DWELL_NOISE]
    beyond = rules.like != 0.0 or rules.dwell != 0.0 or rules.purchase != 0.0
    for j in range(page.slates.shape[1]):
        p = page.probabilities[i, j]
        value = rules.click
        if not (page.clicks[i, j] or beyond):
            expected += p * value
            continue
        like = reaction_probability(worth[j], traits[Trait.LIKE_RATE], traits[Trait.LIKE_SLOPE])
        purchase = reaction_probability(worth[j], traits[Trait.PURCHASE_RATE], traits[Trait.PURCHASE_SLOPE])
        median = dwell_median(worth[j], traits[Trait.DWELL], traits[Trait.DWELL_SLOPE])
        value += rules.like * like + rules.dwell * median * math.exp(0.5 * noise * noise)
        if delay == 0:
            value += rules.purchase * purchase
        expected += p * value
        if page.clicks[i, j]:
            a, b, c, d = uniform4(users.seeds[i], users.ids[i], step, _REACTION, j)
            page.likes[i, j] = a < like
            page.purchases[i, j] = b < purchase
            page.dwell[i, j] = dwell_time(median, noise, c, d)
            clicks += 1.0
            likes += page.likes[i, j]
            seconds += page.dwell[i, j]
            if page.purchases[i, j] and delay == 0:
                bought += 1.0
            elif page.purchases[i, j]:
                users.pending[i, (step + delay) % MAX_DELAY] += 1
    page.amounts[i, 0], page.amounts[i, 1], page.amounts[i, 2], page.amounts[i, 3] = clicks, likes, bought, seconds
    page.reward[i] = rules.click * clicks + rules.like * likes + rules.purchase * bought + rules.dwell * seconds
    page.expected_reward[i] = expected


@law
def _change(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, interests: I32) -> float:
    """Boredom, taste and history after the page; returns the page's success."""
    traits, s = users.traits[i], page.slates.shape[1]
    share, slope = traits[Trait.QUALITY_SHARE], traits[Trait.QUALITY_SLOPE]
    for c in range(users.boredom.shape[1]):
        users.boredom[i, c] *= traits[Trait.BOREDOM_MEMORY]
    shown = users.shown[i]
    shown[:-s] = shown[s:]
    clicks, enjoyed = 0, 0.0
    for j in range(s):
        item = page.slates[i, j]
        shown[shown.shape[0] - s + j] = item
        if page.clicks[i, j]:
            mine = enjoyment(items.quality[item], slope)
            clicks, enjoyed = clicks + 1, enjoyed + mine
            users.boredom[i, items.topics[item]] += 1.0
            drift(users.tastes[i, interests[j]], items.vectors[item], traits[Trait.DRIFT_RATE] * pull(mine, share))
            _remember(users.histories[i], item)
        elif page.skips[i, j]:
            drift(users.tastes[i, interests[j]], items.vectors[item], -traits[Trait.AVERSION_RATE])
    return page_success(clicks) * fulfilment(enjoyed / clicks, share) if clicks else 0.0


@law
def _go_on(
    i: int, users: UserColumns, page: PageColumns, rules: Rules, success: float, luck: float, away: float
) -> None:
    """Satisfaction and patience after the page; perhaps the end of the session, and a gap or the end of the visit."""
    traits = users.traits[i]
    satisfaction = satisfied(users.satisfaction[i], success, traits[Trait.SATISFACTION_MEMORY])
    users.satisfaction[i] = satisfaction
    hazard = leave_hazard(satisfaction, traits[Trait.LEAVE_BIAS], traits[Trait.LEAVE_SLOPE])
    if traits[Trait.PATIENCE] > 0.0:
        users.patience[i] = patience_left(users.patience[i], success, traits[Trait.PATIENCE_GAIN])
        if users.patience[i] <= 0.0:
            hazard = 1.0
    over, daily = luck < hazard, 0.0
    days = math.inf
    if traits[Trait.RETURN_RATE] > 0.0:
        daily = return_hazard(satisfaction, traits[Trait.RETURN_RATE], traits[Trait.RETURN_SLOPE])
        days = gap(away, daily)
        hazard *= (1.0 - daily) ** rules.max_gap
    page.leave_probability[i] = hazard
    page.left[i] = over and days > rules.max_gap
    if over and not page.left[i]:
        page.gaps[i] = days
        users.sessions[i] += 1
        users.patience[i] = traits[Trait.PATIENCE]
        for c in range(users.boredom.shape[1]):
            users.boredom[i, c] *= traits[Trait.BOREDOM_DAY_MEMORY] ** days


@law
def _step_user(
    i: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, scratch: Scratch
) -> None:
    """One page of user i."""
    luck, choice, away, _ = uniform4(users.seeds[i], users.ids[i], users.steps[i], _LEAVE, 0)
    _judge(i, items, users, page, scratch)
    if rules.choice == CASCADE:
        _choose_by_cascade(i, users, page, scratch, choice)
    elif rules.choice == LOGIT:
        _choose_by_logit(i, users, page, scratch, choice)
    else:
        _choose_by_position(i, users, page, scratch)
    _react(i, users, page, rules, scratch.worth)
    success = _change(i, items, users, page, scratch.interests)
    _go_on(i, users, page, rules, success, luck, away)
    users.steps[i] += 1
    users.present[i] = not page.left[i]


@batched
def step_all(items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, slates: I32) -> None:
    """One page of every user who is present."""
    n, s = slates.shape
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        scratch = Scratch(np.empty(s), np.empty(s), np.empty(s, dtype=np.int32))
        for i in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n)):
            if users.present[i]:
                _step_user(i, items, users, page, rules, scratch)


@law
def first_bad_slate(slates: I32, n_items: int) -> int:
    """The first row that holds an item twice or one that is not in the catalogue; -1 where there is none."""
    for i in range(slates.shape[0]):
        for j in range(slates.shape[1]):
            if slates[i, j] < 0 or slates[i, j] >= n_items:
                return i
            for k in range(j):
                if slates[i, k] == slates[i, j]:
                    return i
    return -1


@law
def _contains(items: I32, item: int) -> bool:
    for j in range(items.shape[0] - 1, -1, -1):  # most recent first; the padding is on the left
        if items[j] == item:
            return True
        if items[j] < 0:
            return False
    return False


@law
def _remember(items: I32, item: int) -> None:
    for j in range(items.shape[0] - 1):
        items[j] = items[j + 1]
    items[items.shape[0] - 1] = item
