"""A log seen from a target policy: weights, reward models and support, page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.distribution import PageDistribution, page_distribution
from zsr_sim.agents.protocol import Agent
from zsr_sim.envs.observation import Observation
from zsr_sim.evaluation.off_policy.models import CrossFitted, Features, folds_of, regress
from zsr_sim.impressions import Impressions

Floats = NDArray[np.float64]
_BATCH = 4096  # pages whose candidate pages are judged together


@dataclass(frozen=True)
class Logged:
    """The pages of a log as estimators need them, whatever the target.

    log: n pages of s positions. reward: float64 (n, s), 0 where nothing is known. observation: n rows. clusters: int64
    (n,), the user of each page, 0 .. groups - 1; folds: its half. model: of the reward of an item at a position.
    q_logged: float64 (n, s), its prediction for what was shown. n_items: of the catalogue. counted: what a
    reward is, in words.
    """

    log: Impressions
    reward: Floats
    observation: Observation
    clusters: NDArray[np.int64]
    groups: int
    folds: NDArray[np.int64]
    features: Features
    model: CrossFitted
    q_logged: Floats
    n_items: int
    counted: str

    @classmethod
    def of(
        cls, log: Impressions, reward: Floats, observation: Observation, features: Features, seed: int = 0,
        counted: str = "clicks",
    ) -> Logged:  # fmt: skip
        """Learn the reward model; users are the clusters."""
        clusters = log.users.astype(np.int64)
        folds = folds_of(clusters)
        model = regress(features, observation, log.items, reward, folds, seed)
        q_logged = np.where(log.shown, model.predict(observation, log.items, folds), 0.0)
        return cls(
            log, reward, observation, clusters, log.n_users, folds, features, model, q_logged,
            len(features.retrieval.vectors), counted,
        )  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """A target policy on the pages of a log.

    position_weight, prefix_weight: float64 (n, s); slate_weight: (n,): target over logging probability. prefix and
    slate are None where the log does not say the probabilities or not the whole page. agrees: bool (n, s), the target
    would surely have shown this item here; None where it draws. q_target: float64 (n, s), the reward model's mean under
    the target at each position; q_cascade: the same given the logged items above. marginal_weight: (n, s), weights of
    embeddings. unsupported: share of the target's probability on items that the log never shows at that position.
    """

    position_weight: Floats
    prefix_weight: Floats | None
    slate_weight: Floats | None
    agrees: NDArray[np.bool_] | None
    q_target: Floats
    q_cascade: Floats | None
    marginal_weight: Floats
    unsupported: float


def gather(
    logged: Logged, target: Agent, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Evidence:
    """Ask the target what it would have shown instead of each page."""
    log, (n, s) = logged.log, logged.log.items.shape
    never = _never_shown(log, logged.n_items)
    cascade = log.whole and not np.isnan(log.prefix_propensity).any()
    position, prefix, slate = np.zeros((n, s)), np.zeros((n, s)), np.zeros(n)
    q_target, q_cascade, missing = np.zeros((n, s)), np.zeros((n, s)), np.zeros((n, s))
    draws = False
    for begin in range(0, n, _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, n))
        observation = logged.observation.take(rows)
        found = page_distribution(target, observation, logged.n_items)
        items = log.items[rows]
        draws |= bool((found.probabilities.max(axis=1, initial=0) < 1).any())
        position[rows] = found.position_propensity(items)
        prefix[rows] = found.prefix_propensity(items)
        slate[rows] = prefix[rows, -1]
        pages, shares = _weighted_pages(found, observation)
        q = _judge(logged, observation, pages, logged.folds[rows])  # (b, c, s)
        q_target[rows] = np.einsum("bc,bcs->bs", shares, q)
        missing[rows] = np.einsum("bc,bcs->bs", shares, never[np.arange(s), pages])
        if cascade:
            q_cascade[rows] = _given_above(found, items, pages, shares, q)
        if progress:
            progress(int(rows[-1]) + 1, n)
    weight = np.where(log.shown, position / np.where(log.shown, log.propensity, 1.0), 0.0)
    whole = log.whole and not np.isnan(log.slate_propensity).any()
    marginal = regress(logged.features, logged.observation, log.items, weight, logged.folds, seed)
    return Evidence(
        position_weight=weight,
        prefix_weight=prefix / log.prefix_propensity if cascade else None,
        slate_weight=slate / log.slate_propensity if whole else None,
        agrees=None if draws else (position > 0) & log.shown,
        q_target=q_target,
        q_cascade=q_cascade if cascade else None,
        marginal_weight=np.maximum(marginal.predict(logged.observation, log.items, logged.folds), 0.0) * log.shown,
        unsupported=float(missing[log.shown].mean()),
    )


def _never_shown(log: Impressions, n_items: int) -> NDArray[np.bool_]:
    """Whether the log never shows an item at a position, bool (s, n_items)."""
    never = np.ones((log.items.shape[1], n_items), dtype=np.bool_)
    rows, positions = np.nonzero(log.shown)
    never[positions, log.items[rows, positions]] = False
    return never


def _weighted_pages(found: PageDistribution, observation: Observation) -> tuple[NDArray[np.int32], Floats]:
    """Pages (b, c, s) with weights (b, c) whose mean is that of the distribution: evenly drawn pages by one of them."""
    if not found.uniform.any():
        return found.items, found.probabilities
    n, _, s = found.items.shape
    even = PageDistribution(
        np.zeros((n, 0, s), dtype=np.int32), np.zeros((n, 0)), np.ones(n), found.n_items, found.excluded
    )
    page = even.draw(observation.seeds, observation.users, observation.steps)
    pages = np.concatenate([found.items, page[:, None, :]], axis=1)
    return pages, np.concatenate([found.probabilities, found.uniform[:, None]], axis=1)


def _judge(logged: Logged, observation: Observation, pages: NDArray[np.int32], folds: NDArray[np.int64]) -> Floats:
    """The reward model on candidate pages, (b, c, s)."""
    out = np.empty(pages.shape)
    for c in range(pages.shape[1]):
        out[:, c] = logged.model.predict(observation, pages[:, c], folds)
    return out


def _given_above(
    found: PageDistribution, items: NDArray[np.int32], pages: NDArray[np.int32], shares: Floats, q: Floats
) -> Floats:
    """Mean of q at each position when the items above are the logged ones, (b, s); 0 where the target never does so.

    An evenly drawn page stays one given the items above it; its own draw stands for all of them, which neglects that
    it may not repeat those above (an error of the order slate size / pool in the model's part).
    """
    same = np.logical_and.accumulate(pages == items[:, None, :], axis=2)
    above = np.concatenate([np.ones((*same.shape[:2], 1), dtype=np.bool_), same[:, :, :-1]], axis=2)
    weight = shares[:, :, None] * above  # (b, c, s)
    if found.uniform.any():
        even = PageDistribution(
            found.items[:, :0], np.zeros((len(items), 0)), np.ones(len(items)), found.n_items, found.excluded
        ).prefix_propensity(items)
        weight[:, -1, 0], weight[:, -1, 1:] = found.uniform, found.uniform[:, None] * even[:, :-1]
    total = weight.sum(axis=1)
    return np.asarray((weight * q).sum(axis=1) / np.where(total > 0, total, 1.0))
