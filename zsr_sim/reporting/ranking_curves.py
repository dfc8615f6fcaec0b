"""The figure of `evaluate ranking`: ROC and precision-recall curves of every strategy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from zsr_sim.reporting.style import BASELINES, BLUE, GREY, STYLE, new_figure, save, short

TITLES = {"warm": "next item, all new items", "cold": "held-out items, among themselves"}


@matplotlib.rc_context(STYLE)
def ranking_curves(protocols: Mapping[str, Any], path: Path) -> Path:
    """Draw, for each protocol of results.json, the ROC and the precision-recall curves and write them as a PNG."""
    figure = new_figure(9.5, 3.9 * len(protocols))
    for row, (protocol, found) in enumerate(protocols.items()):
        left = figure.add_subplot(len(protocols), 2, 2 * row + 1)
        right = figure.add_subplot(len(protocols), 2, 2 * row + 2)
        styles = itertools.chain([(BLUE, "-")], itertools.cycle(BASELINES))
        for (name, agent), (colour, dashes) in zip(found["agents"].items(), styles, strict=False):
            line: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.5}
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
    axes.legend(loc="lower right", fontsize=8, title="area under the ROC curve", title_fontsize=8, frameon=False)


def _finish_precision_recall(axes: Axes, users: int, trials: int) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda precision, _: f"{precision:g}")  # the default needs mathematical text
    title = f"{users:,} users, {trials:,} hidden items"
    axes.set(xlabel="recall", ylabel="precision (log scale)", xlim=(0, 1), title=title)
    axes.legend(loc="upper right", fontsize=8, title="area under the curve", title_fontsize=8, frameon=False)
