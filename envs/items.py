"""The items as simulated users meet them: a point in the item space, an appeal to everybody, and a topic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.compiled import law
from zsr_sim.envs.noise import Purpose, normals


@dataclass(frozen=True)
class WorldItems:
    """Columns over the catalogue.

    vectors: float32 (n, d), unit length. quality: float32 (n,), mean 0 and standard deviation 1.
    topics: int32 (n,), 0 .. n_topics - 1, what a user gets bored with.
    """

    vectors: NDArray[np.float32]
    quality: NDArray[np.float32]
    topics: NDArray[np.int32]
    n_topics: int

    def __len__(self) -> int:
        return len(self.vectors)


def make_items(
    vectors: NDArray[np.float32], quality: NDArray[np.float32] | None = None, n_topics: int = 16, seed: int = 0
) -> WorldItems:
    """Items of a world: topics are clusters of the item space; without a log, quality is drawn from N(0, 1)."""
    if quality is None:
        quality = normals(seed, np.arange(len(vectors)), 0, Purpose.QUALITY, 1)[:, 0].astype(np.float32)
    n_topics = min(n_topics, len(vectors))
    _, topics = spherical_kmeans(vectors, n_topics, 20)
    return WorldItems(vectors, quality, topics, n_topics)


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
