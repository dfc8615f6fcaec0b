"""Impressions and users in a data folder, and the Open Bandit layout."""

from pathlib import Path

import numpy as np
import pytest

from tests.datasets.folders import ITEMS, write
from zsr_sim.datasets import describe, load
from zsr_sim.errors import InputError
from zsr_sim.impressions import Impressions

# Two pages of b in the wrong order of rows, one of a; positions from 1.
LOG = """user_id,timestamp,slate_id,item_id,position,feedback,propensity,slate_propensity
b,50,p2,1,1,,0.5,0.25
b,20,p1,x,2,skip,0.125,0.0625
b,20,p1,007,1,click,0.5,0.0625
b,50,p2,007,2,like,0.5,0.25
a,30,p1,x,1,click,0.25,
a,30,p1,1,2,,,
"""
HEAD = LOG.splitlines()[0]


def read(folder: Path, log: str = LOG, **files: str) -> Impressions:
    found = load(write(folder, items_csv=ITEMS, impressions_csv=log, **files)).impressions
    assert found is not None
    return found


def test_rows_become_pages_by_user_and_time(tmp_path: Path) -> None:
    log = read(tmp_path)
    assert log.user_ids == ("a", "b")
    assert log.users.tolist() == [0, 1, 1]
    assert log.steps.tolist() == [0, 0, 1]
    assert log.items.tolist() == [[2, 1], [0, 2], [1, 0]]  # rows of the catalogue: 007, 1, x
    assert log.feedback_names == ("click", "like", "skip")
    assert log.reward(("click", "like")).tolist() == [[1, 0], [1, 0], [0, 1]]
    np.testing.assert_array_equal(log.propensity, [[0.25, np.nan], [0.5, 0.125], [0.5, 0.5]])
    np.testing.assert_array_equal(log.slate_propensity, [np.nan, 0.0625, 0.25])
    assert log.whole
    assert np.isnan(log.prefix_propensity).all()
    later = log.take(np.array([2]))
    assert (later.user_ids, later.users.tolist(), later.items.tolist()) == (("b",), [0], [[1, 0]])


def test_data_check_and_describe_tell_of_them(tmp_path: Path) -> None:
    read(tmp_path)
    dataset = load(write(tmp_path, users_csv="user_id,age,city\na,30,Rome\nb,,Oslo\n"))
    assert {"impressions": 6, "pages": 3, "profiles": 2}.items() <= dataset.report.counts.items()
    assert dataset.profiles == {"a": "age: 30; city: Rome", "b": "city: Oslo"}
    told = describe(dataset)["impressions"]
    assert isinstance(told, dict)
    assert (told["pages"], told["users"], told["positions"], told["propensities_missing"]) == (3, 2, 2, 1)
    assert told["feedback"] == {"click": 2, "like": 1, "skip": 1}


def test_pages_with_unknown_items_are_dropped_whole_and_counted(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, items_csv=ITEMS, impressions_csv=LOG.replace("x,2,skip", "gone,2,skip")))
    assert dataset.impressions is not None
    assert dataset.impressions.items.tolist() == [[2, 1], [1, 0]]
    assert dataset.report.counts["dropped_unknown_pages"] == 1


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (LOG.replace("x,2,skip", "x,1.5,skip"), r"line 3: position '1\.5'; a whole number from 0 to 1000 expected"),
        (LOG.replace("0.125", "1.5"), r"line 3: propensity '1\.5'; a probability above 0 and at most 1 expected"),
        (LOG.replace("0.125", "0"), r"line 3: propensity '0'; a probability above 0"),
        (LOG.replace("x,2,skip", "x,1,skip"), r"slate 'p1' of user 'b' has two items at position 0; one expected"),
        (LOG.replace("slate_id", "page"), r"has no column 'slate_id'"),
        (f"{HEAD}\nb,20,p1,gone,2,skip,,\n", r"no page shows only items of the catalogue; the first unknown one is 'g"),
    ],
)
def test_bad_logs_are_told_with_their_line(tmp_path: Path, log: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, log)


def test_feedback_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no feedback of the log is buy; it has 'click', 'like', 'skip': name some"):
        read(tmp_path).reward(("buy",))


def test_pages_of_clicks_alone_are_asked_about(tmp_path: Path) -> None:
    note = "impressions.csv: everything shown was clicked; are the rows of what was passed over missing?"
    assert note not in load(write(tmp_path, items_csv=ITEMS, impressions_csv=LOG)).report.notes
    rows = "a,10,p1,x,1,click,0.5\na,10,p1,007,2,like,0.5\nb,10,p2,x,1,click,0.5\nb,10,p2,1,2,purchase,0.5\n"
    head = "user_id,timestamp,slate_id,item_id,position,feedback,propensity\n"
    assert note in load(write(tmp_path, items_csv=ITEMS, impressions_csv=head + rows)).report.notes


def test_users_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"users\.csv, line 3: user 'a' again; one row for each user expected"):
        load(write(tmp_path, items_csv=ITEMS, users_csv="user_id,text\na,one\na,two\n"))


@pytest.mark.parametrize(("policy", "clicks"), [("random", (38, 46, 46)), ("bts", (42, 69, 46))])
def test_open_bandit(shared_data: Path, policy: str, clicks: tuple[int, ...]) -> None:
    """Counts as SOURCE.txt has them."""
    for campaign, items, expected in zip(("all", "men", "women"), (80, 34, 46), clicks, strict=True):
        dataset = load(shared_data / "obd-sample" / policy / campaign)
        log = dataset.impressions
        assert log is not None
        assert (len(dataset.catalogue), len(log), log.items.shape[1]) == (items, 10_000, 3)
        assert log.shown.sum(axis=1).tolist() == [1] * 10_000
        assert log.reward(("click",)).sum() == expected
        if policy == "random":
            assert log.propensity[log.shown] == pytest.approx(1 / items, abs=1e-5)
