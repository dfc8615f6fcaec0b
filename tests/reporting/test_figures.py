"""Figures: what is drawn is what was measured, and the files are pictures of the promised size."""

import struct
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zsr_sim.errors import InputError
from zsr_sim.reporting.figures import (
    comparison_plot,
    generator_curves,
    policy_curves,
    reward_curve,
    spread,
)
from zsr_sim.reporting.ranking_curves import ranking_curves
from zsr_sim.reporting.style import BLUE, GREY, VERMILLION

METRICS: list[dict[str, Any]] = [
    {"phase": "generator", "seed": 0, "step": 60, "held_out_nll": 5.0, "return": 99.0},
    {"phase": "policy", "seed": 0, "step": 1, "return": 2.0, "generated_share": 0.25, "entropy": None},
    {"phase": "policy", "seed": 1, "step": 1, "return": 4.0, "generated_share": 0.75, "entropy": 1.5},
    {"phase": "policy", "seed": 0, "step": 2, "return": 6.0, "generated_share": 0.5, "entropy": 1.0},
    {"phase": "policy", "seed": 1, "step": 2, "return": 9.0, "generated_share": 0.5, "entropy": 1.0},
    {"phase": "policy", "seed": 1, "step": 3, "return": 7.0, "generated_share": 0.5, "entropy": 0.5},  # seed 0: killed
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, in order."""
    figures: list[Figure] = []
    save = Figure.savefig

    def saved(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", saved)
    return figures


def pixels(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def across(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_bold_line_is_the_mean_and_the_band_reaches_from_seed_to_seed(tmp_path: Path, drawn: list[Figure]) -> None:
    path = reward_curve(METRICS, tmp_path / "reward_curve.png")
    assert path == tmp_path / "reward_curve.png"
    assert pixels(path) == (1125, 630)  # 7.5 by 4.2 inches at 150 dpi
    (axes,) = drawn[0].axes
    first, second, mean = axes.lines[:3]
    np.testing.assert_array_equal(mean.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(mean.get_ydata(), [3.0, 7.5, np.nan])  # no jump to the one seed that went on
    np.testing.assert_array_equal(first.get_ydata(), [2.0, 6.0, np.nan])
    np.testing.assert_array_equal(second.get_ydata(), [4.0, 9.0, 7.0])
    assert mean.get_linewidth() > 2 * first.get_linewidth()
    (band,) = axes.collections
    corners = {(float(x), float(y)) for x, y in np.asarray(band.get_paths()[0].vertices)}
    assert corners == {(1.0, 2.0), (1.0, 4.0), (2.0, 6.0), (2.0, 9.0)}
    assert drawn[0].get_suptitle() == "bold: mean of 2 seeds    band: 95 % bootstrap    thin: each seed"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("policy update", "return per visit")
    assert texts(axes) == ["in training 7.50"]


def test_of_five_seeds_the_bold_line_is_the_interquartile_mean(tmp_path: Path, drawn: list[Figure]) -> None:
    metrics = [
        {"seed": seed, "phase": "policy", "step": 1, "return": value}
        for seed, value in enumerate([0.0, 1.0, 2.0, 6.0, 100.0])
    ]
    reward_curve(metrics, tmp_path / "a.png")
    (axes,) = drawn[0].axes
    assert axes.lines[5].get_ydata() == [3.0]
    assert "interquartile mean of 5 seeds" in drawn[0].get_suptitle()


def test_one_seed_has_no_band(tmp_path: Path, drawn: list[Figure]) -> None:
    reward_curve([line for line in METRICS if line["seed"] == 1], tmp_path / "a.png")
    (axes,) = drawn[0].axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [4.0, 9.0, 7.0])
    assert not axes.collections
    assert drawn[0].get_suptitle() == "one seed"


def test_one_update_is_a_dot(tmp_path: Path, drawn: list[Figure]) -> None:
    reward_curve(METRICS[1:2], tmp_path / "a.png")
    (axes,) = drawn[0].axes
    assert axes.lines[0].get_marker() == "o"
    assert axes.get_xlim()[0] == 0


def test_baselines_are_dashed_lines_with_name_and_value(tmp_path: Path, drawn: list[Figure]) -> None:
    reward_curve(METRICS, tmp_path / "a.png", {"random": 1.0, "similarity": 6.5}, name="policy-gradient")
    (axes,) = drawn[0].axes
    levels = [line for line in axes.lines if across(line) == [0, 1]]  # axhline counts in shares of the axes
    assert [list(np.asarray(line.get_ydata())) for line in levels] == [[1.0, 1.0], [6.5, 6.5]]
    assert all(line.get_linestyle() in ("--", "-.", ":") for line in levels)
    assert texts(axes) == ["policy-gradient 7.50", "random 1.00", "similarity 6.50"]
    low, high = axes.get_ylim()
    assert low < 1.0
    assert high > 9.0


def test_visits_seen_count_along_the_top(tmp_path: Path, drawn: list[Figure]) -> None:
    reward_curve(METRICS, tmp_path / "a.png", visits_per_update=256)
    (axes,) = drawn[0].axes
    (top,) = axes.child_axes
    assert top.get_xlabel() == "visits seen"
    assert top.get_xlim() == pytest.approx([256 * x for x in axes.get_xlim()])


def test_names_are_drawn_as_they_are_and_cut_in_the_middle(tmp_path: Path, drawn: list[Figure]) -> None:
    names = {"$x^2 $ <b>": 1.0, "日本": 2.0, "a\nb": 3.0, "my_company.strategies.two_tower:TwoTowerRetrieval": 4.0}
    reward_curve(METRICS, tmp_path / "a.png", names)  # a warning would fail the test
    (axes,) = drawn[0].axes
    assert texts(axes)[1:] == ["$x^2 $ <b> 1.00", "日本 2.00", "a b 3.00", "my_company.stra…oTowerRetrieval 4.00"]
    assert pixels(tmp_path / "a.png")[0] > 1125  # wider, so that long names do not squeeze the curves


def test_small_multiples_leave_out_what_was_not_measured(tmp_path: Path, drawn: list[Figure]) -> None:
    path = policy_curves(METRICS, tmp_path / "a.png")
    entropy, share = drawn[0].axes
    assert (entropy.get_title(loc="left"), share.get_title(loc="left")) == (
        *("entropy of the choice (nats)", "generated candidates chosen (%)"),
    )
    np.testing.assert_array_equal(entropy.lines[2].get_ydata(), [np.nan, 1.0, np.nan])
    np.testing.assert_allclose(np.asarray(share.lines[2].get_ydata(), float), [50.0, 50.0, np.nan])
    assert share.get_ylim() == (0, 100)
    assert pixels(path) == (930, 420)


def generator_lines() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"step": step, "held_out_nll": 5.0} for step in (60, 120)]
    lines += [{"step": step, "held_out_nll": 4.8, "discriminator_accuracy": 0.75} for step in (140, 160)]
    lines += [{"step": 180, "held_out_nll": 4.75, "discriminator_accuracy": 0.625, "acceptance": 0.5}]
    return [{"phase": "generator", "seed": 0, "held_out_nll_start": 5.9} | line for line in lines]


def test_the_generator_starts_at_step_0_and_shows_where_the_discriminator_joins(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    generator_curves(generator_lines(), tmp_path / "a.png")
    likelihood, acceptance, accuracy = drawn[0].axes
    np.testing.assert_array_equal(likelihood.lines[0].get_xdata(), [0, 60, 120, 140, 160, 180])
    np.testing.assert_array_equal(likelihood.lines[0].get_ydata(), [5.9, 5.0, 5.0, 4.8, 4.8, 4.75])
    np.testing.assert_array_equal(acceptance.lines[0].get_ydata(), [50.0])
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), [75.0, 75.0, 62.5])
    for axes in drawn[0].axes:
        assert across(axes.lines[-1]) == [120, 120]
        assert list(axes.get_xlim()) == pytest.approx([0, 183.6])  # one scale of steps in all panels


def test_a_generator_without_an_adversary_has_no_such_line(tmp_path: Path, drawn: list[Figure]) -> None:
    generator_curves(generator_lines()[:2], tmp_path / "a.png")
    (likelihood,) = drawn[0].axes
    assert len(likelihood.lines) == 1
    assert not likelihood.texts


MEANS = {"similarity": 8.0, "better": 10.0, "worse": 4.0, "same": 8.0}


def results() -> dict[str, Any]:
    def strategy(mean: float) -> dict[str, Any]:
        return {"return": {"mean": mean, "ci95": [mean - 0.1, mean + 0.1]}}

    def comparison(name: str, difference: float, bounds: list[float]) -> dict[str, Any]:
        relative = {"relative": difference / 8, "relative_ci95": [bound / 8 for bound in bounds]}
        return {"baseline": "similarity", "candidate": name, "difference": difference, "ci95": bounds} | relative

    return {
        "strategies": {name: strategy(mean) for name, mean in MEANS.items()},
        "comparisons": [
            comparison("better", 2.0, [1.8, 2.2]),
            comparison("worse", -4.0, [-4.2, -3.8]),
            comparison("same", 0.0, [-0.2, 0.2]),
        ],
    }


def test_the_forest_shows_every_strategy_against_the_baseline(tmp_path: Path, drawn: list[Figure]) -> None:
    path = comparison_plot(results(), tmp_path / "comparison.png")
    (axes,) = drawn[0].axes
    intervals, dots = axes.lines[0:8:2], axes.lines[1:8:2]
    assert [across(line) for line in intervals] == [[mean - 0.1, mean + 0.1] for mean in MEANS.values()]
    assert [across(dot)[0] for dot in dots] == [8.0, 10.0, 4.0, 8.0]
    assert [to_hex(str(dot.get_color())).upper() for dot in dots] == [GREY, BLUE, VERMILLION, GREY]
    assert dots[0].get_markerfacecolor() == "white"  # the baseline is hollow
    assert across(axes.lines[8]) == [8.0, 8.0]
    assert texts(axes) == [
        *("baseline", "+25.0 % [22.5, 27.5]", "-50.0 % [-52.5, -47.5]", "0.0 % [-2.5, 2.5]"),
        "against the baseline (95 %)",
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["similarity", "better", "worse", "same"]
    assert axes.yaxis_inverted()  # the first strategy on top
    assert pixels(path) == (1125, 381)


@pytest.mark.parametrize("draw", [reward_curve, policy_curves, generator_curves])
def test_nothing_to_draw_is_said(tmp_path: Path, draw: Any) -> None:
    with pytest.raises(InputError, match=r"^nothing to draw: metrics\.jsonl has no line of phase '(policy|generator)'"):
        draw([{"phase": "else", "seed": 0, "step": 1}], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_matplotlib_as_it_was_and_repeats_itself(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    first, second = (reward_curve(METRICS, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    assert dict(matplotlib.rcParams) == before


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(0.01, 10))
def test_labels_keep_their_order_and_distance(positions: list[float], gap: float) -> None:
    moved = spread(positions, gap)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(np.asarray(moved)[order]) >= gap - 1e-9).all()
    assert np.mean(moved) == pytest.approx(np.mean(positions), abs=1e-9)  # least squares shifts no one's mean


def test_labels_far_apart_stay_where_they_are() -> None:
    assert spread([5.0, 1.0, 3.0], 1.0) == [5.0, 1.0, 3.0]
    assert spread([2.0, 2.0], 1.0) == [1.5, 2.5]


def _protocol(*names: str) -> dict[str, Any]:
    roc = {"false_positive_rate": [0.0, 1.0], "true_positive_rate": [0.0, 1.0]}
    curves = {"roc": roc, "precision_recall": {"recall": [0.5, 1.0], "precision": [0.5, 0.1]}}
    metrics = {"roc_auc": {"mean": 0.5}, "pr_auc": {"mean": 0.25}}
    return {"users": 2, "trials": 3, "agents": {name: {"curves": curves, "metrics": metrics} for name in names}}


def test_every_strategy_has_a_line_of_its_own_and_many_names_stand_beside_the_curves(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    names = [f"strategy {i}" for i in range(19)]
    path = ranking_curves({"warm": _protocol(*names), "cold": _protocol(names[7])}, tmp_path / "a.png")
    assert pixels(path) == (2100, 1170)
    warm, _, cold, _ = drawn[0].axes
    *lines, _ = warm.get_lines()  # the last one is chance
    styles = [(line.get_color(), line.get_linestyle()) for line in lines]
    assert len(set(styles)) == 19
    assert (cold.get_lines()[0].get_color(), cold.get_lines()[0].get_linestyle()) == styles[7]
    beside, inside = warm.get_legend(), cold.get_legend()
    assert beside is not None
    assert inside is not None
    assert beside.get_window_extent().x0 >= warm.get_window_extent().x1
    assert inside.get_window_extent().x1 <= cold.get_window_extent().x1


def test_a_short_axis_of_precision_has_plain_numbers(tmp_path: Path, drawn: list[Figure]) -> None:
    protocol = _protocol("a")
    protocol["agents"]["a"]["curves"]["precision_recall"]["precision"] = [0.12, 0.08]
    ranking_curves({"cold": protocol}, tmp_path / "a.png")
    axis = drawn[0].axes[1].yaxis
    labels = [tick.label1.get_text() for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())]
    assert "0.1" in labels
    assert not any("math" in label for label in labels)
