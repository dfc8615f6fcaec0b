"""RecBole's atomic files, MIND and Online Retail: from small hand-written folders, and the published retail data."""

from pathlib import Path

import pytest

from tests.datasets.folders import write
from zsr_sim.datasets import load
from zsr_sim.errors import InputError

ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "01\tHeat\t1995\tAction Crime\n2\tSilence\t1963\tDrama\n"
)
INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "u\t01\t4\t881250949\nu\t2\t3\t881250950\nv\t01\t1\t9\n"
)


def recbole(folder: Path, item: str = ITEM, inter: str | None = INTER) -> Path:
    (folder / "ml.item").write_text(item)
    if inter is not None:
        (folder / "ml.inter").write_text(inter)
    return folder


def test_recbole(tmp_path: Path) -> None:
    dataset = load(recbole(tmp_path))
    assert dataset.catalogue.item_ids == ("01", "2")
    assert dataset.catalogue.texts == ("Heat. Action Crime", "Silence. Drama")
    assert dataset.catalogue.titles == ("Heat", "Silence")
    assert dataset.catalogue.columns["release_year"].tolist() == ["1995", "1963"]
    log = dataset.interactions
    assert log is not None
    assert log.user_ids == ("u", "v")
    assert log.items.tolist() == [0, 1, 0]
    assert log.values.tolist() == [4, 3, 1]
    assert log.timestamps.tolist() == [881250949, 881250950, 9]


def test_recbole_without_a_log_is_a_catalogue(tmp_path: Path) -> None:
    assert load(recbole(tmp_path, inter=None)).interactions is None


def test_recbole_names_the_line_of_a_bad_value(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ml\.inter, line 3: timestamp 'x' is neither"):
        load(recbole(tmp_path, inter=INTER.replace("881250950", "x")))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            ITEM.replace("movie_title:token_seq", "movie_title"),
            "line 1: 'movie_title'; columns named once each as name:type",
        ),
        (ITEM.replace("token_seq", "token"), "no column of words"),
        (ITEM.splitlines()[0] + "\n", "has a header but no rows"),
    ],
)
def test_recbole_that_cannot_be_read(tmp_path: Path, item: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(recbole(tmp_path, item))


def test_recbole_without_items(tmp_path: Path) -> None:
    (tmp_path / "ml.inter").write_text(INTER)
    with pytest.raises(InputError, match=r"holds ml\.inter but no NAME\.item"):
        load(tmp_path)


NEWS = "N1\tsports\tgolf\tA putt\tIt went in.\thttps://x\t[]\t[]\nN2\tnews\tworld\tA vote\t\thttps://y\t[]\t[]\n"
BEHAVIORS = (
    "1\tU1\t11/11/2019 9:05:58 AM\tN2 N1\tN1-0 N2-1\n"
    "2\tU1\t11/11/2019 9:05:00 AM\tN2 N1\tN1-1\n"
    "3\tU2\t11/12/2019 6:11:30 PM\t\tN1-0\n"
)


def test_mind(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, news_tsv=NEWS, behaviors_tsv=BEHAVIORS))
    assert dataset.catalogue.texts == ("A putt. It went in. golf", "A vote. world")
    assert dataset.catalogue.columns["category"].tolist() == ["sports", "news"]
    log = dataset.interactions
    assert log is not None
    assert log.user_ids == ("U1",)  # U2 clicked nothing
    assert log.items.tolist() == [1, 0, 0, 1]  # two clicks from before, then those of the two impressions in time
    first = 1573463100.0  # 2019-11-11 09:05:00 UTC
    assert log.timestamps.tolist() == [first - 2, first - 1, first, first + 58]
    assert "clicks from before the first impression have no times" in " ".join(dataset.report.notes)


@pytest.mark.parametrize(
    ("behaviors", "message"),
    [
        (BEHAVIORS.replace("6:11:30 PM", "18:11"), r"behaviors\.tsv, line 3: time '11/12/2019 18:11'"),
        (BEHAVIORS.replace("N1-0 N2-1", "N1-0 N2"), "line 1: impressions hold 'N2'; a news id with -1 or -0"),
        (BEHAVIORS.splitlines()[2] + "\n", "holds no click"),
    ],
)
def test_mind_that_cannot_be_read(tmp_path: Path, behaviors: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(write(tmp_path, news_tsv=NEWS, behaviors_tsv=behaviors))


RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
1,71053,"MUG, RED",1,2010-12-01 08:26:00,3.39,17850,United Kingdom
2,85123A,LANTERN WHITE,6,2010-12-02 08:26:00,2.55,17851,France
3,85123A,LANTERN WHITE,2,2010-12-03 08:26:00,2.55,17851,France
4,POST,POSTAGE,1,2010-12-03 08:26:00,18,17851,France
C5,71053,"MUG, RED",-1,2010-12-03 08:26:00,3.39,17851,France
6,71053,"MUG, RED",1,2010-12-03 08:26:00,3.39,,France
"""


def retail(folder: Path, text: str) -> Path:
    (folder / "online_retail.csv").write_text(text)
    return folder


@pytest.mark.parametrize("american", [False, True])
def test_online_retail(tmp_path: Path, american: bool) -> None:
    text = (
        RETAIL.replace("2010-12-0", "12/")
        .replace("/1 ", "/1/2010 ")
        .replace("/2 ", "/2/2010 ")
        .replace("/3 ", "/3/2010 ")
    )
    dataset = load(retail(tmp_path, text.replace("08:26:00", "8:26") if american else RETAIL))
    assert dataset.catalogue.item_ids == ("85123A", "71053")
    assert dataset.catalogue.texts == ("LANTERN WHITE", "MUG, RED")
    log = dataset.interactions
    assert log is not None
    assert log.user_ids == ("17850", "17851")
    assert log.items.tolist() == [0, 1, 0, 0]
    assert log.values.tolist() == [6, 1, 6, 2]
    assert log.timestamps[0] == 1291191960
    assert [note for note in dataset.report.notes if "left out" in note] == [
        "1 lines left out: without a customer",
        "1 lines left out: cancelled, or with a quantity or price that is not positive",
        "1 lines left out: of no product (POST, M, ...)",
    ]


def test_online_retail_names_the_line_of_a_bad_time(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"online_retail\.csv, line 4: InvoiceDate 'soon'"):
        load(retail(tmp_path, RETAIL.replace("2010-12-02 08:26:00", "soon")))


def test_the_published_online_retail(shared_data: Path) -> None:
    """Counts as its SOURCE.txt gives them for the cleaned log."""
    dataset = load(shared_data / "online-retail")
    log = dataset.interactions
    assert log is not None
    assert log.n_users == 4334
    assert len(dataset.catalogue) == 3659
    assert len(log) + dataset.report.counts["dropped_duplicates"] == 396_337
