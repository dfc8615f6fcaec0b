"""What there is to learn: by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.hand_made import visits
from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.evaluation.learnable import MYOPIC, PLANNER, learnable, learnable_words


def test_gaps_between_baseline_and_oracles_are_paired() -> None:
    rng = np.random.default_rng(0)
    base = rng.gamma(4.0, 2.0, 50)
    ahead = rng.normal(0.5, 0.1, 50)
    expected = {"a": base, MYOPIC: base + 2.0, PLANNER: base + 2.0 + ahead}
    shown = {name: replace(visits(np.zeros(50)), expected_returns=values) for name, values in expected.items()}
    found = learnable("a", shown)
    assert found["users"] == 50
    assert found["knowing"] == {"mean": pytest.approx(2.0), "ci95": pytest.approx([2.0, 2.0])}
    gap = estimate_mean(ahead, np.arange(50))
    assert found["ahead"]["ci95"] == pytest.approx(list(gap.ci95))
    words = learnable_words(found)
    assert words.endswith(f"looking ahead {gap.mean:+.2f} ({gap.ci95[0]:+.2f} to {gap.ci95[1]:+.2f})")
    assert f"On 50 users a is expected to earn {base.mean():.2f}" in words
