"""The laws of leaving and coming back, held against a log in which they are planted."""

import numpy as np
import pytest

from zsr_sim.envs.hazards import draw_durations
from zsr_sim.envs.rhythm import DAY
from zsr_sim.evaluation.habits import check_habits
from zsr_sim.interactions import Interactions


def lived(spread: float, users: int = 800, days: int = 400) -> Interactions:
    """People who leave after an item and come back on a day away at log-odds of -1 and -2, so far spread."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, int, float]] = []
    for user in range(users):
        now = rng.random() * days
        while now < days:
            minutes = np.arange(draw_durations(-1.0, spread, 1, rng)[0]) / 1440
            rows += [(f"u{user:03d}", 0, (now + minute) * DAY) for minute in minutes]
            now += minutes[-1] + float(draw_durations(-2.0, spread, 1, rng)[0]) - 0.9 * rng.random()
    return Interactions.from_columns(*zip(*rows, strict=True))


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_a_planted_law_is_found_and_holds_later(spread: float) -> None:
    log = lived(spread)
    lengths, gaps = check_habits(log.before(280 * DAY), log.after(280 * DAY), 0)
    for line, level in ((lengths, -1.0), (gaps, -2.0)):
        assert line["log_odds"] == pytest.approx(level, abs=4 * line["standard_errors"][0])
        assert line["spread"] == pytest.approx(spread, abs=0.25)
        assert line["ks"] < 0.06
        assert (line["ks_one_hazard"] > 0.15) == (spread > 0)


def test_nothing_is_said_where_nobody_came_twice() -> None:
    log = Interactions.from_columns(["a", "b", "c", "d"], [0, 1, 2, 3], np.arange(4.0) * DAY)
    assert check_habits(log.before(2 * DAY), log.after(2 * DAY), 0) == []
