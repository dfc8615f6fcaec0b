"""Random numbers as a function of (seed, user, step, purpose): the same user meets the same luck under every strategy.

Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as
1, 2, 3". Nothing is stored between draws, so a draw depends neither on the batch it is made in nor on the draws before.
"""

from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import batched, inlined


class Purpose(IntEnum):
    """What a draw is for; two purposes never share a number. Values are part of every seed's meaning: append only."""

    CLICK = 0
    LEAVE = 1
    INTERESTS = 2
    TASTE = 3
    TRAITS = 4
    ORGANIC = 5
    QUALITY = 6
    SAMPLE_USERS = 7
    POLICY = 8
    GENERATE = 9
    RANDOM_ITEMS = 10
    ANCHOR = 11
    GENERATE_NOISE = 12
    RESAMPLE = 13
    LOGGING = 14
    OTHER_TRAITS = 15
    REACTION = 16
    ITEM_QUALITY = 17
    RELEASE = 18
    OTHER_WORLD = 19
    PLAN = 20
    THOMPSON = 21
    WRITE = 22
    MOOD = 23


T = TypeVar("T", np.uint64, np.int64)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_TO_UNIT = 2.0**-32


@inlined
def philox4x32(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Ten rounds on four 32-bit counter words under two 32-bit key words (each held in a uint64)."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inlined
def uniform4(
    seed: int | np.uint64, user: int, step: int, purpose: int, block: int
) -> tuple[float, float, float, float]:
    """Four independent uniforms in the open interval (0, 1).

    seed: 0 .. 2**64 - 1. user: 0 .. 2**63 - 1. step: 0 .. 2**32 - 1. purpose: 0 .. 255. block: 0 .. 2**24 - 1.
    """
    s, u = np.uint64(seed), np.uint64(user)
    c2 = (np.uint64(block) << np.uint64(8)) | np.uint64(purpose)
    a, b, c, d = philox4x32(u & _LOW, u >> _HALF, c2, np.uint64(step), s & _LOW, s >> _HALF)
    return (
        (np.float64(a) + 0.5) * _TO_UNIT,
        (np.float64(b) + 0.5) * _TO_UNIT,
        (np.float64(c) + 0.5) * _TO_UNIT,
        (np.float64(d) + 0.5) * _TO_UNIT,
    )


@batched
def _uniforms(
    begin: int,
    end: int,
    seeds: NDArray[np.uint64],
    users: NDArray[np.int64],
    steps: NDArray[np.int64],
    purpose: int,
    out: NDArray[np.float64],
) -> None:
    for i in range(begin, end):
        for j in range(0, out.shape[1], 4):
            draws = uniform4(seeds[i], users[i], steps[i], purpose, j // 4)
            for k in range(min(4, out.shape[1] - j)):
                out[i, j + k] = draws[k]


def _column(values: int | NDArray[T], n: int, kind: type[T]) -> NDArray[T]:
    """One value for each of n users, or the same one for all."""
    if isinstance(values, np.ndarray) and len(values) == n:
        return np.ascontiguousarray(values, dtype=kind)
    return np.full(n, values, dtype=kind)


def uniforms(
    seed: int | NDArray[np.uint64],
    users: NDArray[np.int64],
    steps: int | NDArray[np.int64],
    purpose: Purpose,
    count: int,
) -> NDArray[np.float64]:
    """Uniforms in (0, 1), shape (len(users), count); row i depends on seed[i], users[i], steps[i] and purpose alone."""
    n = len(users)
    out = np.empty((n, count))
    seeds = _column(seed, n, np.uint64)
    _uniforms(seeds, np.ascontiguousarray(users, dtype=np.int64), _column(steps, n, np.int64), int(purpose), out)
    return out


def normals(
    seed: int | NDArray[np.uint64],
    users: NDArray[np.int64],
    steps: int | NDArray[np.int64],
    purpose: Purpose,
    count: int,
) -> NDArray[np.float64]:
    """Standard normals, shape (len(users), count), by Box and Muller (1958) from the uniforms of the same arguments."""
    pairs = (count + 1) // 2
    u = uniforms(seed, users, steps, purpose, 2 * pairs)  # (n, 2 pairs)
    radius = np.sqrt(-2.0 * np.log(u[:, :pairs]))
    angle = 2.0 * np.pi * u[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]
