"""What all figures share: colours, lines, letters, and how they are made and written.

Drawn with matplotlib's objects alone, so that nothing here touches pyplot's state or needs a display. Colours are those
of Okabe and Ito (2008), which colour-blind people tell apart. Names come from people and are drawn as they are.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from zsr_sim.runs import write_whole

DPI = 150
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"
_COLOURS = (VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9")
_DASHES = ("--", "-.", ":")
BASELINES = tuple((colour, _DASHES[(i + turn) % 3]) for turn in range(3) for i, colour in enumerate(_COLOURS))
"""Colours and dashes of lines, eighteen of them; the first six differ in colour."""
_LONGEST_NAME = 32  # characters of a name in a figure; the page's tables hold all of it
STYLE: dict[Any, Any] = {  # keys are literals in the stubs
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "text.usetex": False,
}


def short(name: str) -> str:
    """A name on one line, cut in the middle: what tells variants of a strategy apart is at both ends."""
    line = " ".join(name.split())
    keep = (_LONGEST_NAME - 1) // 2
    return line if len(line) <= _LONGEST_NAME else f"{line[:keep]}…{line[-keep:]}"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches wide and high."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, whole or not at all; returns its path."""
    content = io.BytesIO()
    with warnings.catch_warnings():  # letters that the font lacks are drawn as boxes; the page's tables have them
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(content, format="png", metadata={"Software": None})
    write_whole(path, content.getvalue())
    return path
