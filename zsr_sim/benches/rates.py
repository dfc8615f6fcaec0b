"""What repeated measurements come to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """The median under its name, and the minimum and maximum beside it.

    >>> spread("seconds", [3.0, 1.0, 2.0])
    {'seconds': 2.0, 'minimum': 1.0, 'maximum': 3.0}
    """
    return {name: statistics.median(values), "minimum": min(values), "maximum": max(values)}
