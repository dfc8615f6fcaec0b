"""The page: the verdict on top, the numbers of the run folder, one safe file that asks the network for nothing."""

import base64
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation import hand_made
from zsr_sim.config import Settings, load_settings
from zsr_sim.envs.visits import Visits
from zsr_sim.errors import InputError
from zsr_sim.evaluation.comparison import compare_strategies
from zsr_sim.evaluation.verdict import verdict_sentence
from zsr_sim.reporting.figures import reward_curve
from zsr_sim.reporting.page import write_report
from zsr_sim.runs import RESULTS, Run

VOID = {"meta", "img", "br", "link", "input", "hr"}
TRUST = "These users are made up, no log was given. A rehearsal, not evidence."


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Elements of a page in order, each with all text inside it; fails where tags do not close in order."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        return [e for e in self.elements if e.tag == tag and attributes.items() <= e.attributes.items()]

    def rows(self, label: str) -> list[list[str]]:
        """The body of a table, as text."""
        place = next(i for i, e in enumerate(self.elements) if e.attributes.get("aria-label") == label)
        rows: list[list[str]] = []
        for element in self.elements[place + 1 :]:
            if element.tag in ("section", "div"):
                break
            if element.tag == "tr":
                rows.append([])
            elif element.tag in ("th", "td"):
                rows[-1].append(element.text)
        return rows[1:]


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert not page.open
    return page


def visits(returns: float, diversity: float = 0.5, generated: float = np.nan) -> Visits:
    """400 users whose clicks are 0 to 3 more than `returns`, on ten pages each."""
    clicks = np.arange(400, dtype=np.float64) % 4 + returns
    spread = np.arange(400, dtype=np.float64) % 2 * 0.01 + diversity
    return hand_made.visits(clicks, pages=10.0, click_rate=clicks / 100, diversity=spread, generated=generated)


def compared(*names: str) -> dict[str, Any]:
    """The second wins, the third loses in return, the fourth wins by pages that are all alike."""
    parts = [visits(8.5), visits(10.5, generated=0.25), visits(6.5), visits(10.5, diversity=0.25)]
    shown = dict(zip(names, parts, strict=False))
    return compare_strategies(shown, seed=0, world={"data": "films", "trust": TRUST, "dynamics": {"drift_rate": 0.05}})


def make_run(
    folder: Path, results: dict[str, Any] | None, seeds: int = 0, status: str | None = "done",
    settings: Settings | None = None,
) -> Run:  # fmt: skip
    command = ["zsr-sim", "compare", "--data", "films", "--out", "runs/a b"]
    run = Run.create(folder, command, settings or Settings(), [0, 1], {"source": "films", "fingerprint": "ab12"})
    for seed in range(seeds):
        run.log(60, {"held_out_nll_start": 6.0, "held_out_nll": 5.0}, seed, "generator")
        run.log(80, {"held_out_nll": 4.5, "discriminator_accuracy": 0.75, "acceptance": 0.5}, seed, "generator")
        for update in (1, 2):
            run.log(update, {"return": 4.0 * update + seed, "entropy": 2.0 / update, "acceptance": 0.5}, seed)
    if results is not None:
        run.write_json("results.json", results)
    if status:
        run.finish(status)
    return run


@pytest.mark.parametrize(
    ("assignments", "worth"),
    [([], "1 a click"), (["world.reward_click=0.5", "world.reward_purchase=10"], "0.5 a click, 10 a purchase")],
)
def test_a_return_is_told_by_what_it_counts(tmp_path: Path, assignments: list[str], worth: str) -> None:
    make_run(tmp_path / "demo", compared("a", "b"), settings=load_settings(None, assignments))
    text = write_report(tmp_path / "demo").read_text(encoding="utf-8")
    assert f"Return: what a visit earns ({worth}), mean and 95 % interval." in text


def test_the_verdicts_stand_first_in_the_words_of_the_verdict(tmp_path: Path) -> None:
    results = compared("similarity", "policy-gradient", "random")
    make_run(tmp_path / "demo", results)
    path = write_report(tmp_path / "demo")
    assert path == tmp_path / "demo" / "report.html"
    page = read(path)
    first, second = page.all("p")[1:3]  # after the command
    assert [(p.attributes["class"], p.text.replace("\xa0", " ")) for p in (first, second)] == [
        ("verdict ship", verdict_sentence(results, "policy-gradient")),
        ("verdict do-not-ship", verdict_sentence(results, "random")),
    ]
    assert page.all("h1")[0].text == "demo"
    assert page.all("title")[0].text == "demo: zsr-sim report"
    order = [e.text for e in page.elements if e.tag in ("h2", "h3")]
    assert order[:4] == ["Strategies", "Effects", "policy-gradient", "random"]
    assert [title for title in order if title not in ("policy-gradient", "random")][:6] == [
        *("Strategies", "Effects", "Differences in return", "Guardrails", "Ranking reliability", "Figures"),
    ]
    assert order[-3:] == ["World", "Settings", "Manifest"]
    told = [p.text for p in page.all("p")]
    assert f"How far to trust it: {TRUST}" in told
    assert any(p.startswith("The rule: Ship only if the 95\xa0% interval") for p in told)
    assert any("400 simulated visits, of users never trained on, met the same luck" in p for p in told)


def test_tables_hold_the_numbers_of_the_results(tmp_path: Path) -> None:
    make_run(tmp_path, compared("similarity", "policy-gradient", "random", "narrow"))
    page = read(write_report(tmp_path))
    # 400 users with 0, 1, 2 or 3 clicks more: standard deviation 1.1194, times t(399) 1.9659 / 20 = 0.11
    assert page.rows("Strategies") == [
        ["similarity", "10.00 [9.89, 10.11]", "0.100", "10.0", "baseline"],
        ["policy-gradient", "12.00 [11.89, 12.11]", "0.120", "10.0", "+20.0 % [19.8, 20.2]"],
        ["random", "8.00 [7.89, 8.11]", "0.080", "10.0", "-20.0 % [-20.2, -19.8]"],
        ["narrow", "12.00 [11.89, 12.11]", "0.120", "10.0", "+20.0 % [19.8, 20.2]"],
    ]
    differences = page.rows("Differences in return")
    assert [row[-1] for row in differences] == ["ship", "do not ship", "do not ship"]
    assert differences[0] == [
        *("policy-gradient", "+2.00 [2.00, 2.00]", "+2.00 [2.00, 2.00]", "< 0.001 / < 0.001", "0.00"),
        *("no spread", "ship"),
    ]
    guardrails = page.rows("Guardrails")
    assert guardrails[0][:2] == ["policy-gradient", "click rate"]
    assert guardrails[0][3:] == ["-2.0 %", "holds"]
    narrow = next(row for row in guardrails if row[:2] == ["narrow", "diversity"])
    assert narrow == ["narrow", "diversity", "-49.5 % [-49.5, -49.5]", "-20.0 %", "worse"]  # 0.25 of 0.505
    assert page.rows("Other metrics")[1] == [
        *("policy-gradient", "0.500 [0.500, 0.500]", "0.505 [0.505, 0.505]", "0.250 [0.250, 0.250]"),
    ]
    assert page.rows("Other metrics")[0][-1] == "no source named"
    assert ["dynamics.drift_rate", "0.05"] in page.rows("World")
    assert ["agent.learning_rate", "0.001"] in page.rows("Settings")
    manifest = dict(page.rows("Manifest"))
    assert (manifest["seeds"], manifest["data.fingerprint"], manifest["status"]) == ("0, 1", "ab12", "done")
    assert [code.text for code in page.all("code")] == ["zsr-sim compare --data films --out 'runs/a b'"] * 2


def test_a_training_run_has_curves_and_figures_and_no_verdict(tmp_path: Path) -> None:
    make_run(tmp_path, None, seeds=2)
    page = read(write_report(tmp_path))
    (summary,) = page.all("p", **{"class": "verdict"})
    assert summary.text == (
        "In training, return per visit went from 4.50 to 8.50. "
        "Nothing was compared on users never trained on, so there is no verdict."
    )
    assert page.rows("Learning, in numbers") == [
        ["held-out negative log-likelihood (nats per item)", "6.00", "4.50"],
        ["written sequences that the gate accepts (%)", "50.0", "50.0"],
        ["accuracy of the discriminator (%)", "75.0", "75.0"],
        ["return per visit", "4.50", "8.50"],
        ["entropy of the choice (nats)", "2.00", "1.00"],
        ["accepted by the discriminator (%)", "50.0", "50.0"],
    ]
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"reward_curve", "generator", "policy"}
    assert not [e for e in page.all("h2") if e.text in ("Strategies", "Guardrails", "Differences in return")]


def test_figures_are_inside_with_their_words_and_own_ones_are_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, compared("similarity", "policy-gradient"), seeds=2)
    lines = [{"phase": "policy", "seed": 0, "step": 1, "return": 1.0}]
    own = reward_curve(lines, run.figures / "reward_curve.png").read_bytes()
    extra = reward_curve(lines, run.figures / "a_walk.png").read_bytes()
    images = read(write_report(tmp_path)).all("img")
    prefix = "data:image/png;base64,"
    inside = [base64.b64decode(image.attributes["src"].removeprefix(prefix), validate=True) for image in images]
    assert inside[0] == own == (tmp_path / "figures" / "reward_curve.png").read_bytes()
    assert inside[-1] == extra
    assert [image.attributes["alt"] for image in images] == [
        "Curves over policy updates: return per visit from 4.50 to 8.50",
        "Return with 95 % interval: similarity 10.00 [9.89, 10.11]; policy-gradient 12.00 [11.89, 12.11]",
        "Curves over training steps: held-out negative log-likelihood (nats per item) from 6.00 to 4.50; "
        "written sequences that the gate accepts (%) from 50.0 to 50.0; "
        "accuracy of the discriminator (%) from 75.0 to 75.0",
        "Curves over policy updates: entropy of the choice (nats) from 2.00 to 1.00; accepted by the discriminator (%) "
        "from 50.0 to 50.0",
        "a walk",
    ]
    assert (images[0].attributes["width"], images[0].attributes["height"]) == ("720", "403")  # 7.5 by 4.2 inches


def test_the_page_needs_no_network_no_script_and_no_other_file(tmp_path: Path) -> None:
    make_run(tmp_path, compared("similarity", "policy-gradient"), seeds=1)
    path = write_report(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]+", "", text))
    page = read(path)
    assert {e.tag for e in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    linked = [v for e in page.elements for k, v in e.attributes.items() if k in ("src", "href", "srcset", "action")]
    assert all(value.startswith("data:image/png;base64,") for value in linked)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert len(text) < 2_000_000
    assert str(tmp_path) not in text


NAMES = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "a & b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_whatever_they_look_like(tmp_path: Path, name: str) -> None:
    results = compared(name, f"{name} 2", "random")
    results["world"]["trust"] = results["world"]["data"] = name
    run = make_run(tmp_path, results, status=f"failed: {name}")
    reward_curve([{"phase": "policy", "seed": 0, "step": 1, "return": 1.0}], run.figures / "<b>.png")
    page = read(write_report(tmp_path))
    assert not page.all("script")
    assert not [e for e in page.elements for attribute in e.attributes if attribute.startswith("on")]
    assert not page.all("b")
    assert page.rows("Strategies")[0][0] == name
    assert page.rows("Guardrails")[0][0] == f"{name} 2"
    assert ["data", name] in page.rows("World")
    assert f"How far to trust it: {name}" in [p.text for p in page.all("p")]
    alternatives = [image.attributes["alt"] for image in page.all("img")]
    assert any(text.startswith(f"Return with 95 % interval: {name} 10.00") for text in alternatives)
    assert any(f"(failed: {name})" in p.text for p in page.all("p"))


def test_a_run_that_has_not_ended_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, None, seeds=1, status=None)
    assert any(p.text.startswith("This run has not ended:") for p in read(write_report(tmp_path)).all("p"))


def test_a_bare_run_and_a_second_report(tmp_path: Path) -> None:
    make_run(tmp_path, None)
    first = write_report(tmp_path).read_bytes()
    assert write_report(tmp_path).read_bytes() == first
    assert not read(tmp_path / "report.html").all("img")


def test_one_page_speaks_of_one_comparison(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_run(tmp_path / name, compared("similarity", "policy-gradient"))
    with pytest.raises(InputError, match=r"second: a run of train, compare or demo; one page speaks of one"):
        write_report(tmp_path / "first", [tmp_path / "second"])
    assert not (tmp_path / "first" / "report.html").exists()


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json is missing"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_realism_of_a_log_of_pages_alone(tmp_path: Path) -> None:
    """Open Bandit's files hold pages and no interactions: click rates are all there is to hold a simulation against."""
    line = {"statistic": "click rate at position 1", "segment": "all", "real": 0.004, "simulated": 0.0025,
            "interval": [0.0001, 0.05], "ks": None, "inside": True, "why": None}  # fmt: skip
    fit = [{"name": "examination_decay", "value": 0.5, "standard_error": 0.25, "how": "pages"}]
    clicks = {"earlier": {"pages": 7000}, "later": {"pages": 3000}, "fit": fit, "statistics": [line]}
    run = Run.create(tmp_path, ["zsr-sim", "evaluate", "realism"], Settings(), [0], {"source": "bandit"})
    run.write_json(RESULTS, {"data": "bandit", "realism": None, "preference": None, "fit": [], "clicks": clicks})
    run.finish("done")
    page = read(write_report(tmp_path))
    assert "Realism of clicks on the pages of bandit" in [heading.text for heading in page.all("h2")]
    assert page.rows("Click rates, misses first") == [
        ["click rate at position 1, all", "0.004", "0.0025 [0.0001, 0.05]", "", ""]
    ]
    assert page.rows("What was fitted to the pages") == [["examination_decay", "0.5 \N{PLUS-MINUS SIGN} 0.25", "pages"]]
