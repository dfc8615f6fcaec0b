"""Estimators for pages of s positions; each assumes less or more of how positions act on each other.

reward: float64 (n, s), of each position; the value is the expected sum over a page. Weights are target over logging
probability: of the whole page, (n,); of the item at its position, (n, s); of the page down to a position, (n, s).
"""

from __future__ import annotations

import numpy as np

from zsr_sim.evaluation.off_policy.terms import Floats, Terms


def sips(reward: Floats, slate_weight: Floats) -> Terms:
    """Standard IPS on the whole page (Precup, Sutton and Singh 2000): mean(w sum_j r_j). No assumption."""
    return Terms.mean(slate_weight * reward.sum(axis=1))


def iips(reward: Floats, position_weight: Floats) -> Terms:
    """Independent IPS (Li et al. 2018): mean(sum_j w_j r_j); a reward depends on its own item and position alone."""
    return Terms.mean((position_weight * reward).sum(axis=1))


def rips(reward: Floats, prefix_weight: Floats) -> Terms:
    """Reward-interaction IPS (McInerney et al. 2020): mean(sum_j w_1..j r_j); on items above it alone (cascade)."""
    return Terms.mean((prefix_weight * reward).sum(axis=1))


def snsips(reward: Floats, slate_weight: Floats) -> Terms:
    """Self-normalised `sips`: sum(w sum_j r_j) / sum(w)."""
    return Terms.ratio(slate_weight * reward.sum(axis=1), slate_weight)


def sniips(reward: Floats, position_weight: Floats) -> Terms:
    """Self-normalised `iips`, each position by its own weights: sum_j [sum(w_j r_j) / sum(w_j)]."""
    return Terms.ratio(position_weight * reward, position_weight)


def snrips(reward: Floats, prefix_weight: Floats) -> Terms:
    """Self-normalised `rips`, each position by its own weights (McInerney et al. 2020)."""
    return Terms.ratio(prefix_weight * reward, prefix_weight)


def cascade_dr(reward: Floats, prefix_weight: Floats, q_logged: Floats, q_target: Floats) -> Terms:
    """Cascade doubly robust (Kiyohara et al. 2022).

        mean(sum_j [w_1..j (r_j - q_j) + w_1..(j-1) E(q_j)])

    q_logged: float64 (n, s), the model of the rewards from position j on, given the page down to j. q_target: float64
    (n, s), its mean when the target chooses position j after the logged items above it.
    """
    before = np.concatenate([np.ones((len(reward), 1)), prefix_weight[:, :-1]], axis=1)  # (n, s)
    return Terms.mean((prefix_weight * (reward - q_logged) + before * q_target).sum(axis=1))
