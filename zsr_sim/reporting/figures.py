"""Figures of a run: how the strategy and the generator learned, and what the comparison found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from zsr_sim.errors import InputError
from zsr_sim.evaluation.aggregate import interquartile_mean, stratified_band
from zsr_sim.reporting.numbers import against
from zsr_sim.reporting.style import BASELINES, BLUE, GREY, STYLE, VERMILLION, new_figure, save, short

Metrics = Sequence[Mapping[str, Any]]
"""Lines of metrics.jsonl, as `zsr_sim.runs.read_metrics` gives them."""


class Panel(NamedTuple):
    """One of several small figures: a figure of metrics.jsonl, what it is called, limits of its axis, and its scale."""

    name: str
    title: str
    limits: tuple[float | None, float | None] = (None, None)
    scale: float = 1.0


_SHARE = ((0, 100), 100.0)  # all of the axis: a magnified one makes noise look like news
POLICY_PANELS = (
    Panel("visit_length", "visit length (pages)"),
    Panel("entropy", "entropy of the choice (nats)", (0, None)),
    Panel("explained_variance", "explained variance (1: all)"),
    Panel("gradient_norm", "gradient norm before clipping", (0, None)),
    Panel("generated_share", "generated candidates chosen (%)", *_SHARE),
    Panel("acceptance", "accepted by the discriminator (%)", *_SHARE),
)
GENERATOR_PANELS = (
    Panel("held_out_nll", "held-out negative\nlog-likelihood (nats per item)"),
    Panel("acceptance", "written sequences\nthat the gate accepts (%)", *_SHARE),
    Panel("discriminator_accuracy", "accuracy of the\ndiscriminator (%)", *_SHARE),
    Panel("frechet", "Fréchet distance of written\nto real sequences", (0, None)),
    Panel("distinct_items", "distinct items written,\nper distinct item in real ones", (0, None)),
    Panel("self_overlap", "items that the next user's\nsequence has, too (%)", *_SHARE),
    Panel("coverage", "share of the catalogue\nthat was written (%)", *_SHARE),
)


@dataclass(frozen=True)
class Curves:
    """One figure over steps, for each seed: steps int64 (k,), values float64 (seeds, k), NaN where a seed has none."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, metrics: Metrics, phase: str, name: str) -> Curves | None:
        """None where no line of that phase has that figure. <name>_start in a line is its value at step 0."""
        lines = [dict(line) for line in metrics if line["phase"] == phase]
        begun = [line | {"step": 0, name: line[f"{name}_start"]} for line in lines if f"{name}_start" in line]
        rows = [line for line in [*begun, *lines] if line.get(name) is not None]
        if not rows:
            return None
        seeds, seed = np.unique([line["seed"] for line in rows], return_inverse=True)
        steps, step = np.unique([line["step"] for line in rows], return_inverse=True)
        values = np.full((len(seeds), len(steps)), np.nan)
        values[seed, step] = [line[name] for line in rows]
        return cls(steps.astype(np.int64), values)

    @property
    def middle(self) -> NDArray[np.float64]:
        """Interquartile mean over seeds, (k,); NaN at steps that a seed lacks: a mean over fewer would jump there."""
        return interquartile_mean(self.values[:, None])

    @property
    def band(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The 95 % bootstrap interval of `middle`, (k,) each."""
        return stratified_band(self.values[:, None])

    @property
    def first(self) -> float:
        """The middle at the first step that all seeds have; NaN where there is none."""
        return self._known(0)

    @property
    def last(self) -> float:
        """The middle at the last step that all seeds have; NaN where there is none."""
        return self._known(-1)

    def _known(self, place: int) -> float:
        known = self.middle[~np.isnan(self.middle)]
        return float(known[place]) if len(known) else float("nan")


@matplotlib.rc_context(STYLE)
def reward_curve(
    metrics: Metrics,
    path: Path,
    baselines: Mapping[str, float] | None = None,
    *,
    name: str = "in training",
    visits_per_update: int | None = None,
    phase: str = "policy",
) -> Path:
    """Draw the return per visit over policy updates and write it as a PNG.

    The bold line is the interquartile mean over seeds, the band its 95 % bootstrap interval, thin lines are seeds.

    Args:
        metrics: lines of metrics.jsonl.
        path: where to write.
        baselines: name and mean return of strategies that do not learn; dashed lines.
        name: what the learning strategy is called.
        visits_per_update: adds an axis that counts visits seen, where given.
        phase: whose lines are drawn.

    Raises:
        InputError: no line of that phase has a return.
    """
    curves = _needed(metrics, phase, "return")
    levels = [_Level(name, curves.last, BLUE, "-")]
    styles = itertools.cycle(BASELINES)
    levels += [_Level(other, level, *next(styles)) for other, level in (baselines or {}).items()]
    figure = new_figure(7.5 + _extra_width(level.name for level in levels), 4.2)
    axes = figure.add_subplot()
    _draw(axes, curves)
    axes.set_xlim(0, int(curves.steps[-1]) * 1.02)
    for level in levels[1:]:
        axes.axhline(level.value, color=level.colour, linestyle=level.dashes, linewidth=1.3, zorder=1.5)
    axes.set(xlabel="policy update", ylabel="return per visit")
    if visits_per_update:
        n = visits_per_update
        top = axes.secondary_xaxis("top", functions=(lambda x: np.multiply(x, n), lambda x: np.divide(x, n)))
        top.set_xlabel("visits seen")
        top.xaxis.set_major_formatter(lambda visits, _: f"{visits:,.0f}")
    axes.set_ylim(*_limits([*curves.values.ravel(), *(level.value for level in levels)]))
    _label(axes, levels, figure.get_figheight())
    figure.suptitle(_key(curves), x=0.01, ha="left", color=GREY, fontsize=9)
    return save(figure, path)


def policy_curves(metrics: Metrics, path: Path, phase: str = "policy") -> Path:
    """Draw how the policy learned, one small figure each, and write it as a PNG; figures without values are left out.

    Raises InputError where no line of that phase has any of them.
    """
    return _small_multiples(metrics, phase, POLICY_PANELS, "policy update", path)


def generator_curves(metrics: Metrics, path: Path, phase: str = "generator") -> Path:
    """Draw how the generator learned and write it as a PNG, with a line where the discriminator joins.

    Raises InputError where no line of that phase has any of the figures.
    """
    rows = [line for line in metrics if line["phase"] == phase]
    judged = [line["step"] for line in rows if line.get("discriminator_accuracy") is not None]
    alone = [line["step"] for line in rows if judged and line["step"] < min(judged)]
    joins = max(alone) if alone else None
    return _small_multiples(rows, phase, GENERATOR_PANELS, "training step", path, joins)


@matplotlib.rc_context(STYLE)
def comparison_plot(results: Mapping[str, Any], path: Path) -> Path:
    """Draw the return of every strategy with its 95 % interval, and what is against the baseline, as a PNG.

    Blue: the interval of the difference lies above zero; vermillion: below; grey: neither, or the baseline.
    """
    strategies, comparisons = results["strategies"], {c["candidate"]: c for c in results["comparisons"]}
    figure = new_figure(7.5 + _extra_width(strategies), 1.1 + 0.36 * len(strategies))
    axes = figure.add_subplot()
    right = axes.get_yaxis_transform()  # x as a share of the axes' width, y as data
    for row, (name, metrics) in enumerate(strategies.items()):
        entry, comparison = metrics["return"], comparisons.get(name)
        colour = _colour(comparison)
        axes.plot(entry["ci95"], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(entry["mean"], row, "o", color=colour, markerfacecolor=colour if comparison else "white")
        told = against(comparison) if comparison else "baseline"
        axes.text(1.02, row, told, transform=right, color=colour, va="center")
    for baseline in {c["baseline"] for c in results["comparisons"]}:
        axes.axvline(strategies[baseline]["return"]["mean"], color=GREY, linestyle="--", linewidth=1, zorder=0.5)
        axes.text(1.02, -0.75, "against the baseline (95 %)", transform=right, color=GREY, va="center", fontsize=9)
    axes.set_yticks(range(len(strategies)), [short(name) for name in strategies])
    axes.set_ylim(len(strategies) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("return per visit, mean and 95 % interval")
    return save(figure, path)


class _Level(NamedTuple):
    """A line that is named at its right end."""

    name: str
    value: float
    colour: str
    dashes: str


@matplotlib.rc_context(STYLE)
def _small_multiples(
    metrics: Metrics, phase: str, panels: Sequence[Panel], xlabel: str, path: Path, joins: int | None = None
) -> Path:
    found = [(panel, curves) for panel in panels if (curves := Curves.of(metrics, phase, panel.name))]
    if not found:
        names = ", ".join(panel.name for panel in panels)
        raise InputError(f"nothing to draw: metrics.jsonl has no line of phase {phase!r} with any of {names}")
    columns = {1: 1, 2: 2, 4: 2}.get(len(found), 3)
    rows = math.ceil(len(found) / columns)
    figure = new_figure(max(3.1 * columns, 4.5), 2.5 * rows + 0.3)
    last = max(int(curves.steps[-1]) for _, curves in found)
    for place, (panel, curves) in enumerate(found, 1):
        axes = figure.add_subplot(rows, columns, place)
        _draw(axes, Curves(curves.steps, curves.values * panel.scale))
        axes.set_title(panel.title)
        axes.set_ylim(*panel.limits)
        axes.set_xlim(0, last * 1.02)
        if place + columns > len(found):
            axes.set_xlabel(xlabel)
        if joins is not None:
            axes.axvline(joins, color=GREY, linestyle="--", linewidth=1)
        if joins is not None and place == 1:
            top = axes.get_xaxis_transform()  # x as data, y as a share of the axes' height
            said = axes.text(joins, 0.97, "discriminator joins ", transform=top, color=GREY, fontsize=8)
            said.set(ha="right", va="top")
    figure.suptitle(_key(found[0][1]), x=0.01, ha="left", color=GREY, fontsize=9)
    return save(figure, path)


def _draw(axes: Axes, curves: Curves) -> None:
    """Middle, band and seeds. A curve of one step is a dot."""
    marker = "o" if len(curves.steps) == 1 else ""
    if len(curves.values) > 1:
        axes.fill_between(curves.steps, *curves.band, color=BLUE, alpha=0.18, linewidth=0)
        for values in curves.values:
            axes.plot(curves.steps, values, color=BLUE, linewidth=0.6, alpha=0.55, marker=marker, markersize=3)
    axes.plot(curves.steps, curves.middle, color=BLUE, linewidth=2.2, marker=marker)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def _key(curves: Curves) -> str:
    n = len(curves.values)
    middle = "mean" if n < 4 else "interquartile mean"
    return "one seed" if n == 1 else f"bold: {middle} of {n} seeds    band: 95 % bootstrap    thin: each seed"


def _label(axes: Axes, levels: Sequence[_Level], height: float) -> None:
    """Write names and values to the right of the axes, tied to their lines, pushed apart where those are close."""
    low, high = axes.get_ylim()
    gap = 0.23 * (high - low) / height  # inches of a line of text, in units of the axis
    right = axes.get_yaxis_transform()  # x as a share of the axes' width, y as data
    for level, y in zip(levels, spread([level.value for level in levels], gap), strict=True):
        tie = [level.value, y, y]
        axes.plot([1, 1.03, 1.045], tie, transform=right, color=level.colour, linewidth=1.3, clip_on=False)
        text, colour = f"{short(level.name)} {level.value:.2f}", BLUE if level.colour == BLUE else "black"
        axes.text(1.055, y, text, transform=right, color=colour, va="center", fontsize=9)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """The nearest positions (least squares) in the same order that are at least `gap` apart; ties keep their order.

    Taking off i * gap from the i-th turns that into isotonic regression (Barlow et al. 1972).

    >>> spread([1.0, 3.0, 1.0], 0.5)
    [0.75, 3.0, 1.25]
    """
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(len(order))
    apart = np.empty(len(order))
    apart[order] = isotonic_regression(np.asarray(positions, dtype=np.float64)[order] - steps).x + steps
    return [float(y) for y in apart]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis with a margin of 5 %, also where all values are one."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low) or max(0.05 * abs(high), 0.5)
    return low - margin, high + margin


def _colour(comparison: Mapping[str, Any] | None) -> str:
    if comparison is None:
        return GREY
    low, high = comparison["ci95"]
    return BLUE if low > 0 else VERMILLION if high < 0 else GREY


def _extra_width(names: Iterable[str]) -> float:
    """Inches that long names need beside the axes."""
    return 0.07 * max(0, *(len(short(name)) - 14 for name in names))


def _needed(metrics: Metrics, phase: str, name: str) -> Curves:
    curves = Curves.of(metrics, phase, name)
    if curves is None:
        raise InputError(f"nothing to draw: metrics.jsonl has no line of phase {phase!r} with {name!r}")
    return curves
