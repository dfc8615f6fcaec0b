"""The figure of `evaluate ranking`: ROC and precision-recall curves of every strategy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from zsr_sim.reporting.style import BASELINES, BLUE, GREY, STYLE, new_figure, save, short

_MOST_INSIDE = 8  # strategies whose names have room between the curves
TITLES = {"warm": "next item, all new items", "cold": "held-out items, among themselves"}


@matplotlib.rc_context(STYLE)
def ranking_curves(protocols: Mapping[str, Any], path: Path) -> Path:
    """Draw, for each protocol of results.json, the ROC and the precision-recall curves and write them as a PNG."""
    most = max(len(found["agents"]) for found in protocols.values())
    figure = new_figure(9.5 if most <= _MOST_INSIDE else 14.0, 3.9 * len(protocols))
    names = dict.fromkeys(name for found in protocols.values() for name in found["agents"])
    styles = dict(zip(names, itertools.chain([(BLUE, "-")], itertools.cycle(BASELINES)), strict=False))
    for row, (protocol, found) in enumerate(protocols.items()):
        left = figure.add_subplot(len(protocols), 2, 2 * row + 1)
        right = figure.add_subplot(len(protocols), 2, 2 * row + 2)
        for name, agent in found["agents"].items():
            line: dict[str, Any] = {"color": styles[name][0], "linestyle": styles[name][1], "linewidth": 1.5}
            roc, pr, metrics = agent["curves"]["roc"], agent["curves"]["precision_recall"], agent["metrics"]
            said = f"{short(name)} {metrics['roc_auc']['mean']:.3f}"
            left.plot(roc["false_positive_rate"], roc["true_positive_rate"], label=said, **line)
            said = f"{short(name)} {metrics['pr_auc']['mean']:.4f}"
            right.plot(pr["recall"], pr["precision"], label=said, **line)
        _finish_roc(left, f"{protocol}: {TITLES.get(protocol, protocol)}")
        _finish_precision_recall(right, found["users"], found["trials"])
    return save(figure, path)


def _finish_roc(axes: Axes, title: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01), title=title)
    _legend(axes, "lower right", "area under the ROC curve")


def _finish_precision_recall(axes: Axes, users: int, trials: int) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda precision, _: f"{precision:g}")  # the default needs mathematical text
    axes.yaxis.set_minor_formatter(NullFormatter())
    title = f"{users:,} users, {trials:,} hidden items"
    axes.set(xlabel="recall", ylabel="precision (log scale)", xlim=(0, 1), title=title)
    _legend(axes, "best", "area under the curve")


def _legend(axes: Axes, inside: str, title: str) -> None:
    """Between the curves, or beside them where there are many."""
    few = len(axes.get_legend_handles_labels()[1]) <= _MOST_INSIDE
    place: dict[str, Any] = {"loc": inside} if few else {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(**place, fontsize=8, title=title, title_fontsize=8, frameon=False)
