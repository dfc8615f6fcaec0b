"""The figure of learning curves over the number of interactions a user."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from zsr_sim.evaluation.aggregate import interquartile_mean, stratified_band
from zsr_sim.evaluation.few_interactions import LearningCurve
from zsr_sim.reporting.style import BASELINES, BLUE, GREY, STYLE, new_figure, save, short


@matplotlib.rc_context(STYLE)
def learning_curve_figure(curves: Sequence[LearningCurve], path: Path) -> Path:
    """NDCG at 10 over interactions a user: interquartile mean over seeds, and its 95 % bootstrap band."""
    figure = new_figure(6.5, 4.0)
    axes = figure.add_subplot()
    styles = itertools.chain([(BLUE, "-")], itertools.cycle(BASELINES))
    for curve, (colour, dashes) in zip(curves, styles, strict=False):
        low, high = stratified_band(curve.values[:, None])
        middle = interquartile_mean(curve.values[:, None])
        axes.plot(curve.sizes, middle, marker="o", color=colour, linestyle=dashes, label=short(curve.strategy))
        axes.fill_between(curve.sizes, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(curves[0].sizes, [str(size) for size in curves[0].sizes])
    axes.minorticks_off()
    axes.set(xlabel="interactions known of each user", ylabel="NDCG at 10 of the next item")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    seeds = len(curves[0].values)
    said = f"{'mean' if seeds < 4 else 'interquartile mean'} of {seeds} seeds, 95 % bootstrap band"
    figure.suptitle(said if seeds > 1 else "one seed", x=0.01, ha="left", color=GREY, fontsize=9)
    return save(figure, path)
