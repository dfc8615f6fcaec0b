"""One page of many users: the laws of `choice.py`, `feedback.py` and `dynamics.py`, applied in order.

The functions up to `_step_user` are about one user, row `i` of every column. They allocate nothing and call nothing
that numba could not also compile for a GPU, so that the same functions serve one user, a batch, and a kernel.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import bare, batched, inlined, law
from zsr_sim.envs.choice import CASCADE, LOGIT, affinity, attraction, cascade_reach, examination, relevance, sigmoid
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
from zsr_sim.envs.feedback import dwell_median, dwell_time, reaction_probability, worth
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
_HIGHEST = 500.0  # utility, in logits: no exp overflows

_CLICK, _LEAVE, _REACTION = int(Purpose.CLICK), int(Purpose.LEAVE), int(Purpose.REACTION)


class Rules(NamedTuple):
    """What holds for everybody: see `World`, whose fields these are."""

    choice: int
    churn: bool
    max_gap: float
    click: float
    like: float
    purchase: float
    dwell: float


class Fact(IntEnum):
    """Columns of `ItemColumns.facts`."""

    APPEAL = 0
    QUALITY = 1
    TOPIC = 2
    RELEASED = 3
    EXPIRES = 4


class ItemColumns(NamedTuple):
    """Items, seasons and positions as the step reads them.

    vectors: float32 (n, d). facts: float32 (n, 5), the other columns of `WorldItems` side by side (`Fact`), so that one
    item's lie in one line of the cache. seasons: float32 (period, topics), how much a topic is in season on a page.
    log_positions: float64 (slate,), logarithm of each position from 1. pleasures: float32 (n, e), as in `WorldItems`.
    """

    vectors: F32
    facts: F32
    seasons: F32
    log_positions: F64
    pleasures: F32


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
    likings: F32


class PageColumns(NamedTuple):
    """The pages, int32 (n, slate), answers (see `World.step`), and the columns of `Feedback`, which are filled in.

    answers: float32 (n, slate), or (0, slate) where the laws alone say what attracts.
    """

    slates: I32
    answers: F32
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
    """Of the positions of one page: log-odds of a click, worth once clicked, the nearest interest, and examination."""

    relevance: F64
    worth: F64
    interests: I32
    looks: F64


@inlined
def _judge(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, out: Scratch) -> None:
    """Relevance of each item on the page to user i, and its worth once it is clicked."""
    traits, step = users.traits, users.steps[i]
    decay, repeats = traits[i, Trait.EXAMINATION_DECAY], traits[i, Trait.REPEAT_PENALTY] != 0.0
    lift, answered = traits[i, Trait.APPEAL_WEIGHT], page.answers.shape[0] > 0
    phase = step % items.seasons.shape[0] if traits[i, Trait.SEASON_WEIGHT] > 0.0 else 0
    for j in range(page.slates.shape[1]):
        item = page.slates[i, j]
        topic, appeal = int(items.facts[item, Fact.TOPIC]), items.facts[item, Fact.APPEAL]
        if rules.churn:
            page.unavailable[i, j] = step < items.facts[item, Fact.RELEASED] or step >= items.facts[item, Fact.EXPIRES]
        cosine, out.interests[j] = affinity(users.tastes, i, items.vectors, item)
        repeated = repeats and _contains(users.histories, i, item)
        bored, season = users.boredom[i, topic], items.seasons[phase, topic]
        out.relevance[j] = relevance(traits, i, cosine, appeal, bored, season, repeated)
        if answered:
            out.relevance[j] += page.answers[i, j] - attraction(traits, i, cosine, appeal)
        quality = items.facts[item, Fact.QUALITY]
        out.worth[j] = worth(lift, out.relevance[j], appeal, quality, users.likings, i, items.pleasures, item)
        out.looks[j] = examination(items.log_positions[j], decay)


@inlined
def _choose_by_position(i: int, users: UserColumns, page: PageColumns, judged: Scratch) -> None:
    luck = (0.0, 0.0, 0.0, 0.0)
    for j in range(page.slates.shape[1]):
        if j % 4 == 0:
            luck = uniform4(users.seeds[i], users.ids[i], users.steps[i], _CLICK, j // 4)
        if not page.unavailable[i, j]:
            p = judged.looks[j] * sigmoid(judged.relevance[j])
            page.probabilities[i, j] = p
            page.clicks[i, j] = luck[j % 4] < p
            page.skips[i, j] = p <= luck[j % 4] < judged.looks[j]


@inlined
def _choose_by_cascade(i: int, users: UserColumns, page: PageColumns, judged: Scratch, endurance: float) -> None:
    """`endurance`: a uniform; the user looks at each position that is reached with a higher probability."""
    after = users.traits[i, Trait.CONTINUE_AFTER_CLICK]
    luck = (0.0, 0.0, 0.0, 0.0)
    reach, expected_reach = 1.0, 1.0  # given the clicks so far, and before the page is looked at
    attraction, clicked = 0.0, 0.0  # of the position above
    for j in range(page.slates.shape[1]):
        if j % 4 == 0:
            luck = uniform4(users.seeds[i], users.ids[i], users.steps[i], _CLICK, j // 4)
        if j > 0:
            onwards = judged.looks[j] / judged.looks[j - 1]
            reach *= cascade_reach(onwards, clicked, after)
            expected_reach *= cascade_reach(onwards, attraction, after)
        there, looks = not page.unavailable[i, j], endurance < reach
        attraction = sigmoid(judged.relevance[j]) if there else 0.0
        clicked = 1.0 if looks and luck[j % 4] < attraction else 0.0
        page.probabilities[i, j] = expected_reach * attraction
        page.clicks[i, j] = clicked > 0.0
        page.skips[i, j] = looks and there and clicked == 0.0


@inlined
def _choose_by_logit(i: int, page: PageColumns, judged: Scratch, luck: float) -> None:
    """`luck`: a uniform, by which one item is taken, or none: McFadden (1974); position adds log(examination)."""
    total, below = 1.0, 0.0  # taking nothing has utility 0
    for j in range(page.slates.shape[1]):
        if not page.unavailable[i, j]:
            total += judged.looks[j] * math.exp(min(judged.relevance[j], _HIGHEST))
    for j in range(page.slates.shape[1]):
        if not page.unavailable[i, j]:
            p = judged.looks[j] * math.exp(min(judged.relevance[j], _HIGHEST)) / total
            page.probabilities[i, j] = p
            page.clicks[i, j] = below <= luck < below + p
            page.skips[i, j] = not page.clicks[i, j]
            below += p


@inlined
def _react(i: int, users: UserColumns, page: PageColumns, rules: Rules, worth: F64) -> None:
    """Like, purchase and dwell of what was clicked; the reward and its expectation."""
    traits, step = users.traits, users.steps[i]
    delay = min(int(traits[i, Trait.PURCHASE_DELAY] + 0.5), MAX_DELAY - 1)
    noise, place = traits[i, Trait.DWELL_NOISE], step % MAX_DELAY
    clicks, likes, seconds, bought = 0.0, 0.0, 0.0, float(users.pending[i, place])
    users.pending[i, place] = 0
    expected = rules.purchase * bought
    for j in range(page.slates.shape[1]):
        clicked, value = page.clicks[i, j], rules.click
        if clicked or rules.like != 0.0:
            like = reaction_probability(worth[j], traits[i, Trait.LIKE_RATE], traits[i, Trait.LIKE_SLOPE])
            value += rules.like * like
        if clicked or (rules.purchase != 0.0 and delay == 0):
            purchase = reaction_probability(worth[j], traits[i, Trait.PURCHASE_RATE], traits[i, Trait.PURCHASE_SLOPE])
            value += rules.purchase * purchase if delay == 0 else 0.0
        if clicked or rules.dwell != 0.0:
            median = dwell_median(worth[j], traits[i, Trait.DWELL], traits[i, Trait.DWELL_SLOPE])
            value += rules.dwell * median * math.exp(0.5 * noise * noise)
        expected += page.probabilities[i, j] * value
        if clicked:
            a, b, c, d = uniform4(users.seeds[i], users.ids[i], step, _REACTION, j)
            page.likes[i, j] = a < like
            page.purchases[i, j] = b < purchase
            page.dwell[i, j] = dwell_time(median, noise, c, d)
            clicks, likes, seconds = clicks + 1.0, likes + page.likes[i, j], seconds + page.dwell[i, j]
            if page.purchases[i, j] and delay == 0:
                bought += 1.0
            elif page.purchases[i, j]:
                users.pending[i, (step + delay) % MAX_DELAY] += 1
    page.amounts[i, 0], page.amounts[i, 1], page.amounts[i, 2], page.amounts[i, 3] = clicks, likes, bought, seconds
    page.reward[i] = rules.click * clicks + rules.like * likes + rules.purchase * bought + rules.dwell * seconds
    page.expected_reward[i] = expected


@inlined
def _change(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, interests: I32) -> float:
    """Boredom, taste and history after the page; returns the page's success."""
    traits = users.traits
    share, slope = traits[i, Trait.QUALITY_SHARE], traits[i, Trait.QUALITY_SLOPE]
    towards, away = traits[i, Trait.DRIFT_RATE], traits[i, Trait.AVERSION_RATE]
    for c in range(users.boredom.shape[1]):
        users.boredom[i, c] *= traits[i, Trait.BOREDOM_MEMORY]
    clicks, enjoyed = 0, 0.0
    for j in range(page.slates.shape[1]):
        item = page.slates[i, j]
        if page.clicks[i, j]:
            mine = enjoyment(items.facts[item, Fact.QUALITY], slope) if share > 0.0 else 1.0
            clicks, enjoyed = clicks + 1, enjoyed + mine
            users.boredom[i, int(items.facts[item, Fact.TOPIC])] += 1.0
            drift(users.tastes, i, interests[j], items.vectors, item, towards * pull(mine, share))
            _remember(users.histories, i, item)
        elif page.skips[i, j]:
            drift(users.tastes, i, interests[j], items.vectors, item, -away)
    return page_success(clicks) * fulfilment(enjoyed / clicks, share) if clicks else 0.0


@inlined
def _go_on(
    i: int, users: UserColumns, page: PageColumns, rules: Rules, success: float, luck: float, away: float
) -> None:
    """Satisfaction and patience after the page; perhaps the end of the session, and a gap or the end of the visit."""
    traits = users.traits
    satisfaction = satisfied(users.satisfaction[i], success, traits[i, Trait.SATISFACTION_MEMORY])
    users.satisfaction[i] = satisfaction
    hazard = leave_hazard(satisfaction, traits[i, Trait.LEAVE_BIAS], traits[i, Trait.LEAVE_SLOPE])
    if traits[i, Trait.PATIENCE] > 0.0:
        users.patience[i] = patience_left(users.patience[i], success, traits[i, Trait.PATIENCE_GAIN])
        if users.patience[i] <= 0.0:
            hazard = 1.0
    over, days = luck < hazard, math.inf
    if traits[i, Trait.RETURN_RATE] > 0.0:
        daily = return_hazard(satisfaction, traits[i, Trait.RETURN_RATE], traits[i, Trait.RETURN_SLOPE])
        hazard *= (1.0 - daily) ** rules.max_gap
        if over:
            days = gap(away, daily)
    page.leave_probability[i] = hazard
    page.left[i] = over and days > rules.max_gap
    if over and not page.left[i]:
        page.gaps[i] = days
        users.sessions[i] += 1
        users.patience[i] = traits[i, Trait.PATIENCE]
        for c in range(users.boredom.shape[1]):
            users.boredom[i, c] *= traits[i, Trait.BOREDOM_DAY_MEMORY] ** days


@inlined
def _step_user(
    i: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, scratch: Scratch
) -> None:
    luck, choice, away, _ = uniform4(users.seeds[i], users.ids[i], users.steps[i], _LEAVE, 0)
    _judge(i, items, users, page, rules, scratch)
    if rules.choice == CASCADE:
        _choose_by_cascade(i, users, page, scratch, choice)
    elif rules.choice == LOGIT:
        _choose_by_logit(i, page, scratch, choice)
    else:
        _choose_by_position(i, users, page, scratch)
    _react(i, users, page, rules, scratch.worth)
    success = _change(i, items, users, page, scratch.interests)
    _go_on(i, users, page, rules, success, luck, away)
    place = users.steps[i] % users.shown.shape[1]
    for j in range(page.slates.shape[1]):
        users.shown[i, place, j] = page.slates[i, j]
    users.steps[i] += 1
    users.present[i] = not page.left[i]


@bare
def step_some(
    begin: int, end: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, scratch: Scratch
) -> None:
    """One page of the users from row `begin` to before `end` who are present."""
    for i in range(begin, end):
        if users.present[i]:
            _step_user(i, items, users, page, rules, scratch)


@batched
def step_all(
    begin: int, end: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, slates: I32
) -> None:
    """One page of every user who is present."""
    s = slates.shape[1]
    scratch = Scratch(np.empty(s), np.empty(s), np.empty(s, dtype=np.int32), np.empty(s))
    step_some(begin, end, items, users, page, rules, scratch)


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


@inlined
def _contains(items: I32, row: int, item: int) -> bool:
    found = False
    for j in range(items.shape[1]):  # all of them, so that eight are compared at once
        found |= items[row, j] == item
    return found


@inlined
def _remember(items: I32, row: int, item: int) -> None:
    last = items.shape[1] - 1
    for j in range(last):
        items[row, j] = items[row, j + 1]
    items[row, last] = item
