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
    """A difference from the baseline, relative where there is such: "+18.5 % [17.9, 19.1]", else in clicks."""
    if comparison["relative"] is not None and comparison["relative_ci95"] is not None:
        share, (low, high) = 100 * comparison["relative"], (100 * bound for bound in comparison["relative_ci95"])
        d = decimals(low, high, 1)
        return f"{_signed(share, d)} % [{low:.{d}f}, {high:.{d}f}]"
    low, high = comparison["ci95"]
    d = decimals(low, high, 2)
    return f"{_signed(comparison['difference'], d)} [{low:.{d}f}, {high:.{d}f}] clicks"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}" if value else f"{0:.{digits}f}"
