"""The page as a browser sees it: nothing to complain about, everything opens, and it fits a phone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation import hand_made
from tests.reporting.browser import chromium
from zsr_sim.config import Settings
from zsr_sim.evaluation.across import across_worlds
from zsr_sim.evaluation.comparison import compare_strategies
from zsr_sim.evaluation.order import Ordered, agreement
from zsr_sim.evaluation.replay import Replay
from zsr_sim.evaluation.walks import walks
from zsr_sim.reporting.page import write_report
from zsr_sim.runs import RESULTS, WALKS, Run

HOSTILE = '<img src=x onerror="alert(1)"> & {{ 7 * 7 }} a title without any place to break: ' + "x" * 80


def whole_run(folder: Path) -> Path:
    """A run with every section that a page can have; names and titles are hostile."""
    rng = np.random.default_rng(0)
    shown = {name: hand_made.visits(rng.normal(mean, 2, 400)) for name, mean in (("a", 10.0), (HOSTILE, 12.0))}
    results = compare_strategies(shown, seed=0, world={"data": "films", "trust": HOSTILE})
    segment: dict[str, Any] = {"candidate": HOSTILE, "kind": "taste", "segment": f"such as {HOSTILE}", "users": 60}
    results["segments"] = [
        segment | {"difference": 1.0, "ci95": [-1.0, 3.0], "relative": 0.1, "p_value": 0.3, "p_value_holm": 0.6}
        | {"harmed": False}
    ]  # fmt: skip
    results["worlds"] = {"count": 2, "users": 400, "candidates": across_worlds([results, results])}
    results["failed"] = {"c": {"agent": "c", "user": 3, "step": 1, "error": f"agent c, user 3: {HOSTILE}"}}
    results["looks"] = {"count": 2, "every": 1000, "most": 4000, "decided": True}
    results["support"] = {
        HOSTILE: {
            "items_outside": 0.2,
            "gain_outside": 0.7,
            "alarm": True,
            **{key: {"baseline": 0.1, "candidate": 0.2} for key in ("shown_outside", "return_outside", "distance")},
            "states": {
                "reach": 0.3,
                "gain_outside": 0.8,
                "alarm": True,
                **{
                    key: {"baseline": 0.1, "candidate": 0.2}
                    for key in ("visited_outside", "return_outside", "distance")
                },
            },
        }
    }
    results["reality"] = reality()
    run = Run.create(folder, ["zsr-sim", "compare"], Settings(), [0], {"source": "films"})
    for name in ("one", "two"):
        for update in (1, 2):
            run.log(update, {"return": 4.0 * update, "entropy": 1.0 / update}, 0, f"policy, {name}")
    replays = []
    for shift in (0, 3):
        slates = (np.arange(5 * 4 * 3).reshape(5, 4, 3) + shift).astype(np.int32) % 40
        clicks = slates % (3 + shift) == 0
        rewards = clicks.sum(axis=2).astype(np.float32)
        states = np.zeros((5, 4, 2), dtype=np.float32)
        replays.append(Replay(slates, clicks, rewards, rewards / 3, np.zeros((5, 4), dtype=np.bool_), states))
    run.write_json(WALKS, {HOSTILE: walks(replays[0], replays[1], [f"{HOSTILE} {item}" for item in range(40)])})
    run.write_json(RESULTS, results)
    run.finish("done")
    return write_report(folder, [policy_run(folder.with_name("policy")), realism_run(folder.with_name("realism"))])


def reality() -> dict[str, Any]:
    """The order of three strategies in a log; the third is not supported."""
    figures = {"mean": 0.5, "ci95": [0.4, 0.6]}
    names = ("simulated, clicks per page", "off-policy, clicks per page")
    strategies: dict[str, Any] = {n: dict.fromkeys(names, figures) | {"faults": []} for n in ("a", HOSTILE, "c")}
    strategies["c"] |= {names[1]: None, "faults": [HOSTILE]}
    found = agreement(*(Ordered(np.arange(3.0), np.tile(np.arange(3.0), (10, 1))) for _ in range(2)))
    pair = {"first": names[0], "second": names[1], "found": found}
    return {
        "where": f"the log {HOSTILE}", "written_by": None, "pages": 90, "users": 10, "notes": [HOSTILE], "draws": 1000,
        "estimator": "sndr", "assumes": "a lot", "strategies": strategies, "unsupported": ["c"],
        "agreement": [pair, pair | {"found": None}],
    }  # fmt: skip


def realism_run(folder: Path) -> Path:
    """A run of `evaluate realism`."""
    line = {"statistic": "users", "segment": HOSTILE, "real": 9.0, "simulated": 7.0, "interval": [6.0, 8.0], "ks": 0.1,
            "inside": False, "why": HOSTILE}  # fmt: skip
    nobody = line | {"simulated": None, "interval": [None, None], "ks": None}
    cell = {"auc": 0.7, "ci95": [0.6, 0.8]}
    results = {
        "data": HOSTILE,
        "realism": {"earlier": {"interactions": 70}, "later": {"interactions": 30}, "replications": 20,
                    "statistics": [line, nobody, line | {"inside": True, "why": None}]},
        "preference": {"rows": [{"model": HOSTILE, "warm": {"unseen": cell, "liked": None},
                                 "cold": {"unseen": cell, "liked": cell}}]},
        "fit": [{"name": "boredom", "value": 1.0, "standard_error": None, "how": "default"},
                {"name": "appeal_weight", "value": 0.5, "standard_error": 0.1, "how": HOSTILE}],
    }  # fmt: skip
    run = Run.create(folder, ["zsr-sim", "evaluate", "realism"], Settings(), [0], {"source": "films"})
    run.write_json(RESULTS, results)
    run.finish("done")
    return folder


def policy_run(folder: Path) -> Path:
    """A run of `evaluate policy`."""
    value: dict[str, Any] = {"value": 0.5, "ci95": [0.4, 0.6], "level": "page", "tuned": {"clip": "infinity"}}
    nothing: dict[str, Any] = {"value": None, "ci95": [None, None], "level": "page"}
    estimates = {HOSTILE: value | {"difference": value}, "ips": nothing | {"difference": nothing}}
    weights = {"effective_sample_size": 9.0, "rows": 90, "mean_weight": 1.0, "mean_weight_ci95": [0.5, 1.5],
               "weight_quantiles": {"max": 30.0}, "faults": [HOSTILE]}  # fmt: skip
    results = {
        "log": HOSTILE, "pages": 9, "impressions": 90, "users": 3, "notes": [HOSTILE], "unit": "clicks per page",
        "target": HOSTILE, "baseline": "logging policy", "logging_policy": value, "best": HOSTILE, "draws": 1000,
        "targets": {HOSTILE: {"diagnostics": {"page": weights}, "estimates": estimates}},
        "truth": {HOSTILE: {"clicks_per_page": {"mean": 0.5, "ci95": [0.4, 0.6]}}},
        "verdict": "inconclusive", "reason": f"the log cannot tell {HOSTILE}",
        "rules": {"diagnostics": "One.", "best": "Two.", "verdict": "Three."},
    }  # fmt: skip
    run = Run.create(folder, ["zsr-sim", "evaluate", "policy"], Settings(), [0], {"source": "films"})
    run.write_json(RESULTS, results)
    run.finish("done")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_run(tmp_path_factory.mktemp("whole") / "run")


def test_it_opens_without_a_complaint_shows_all_and_fits_a_phone(page: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.evaluate("document.querySelectorAll('details[open]').length") == 1
        browser.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach(one => one.click())")
        assert browser.evaluate("document.querySelectorAll('details[open]').length") == 3
        headings = browser.evaluate("[...document.querySelectorAll('h2')].map(one => one.innerText)")
        assert headings == [
            *("Strategies", "Effects", "Differences in return", "Guardrails", "Other worlds", "Segments, worst first"),
            *("Outside the log", "Ranking reliability", f"Off-policy estimates of {HOSTILE}"),
            *(f"Realism of users fitted to {HOSTILE}", "Figures"),
            *("Three visits, side by side", "Learning, in numbers", "Other metrics"),
            "How to repeat it",
        ]
        assert browser.evaluate("document.images.length") == 5  # two for each that learned, and the comparison
        assert browser.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0 && one.alt)")
        assert browser.evaluate("[...document.querySelectorAll('svg')].every(one => one.getAttribute('aria-label'))")
        assert browser.complaints == []
        for width in (390, 1000):
            browser.open(page, width)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.complaints == []


def test_the_browser_does_complain_about_a_broken_page(page: Path, tmp_path: Path) -> None:
    """The negative control: one that asks for a file from elsewhere, and one with a script."""
    broken = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        for addition in ('<img src="other.png" alt="">', "<script>nowhere()</script>"):
            broken.write_text(text.replace("</main>", f"{addition}</main>"), encoding="utf-8")
            browser.open(broken)
            assert browser.complaints


def test_all_of_it_stays_small_and_text_stays_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    assert "<img src=x" not in text
    assert "ALARM: 70" in text
    assert "ALARM: 80" in text
    assert text.count("the one hardly predicts the other") == 1
    assert "1 of 3 statistics of the later part lie inside" in text
    assert "zsr-sim evaluate policy" in text
    assert "Looked 2 times, every 1,000 users, decided after 400 of at most 4,000" in text
