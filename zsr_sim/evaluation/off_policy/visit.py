"""Estimators for whole visits of up to T pages: each page changes who sees the next.

reward: float64 (n, T), of each page, 0 after the visit's end. weight: float64 (n, T), target over logging probability
of each page, 1 after the end. The value is the expected sum over a visit.
"""

from __future__ import annotations

import numpy as np

from zsr_sim.evaluation.off_policy.terms import Floats, Terms


def trajectory_is(reward: Floats, weight: Floats) -> Terms:
    """Trajectory-wise importance sampling (Precup, Sutton and Singh 2000): mean(prod_t w_t * sum_t r_t)."""
    return Terms.mean(weight.prod(axis=1) * reward.sum(axis=1))


def sn_trajectory_is(reward: Floats, weight: Floats) -> Terms:
    """Self-normalised (weighted) form: sum(W sum_t r_t) / sum(W), W = prod_t w_t."""
    whole = weight.prod(axis=1)
    return Terms.ratio(whole * reward.sum(axis=1), whole)


def per_decision_is(reward: Floats, weight: Floats) -> Terms:
    """Per-decision importance sampling (Precup, Sutton and Singh 2000): mean(sum_t w_1..t r_t)."""
    return Terms.mean((weight.cumprod(axis=1) * reward).sum(axis=1))


def sn_per_decision_is(reward: Floats, weight: Floats) -> Terms:
    """Self-normalised form, each page by its own weights: sum_t [sum(w_1..t r_t) / sum(w_1..t)]."""
    running = weight.cumprod(axis=1)
    return Terms.ratio(running * reward, running)


def visit_dr(reward: Floats, weight: Floats, q_logged: Floats, v_target: Floats) -> Terms:
    """Doubly robust for sequences (Jiang and Li 2016; Thomas and Brunskill 2016).

        mean(sum_t [w_1..t (r_t - q_t) + w_1..(t-1) v_t])

    q_logged: float64 (n, T), model of the rewards from page t on, given the page shown. v_target: float64 (n, T), its
    mean over the target's pages. Both 0 after the visit's end.
    """
    running = weight.cumprod(axis=1)
    before = np.concatenate([np.ones((len(reward), 1)), running[:, :-1]], axis=1)  # (n, T)
    return Terms.mean((running * (reward - q_logged) + before * v_target).sum(axis=1))
