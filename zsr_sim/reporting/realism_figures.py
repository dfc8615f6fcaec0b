"""The figures of `evaluate realism`: where reality lies in the simulation's intervals, and who knows preferences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

from zsr_sim.reporting.style import BLUE, GREY, STYLE, VERMILLION, new_figure, save

_FARTHEST = 3.0  # half-widths of an interval: beyond, a dot stands at the edge
_QUESTIONS = {"unseen": "consumed above random unseen items", "liked": "liked above disliked items"}


@matplotlib.rc_context(STYLE)
def realism_figure(realism: Mapping[str, Any], path: Path) -> Path:
    """Each statistic's real value on the scale of the simulated 95 % interval, as a PNG; misses first, in vermillion.

    realism: `realism` or `clicks` of results.json.
    """
    lines = [line for line in realism["statistics"] if line["interval"][0] is not None]
    figure = new_figure(9.0, 1.2 + 0.23 * len(lines))
    axes = figure.add_subplot()
    axes.axvspan(-1, 1, color=BLUE, alpha=0.15, linewidth=0)
    right = axes.get_yaxis_transform()  # x as a share of the axes' width, y as data
    for row, line in enumerate(lines):
        low, high = line["interval"]
        place = (line["real"] - (low + high) / 2) / max((high - low) / 2, 1e-12)
        place = min(max(place, -_FARTHEST), _FARTHEST)
        colour = BLUE if line["inside"] else VERMILLION
        axes.plot(place, row, "o", color=colour, markersize=5)
        told = f"{line['real']:.3g}, simulated {low:.3g} to {high:.3g}"
        axes.text(1.02, row, told, transform=right, color=colour, va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [f"{line['statistic']}, {line['segment']}" for line in lines], fontsize=8)
    axes.set(xlim=(-_FARTHEST - 0.2, _FARTHEST + 0.2), ylim=(len(lines) - 0.5, -0.5))
    axes.set_xlabel("real value: the middle of the simulated 95 % interval is 0, its ends are -1 and 1")
    axes.grid(visible=False, axis="y")
    inside = sum(line["inside"] for line in realism["statistics"])
    figure.suptitle(f"{inside} of {len(realism['statistics'])} statistics of the later part of the log are inside",
                    x=0.01, ha="left", fontsize=10)  # fmt: skip
    return save(figure, path)


@matplotlib.rc_context(STYLE)
def preference_figure(preference: Mapping[str, Any], path: Path) -> Path:
    """AUC of each model on held-out interactions, warm and cold items, with 95 % intervals, as a PNG."""
    asked = [q for q in _QUESTIONS if any(row[kind][q] for row in preference["rows"] for kind in ("warm", "cold"))]
    figure = new_figure(4.6 * max(len(asked), 1) + 1.0, 1.2 + 0.42 * len(preference["rows"]))
    for place, question in enumerate(asked, 1):
        axes = figure.add_subplot(1, len(asked), place)
        for kind, colour, shift in (("warm", BLUE, -0.12), ("cold", VERMILLION, 0.12)):
            for row, entry in enumerate(preference["rows"]):
                if (cell := entry[kind][question]) is not None:
                    axes.plot(cell["ci95"], [row + shift] * 2, color=colour, linewidth=2, solid_capstyle="butt")
                    label = f"{kind} items" if row == 0 else None
                    axes.plot(cell["auc"], row + shift, "o", color=colour, markersize=5, label=label)
        axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
        names = [row["model"] for row in preference["rows"]] if place == 1 else [""] * len(preference["rows"])
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set(title=_QUESTIONS[question], xlabel="AUC (0.5: a guess)")
        axes.legend(loc="best", fontsize=8, frameon=False)
    return save(figure, path)
