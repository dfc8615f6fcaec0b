"""The world's step once more: the formulas in float64 and plain NumPy, one user after another, law by law."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.noise import Purpose, normals, uniforms
from zsr_sim.envs.traits import Trait
from zsr_sim.envs.world import World, WorldState

Floats = NDArray[np.float64]


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def shifted(share: float, logits: float) -> float:
    return float(logistic(math.log(share / (1 - share)) + logits)) if 0 < share < 1 else share


def choose(
    choice: str, t: dict[str, float], relevance: Floats, there: NDArray[np.bool_], luck: Floats, one: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
    """Clicks, skips and click probabilities of one page."""
    s = len(relevance)
    looks = np.asarray((1.0 + np.arange(s)) ** -t["EXAMINATION_DECAY"], dtype=np.float64)
    attraction: Floats = np.where(there, logistic(relevance), 0.0)
    if choice == "position":
        clicks = luck < looks * attraction
        return clicks, ~clicks & (luck < looks) & there, np.asarray(looks * attraction)
    if choice == "logit":
        weights = np.where(there, looks * np.exp(relevance), 0.0)
        p = weights / (1 + weights.sum())
        edges = np.concatenate([[0.0], np.cumsum(p)])
        clicks = there & (edges[:-1] <= one) & (one < edges[1:])
        return clicks, there & ~clicks, p
    clicks, skips, p = np.zeros(s, bool), np.zeros(s, bool), np.zeros(s)
    reach = expected = 1.0
    for j in range(s):
        p[j] = expected * attraction[j]
        clicks[j] = one < reach and luck[j] < attraction[j]
        skips[j] = one < reach and not clicks[j] and there[j]
        if j + 1 < s:
            go_on = looks[j + 1] / looks[j]
            reach *= go_on * (t["CONTINUE_AFTER_CLICK"] if clicks[j] else 1.0)
            expected *= go_on * (1 - attraction[j] + attraction[j] * t["CONTINUE_AFTER_CLICK"])
    return clicks, skips, p


def reference_step(world: World, state: WorldState, slates: NDArray[np.int32]) -> tuple[WorldState, dict[str, Any]]:
    """The state after the page, and the columns of `Feedback`, by name."""
    after, (n, s) = state.copy(), slates.shape
    out: dict[str, Any] = {
        name: np.zeros((n, s), bool) for name in ("clicks", "skips", "likes", "purchases", "unavailable")
    }
    out |= {"probabilities": np.zeros((n, s)), "dwell": np.zeros((n, s)), "left": np.zeros(n, bool)}
    out |= {name: np.zeros(n) for name in ("leave_probability", "gaps", "reward", "expected_reward")}
    out["amounts"] = np.zeros((n, 4))
    for i in np.flatnonzero(state.present):
        _step_user(world, state, after, slates[i], int(i), {name: column[i : i + 1] for name, column in out.items()})
    return after, out


def _step_user(
    world: World, state: WorldState, after: WorldState, slate: NDArray[np.int32], i: int, out: dict[str, Any]
) -> None:
    items, users, s, step = world.items, state.users, len(slate), int(state.steps[i])
    key = (state.seeds[i : i + 1], users.ids[i : i + 1], state.steps[i : i + 1])
    t = {name: float(value) for name, value in zip(Trait._fields, users.traits[i], strict=True)}
    topics, quality = items.topics[slate], items.quality[slate].astype(float)
    cosines = state.tastes[i].astype(float) @ items.vectors[slate].astype(float).T  # (interests, slate)
    season = np.cos(2 * np.pi * (step % world.season_period / world.season_period - topics / items.n_topics))
    rest = (
        t["CLICK_BIAS"] + t["AFFINITY_WEIGHT"] * cosines.max(axis=0) + t["SEASON_WEIGHT"] * season
        - t["BOREDOM"] * state.boredom[i].astype(float)[topics]
        - t["REPEAT_PENALTY"] * np.isin(slate, state.histories[i])
    )  # fmt: skip
    there = world.available(step)[slate]
    leaving, one, away = uniforms(*key, Purpose.LEAVE, 3)[0]
    clicks, skips, p = choose(
        world.choice, t, rest + t["APPEAL_WEIGHT"] * items.appeal[slate], there,
        uniforms(*key, Purpose.CLICK, s)[0], one,
    )  # fmt: skip
    out["clicks"][0], out["skips"][0], out["probabilities"][0], out["unavailable"][0] = clicks, skips, p, ~there
    worth = rest + t["APPEAL_WEIGHT"] * quality
    if users.likings.shape[1]:
        worth = t["APPEAL_WEIGHT"] * (quality + items.pleasures[slate].astype(float) @ users.likings[i].astype(float))
    _react(world, after, i, t, worth, uniforms(*key, Purpose.REACTION, 4 * s)[0], out)
    enjoyed = logistic(t["QUALITY_SLOPE"] * quality)
    after.boredom[i] = t["BOREDOM_MEMORY"] * state.boredom[i].astype(float) + np.bincount(
        topics[clicks], minlength=items.n_topics
    )
    tastes = state.tastes[i].astype(float)
    for j in np.flatnonzero(clicks | skips):
        pulled = t["DRIFT_RATE"] * (1 - 2 * t["QUALITY_SHARE"] * (1 - enjoyed[j]))
        rate, k = (pulled if clicks[j] else -t["AVERSION_RATE"]), cosines[:, j].argmax()
        tastes[k] = (1 - rate) * tastes[k] + rate * items.vectors[slate[j]]
        tastes[k] /= np.linalg.norm(tastes[k])
    after.tastes[i] = tastes
    after.histories[i] = np.concatenate([state.histories[i], slate[clicks]])[clicks.sum() :]
    after.shown[i, step % state.shown.shape[1]] = slate
    mean_enjoyed = enjoyed[clicks].mean() if clicks.any() else 0.0
    success = (1 - 0.5 ** clicks.sum()) * (1 - t["QUALITY_SHARE"] * (1 - mean_enjoyed))
    _go_on(world, state, after, i, t, success, leaving, away, out)


def _react(
    world: World, after: WorldState, i: int, t: dict[str, float], worth: Floats, luck: Floats, out: dict[str, Any]
) -> None:
    step, (clicks,), (p,) = int(after.steps[i]), out["clicks"], out["probabilities"]
    like = np.array([shifted(t["LIKE_RATE"], t["LIKE_SLOPE"] * w) for w in worth])
    buy = np.array([shifted(t["PURCHASE_RATE"], t["PURCHASE_SLOPE"] * w) for w in worth])
    median = t["DWELL"] * np.exp(t["DWELL_SLOPE"] * worth)
    a, b, c, d = luck.reshape(-1, 4).T  # one draw of four numbers for each position
    out["likes"][0], out["purchases"][0] = clicks & (a < like), clicks & (b < buy)
    z = np.sqrt(-2 * np.log(c)) * np.cos(2 * np.pi * d)
    out["dwell"][0] = clicks * median * np.exp(t["DWELL_NOISE"] * z)
    delay, bought = min(int(t["PURCHASE_DELAY"] + 0.5), 15), out["purchases"][0].sum()
    arrived = float(after.pending[i, step % 16])
    after.pending[i, step % 16] = 0
    if delay:
        after.pending[i, (step + delay) % 16] += bought
    w = world.rewards
    out["amounts"][0] = clicks.sum(), out["likes"][0].sum(), arrived + (0 if delay else bought), out["dwell"][0].sum()
    out["reward"][0] = out["amounts"][0] @ np.array(w)
    dwell = median * np.exp(t["DWELL_NOISE"] ** 2 / 2)
    each = w.click + w.like * like + (0.0 if delay else w.purchase) * buy + w.dwell * dwell
    out["expected_reward"][0] = w.purchase * arrived + p @ each


def _go_on(
    world: World, state: WorldState, after: WorldState, i: int, t: dict[str, float],
    success: float, leaving: float, away: float, out: dict[str, Any],
) -> None:  # fmt: skip
    memory = t["SATISFACTION_MEMORY"]
    mood = memory * float(state.satisfaction[i]) + (1 - memory) * success
    row = slice(i, i + 1)
    visit = (state.seeds[row], state.users.ids[row])
    restless, eager = normals(*visit, int(state.sessions[i]), Purpose.MOOD, 2)[0]
    hazard = logistic(t["LEAVE_BIAS"] + t["LEAVE_MOOD"] * restless - t["LEAVE_SLOPE"] * mood)
    after.satisfaction[i] = mood
    if t["PATIENCE"] > 0:
        after.patience[i] = float(state.patience[i]) - 1 + t["PATIENCE_GAIN"] * success
        hazard = 1.0 if after.patience[i] <= 0 else hazard
    daily = shifted(t["RETURN_RATE"], t["RETURN_SLOPE"] * (mood - 0.5) + t["RETURN_MOOD"] * eager)
    days = math.ceil(math.log(away) / math.log(1 - daily)) if 0 < daily < 1 else math.inf
    out["leave_probability"][0] = hazard * (1 - daily) ** world.max_gap
    over = leaving < hazard
    out["left"][0] = over and days > world.max_gap
    if over and not out["left"][0]:
        out["gaps"][0] = days
        after.sessions[i] += 1
        after.moods[i] = normals(*visit, int(after.sessions[i]), Purpose.MOOD, 2)[0]
        after.patience[i] = t["PATIENCE"]
        after.boredom[i] *= t["BOREDOM_DAY_MEMORY"] ** days
    after.steps[i] += 1
    after.present[i] = not out["left"][0]
