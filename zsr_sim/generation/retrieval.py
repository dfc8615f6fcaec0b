"""Direct retrieval: pages by similarity, by neighbours of a past item, by popularity, by contrast, at random.

Items that the user has consumed or was shown in this visit are left out as long as the catalogue holds others.
Scores are summed in double precision and compared in single precision: so the items found do not depend on how many
users are scored together, and equal texts tie exactly.
"""

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from zsr_sim.compiled import batched, law
from zsr_sim.encoders.history import pooled
from zsr_sim.envs.noise import Purpose, uniform4, uniforms
from zsr_sim.envs.observation import Observation

CONTRAST = (0.95, 0.5)  # decay of the lasting and of the recent taste
_LEFT_OUT = 1e3  # far below every score, yet in the same order: a catalogue that is used up starts again
_LATER = 10.0  # below every score, and far above what is left out
_RANDOM_ITEMS = int(Purpose.RANDOM_ITEMS)


class Retrieval:
    """Scores over one catalogue.

    vectors: float32 (n_items, d), unit length. popularity: float32 (n_items,), how often each was consumed, >= 0.
    appeal: float32 (n_items,), popularity on a log scale, 0 .. 1; 0 for an item that no log has seen.
    """

    def __init__(self, vectors: NDArray[np.float32], popularity: NDArray[np.float32]) -> None:
        self.vectors = vectors
        self.popularity = popularity
        counts = np.log1p(popularity)
        self.appeal = np.asarray(counts / max(float(counts.max()), 1e-12), dtype=np.float32)
        self._vectors64 = torch.from_numpy(vectors.astype(np.float64))
        self._popular = torch.from_numpy(popularity / max(float(popularity.max()), 1.0)).float()

    def similarity(self, queries: NDArray[np.float32]) -> torch.Tensor:
        """Cosine of each query (n, d) with each item, float32 (n, n_items); a zero query is answered by popularity."""
        q = torch.from_numpy(queries.astype(np.float64))
        scores = (q @ self._vectors64.T).float()  # (n, n_items)
        unknown = torch.from_numpy(~queries.any(axis=1))
        scores[unknown] = self._popular
        return scores

    def top(self, scores: torch.Tensor, observation: Observation, k: int) -> NDArray[np.int32]:
        """The k best items for each user, best first, int32 (n, k); `scores` (n, n_items) is written into."""
        for seen in (observation.histories, observation.shown):
            rows, columns = np.nonzero(seen >= 0)
            scores[torch.from_numpy(rows), torch.from_numpy(seen[rows, columns].astype(np.int64))] -= _LEFT_OUT
        return scores.topk(k, dim=1).indices.numpy().astype(np.int32)

    def by_history(self, observation: Observation, k: int, decay: float = 0.9) -> NDArray[np.int32]:
        """The items most similar to the recency-decayed mean of the history."""
        return self.top(self.similarity(pooled(observation.histories, self.vectors, decay)), observation, k)

    def by_neighbour(self, observation: Observation, k: int, which: int) -> NDArray[np.int32]:
        """The items most similar to one item of the history, drawn evenly from it; `which` numbers the draw."""
        luck = uniforms(observation.seeds, observation.users, observation.steps, Purpose.ANCHOR, which + 1)[:, which]
        lengths = (observation.histories >= 0).sum(axis=1)
        columns = observation.histories.shape[1] - 1 - (luck * lengths).astype(np.int64)
        anchors = observation.histories[np.arange(len(observation)), columns]
        queries = np.where(anchors[:, None] >= 0, self.vectors[anchors], np.float32(0))  # (n, d)
        return self.top(self.similarity(queries), observation, k)

    def by_popularity(self, observation: Observation, k: int) -> NDArray[np.int32]:
        """The items that were consumed most."""
        return self.top(self._popular.repeat(len(observation), 1), observation, k)

    def by_contrast(self, observation: Observation, k: int, among: int | None = None) -> NDArray[np.int32]:
        """What the user likes in the long run and has not had just now: lasting minus recent taste, best first.

        among: rank that many of the most popular new items before all others; None: all are alike.
        """
        lasting, recent = (pooled(observation.histories, self.vectors, decay) for decay in CONTRAST)
        scores = self.similarity(lasting - recent)  # (n, n_items)
        if among is not None:
            pool = self.by_popularity(observation, min(among, len(self.vectors))).astype(np.int64)  # (n, among)
            scores -= torch.full_like(scores, _LATER).scatter_(1, torch.from_numpy(pool), 0.0)
        return self.top(scores, observation, k)

    def at_random(self, observation: Observation, k: int) -> NDArray[np.int32]:
        """Items drawn evenly, int32 (n, k)."""
        out = np.empty((len(observation), k), dtype=np.int32)
        _draw_pages(
            len(self.vectors), observation.seeds, observation.users, observation.steps, observation.histories,
            observation.shown, out,
        )  # fmt: skip
        return out


@law
def _among(items: NDArray[np.int32], count: int, item: int) -> bool:
    for j in range(count):  # noqa: SIM110  # numba compiles no generator expressions
        if items[j] == item:
            return True
    return False


@batched
def _draw_pages(
    n_items: int,
    seeds: NDArray[np.uint64],
    users: NDArray[np.int64],
    steps: NDArray[np.int64],
    histories: NDArray[np.int32],
    shown: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    for i in numba.prange(out.shape[0]):
        history, page, k, tries = histories[i], out[i], 0, 0
        while k < page.shape[0]:
            if tries % 4 == 0:
                luck = uniform4(seeds[i], users[i], steps[i], _RANDOM_ITEMS, tries // 4)
            item = int(luck[tries % 4] * n_items)
            tries += 1
            # After many refusals the catalogue is nearly used up: then only a repeat on the page itself is refused.
            old = tries < 50 * page.shape[0] and (
                _among(history, history.shape[0], item) or _among(shown[i], shown.shape[1], item)
            )
            if not old and not _among(page, k, item):
                page[k] = item
                k += 1
