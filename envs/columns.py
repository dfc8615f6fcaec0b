"""Arrays side by side, a row per user: taken, copied and overwritten together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import LARGE, aligned

Rows = NDArray[np.int64] | NDArray[np.bool_] | slice


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, Columns) or value.nbytes < LARGE else aligned(value)


class Columns:
    """Base of dataclasses whose fields are arrays with a row per user, or such dataclasses themselves, or None."""

    def take(self, rows: Rows) -> Self:
        """The users at these rows."""
        return type(self)(**{name: v.take(rows) if isinstance(v, Columns) else v[rows] for name, v in self._present()})

    def copy(self) -> Self:
        """The same users in arrays of their own."""
        return type(self)(**{name: _copy(value) for name, value in self._present()})

    def put(self, rows: Rows, others: Self) -> None:
        """Overwrite these rows with all rows of `others`, which must be as many."""
        for name, value in self._present():
            if isinstance(value, Columns):
                value.put(rows, getattr(others, name))
            else:
                value[rows] = getattr(others, name)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All rows of these, one after the other."""
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # dataclasses, all of them
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _present(self) -> list[tuple[str, Any]]:
        columns = [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]  # dataclass
        return [(name, value) for name, value in columns if value is not None]
