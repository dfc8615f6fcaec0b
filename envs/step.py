"""One page of many users: the laws of `choice.py`, `feedback.py` and `dynamics.py`, applied in order.

The functions up to `step_user` are about one user, row `i` of every column. They allocate nothing and call nothing
that numba could not also compile for a GPU, so that the same functions serve one user, a batch, and a kernel.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from zsr_sim.compiled import bare, batched, inlined, law
from zsr_sim.envs.choice import CASCADE, LOGIT, affinity, attraction, cascade_reach, examination, relevance, sigmoid
from zsr_sim.envs.dynamics import (
    absence,
    drift,
    enjoyment,
    fulfilment,
    gap,
    leave_hazard,
    moods,
    page_success,
    patience_left,
    pull,
    return_hazard,
    satisfied,
)
from zsr_sim.envs.exponential import exponential
from zsr_sim.envs.feedback import dwell_median, dwell_time, reaction_probability, worth
from zsr_sim.envs.fetching import fetch_user
from zsr_sim.envs.noise import Purpose, uniform4
from zsr_sim.envs.tables import (
    F64,
    I32,
    I64,
    LANES,
    U64,
    Bools,
    Fact,
    ItemColumns,
    PageColumns,
    Rules,
    Scratch,
    UserColumns,
)
from zsr_sim.envs.traits import Trait

MAX_DELAY = 16
"""Places for purchases under way: a delay is at least one page less."""
_COMPARED = 64  # items of a history compared at once
_HIGHEST = 500.0  # utility, in logits: no exp overflows

Parts: TypeAlias = tuple[Any, ...]

_CLICK, _LEAVE, _REACTION = int(Purpose.CLICK), int(Purpose.LEAVE), int(Purpose.REACTION)
_MOOD = int(Purpose.MOOD)


@inlined
def _look_up(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, out: Scratch) -> None:
    """What is known of each item on the page, and of user i about it, brought together for `_judge`."""
    for k in range(users.histories.shape[1]):
        out.remembered[k] = users.histories[i, k]  # well ahead: what was just written makes a wider read wait
    step, now = users.steps[i], np.float32(users.steps[i])  # what it is compared with is of single precision
    phase = step % items.seasons.shape[0] if users.traits[i, Trait.SEASON_WEIGHT] > 0.0 else 0
    for j in range(page.slates.shape[1]):
        out.cosines[j], out.interests[j] = affinity(users.tastes, i, items.vectors, max(page.slates[i, j], 0))
    for j in range(page.slates.shape[1]):
        item = max(page.slates[i, j], 0)
        topic = max(int(items.facts[item, Fact.TOPIC]), 0)
        early, late = now < items.facts[item, Fact.RELEASED], now >= items.facts[item, Fact.EXPIRES]
        page.unavailable[i, j], out.there[j] = early | late, 1.0 - (early | late)  # a branch would be guessed wrong
        out.appeal[j], out.quality[j] = items.facts[item, Fact.APPEAL], items.facts[item, Fact.QUALITY]
        out.bored[j], out.season[j] = users.boredom[i, topic], items.seasons[phase, topic]
    if users.traits[i, Trait.REPEAT_PENALTY] != 0.0:
        _find_repeats(i, page.slates, out.remembered, out.repeated)


@inlined
def _judge(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, out: Scratch) -> None:
    """Relevance of each item on the page to user i, and its worth once it is clicked."""
    _look_up(i, items, users, page, out)
    traits, decay = users.traits, users.traits[i, Trait.EXAMINATION_DECAY]
    for j in range(items.log_positions.shape[0]):
        out.relevance[j] = relevance(
            traits, i, out.cosines[j], out.appeal[j], out.bored[j], out.season[j], out.repeated[j]
        )
    for j in range(page.answers.shape[1] if page.answers.shape[0] > 0 else 0):
        out.relevance[j] += page.answers[i, j] - attraction(traits, i, out.cosines[j], out.appeal[j])
    lift = traits[i, Trait.APPEAL_WEIGHT]
    for j in range(page.slates.shape[1] if users.likings.shape[1] else items.log_positions.shape[0]):
        item = max(page.slates[i, j], 0) if users.likings.shape[1] else 0
        out.worth[j] = worth(
            lift, out.relevance[j], out.appeal[j], out.quality[j], users.likings, i, items.pleasures, item
        )
    for j in range(items.log_positions.shape[0]):
        out.looks[j] = examination(items.log_positions[j], decay)
        out.attraction[j] = out.there[j] * sigmoid(out.relevance[j])


@inlined
def _draw_luck(i: int, users: UserColumns, out: F64) -> None:
    """A uniform for each position, in blocks of four: eight blocks at once cost less than the three of most pages."""
    for block in range(out.shape[0] // 4):
        a, b, c, d = uniform4(users.seeds[i], users.ids[i], users.steps[i], _CLICK, block)
        out[4 * block], out[4 * block + 1], out[4 * block + 2], out[4 * block + 3] = a, b, c, d


@inlined
def _choose_by_position(i: int, users: UserColumns, page: PageColumns, judged: Scratch) -> float:
    """Like the other two: clicks and skips; returns the reward to be expected of them."""
    _draw_luck(i, users, judged.luck)
    expected = 0.0
    for j in range(page.slates.shape[1]):
        luck, p = judged.luck[j], judged.looks[j] * judged.attraction[j]
        page.probabilities[i, j] = p
        page.clicks[i, j] = luck < p
        page.skips[i, j] = (p <= luck) & (luck < judged.looks[j] * judged.there[j])
        expected += p * judged.gains[j]
    return expected


@inlined
def _choose_by_cascade(i: int, users: UserColumns, page: PageColumns, judged: Scratch, endurance: float) -> float:
    """`endurance`: a uniform; the user looks at each position that is reached with a higher probability."""
    after = users.traits[i, Trait.CONTINUE_AFTER_CLICK]
    _draw_luck(i, users, judged.luck)
    reach, expected_reach = 1.0, 1.0  # given the clicks so far, and before the page is looked at
    attraction, clicked, expected = 0.0, 0.0, 0.0  # the first two of the position above
    for j in range(page.slates.shape[1]):
        if j > 0:
            onwards = judged.looks[j] / judged.looks[j - 1]
            reach *= cascade_reach(onwards, clicked, after)
            expected_reach *= cascade_reach(onwards, attraction, after)
        there, looks = not page.unavailable[i, j], endurance < reach
        attraction = judged.attraction[j]
        clicked = 1.0 if looks and judged.luck[j] < attraction else 0.0
        page.probabilities[i, j] = expected_reach * attraction
        page.clicks[i, j] = clicked > 0.0
        page.skips[i, j] = looks and there and clicked == 0.0
        expected += expected_reach * attraction * judged.gains[j]
    return expected


@inlined
def _choose_by_logit(i: int, page: PageColumns, judged: Scratch, luck: float) -> float:
    """`luck`: a uniform, by which one item is taken, or none: McFadden (1974); position adds log(examination)."""
    total, below, expected = 1.0, 0.0, 0.0  # taking nothing has utility 0
    for j in range(page.slates.shape[1]):
        if not page.unavailable[i, j]:
            total += judged.looks[j] * exponential(min(judged.relevance[j], _HIGHEST))
    for j in range(page.slates.shape[1]):
        if not page.unavailable[i, j]:
            p = judged.looks[j] * exponential(min(judged.relevance[j], _HIGHEST)) / total
            page.probabilities[i, j] = p
            page.clicks[i, j] = below <= luck < below + p
            page.skips[i, j] = not page.clicks[i, j]
            below += p
            expected += p * judged.gains[j]
    return expected


@inlined
def _gain(i: int, users: UserColumns, rules: Rules, delay: int, judged: Scratch) -> None:
    """The reward to expect of each item once it is clicked."""
    traits, worth, gains = users.traits, judged.worth, judged.gains
    gains[:] = rules.click
    if rules.like != 0.0:
        rate, slope = traits[i, Trait.LIKE_RATE], traits[i, Trait.LIKE_SLOPE]
        for j in range(gains.shape[0]):
            gains[j] += rules.like * reaction_probability(worth[j], rate, slope)
    if rules.purchase != 0.0 and delay == 0:
        rate, slope = traits[i, Trait.PURCHASE_RATE], traits[i, Trait.PURCHASE_SLOPE]
        for j in range(gains.shape[0]):
            gains[j] += rules.purchase * reaction_probability(worth[j], rate, slope)
    if rules.dwell != 0.0:
        level, slope, noise = traits[i, Trait.DWELL], traits[i, Trait.DWELL_SLOPE], traits[i, Trait.DWELL_NOISE]
        mean = rules.dwell * exponential(0.5 * noise * noise)
        for j in range(gains.shape[0]):
            gains[j] += mean * dwell_median(worth[j], level, slope)


@inlined
def _react(
    i: int, users: UserColumns, page: PageColumns, rules: Rules, judged: Scratch, delay: int, expected: float
) -> None:
    """Like, purchase and dwell of what was clicked; the reward and its expectation; expected: what clicks add to it."""
    traits, step, place = users.traits, users.steps[i], users.steps[i] % MAX_DELAY
    clicks, likes, seconds, bought = 0.0, 0.0, 0.0, float(users.pending[i, place])
    users.pending[i, place] = 0
    page.expected_reward[i] = rules.purchase * bought + expected
    for n in range(_list_places(page.clicks, page.clicks, i, judged.places)):
        j, worth = judged.places[n], judged.worth[judged.places[n]]
        like = reaction_probability(worth, traits[i, Trait.LIKE_RATE], traits[i, Trait.LIKE_SLOPE])
        purchase = reaction_probability(worth, traits[i, Trait.PURCHASE_RATE], traits[i, Trait.PURCHASE_SLOPE])
        median = dwell_median(worth, traits[i, Trait.DWELL], traits[i, Trait.DWELL_SLOPE])
        a, b, c, d = uniform4(users.seeds[i], users.ids[i], step, _REACTION, j)
        liked, buys = a < like, b < purchase
        dwell = float(np.float32(dwell_time(median, traits[i, Trait.DWELL_NOISE], c, d)))
        page.likes[i, j], page.purchases[i, j], page.dwell[i, j] = liked, buys, dwell
        clicks, likes, seconds = clicks + 1.0, likes + liked, seconds + dwell
        if delay == 0:
            bought += buys
        else:
            users.pending[i, (step + delay) % MAX_DELAY] += buys
    page.amounts[i, 0], page.amounts[i, 1], page.amounts[i, 2], page.amounts[i, 3] = clicks, likes, bought, seconds
    page.reward[i] = rules.click * clicks + rules.like * likes + rules.purchase * bought + rules.dwell * seconds


@inlined
def _change(i: int, items: ItemColumns, users: UserColumns, page: PageColumns, judged: Scratch) -> float:
    """Boredom, taste and history after the page; returns the page's success."""
    traits = users.traits
    share, slope = traits[i, Trait.QUALITY_SHARE], traits[i, Trait.QUALITY_SLOPE]
    towards, away = traits[i, Trait.DRIFT_RATE], traits[i, Trait.AVERSION_RATE]
    for c in range(users.boredom.shape[1]):
        users.boredom[i, c] *= traits[i, Trait.BOREDOM_MEMORY]
    judged.rates[:] = -away
    clicks, enjoyed = 0, 0.0
    for n in range(_list_places(page.clicks, page.clicks, i, judged.places)):  # a branch below would be guessed wrong
        j = judged.places[n]
        item = page.slates[i, j]
        mine = enjoyment(items.facts[item, Fact.QUALITY], slope) if share > 0.0 else 1.0
        clicks, enjoyed = clicks + 1, enjoyed + mine
        users.boredom[i, int(items.facts[item, Fact.TOPIC])] += 1.0
        judged.rates[j] = towards * pull(mine, share)
        _remember(users.histories, i, item)
    for n in range(_list_places(page.clicks, page.skips, i, judged.places)):
        j = judged.places[n]
        drift(users.tastes, i, judged.interests[j], items.vectors, page.slates[i, j], judged.rates[j])
    return page_success(clicks) * fulfilment(enjoyed / clicks, share) if clicks else 0.0


@inlined
def _draw_mood(i: int, seeds: U64, ids: I64, sessions: I32, out: F64) -> None:
    radius, angle, _, _ = uniform4(seeds[i], ids[i], sessions[i], _MOOD, 0)
    out[i, 0], out[i, 1] = moods(radius, angle)


@batched
def draw_moods(begin: int, end: int, seeds: U64, ids: I64, sessions: I32, out: F64) -> None:
    """The moods of sessions, float64 (n, 2), as the step draws them where one begins: kept, since pages are many."""
    for i in range(begin, end):
        _draw_mood(i, seeds, ids, sessions, out)


@inlined
def _go_on(
    i: int, users: UserColumns, page: PageColumns, rules: Rules, success: float, luck: float, away: float
) -> None:
    """Satisfaction and patience after the page; perhaps the end of the session, and a gap or the end of the visit."""
    traits = users.traits
    satisfaction = satisfied(users.satisfaction[i], success, traits[i, Trait.SATISFACTION_MEMORY])
    users.satisfaction[i] = satisfaction
    bias = traits[i, Trait.LEAVE_BIAS] + traits[i, Trait.LEAVE_MOOD] * users.moods[i, 0]
    hazard = leave_hazard(satisfaction, bias, traits[i, Trait.LEAVE_SLOPE])
    if traits[i, Trait.PATIENCE] > 0.0:
        users.patience[i] = patience_left(users.patience[i], success, traits[i, Trait.PATIENCE_GAIN])
        if users.patience[i] <= 0.0:
            hazard = 1.0
    over, days = luck < hazard, math.inf
    if traits[i, Trait.RETURN_RATE] > 0.0:
        mood = traits[i, Trait.RETURN_MOOD] * users.moods[i, 1]
        daily = return_hazard(satisfaction, traits[i, Trait.RETURN_RATE], traits[i, Trait.RETURN_SLOPE], mood)
        hazard *= absence(daily, rules.max_gap)
        if over:
            days = gap(away, daily)
    page.leave_probability[i] = hazard
    page.left[i] = over and days > rules.max_gap
    if over and not page.left[i]:
        page.gaps[i] = days
        users.sessions[i] += 1
        _draw_mood(i, users.seeds, users.ids, users.sessions, users.moods)
        users.patience[i] = traits[i, Trait.PATIENCE]
        kept = traits[i, Trait.BOREDOM_DAY_MEMORY] ** days
        for c in range(users.boredom.shape[1]):
            users.boredom[i, c] *= kept


@inlined
def step_user(
    i: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, scratch: Scratch
) -> None:
    """One page of user i, who is present. `scratch` is overwritten, but its `remembered` must end in -1."""
    luck, choice, away, _ = uniform4(users.seeds[i], users.ids[i], users.steps[i], _LEAVE, 0)
    delay = min(int(users.traits[i, Trait.PURCHASE_DELAY] + 0.5), MAX_DELAY - 1)
    _judge(i, items, users, page, scratch)
    _gain(i, users, rules, delay, scratch)
    if rules.choice == CASCADE:
        expected = _choose_by_cascade(i, users, page, scratch, choice)
    elif rules.choice == LOGIT:
        expected = _choose_by_logit(i, page, scratch, choice)
    else:
        expected = _choose_by_position(i, users, page, scratch)
    _react(i, users, page, rules, scratch, delay, expected)
    success = _change(i, items, users, page, scratch)
    _go_on(i, users, page, rules, success, luck, away)
    place = users.steps[i] % users.shown.shape[1]
    for j in range(page.slates.shape[1]):
        users.shown[i, place, j] = page.slates[i, j]
    users.steps[i] += 1
    users.present[i] = not page.left[i]


@law
def remembered_places(length: int) -> int:
    """Length of `Scratch.remembered` for histories of this length."""
    return -(-length // _COMPARED) * _COMPARED


@bare
def step_some(
    begin: int, end: int, items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules, scratch: Scratch,
    here: I32,
) -> None:  # fmt: skip
    """One page of the users from row `begin` to before `end` who are present; `here`, a place for each, is overwritten.

    Who is present is found first, so that the next of them can be fetched, however many in between have left.
    """
    count = 0
    for i in range(begin, end):
        here[count] = i
        count += users.present[i]
    for n in range(count):
        if n + 1 < count:
            fetch_user(max(here[n + 1], 0), max(here[min(n + 2, count - 1)], 0), items, users, page)
        step_user(max(here[n], 0), items, users, page, rules, scratch)


@batched
def step_all(begin: int, end: int, items: Parts, users: Parts, page: Parts, rules: Parts, slates: I32) -> None:
    """One page of every user who is present.

    items, users, page, rules: the fields of `ItemColumns`, `UserColumns`, `PageColumns` and `Rules`, as plain tuples:
    what numba asks of a named one takes longer than a page of one user.
    """
    columns, everybody = ItemColumns(*items), UserColumns(*users)
    s, remembered = len(columns.log_positions), remembered_places(everybody.histories.shape[1])
    real, single, whole = np.zeros((8, s)), np.zeros((4, s), dtype=np.float32), np.zeros((2, s), dtype=np.int32)
    scratch = Scratch(
        real[0], real[1], real[2], real[3], real[4], np.zeros(-(-s // (4 * LANES)) * 4 * LANES), real[5], real[6],
        real[7], whole[0], single[0], single[1], single[2], single[3], np.zeros(s, dtype=np.bool_), whole[1],
        np.full(remembered, -1, dtype=np.int32),
    )  # fmt: skip
    feedback = PageColumns(*page)
    _forget(begin, end, feedback)
    here = np.empty(end - begin, dtype=np.int32)
    step_some(begin, end, columns, everybody, feedback, Rules(*rules), scratch, here)


@law
def _forget(begin: int, end: int, page: PageColumns) -> None:
    """Feedback of nobody in these rows, as each page begins with."""
    for marks in (page.clicks, page.likes, page.purchases, page.skips, page.unavailable):
        marks[begin:end] = False
    for sizes in (page.dwell, page.probabilities, page.amounts):
        sizes[begin:end] = 0.0
    page.left[begin:end] = False
    for numbers in (page.leave_probability, page.gaps, page.reward, page.expected_reward):
        numbers[begin:end] = 0.0


@inlined
def _find_repeats(i: int, slates: I32, remembered: I32, out: Bools) -> None:
    """Which items on the page are in a history; `remembered` is it, and -1 on to whole vector registers."""
    for j in range(slates.shape[1]):
        found = False
        for k in range(remembered.shape[0]):  # all of them, so that many are compared at once
            found |= remembered[k] == slates[i, j]
        out[j] = found


@inlined
def _list_places(marks: Bools, others: Bools, row: int, out: I32) -> int:
    """Positions with a mark of either kind; returns how many. A branch at each position would be guessed wrong."""
    count = 0
    for j in range(marks.shape[1]):
        out[count] = j
        count += marks[row, j] | others[row, j]
    return count


@inlined
def _remember(items: I32, row: int, item: int) -> None:
    last = items.shape[1] - 1
    for j in range(last):
        items[row, j] = items[row, j + 1]
    items[row, last] = item
