"""The items as simulated users meet them: a point in the item space, an appeal, a quality, and a topic."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.noise import Purpose, normals, uniforms

FOREVER = np.iinfo(np.int32).max
STRIP = 256
"""Items side by side in a strip of `WorldItems.strips`."""


@dataclass(frozen=True)
class WorldItems:
    """Columns over the catalogue.

    vectors: float32 (n, d), unit length. appeal: float32 (n,), what draws clicks from everybody. topics: int32 (n,),
    0 .. n_topics - 1, what a user gets bored with. quality: float32 (n,), what satisfies; where it is not given, the
    same as appeal. Both have about mean 0 and standard deviation 1. released, expires: int32 (n,), the first page of a
    visit on which an item can be had, and the first on which it no longer can; where they are not given, always.
    pleasures: float32 (n, e), what one user may like in an item and another may not (`Users.likings`); e may be 0.
    """

    vectors: NDArray[np.float32]
    appeal: NDArray[np.float32]
    topics: NDArray[np.int32]
    n_topics: int
    quality: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    released: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    expires: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    pleasures: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def __post_init__(self) -> None:
        defaults = {
            "quality": self.appeal,
            "released": np.zeros(len(self), dtype=np.int32),
            "expires": np.full(len(self), FOREVER, dtype=np.int32),
            "pleasures": np.empty((len(self), 0), dtype=np.float32),
        }
        for name, column in defaults.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def strips(self) -> NDArray[np.float32]:
        """The vectors as products take them, float32 (strips, d, STRIP): STRIP items side by side, zeros at the end."""
        n, d = self.vectors.shape
        whole = np.zeros((-(-n // STRIP) * STRIP, d), dtype=np.float32)
        whole[:n] = self.vectors
        return whole.reshape(-1, STRIP, d).transpose(0, 2, 1).copy()

    @property
    def come_and_go(self) -> bool:
        """Whether there is an item that cannot be had on some page."""
        return bool((self.released > 0).any() or (self.expires < FOREVER).any())


def make_items(
    vectors: NDArray[np.float32],
    appeal: NDArray[np.float32] | None = None,
    n_topics: int = 16,
    seed: int = 0,
    quality_correlation: float = 1.0,
    lifetime: int = 0,
    horizon: int = 0,
) -> WorldItems:
    """Items of a world: topics are clusters of the item space; without a log, appeal is drawn from N(0, 1).

    quality_correlation: -1..1, of quality with appeal. lifetime: pages for which an item can be had, 0 for always;
    releases are spread evenly from `lifetime` pages before a visit to its end at `horizon`, so that on every page about
    the share lifetime / (lifetime + horizon) of the catalogue can be had.
    """
    rows = np.arange(len(vectors))
    if appeal is None:
        appeal = normals(seed, rows, 0, Purpose.QUALITY, 1)[:, 0].astype(np.float32)
    quality = appeal
    if quality_correlation < 1.0:
        own = normals(seed, rows, 0, Purpose.ITEM_QUALITY, 1)[:, 0]
        quality = (quality_correlation * appeal + np.sqrt(1 - quality_correlation**2) * own).astype(np.float32)
    n_topics = min(n_topics, len(vectors))
    _, topics = spherical_kmeans(vectors, n_topics, 20)
    items = WorldItems(vectors, appeal, topics, n_topics, quality)
    if not lifetime:
        return items
    luck = uniforms(seed, rows, 0, Purpose.RELEASE, 1)[:, 0]
    released = np.floor(luck * (lifetime + horizon)).astype(np.int32) - lifetime
    return replace(items, released=released, expires=released + np.int32(lifetime))


@law
def spherical_kmeans(
    points: NDArray[np.float32], k: int, iterations: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cluster unit vectors (n, d) by cosine: centres float32 (k, d) and the centre of each point, int32 (n,).

    Dhillon and Modha (2001). The first centre is the point nearest to the mean, each further one the point that is
    least similar to the centres so far, so the result needs no random numbers. Needs 1 <= k and 1 <= n; surplus
    centres (k > n) repeat.
    """
    n, d = points.shape
    centres = np.zeros((k, d), dtype=np.float32)
    label = np.zeros(n, dtype=np.int32)
    mean = np.zeros(d)
    for i in range(n):
        mean += points[i]
    nearest = np.full(n, -2.0)  # cosine with the nearest centre so far
    chosen, best = 0, -np.inf
    for i in range(n):
        cosine = 0.0
        for j in range(d):
            cosine += points[i, j] * mean[j]
        if cosine > best:
            best, chosen = cosine, i
    for c in range(k):
        centres[c] = points[chosen]
        farthest, value = 0, np.inf
        for i in range(n):
            cosine = 0.0
            for j in range(d):
                cosine += points[i, j] * centres[c, j]
            nearest[i] = max(nearest[i], cosine)
            if nearest[i] < value:
                value, farthest = nearest[i], i
        chosen = farthest
    for _ in range(iterations):
        sums = np.zeros((k, d))
        for i in range(n):
            best = -np.inf
            for c in range(k):
                cosine = 0.0
                for j in range(d):
                    cosine += points[i, j] * centres[c, j]
                if cosine > best:
                    best = cosine
                    label[i] = c
            sums[label[i]] += points[i]
        for c in range(k):
            length = np.sqrt((sums[c] ** 2).sum())
            if length > 1e-12:  # an empty cluster keeps its centre
                for j in range(d):
                    centres[c, j] = sums[c, j] / length
    return centres, label
