"""Caption contests: strategies on texts, scored by simulation and off-policy, held against the truth."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from zsr_sim.encoders.space import unit
from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.captions import (
    Contest,
    off_policy,
    policy_of,
    read_contest,
    simulated,
    zero_shot,
)  # fmt: skip


def small() -> Contest:
    """Three captions: funny to all, to half, to nobody; rated 10 times each evenly, unevenly by the other policy."""
    even = np.array([[10, 0, 0], [5, 0, 5], [0, 0, 10]])
    return Contest(("a", "b", "c"), {"even": even, "adaptive": even * np.array([[4], [2], [1]])})


def test_by_hand() -> None:
    contest, target = small(), np.array([0.5, 0.5, 0.0])
    assert contest.means.tolist() == [1, 0.5, 0]
    for policy in ("even", "adaptive"):
        found = off_policy(contest, policy, target, np.zeros(3))
        assert [found[name].value for name in ("ips", "snips", "dr")] == pytest.approx([0.75] * 3)
    mean, error = simulated(contest, target, 20_000)
    assert mean == pytest.approx(0.75, abs=4 * error)
    assert policy_of(np.zeros(3)) == pytest.approx([1 / 3] * 3)


def test_a_contest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no 1_summary_RoundRobin\.csv"):
        read_contest(tmp_path, 1)


def test_zero_shot_strategies_against_the_truth(shared_data: Path) -> None:
    """Texts as TF-IDF here (the command uses the language model): what is learned on 518 is of use on 519."""
    contest, other = (read_contest(shared_data / "caption-contest", number) for number in (519, 518))
    assert len(contest.captions) > 4500
    words = TfidfVectorizer(sublinear_tf=True, min_df=3).fit([*contest.captions, *other.captions])
    reduce = TruncatedSVD(50, random_state=0).fit(words.transform(other.captions))
    vectors, learned = (unit(reduce.transform(words.transform(c.captions)) + 1e-9) for c in (contest, other))
    scores = zero_shot(vectors, learned, other.means)
    for name, score in scores.items():
        target = policy_of(score)
        truth = float(target @ contest.means)
        mean, error = simulated(contest, target, 50_000)
        assert mean == pytest.approx(truth, abs=4 * error), name
        for policy in ("even", "adaptive"):
            for estimator, found in off_policy(contest, policy, target, scores["text-model"]).items():
                assert found.value == pytest.approx(truth, abs=0.015), (name, policy, estimator)
    assert policy_of(scores["text-model"]) @ contest.means > contest.means.mean()
