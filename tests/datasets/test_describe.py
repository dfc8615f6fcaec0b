"""A data set in numbers, checked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.folders import ITEMS, write
from zsr_sim.datasets import describe, known, layouts, load
from zsr_sim.datasets.describe import histogram, quantiles


def test_a_small_log_by_hand(tmp_path: Path) -> None:
    log = (
        "user_id,item_id,timestamp,value,feedback\n"
        "a,007,1365029107,5,click\n"
        "a,007,1365029108,5,\n"
        "a,1,1365029109,,like\n"
        "b,1,1365029110,4,like\n"
    )
    found = describe(load(write(tmp_path, items_csv=ITEMS, interactions_csv=log)))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["interactions"] == {
        "number": 4,
        "users": 2,
        "density": pytest.approx(4 / 6),
        "first": "2013-04-03T22:45:07+00:00",
        "last": "2013-04-03T22:45:10+00:00",
        "items_per_user": pytest.approx(
            {"min": 1, "p25": 1.5, "p50": 2, "p75": 2.5, "p90": 2.8, "p99": 2.98, "max": 3}
        ),
        "interactions_per_item": pytest.approx({"min": 0, "p25": 1, "p50": 2, "p75": 2, "p90": 2, "p99": 2, "max": 2}),
        "items_never_seen": 1,
        "repeated_pairs": 1,
        "values": [{"value": 4.0, "count": 1}, {"value": 5.0, "count": 2}],
        "feedback": {"click": 1, "like": 2},
    }


def test_without_a_log(tmp_path: Path) -> None:
    found = describe(load(write(tmp_path, items_csv=ITEMS)))
    assert found["interactions"] is None
    assert found["counts"] == {"items": 3, "items_without_text": 0, "duplicate_items": 0, "conflicting_items": 0}


def test_histogram_of_many_values_has_ten_bins() -> None:
    bars = histogram(np.append(np.arange(100.0), np.nan))
    assert [bar["count"] for bar in bars] == [10] * 10
    assert (bars[0]["from"], bars[-1]["to"]) == (0, 99)


def test_quantiles_of_0_to_100() -> None:
    assert quantiles(np.arange(101)) == {"min": 0, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "p99": 99, "max": 100}


def test_names_that_list_data_prints() -> None:
    assert list(known()) == ["films", "books"]
    assert list(layouts()) == [
        "plain files", "MovieLens csv", "MovieLens or MovieTweetings ::", "MovieLens-100K", "RecBole atomic files",
        "MIND", "Online Retail", "Open Bandit",
    ]  # fmt: skip
