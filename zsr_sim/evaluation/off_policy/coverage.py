"""How often 95 % intervals hold the truth, on many synthetic logs whose truth is known.

    python -m zsr_sim.evaluation.off_policy.coverage --logs 1000

A log: people of eight kinds, ten actions, a logging policy that prefers some, a target that prefers others, clicks.
The reward model is wrong on purpose (every kind's mean over actions). The value of the target is a finite sum.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from zsr_sim.evaluation.off_policy import bandit
from zsr_sim.evaluation.off_policy.intervals import Resampled
from zsr_sim.evaluation.off_policy.terms import Floats, Terms

KINDS, ACTIONS = 8, 10
METHODS = ("delta", "percentile", "bca", "anytime")


@dataclass(frozen=True)
class Truth:
    """A bandit of KINDS contexts, all alike likely: click rates and both policies, each (KINDS, ACTIONS)."""

    clicks: Floats
    logging: Floats
    target: Floats

    @classmethod
    def of(cls, seed: int = 0) -> Truth:
        """Drawn from a seed."""
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(3, KINDS, ACTIONS))
        return cls(expit(logits[0]), softmax(logits[1], axis=1), softmax(0.7 * logits[1] + logits[2], axis=1))

    @property
    def value(self) -> float:
        """Of the target policy."""
        return float((self.target * self.clicks).sum(axis=1).mean())

    def log(self, users: int, rows_per_user: int, rng: np.random.Generator) -> dict[str, Terms]:
        """Estimators on one log; all rows of a user share a context, so they are not independent."""
        kind = np.repeat(rng.integers(KINDS, size=users), rows_per_user)  # (n,)
        action = _draw(self.logging[kind], rng)
        reward = (rng.random(len(kind)) < self.clicks[kind, action]).astype(np.float64)
        weight = self.target[kind, action] / self.logging[kind, action]
        model = np.repeat(self.clicks.mean(axis=1, keepdims=True), ACTIONS, axis=1) + 0.1 * self.logging
        q_logged, q_target = model[kind, action], (self.target * model).sum(axis=1)[kind]
        return {
            "ips": bandit.ips(reward, weight),
            "snips": bandit.snips(reward, weight),
            "dr": bandit.dr(reward, weight, q_logged, q_target),
            "sndr": bandit.sndr(reward, weight, q_logged, q_target),
        }


def _draw(probabilities: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    luck = rng.random((len(probabilities), 1))
    return np.asarray(np.minimum((probabilities.cumsum(axis=1) < luck).sum(axis=1), ACTIONS - 1))


def coverage(
    logs: int, users: int = 1000, rows_per_user: int = 2, draws: int = 1000, seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """Per estimator and interval: `covered`, the share of logs whose interval holds the truth, and mean `width`."""
    truth = Truth.of(seed)
    rng = np.random.default_rng([seed, 1])
    clusters = np.repeat(np.arange(users), rows_per_user)
    hits: dict[str, dict[str, list[tuple[bool, float]]]] = {}
    for number in range(logs):
        terms = truth.log(users, rows_per_user, rng)
        resampled = Resampled.of(terms, clusters, users, draws, seed=number)
        for name in terms:
            for method, (low, high) in resampled.estimate(name).intervals.items():
                noted = hits.setdefault(name, {}).setdefault(method, [])
                noted.append((low <= truth.value <= high, high - low))
    return {
        name: {
            method: {"covered": float(np.mean([c for c, _ in noted])), "width": float(np.mean([w for _, w in noted]))}
            for method, noted in found.items()
        }
        for name, found in hits.items()
    }


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="coverage of the 95 % intervals on synthetic logs")
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--users", type=int, default=1000, help="of each log, two rows each")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap resamples")
    chosen = parser.parse_args(arguments)
    found = coverage(chosen.logs, chosen.users, draws=chosen.draws)
    print(f"{'':<7}" + "".join(f"{method:>22}" for method in METHODS))
    for name, methods in found.items():
        cells = (f"{100 * methods[m]['covered']:.1f} % ({methods[m]['width']:.4f})" for m in METHODS)
        print(f"{name:<7}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"share of {chosen.logs} logs whose interval holds the truth (mean width in brackets)")


if __name__ == "__main__":
    main(sys.argv[1:])
