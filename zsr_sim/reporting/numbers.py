"""How numbers are written for people, the same in figures and on the page."""

from __future__ import annotations

from typing import Any


def decimals(low: float, high: float, least: int) -> int:
    """Decimals, `least` to 6, that round neither bound of an interval nor its width to zero (unless they are zero)."""
    figures = [x for x in (low, high, high - low) if x != 0]
    return next((d for d in range(least, 6) if all(round(x, d) != 0 for x in figures)), 6 if figures else least)


def with_interval(entry: dict[str, Any], least: int = 2) -> str:
    """A strategy's figure: "9.36 [9.26, 9.46]"."""
    low, high = entry["ci95"]
    d = decimals(low, high, least)
    return f"{entry['mean']:.{d}f} [{low:.{d}f}, {high:.{d}f}]"


def against(comparison: dict[str, Any]) -> str:
    """A difference from the baseline, relative where there is such: "+18.5 % [17.9, 19.1]", else per visit."""
    if comparison["relative"] is not None and comparison["relative_ci95"] is not None:
        share, (low, high) = 100 * comparison["relative"], (100 * bound for bound in comparison["relative_ci95"])
        d = decimals(low, high, 1)
        return f"{signed(share, d)} % [{low:.{d}f}, {high:.{d}f}]"
    low, high = comparison["ci95"]
    d = decimals(low, high, 2)
    return f"{signed(comparison['difference'], d)} [{low:.{d}f}, {high:.{d}f}] per visit"


def relative_to(mean: float, difference: float, interval: list[float]) -> str:
    """A difference as a share of the baseline's mean: "-1.2 % [-1.5, -0.9]"; in the metric's unit where that is 0.

    The mean is taken as it was observed, as a guardrail's margin is.
    """
    scale, unit, least = (100 / abs(mean), " %", 1) if mean else (1.0, "", 3)
    low, high = (scale * bound for bound in interval)
    d = decimals(low, high, least)
    return f"{signed(scale * difference, d)}{unit} [{low:.{d}f}, {high:.{d}f}]"


def p_value(p: float) -> str:
    """Three decimals, and never a zero that it is not."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def signed(value: float, digits: int) -> str:
    """With its sign, unless it rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]
