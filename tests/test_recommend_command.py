"""`zsr-sim recommend`: files in, a file out, for people and items that nobody has met."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

from tests.command_line import zsr_sim
from tests.small_data import ASSIGNMENTS, KINDS, N_ITEMS, TOPICS, write_items
from zsr_sim.catalogue import Catalogue
from zsr_sim.datasets.histories import read_candidates, read_histories
from zsr_sim.errors import InputError

PAGES = """
import numpy as np
from zsr_sim.envs.observation import Decision

class LastFirst:
    def __init__(self, retrieval, slate_size):
        self.order, self.slate_size = np.arange(len(retrieval.vectors))[::-1], slate_size

    def act(self, observation):
        new = [[i for i in self.order if i not in shown][: self.slate_size] for shown in observation.shown]
        return Decision(np.array(new, dtype=np.int32))
"""
HISTORIES = (
    "user_id,item_id,timestamp\n007,i00,1\n007,i01,2\nnobody,unknown-1,1\n7,i53,5\n7,i52,4\n7,unknown-2,6\n7,i53,5\n"
)


@pytest.fixture(scope="module", autouse=True)
def more_files(small_place: Path) -> None:
    write_items(small_place / "items-only")
    (small_place / "last_first.py").write_text(PAGES, encoding="utf-8")
    (small_place / "histories.csv").write_text(HISTORIES, encoding="utf-8")


def recommend(out: str, *words: str, agent: str = "similarity", data: str = "data", code: int = 0) -> Result:
    given = [] if "--histories" in words else ["--histories", "histories.csv"]
    start = ("recommend", "--data", data, "--agent", agent, "--out", out, *given)
    return zsr_sim(*start, *words, "--set", *ASSIGNMENTS, code=code)


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_best_items_for_people_whom_no_log_knows() -> None:
    result = recommend("recs.csv", "--k", "5")
    rows = rows_of("recs.csv")
    assert list(rows[0]) == ["user_id", "item_id", "rank", "score"]
    assert [row["user_id"] for row in rows] == ["007"] * 5 + ["nobody"] * 5 + ["7"] * 5  # as they come, zeros kept
    assert [row["rank"] for row in rows] == list("12345") * 3
    scores = np.array([float(row["score"]) for row in rows]).reshape(3, 5)
    assert (np.diff(scores, axis=1) <= 0).all()
    first, stranger, last = ([row["item_id"] for row in rows[at : at + 5]] for at in (0, 5, 10))
    assert sum(item.startswith("i0") for item in first) >= 4  # space travel, as in the history
    assert not {"i00", "i01"} & set(first)
    assert sum(item.startswith("i5") for item in last) >= 4
    popular = pd.read_csv("data/interactions.csv")["item_id"].value_counts()
    assert popular[stranger].tolist() == popular.tolist()[:5]  # what a new user gets
    assert "2 interactions with 2 items that are not in the catalogue are left out, the first in" in result.stdout
    assert "histories.csv, line 4: 'unknown-1'" in result.stdout
    assert "1 of 3 users have no known item: they get what a new user gets" in result.stdout
    assert result.stdout.splitlines()[-1] == "15 recommendations for 3 users: recs.csv"


def test_seen_items_come_again_only_if_asked_for() -> None:
    recommend("again.csv", "--k", "3", "--keep-seen")
    again = [row["item_id"] for row in rows_of("again.csv")]
    assert {"i00", "i01"} <= set(again[:3])
    recommend("all.csv", "--k", "1000")
    counts = pd.DataFrame(rows_of("all.csv"))["user_id"].value_counts()
    assert counts.to_dict() == {"nobody": N_ITEMS, "007": N_ITEMS - 2, "7": N_ITEMS - 2}


def test_the_answer_to_one_user_does_not_depend_on_the_others() -> None:
    lines = HISTORIES.splitlines(keepends=True)
    Path("alone.csv").write_text("".join([lines[0], *lines[4:]]), encoding="utf-8")
    for agent in ("similarity", "random"):
        recommend("together-recs.csv", agent=agent)
        recommend("alone-recs.csv", "--histories", "alone.csv", agent=agent)
        assert rows_of("alone-recs.csv") == [row for row in rows_of("together-recs.csv") if row["user_id"] == "7"]


@pytest.mark.parametrize("name", ["recs.parquet", "recs.jsonl", "recs.jsonl.gz", "recs.csv.gz"])
def test_every_format_says_the_same(name: str) -> None:
    recommend("plain.csv", "--k", "4")
    recommend(name, "--k", "4")
    text = {"user_id": str, "item_id": str}
    if name.endswith(".parquet"):
        found = pd.read_parquet(name)
    elif "jsonl" in name:
        content = Path(name).read_bytes()
        lines = (gzip.decompress(content) if name.endswith(".gz") else content).decode().splitlines()
        found = pd.DataFrame([json.loads(line) for line in lines])
    else:
        assert gzip.decompress(Path(name).read_bytes()) == Path("plain.csv").read_bytes()
        return
    plain = pd.read_csv("plain.csv", dtype=text)
    pd.testing.assert_frame_equal(found, plain, check_dtype=False, rtol=1e-6)
    assert found["user_id"].tolist()[0] == "007"


def test_candidates_restrict_also_to_items_that_no_log_has_seen() -> None:
    Path("some.csv").write_text("item_id\ni00\ni02\ni59\ni02\n", encoding="utf-8")
    recommend("some-recs.csv", "--candidates", "some.csv")
    found = [(row["user_id"], row["item_id"]) for row in rows_of("some-recs.csv")]
    assert found[:2] == [("007", "i02"), ("007", "i59")]
    assert {item for user, item in found if user == "7"} == {"i00", "i02", "i59"}


def test_new_items_take_part_by_their_texts() -> None:
    Path("new.jsonl").write_text(
        '{"item_id": "i02"}\n{"item_id": "042", "text": "a diary of space travel"}\n'
        '{"item_id": "soup", "text": "a cookbook about soup"}\n{"item_id": "i59"}\n',
        encoding="utf-8",
    )
    found = json.loads(recommend("new-recs.csv", "--candidates", "new.jsonl", "--k", "2", "--json").stdout)
    rows = rows_of("new-recs.csv")
    assert {row["item_id"] for row in rows[:2]} == {"i02", "042"}
    assert (found["candidates"], found["recommendations"], found["users"]) == (4, 6, 3)
    assert (found["unknown_interactions"], found["users_without_known_items"]) == (2, 1)


def test_an_agent_of_pages_is_asked_until_there_are_enough() -> None:
    recommend("pages.csv", "--k", "10", agent="last_first:LastFirst")
    expected = [f"i{t}{k}" for t in range(len(TOPICS)) for k in range(len(KINDS))][::-1]
    rows = rows_of("pages.csv")
    assert [row["item_id"] for row in rows[:10]] == expected[:10]
    assert [row["item_id"] for row in rows[20:]] == [item for item in expected if item not in ("i53", "i52")][:10]
    assert float(rows[3]["score"]) == 0.25


def test_an_agent_of_pages_is_not_asked_for_more_than_is_needed() -> None:
    """Pages of four: 5 items take two pages; all 60 take ten, the most that anybody is asked for."""
    talking = PAGES.replace("        new =", "        print('asked', len(observation))\n        new =")
    Path("counted.py").write_text(talking, encoding="utf-8")
    for k, pages in ((5, 2), (60, 10)):
        said = recommend("counted.csv", "--k", str(k), agent="counted:LastFirst").stdout
        assert said.count("asked 3") == pages


def test_a_trained_run_and_a_peer_that_learns_from_the_log() -> None:
    train = ("train", "--data", "data", "--agent", "policy-gradient", "--users", "20", "--out", "runs/trained")
    zsr_sim(*train, "--set", *ASSIGNMENTS, "generator.candidates=0")
    for agent in ("runs/trained", "item-knn"):
        recommend("learned.csv", "--k", "6", agent=agent)
        rows = rows_of("learned.csv")
        assert len(rows) == 18
        assert not {"i00", "i01"} & {row["item_id"] for row in rows[:6]}


def test_what_spoke_for_it_is_said_in_words_and_shares() -> None:
    found = json.loads(recommend("why.csv", "--k", "2", "--explain", "--json").stdout)
    first = found["explanations"][0]
    assert (first["user_id"], first["rank"], first["item_id"]) == ("007", 1, rows_of("why.csv")[0]["item_id"])
    assert {reason["item_id"] for reason in first["because"]} == {"i00", "i01"}
    assert sum(reason["share"] for reason in first["because"]) == pytest.approx(1.0)
    assert found["explanations"][2]["because"] == []  # of somebody without a known item
    lines = recommend("why.csv", "--k", "2", "--explain").stdout.splitlines()
    told = next(line for line in lines if line.startswith("007, 1: "))
    assert re.fullmatch(r"007, 1: a .+, because of a .+ \d+ %, a .+ \d+ %", told)


def test_what_was_consumed_twice_speaks_once() -> None:
    Path("twice.csv").write_text("user_id,item_id,timestamp\na,i00,1\na,i01,2\na,i00,3\n", encoding="utf-8")
    found = json.loads(recommend("why.csv", "--k", "1", "--explain", "--json", "--histories", "twice.csv").stdout)
    because = found["explanations"][0]["because"]
    assert sorted(reason["item_id"] for reason in because) == ["i00", "i01"]
    assert sum(reason["share"] for reason in because) == pytest.approx(1.0)


def test_without_a_log_popularity_is_made_up_and_said_so() -> None:
    result = recommend("fresh.csv", data="items-only")
    assert "items-only has no log: what counts as popular is made up" in result.stdout
    assert len(rows_of("fresh.csv")) == 60


def test_who_has_had_every_candidate_is_told() -> None:
    Path("had.csv").write_text("user_id,item_id,timestamp\na,i00,1\nb,i01,1\n", encoding="utf-8")
    Path("one.csv").write_text("item_id\ni00\n", encoding="utf-8")
    words = ("nothing.csv", "--histories", "had.csv", "--candidates", "one.csv")
    said = recommend(*words).stdout
    assert "1 of 2 users get nothing from similarity: they have had every candidate" in said
    assert [row["user_id"] for row in rows_of("nothing.csv")] == ["b"]
    assert json.loads(recommend(*words, "--json").stdout)["users_without_recommendations"] == 1
    assert json.loads(recommend(*words, "--keep-seen", "--json").stdout)["users_without_recommendations"] == 0


FILES = {
    "no-time.csv": "user_id,item_id\na,i00\n",
    "empty.csv": "",
    "header.csv": "user_id,item_id,timestamp\n",
    "bad-time.csv": "user_id,item_id,timestamp\na,i00,yesterday\n",
    "no-user.csv": "user_id,item_id,timestamp\na,i00,1\n,i00,1\n",
    "strange.csv": "item_id\ni00\nunknown-7\n",
    "no-text.csv": "item_id,text\nnew-1,\nnew-2,a song of soup\n",
    "notes.txt": "user_id,item_id,timestamp\na,i00,1\n",
}
BAD = [
    (["--histories", "no-time.csv"], "no-time.csv has no column 'timestamp'; found: 'user_id', 'item_id'"),
    (["--histories", "empty.csv"], "empty.csv is empty"),
    (["--histories", "header.csv"], "header.csv has a header but no rows"),
    (["--histories", "bad-time.csv"], "bad-time.csv, line 2: timestamp 'yesterday' is neither"),
    (["--histories", "no-user.csv"], "no-user.csv, line 3: user_id is ''"),
    (["--histories", "nowhere.csv"], "cannot read nowhere.csv"),
    (["--histories", "notes.txt"], "notes.txt: expected a name that ends in .csv, .parquet, .jsonl"),
    (["--candidates", "strange.csv"], "strange.csv, line 3: item 'unknown-7' is not in the catalogue of data and"),
    (["--candidates", "no-text.csv"], "no-text.csv, line 2: item 'new-1' is not in the catalogue of data and has no"),
    (["--out", "recs.xlsx"], "--out recs.xlsx: expected a name that ends in .csv, .jsonl"),
    (["--out", "recs.parquet.gz"], "--out recs.parquet.gz: expected a name that ends in"),
    (["--out", "histories.csv"], "--out histories.csv is a file that is read; choose another name"),
    (["--out", "histories.csv/recs.csv"], "--out histories.csv/recs.csv: a file in a folder is expected"),
    (["--agent", "linucb", "--candidates", "two.csv"], "--candidates: linucb is trained in the loop, among the items"),
    (["--agent", "similarty"], "unknown agent 'similarty'; did you mean 'similarity'?"),
    (["--agent", "random", "--explain"], "--explain: random cannot say which items spoke for another"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_told_in_a_line_or_two_and_writes_nothing(words: list[str], says: str) -> None:
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    given = {"--data": "data", "--agent": "similarity", "--histories": "histories.csv", "--out": "bad.csv"}
    given |= dict(zip(words[::2], [*words[1::2], ""], strict=False))
    line = [word for flag, value in given.items() for word in ((flag, value) if value else (flag,))]
    result = zsr_sim("recommend", *line, "--set", *ASSIGNMENTS, code=2)
    assert result.stderr.startswith(f"zsr-sim: {says}"), result.stderr
    assert 1 <= result.stderr.count("\n") <= 2
    assert not Path("bad.csv").exists()
    assert Path("histories.csv").read_text(encoding="utf-8") == HISTORIES


CATALOGUE = Catalogue("small", ("a", "b", "c"), ("x", "y", "z"), ("x", "y", "z"), pd.DataFrame(index=range(3)))


def test_histories_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("user_id,item_id,timestamp\nz,c,5\ny,a,1\nz,b,5\nz,a,1\nz,b,5\nw,q,1\nz,q,2\n", encoding="utf-8")
    found = read_histories(path, CATALOGUE)
    assert found.user_ids == ("z", "y", "w")
    assert [found.seen(user).tolist() for user in range(3)] == [[0, 2, 1], [0], []]  # ties by file order, repeats once
    assert found.windows(2).tolist() == [[2, 1], [-1, 0], [-1, -1]]
    assert (found.unknown, found.strangers) == (2, 1)


def test_candidates_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("item_id,title,genres\nc,,\nnew,A,B|C\na,ignored,\nnew,A,B|C\n", encoding="utf-8")
    rows, new = read_candidates(path, CATALOGUE)
    assert rows.tolist() == [0, 2, 3]
    assert new is not None
    assert (new.item_ids, new.texts) == (("new",), ("A. B, C",))
    path.write_text("item_id\nb\n", encoding="utf-8")
    assert read_candidates(path, CATALOGUE)[1] is None
    path.write_text("id\nb\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column 'item_id'"):
        read_candidates(path, CATALOGUE)


def items_of(path: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows_of(path):
        found.setdefault(row["user_id"], []).append(row["item_id"])
    return found


def test_a_profile_makes_somebody_of_a_user_without_history() -> None:
    """`nobody` has no known item, `new` does not even occur in the histories; `7` is known by a history already."""
    topic = TOPICS[2]
    rows = ["user_id,interests,age", f"new,{topic},30", f"nobody,{topic},", f"7,{TOPICS[0]},40", "blank,,"]
    Path("users.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recommend("without.csv", "--k", "5")
    found = json.loads(recommend("with.csv", "--k", "5", "--profiles", "users.csv", "--json").stdout)
    assert (found["users"], found["users_known_by_profile"], found["users_without_known_items"]) == (5, 2, 3)
    before, after = items_of("without.csv"), items_of("with.csv")
    assert (after["007"], after["7"]) == (before["007"], before["7"])
    assert after["blank"] == before["nobody"]  # neither: what is most popular
    assert after["nobody"] != before["nobody"]
    assert sum(item.startswith("i2") for item in after["new"]) >= 4  # of that topic


def test_who_has_no_history_is_told_what_is_known_instead() -> None:
    Path("users.csv").write_text(f"user_id,interests\nnew,{TOPICS[2]}\n", encoding="utf-8")
    words = ("why.csv", "--k", "1", "--explain", "--profiles", "users.csv")
    found = {entry["user_id"]: entry for entry in json.loads(recommend(*words, "--json").stdout)["explanations"]}
    assert {name: entry["known_by"] for name, entry in found.items()} == {
        "007": "history", "7": "history", "new": "profile", "nobody": "nothing",
    }  # fmt: skip
    said = recommend(*words).stdout
    assert re.search(r"^new, 1: .*, because of the profile$", said, re.MULTILINE)
    assert re.search(r"^nobody, 1: .*, as for anybody new: neither a known item nor a profile$", said, re.MULTILINE)


def test_a_run_trained_on_another_catalogue_reads_profiles_and_none(small_place: Path) -> None:
    """Seven items span six dimensions, the run's sixty items sixteen: what is close to the profile comes first."""
    train = ("train", "--data", "data", "--agent", "few-shot", "--users", "20", "--out", "runs/elsewhere")
    zsr_sim(*train, "--set", *ASSIGNMENTS)
    texts = [f"s{k},{kind} {TOPICS[k % 2]}" for k, kind in enumerate(KINDS[:7])]
    (small_place / "seven").mkdir()
    (small_place / "seven" / "items.csv").write_text("\n".join(["item_id,text", *texts]) + "\n", encoding="utf-8")
    Path("seven.csv").write_text("user_id,item_id,timestamp\nsomebody,s1,1\n", encoding="utf-8")
    Path("somebody.csv").write_text(f"user_id,text\nnew,all about {TOPICS[1]}\n", encoding="utf-8")
    words = ("--histories", "seven.csv", "--profiles", "somebody.csv", "--k", "3")
    recommend("seven-recs.csv", *words, agent="runs/elsewhere", data="seven")
    recommend("seven-near.csv", *words, agent="similarity", data="seven")
    found = items_of("seven-recs.csv")
    assert set(found["new"]) == {"s1", "s3", "s5"} == set(items_of("seven-near.csv")["new"])
    assert len(found["somebody"]) == 3


@pytest.mark.parametrize("agent", ["similarity", "bayes"])
def test_a_profile_is_read_by_whoever_reads_histories(agent: str) -> None:
    Path("somebody.csv").write_text(f"user_id,text\nnew,all about {TOPICS[2]}\n", encoding="utf-8")
    recommend("read.csv", "--profiles", "somebody.csv", "--k", "5", agent=agent)
    assert sum(item.startswith("i2") for item in items_of("read.csv")["new"]) >= 4


@pytest.mark.parametrize("history", ["attention", "text", "pooled"])
def test_profiles_serve_every_history_encoder(history: str) -> None:
    words = ("--k", "5", "--set", f"history.encoder={history}", "history.steps=5", "history.items=2")
    Path("somebody.csv").write_text(f"user_id,text\nnew,all about {TOPICS[2]}\n", encoding="utf-8")
    recommend(f"{history}.csv", "--profiles", "somebody.csv", *words)
    found = [row["item_id"] for row in rows_of(f"{history}.csv") if row["user_id"] == "new"]
    assert sum(item.startswith("i2") for item in found) >= 4


def test_profiles_alone_are_enough_and_nothing_is_not() -> None:
    start = ("recommend", "--data", "data", "--agent", "similarity", "--out", "alone.csv", "--k", "3")
    Path("somebody.csv").write_text(f"user_id,text\nnew,all about {TOPICS[2]}\n", encoding="utf-8")
    zsr_sim(*start, "--profiles", "somebody.csv", "--set", *ASSIGNMENTS)
    assert [row["user_id"] for row in rows_of("alone.csv")] == ["new"] * 3
    assert "for whom? name --histories, --profiles, or both" in zsr_sim(*start, "--set", *ASSIGNMENTS, code=2).stderr
