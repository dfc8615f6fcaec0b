"""Observations rebuilt from a log, and the verdict, by hand."""

import numpy as np
import pytest

from zsr_sim.evaluation.off_policy.intervals import Found
from zsr_sim.evaluation.off_policy.rebuild import histories_before, observations, user_keys
from zsr_sim.evaluation.off_policy.results import decide
from zsr_sim.impressions import Impressions
from zsr_sim.interactions import Interactions, id_keys


def three_pages() -> Impressions:
    """User 7 sees (0, 1) at time 10 and (2, 3) at 30; user 9 sees (4, 0) at 20. Items 1, 2 and 4 are clicked."""
    return Impressions.from_columns({
        "user": ["7", "7", "9", "9", "7", "7"], "slate": ["a", "a", "b", "b", "c", "c"],
        "time": [10.0, 10.0, 20.0, 20.0, 30.0, 30.0], "item": [0, 1, 4, 0, 2, 3], "position": [0, 1, 0, 1, 0, 1],
        "feedback": ["", "click", "click", "", "click", ""],
        **{name: [0.5] * 6 for name in ("propensity", "prefix_propensity", "slate_propensity")},
    })  # fmt: skip


def test_each_page_knows_what_came_before_it() -> None:
    log = three_pages()
    before = Interactions.from_columns(["7", "7", "7", "8"], [5, 6, 3, 1], [1, 2, 10, 1])  # item 3: not before the log
    histories = histories_before(log, before)
    assert histories[:, -3:].tolist() == [[-1, 5, 6], [-1, -1, -1]]
    found = observations(log, log.reward(("click",)) > 0, histories, user_keys(log, own=True), seed=3)
    assert found.users.tolist() == [7, 7, 9]
    assert found.steps.tolist() == [0, 1, 0]
    assert found.seeds.tolist() == [3, 3, 3]
    assert found.histories[:, -3:].tolist() == [[-1, 5, 6], [5, 6, 1], [-1, -1, -1]]
    assert found.shown.tolist() == [[-1, -1], [0, 1], [-1, -1]]
    assert user_keys(log, own=False).tolist() == id_keys(("7", "9")).tolist()


@pytest.mark.parametrize(
    ("ci95", "faults", "verdict"),
    [
        ((0.1, 0.3), [], "ship"),
        ((-0.3, -0.1), [], "do not ship"),
        ((-0.1, 0.3), [], "inconclusive"),
        ((0.1, 0.3), ["effective sample size 3 of 100 rows"], "inconclusive"),
        ((np.nan, np.nan), [], "inconclusive"),
        ((np.nan, np.nan), ["effective sample size 1 of 100 rows"], "inconclusive"),
    ],
)
def test_the_verdict_rule(ci95: tuple[float, float], faults: list[str], verdict: str) -> None:
    difference = Found(0.2, 0.05, {"delta": (0.0, 0.0), "bca": ci95})
    found, reason = decide("b", "logging policy", "sndr", difference, {"b": faults}, "clicks per page")
    assert found == verdict
    assert ("the log cannot tell (b: effective" in reason) == bool(faults)
    assert "nan" not in reason
