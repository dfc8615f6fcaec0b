"""What spoke for a recommendation: shares of the history items, for scores that are sums over the history."""

import numpy as np
from numpy.typing import NDArray


def shares_of(contributions: NDArray[np.float64], histories: NDArray[np.int32]) -> NDArray[np.float64]:
    """Shares of what each history item added to a score, float64 (n, length).

    contributions: (n, length), beside `histories` (padded with -1, whose contributions do not count). What spoke
    against the item (a negative contribution) has no share; the others sum to 1 in each row, or to 0 where nothing
    spoke for it.

    >>> shares_of(np.array([[9.0, 1.0, -2.0, 3.0]]), np.array([[-1, 5, 6, 7]], dtype=np.int32))
    array([[0.  , 0.25, 0.  , 0.75]])
    """
    kept = np.where(histories >= 0, np.maximum(contributions, 0.0), 0.0)
    total = kept.sum(axis=1, keepdims=True)
    return np.asarray(kept / np.where(total > 0, total, 1.0))
