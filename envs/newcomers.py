"""People of whom there is a text and no history: they visit beside those of the log, as somebody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.population import FittedPopulation


@dataclass(frozen=True)
class Described:
    """Texts on people, placed in the item space: keys int64 (m,) (`id_keys`), vectors float32 (m, d), unit length."""

    keys: NDArray[np.int64]
    vectors: NDArray[np.float32]


def with_newcomers(population: FittedPopulation, described: Described) -> FittedPopulation:
    """The people of a log, and those described who are not among them.

    A newcomer begins without a history, and strategies see the profile's vector in its place. What the newcomer likes
    is what that person of the log likes whose profile is nearest: who is described alike likes alike. Where nobody of
    the log is described, nobody can lend a taste, and the population stays as it is.
    """
    order = np.argsort(described.keys)
    keys, vectors = described.keys[order], described.vectors[order]  # (m,), (m, d)
    fresh = ~np.isin(keys, population.keys)  # (m,)
    lenders = np.flatnonzero(np.isin(population.keys, keys))
    if not fresh.any() or not len(lenders):
        return population
    theirs = vectors[np.searchsorted(keys, population.keys[lenders])]  # (lenders, d)
    rows = lenders[(vectors[fresh] @ theirs.T).argmax(axis=1)]  # (newcomers,)
    n = len(population.codes)
    place = np.argsort(np.concatenate([population.keys, keys[fresh]]), kind="stable")

    def joined(column: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([column, more.astype(column.dtype)])[place]

    columns = {
        name: joined(getattr(population, name), getattr(population, name)[rows])
        for name in ("tastes", "affinity_weights", "likings")
    }
    columns |= {
        "histories": joined(population.histories, np.full((len(rows), population.histories.shape[1]), -1)),
        "codes": joined(population.codes, np.full(len(rows), -1)),
        "keys": joined(population.keys, keys[fresh]),
        "profiles": joined(np.zeros((n, vectors.shape[1]), dtype=np.float32), vectors[fresh]),
    }
    return replace(population, **columns)  # type: ignore[arg-type]  # columns alone
