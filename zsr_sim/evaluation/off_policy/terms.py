"""What all estimators are made of: sums over rows, so that resampling, clusters and differences are one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """An estimator on n rows: a mean plus, for self-normalised forms, k ratios of sums.

        value = sum(plain) / n + sum over k of sum(top[:, k]) / sum(bottom[:, k])

    plain: float64 (n,). top, bottom: float64 (n, k); k may be 0. A ratio whose bottom sums to 0 (no row supports it) is
    NaN.
    """

    plain: Floats
    top: Floats
    bottom: Floats

    @classmethod
    def mean(cls, rows: Floats) -> Terms:
        """The mean of `rows` (n,)."""
        none = np.zeros((len(rows), 0))
        return cls(np.asarray(rows, dtype=np.float64), none, none)

    @classmethod
    def ratio(cls, top: Floats, bottom: Floats, plain: Floats | None = None) -> Terms:
        """The sum of ratios of the columns of `top` and `bottom`, (n,) or (n, k), plus the mean of `plain` (n,)."""
        n = len(top)
        columns = [np.asarray(part, dtype=np.float64).reshape(n, -1) for part in (top, bottom)]
        return cls(np.zeros(n) if plain is None else np.asarray(plain, dtype=np.float64), *columns)

    def __len__(self) -> int:
        return len(self.plain)

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.sums().values()[0])

    @property
    def contributions(self) -> Floats:
        """What each row adds, (n,), with the normaliser held as it is; their mean is the value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.plain + (self.top / self.bottom.mean(axis=0)).sum(axis=1))

    def sums(self, clusters: NDArray[np.int64] | None = None, groups: int = 1) -> Sums:
        """Sums over the rows of each cluster; `clusters` (n,) in 0..groups - 1, None for all rows together."""
        columns = np.column_stack([np.ones(len(self)), self.plain, self.top, self.bottom])  # (n, 2 + 2 k)
        if clusters is None:
            return Sums(columns.sum(axis=0, keepdims=True), self.top.shape[1])
        added = [np.bincount(clusters, weights=column, minlength=groups) for column in columns.T]
        return Sums(np.stack(added, axis=1), self.top.shape[1])

    def scaled(self, factor: float) -> Terms:
        """The same estimate in another unit, `factor` times as large."""
        return Terms(self.plain * factor, self.top * factor, self.bottom)


@dataclass(frozen=True)
class Sums:
    """Columns (g, 2 + 2 k) of a `Terms`, summed over the rows of each of g clusters: rows, plain, top, bottom."""

    columns: Floats
    k: int

    def values(self) -> Floats:
        """The estimate from each cluster's sums alone, (g,); on resampled sums: the resampled estimates."""
        c, k = self.columns, self.k
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(c[:, 1] / c[:, 0] + (c[:, 2 : 2 + k] / c[:, 2 + k :]).sum(axis=1))

    def influence(self) -> Floats:
        """What each cluster moves the estimate by, (g,), summing to 0: the linear part of the delta method.

        For a ratio sum(a) / sum(b) = r it is (a_g - r b_g) / sum(b) (Cochran 1977, ratio estimates).
        """
        c, k, total = self.columns, self.k, self.columns.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (c[:, 1] - total[1] / total[0] * c[:, 0]) / total[0]
            top, bottom = total[2 : 2 + k], total[2 + k :]
            ratios = (c[:, 2 : 2 + k] - top / bottom * c[:, 2 + k :]) / bottom
            return np.asarray(mean + ratios.sum(axis=1))


def number_clusters(names: Sequence[str] | NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Clusters (n,) numbered from 0 in order of first appearance, and how many there are."""
    _, first, codes = np.unique(np.asarray(names), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes], len(first)
