"""Candidates: the pages that stand side by side at one step, generated and retrieved, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Observation
from zsr_sim.generation.retrieval import Retrieval

_POPULAR_PAGES = 10  # pages of popular items among which the popular contrast chooses one

PROPOSERS = ("generator", "similarity", "neighbours", "popularity", "contrast", "popular contrast", "random")
COMPOSED = {"composed": 12.0, "composed, varied": 18.0, "composed, wide": 27.0, "composed, widest": 40.0}
"""Kinds of pages that a click model composes (`composed.py`), and how many logits a cosine of 1 with the nearest item
on the page costs the next one."""
SOURCES = (*PROPOSERS, *COMPOSED)
"""Where a candidate can come from; a candidate's `sources` entry is a row of this table."""


@dataclass(frozen=True)
class Candidates:
    """Pages to choose from.

    items: int32 (n, candidates, slate_size). sources: int8 (n, candidates), rows of SOURCES. plausibility: float32
    (n, candidates), the discriminator's probability that the page is real; 0.5 where it was not asked.
    accepted: share of the generated sequences that the discriminator let pass, 0..1; None without a generator.
    expected: float32 (n, candidates), clicks per item that the click model expects, 0..1, and evidence: float32 (n,
    candidates, slate_size, N_EVIDENCE), what it read of each item; None without one.
    """

    items: NDArray[np.int32]
    sources: NDArray[np.int8]
    plausibility: NDArray[np.float32]
    accepted: float | None = None
    expected: NDArray[np.float32] | None = None
    evidence: NDArray[np.float32] | None = None

    def chosen(self, actions: NDArray[np.int64]) -> NDArray[np.int32]:
        """The pages of these choices (n,), int32 (n, slate_size)."""
        return self.items[np.arange(len(actions)), actions]


class CandidateSource(Protocol):
    """Proposes the candidates of one step."""

    @property
    def n_candidates(self) -> int:
        """Pages that stand side by side."""

    @property
    def slate_size(self) -> int:
        """Items on a page."""

    @property
    def retrieval(self) -> Retrieval:
        """The catalogue that the pages are made of."""

    def candidates(self, observation: Observation) -> Candidates:
        """Pages for each user; a pure function of the observation, whatever the batch."""


@dataclass(frozen=True)
class RetrievalCandidates:
    """Candidates without a generator: one page of each kind of retrieval, then neighbours of further past items."""

    retrieval: Retrieval
    slate_size: int
    n_candidates: int = 8

    def candidates(self, observation: Observation) -> Candidates:
        """The retrieved pages; no discriminator was asked about them."""
        pages, sources = self.pages(observation, self.n_candidates)
        plausibility = np.full(pages.shape[:2], 0.5, dtype=np.float32)
        return Candidates(pages, np.broadcast_to(sources, pages.shape[:2]), plausibility)

    def pages(self, observation: Observation, count: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """`count` retrieved pages, int32 (n, count, slate_size), and their sources, int8 (count,)."""
        order = ["similarity", "neighbours", "popularity", "contrast", "popular contrast", "neighbours", "random"]
        names = (order + ["neighbours"] * count)[:count]
        contrast = self.retrieval.contrast(observation) if "contrast" in names else None
        anchored = self.retrieval.by_neighbours(observation, self.slate_size, names.count("neighbours"))
        pages, anchors = [], 0
        for name in names:
            if name == "similarity":
                pages.append(self.retrieval.by_history(observation, self.slate_size))
            elif name == "popularity":
                pages.append(self.retrieval.by_popularity(observation, self.slate_size))
            elif name == "contrast":
                pages.append(self.retrieval.by_contrast(observation, self.slate_size, contrast=contrast))
            elif name == "popular contrast":
                most = _POPULAR_PAGES * self.slate_size
                pages.append(self.retrieval.by_contrast(observation, self.slate_size, most, contrast))
            elif name == "random":
                pages.append(self.retrieval.at_random(observation, self.slate_size))
            else:
                pages.append(anchored[:, anchors])
                anchors += 1
        return np.stack(pages, axis=1), np.array([SOURCES.index(name) for name in names], dtype=np.int8)
