"""A text bandit whose truth is known: The New Yorker's caption contests, rated under an even and an adaptive policy.

    python -m zsr_sim.evaluation.off_policy.captions FOLDER --contest 519 --learn-from 518

Zero-shot strategies choose captions of a contest by their text alone, after what was found funny in another. Each is
scored by simulation (ratings drawn as often as they were given) and by off-policy estimates from the real ratings of
both logging policies, and both are held against the truth: the sum of probability times mean rating over all captions.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import Ridge

from zsr_sim.datasets.columns import numbers
from zsr_sim.datasets.files import find_one
from zsr_sim.datasets.tables import read_table
from zsr_sim.encoders.space import unit
from zsr_sim.errors import InputError, told_in_a_line
from zsr_sim.evaluation.off_policy import bandit
from zsr_sim.evaluation.off_policy.intervals import Found, Resampled
from zsr_sim.evaluation.off_policy.terms import Floats

POLICIES = {"even": "RoundRobin", "adaptive": "LilUCB"}
REWARDS = np.array([1.0, 0.5, 0.0])  # funny, somewhat funny, unfunny
SHARPNESS = 1.0  # of a strategy's preference, per standard deviation of its score
_BEST = 0.05  # share of captions that count as the best of a contest


@dataclass(frozen=True)
class Contest:
    """captions: the arms. counts: policy -> int64 (arms, 3), how often each rating (see REWARDS) was given."""

    captions: tuple[str, ...]
    counts: dict[str, NDArray[np.int64]]

    @property
    def means(self) -> Floats:
        """Mean rating of each caption over both policies, float64 (arms,), 0..1: the truth."""
        total = np.sum(list(self.counts.values()), axis=0)
        return np.asarray((total @ REWARDS) / total.sum(axis=1))


def read_contest(folder: Path, contest: int) -> Contest:
    """Read NNN_summary_{RoundRobin,LilUCB}.csv[.gz]; captions that both rated, in the order of their text."""
    tables: dict[str, dict[str, NDArray[np.int64]]] = {}
    for policy, file_name in POLICIES.items():
        path = find_one(folder, [f"{contest}_summary_{file_name}.csv"])
        if path is None:
            raise InputError(
                f"{folder} holds no {contest}_summary_{file_name}.csv; expected the caption contests' files"
            )
        table = read_table(path)
        ratings = np.stack([numbers(table, name) for name in ("funny", "somewhat_funny", "unfunny")], axis=1)
        tables[policy] = dict(zip(table.frame["caption"], ratings.astype(np.int64), strict=True))
    rated = {policy: {text for text, row in rows.items() if row.sum()} for policy, rows in tables.items()}
    captions = tuple(sorted(set.intersection(*rated.values())))
    return Contest(captions, {p: np.stack([rows[text] for text in captions]) for p, rows in tables.items()})


def zero_shot(vectors: Floats, learned_vectors: Floats, learned_means: Floats) -> dict[str, Floats]:
    """Scores of captions (arms,) from the texts and mean ratings of another contest; vectors have unit length."""
    best = np.argsort(-learned_means)[: max(int(_BEST * len(learned_means)), 1)]
    centre = unit(learned_vectors[best].mean(axis=0, keepdims=True))[0]
    model = Ridge(alpha=10.0).fit(learned_vectors, learned_means)
    return {"even": np.zeros(len(vectors)), "near-the-best": vectors @ centre, "text-model": model.predict(vectors)}


def policy_of(scores: Floats) -> Floats:
    """Probabilities (arms,): softmax of the standardised scores."""
    spread = float(scores.std())
    return np.asarray(softmax(SHARPNESS * (scores - scores.mean()) / spread if spread > 0 else scores))


def off_policy(contest: Contest, policy: str, target: Floats, model: Floats, seed: int = 0) -> dict[str, Found]:
    """IPS, SNIPS and DR of a target (arms,) from all ratings that one policy gathered; model: a guess of the means.

    Each rating is a row; the propensity of a caption is its share of the ratings (known for the even policy up to
    rounding, an average over time for the adaptive one). Adaptive ratings come out too low, by about 0.01 here: a
    caption that begins badly by chance is not shown again (Nie, Tian, Taylor and Zou 2018).
    """
    counts = contest.counts[policy]
    arms, kinds = np.nonzero(counts)
    rows = np.repeat(np.arange(len(arms)), counts[arms, kinds])
    arm, reward = arms[rows], REWARDS[kinds[rows]]
    weight = (target / (counts.sum(axis=1) / counts.sum()))[arm]
    terms = {
        "ips": bandit.ips(reward, weight),
        "snips": bandit.snips(reward, weight),
        "dr": bandit.dr(reward, weight, model[arm], np.full(len(arm), float(target @ model))),
    }
    resampled = Resampled.of(terms, np.arange(len(arm)), len(arm), seed=seed)
    return {name: resampled.estimate(name) for name in terms}


def simulated(contest: Contest, target: Floats, ratings: int, seed: int = 0) -> tuple[float, float]:
    """Mean of `ratings` draws of a caption and of a rating as people gave it, and the standard error of that mean."""
    rng = np.random.default_rng(seed)
    total = np.sum(list(contest.counts.values()), axis=0)  # (arms, 3)
    shares = (total / total.sum(axis=1, keepdims=True)).cumsum(axis=1)
    arm = rng.choice(len(target), ratings, p=target)
    kind = np.minimum((shares[arm] < rng.random((ratings, 1))).sum(axis=1), 2)
    rewards = REWARDS[kind]
    return float(rewards.mean()), float(rewards.std(ddof=1) / np.sqrt(ratings))


def main(arguments: list[str]) -> None:
    """Print truth, simulation and estimates of each strategy."""
    from zsr_sim.encoders.cache import VectorCache, encode_texts
    from zsr_sim.encoders.text import load_encoder

    parser = argparse.ArgumentParser(description="zero-shot strategies on caption contests")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--contest", type=int, default=519)
    parser.add_argument("--learn-from", type=int, default=518)
    chosen = parser.parse_args(arguments)
    with told_in_a_line():
        contest, other = read_contest(chosen.folder, chosen.contest), read_contest(chosen.folder, chosen.learn_from)
    encoder, cache = load_encoder(None), VectorCache()
    vectors, learned = (unit(encode_texts(c.captions, encoder, cache)[0].astype(np.float64)) for c in (contest, other))
    scores = zero_shot(vectors, learned, other.means)
    for name, score in scores.items():
        target = policy_of(score)
        mean, error = simulated(contest, target, 100_000)
        print(f"{name}: truth {target @ contest.means:.4f}, simulated {mean:.4f} +- {1.96 * error:.4f}")
        for policy in POLICIES:
            for estimator, found in off_policy(contest, policy, target, scores["text-model"]).items():
                low, high = found.ci95
                print(f"  {policy} log, {estimator}: {found.value:.4f} ({low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main(sys.argv[1:])
