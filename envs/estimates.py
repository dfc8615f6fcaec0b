"""What a fit says of each parameter, and the logistic regression behind most of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit


@dataclass(frozen=True)
class Estimate:
    """A parameter of the users: its value, its standard error (None: not estimated), and where it comes from."""

    name: str
    value: float
    standard_error: float | None
    how: str

    @property
    def fitted(self) -> bool:
        """Whether the log had a say."""
        return self.standard_error is not None

    def to_json(self) -> dict[str, object]:
        """The fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Weights:
    """values: float64 (k,). errors: float64 (k,), standard errors."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]


def logistic(
    x: NDArray[np.float64], y: NDArray[np.bool_], groups: NDArray[np.int64], lower: list[float | None],
    offset: NDArray[np.float64] | None = None,
) -> Weights:  # fmt: skip
    """Logistic regression of y (m,) on the columns of x (m, k), each weight at least `lower` (None: unbounded).

    Standard errors take rows of a group as dependent (sandwich estimator: Liang and Zeger 1986, "Longitudinal data
    analysis using generalized linear models"). offset: (m,), log-odds known beforehand. A ridge of 1e-6 rows keeps
    weights finite where nothing bounds them.
    """
    sign = np.where(y, 1.0, -1.0)
    known = np.zeros(len(x)) if offset is None else offset

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (x @ w + known)
        slope = -sign * expit(-margin)
        return float(np.logaddexp(0.0, -margin).mean() + 5e-7 * w @ w), np.asarray(slope @ x / len(x) + 1e-6 * w)

    bounds = [(low, None) for low in lower]
    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds)
    p = expit(x @ found.x + known)
    bread = np.linalg.pinv(x.T @ (x * (p * (1 - p))[:, None]) + 1e-6 * len(x) * np.eye(x.shape[1]))
    _, group = np.unique(groups, return_inverse=True)
    scores = np.zeros((group.max() + 1, x.shape[1]))
    np.add.at(scores, group, x * (y - p)[:, None])
    return Weights(found.x, np.sqrt(np.diag(bread @ scores.T @ scores @ bread)))
