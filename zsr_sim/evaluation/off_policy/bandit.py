"""Estimators where each row is a decision of its own: pure functions on arrays, each gives its `Terms`.

Arguments, all float64 (n,): reward r; weight w = pi_e(a | x) / pi_0(a | x), target over logging probability of the
action that was taken; q_logged, the reward model at that action; q_target, its mean under the target policy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zsr_sim.evaluation.off_policy.terms import Floats, Terms


def replay(reward: Floats, agrees: NDArray[np.bool_]) -> Terms:
    """Mean reward where the target would have done the same (Li, Chu, Langford and Wang 2011).

        sum(1[a = pi_e(x)] r) / sum(1[a = pi_e(x)])

    agrees: bool (n,). Unbiased for a deterministic target and a log of even draws.
    """
    return Terms.ratio(agrees * reward, agrees.astype(np.float64))


def ips(reward: Floats, weight: Floats, clip: float = np.inf) -> Terms:
    """Inverse propensity score (Horvitz and Thompson 1952); weights above `clip` count as `clip` (Ionides 2008).

    mean(min(w, clip) r)
    """
    return Terms.mean(np.minimum(weight, clip) * reward)


def snips(reward: Floats, weight: Floats) -> Terms:
    """Self-normalised IPS (Swaminathan and Joachims 2015): sum(w r) / sum(w)."""
    return Terms.ratio(weight * reward, weight)


def dm(q_target: Floats) -> Terms:
    """Direct method: mean(q_target), as good as the reward model."""
    return Terms.mean(q_target)


def dr(reward: Floats, weight: Floats, q_logged: Floats, q_target: Floats, clip: float = np.inf) -> Terms:
    """Doubly robust (Dudik, Langford and Li 2011), weights clipped as in `ips`.

    mean(q_target + min(w, clip) (r - q_logged))
    """
    return Terms.mean(q_target + np.minimum(weight, clip) * (reward - q_logged))


def sndr(reward: Floats, weight: Floats, q_logged: Floats, q_target: Floats) -> Terms:
    """Self-normalised doubly robust (Thomas and Brunskill 2016): mean(q_target) + sum(w (r - q_logged)) / sum(w)."""
    return Terms.ratio(weight * (reward - q_logged), weight, q_target)


def switch_dr(reward: Floats, weight: Floats, q_logged: Floats, q_target: Floats, switch: float) -> Terms:
    """Switch-DR (Wang, Agarwal and Dudik 2017): no correction where the weight exceeds `switch`.

    mean(q_target + 1[w <= switch] w (r - q_logged))
    """
    return Terms.mean(q_target + np.where(weight <= switch, weight, 0.0) * (reward - q_logged))


def dros(reward: Floats, weight: Floats, q_logged: Floats, q_target: Floats, shrinkage: float) -> Terms:
    """DR with optimistic shrinkage (Su, Dimakopoulou, Krishnamurthy and Dudik 2020).

    mean(q_target + L w / (w^2 + L) (r - q_logged)), L = shrinkage >= 0; infinity gives DR, 0 the direct method.
    """
    return Terms.mean(q_target + shrink(weight, shrinkage) * (reward - q_logged))


def shrink(weight: Floats, shrinkage: float) -> Floats:
    """The weights of `dros`."""
    return weight if np.isinf(shrinkage) else np.asarray(shrinkage * weight / (weight**2 + shrinkage))


def subgaussian(weight: Floats, lam: float) -> Floats:
    """Weights pulled towards 1: w / (1 - lam + lam w), 0 <= lam <= 1 (Metelli, Russo and Restelli 2021, s = -1).

    >>> subgaussian(np.array([0.5, 1.0, 10.0]), 0.1).round(3)
    array([0.526, 1.   , 5.263])
    """
    return np.asarray(weight / (1 - lam + lam * weight))


def sg_ips(reward: Floats, weight: Floats, lam: float) -> Terms:
    """Sub-Gaussian IPS (Metelli, Russo and Restelli 2021): `ips` with weights from `subgaussian`."""
    return Terms.mean(subgaussian(weight, lam) * reward)


def sg_dr(reward: Floats, weight: Floats, q_logged: Floats, q_target: Floats, lam: float) -> Terms:
    """Sub-Gaussian DR (Metelli, Russo and Restelli 2021): `dr` with weights from `subgaussian`."""
    return Terms.mean(q_target + subgaussian(weight, lam) * (reward - q_logged))


def mips(reward: Floats, marginal_weight: Floats) -> Terms:
    """Marginalised IPS (Saito and Joachims 2022): IPS with weights of embeddings instead of actions.

    mean(w(x, e) r), w(x, e) = pi_e(e | x) / pi_0(e | x) = E[w(x, a) | x, e] under the log
    """
    return Terms.mean(marginal_weight * reward)


def marginal_weights(embedding: NDArray[np.int64], actions: NDArray[np.int64], pi_e: Floats, pi_0: Floats) -> Floats:
    """Exact weights for `mips` from full distributions over actions, (n,).

    embedding: int64 (n_actions,), the discrete embedding of each action. actions: int64 (n,), those taken. pi_e, pi_0:
    (n, n_actions).
    """
    member = np.eye(int(embedding.max()) + 1)[embedding]  # (n_actions, n_embeddings)
    taken = (np.arange(len(actions)), embedding[actions])
    return np.asarray((pi_e @ member)[taken] / (pi_0 @ member)[taken])
