"""Votes of `bayes` by a language model: how likely one item's title is after another's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from zsr_sim.encoders.cache import VectorCache, encode_texts
from zsr_sim.readers.model import CausalModel, Progress
from zsr_sim.readers.prompts import NO_ITEM, short_title

_VERSION = "1"  # of the prompt: part of what likelihoods are kept under


@dataclass
class ModelVotes:
    """p(y | x) proportional to P(title of y | "somebody liked x, and also liked") / P(the same | "something").

    The likelihood of a title alone says how usual its words are; what it is after a content-free item is taken off
    (Zhao, Wallace, Feng, Klein and Singh 2021, "Calibrate before use", section 3). What is left is evidence, and may be
    multiplied over a history. A row of all items is read for each item that a history holds, and kept on disk.

    titles: (n_items,). cache: None keeps the rows in memory alone.
    """

    model: CausalModel
    titles: Sequence[str]
    cache: VectorCache | None = None
    _rows: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """What a person calls the model."""
        return self.model.name

    @property
    def fingerprint(self) -> str:
        """Of the model, the prompt and the catalogue: likelihoods are kept under it."""
        lines = "\n".join(map(_line, self.titles))
        return hashlib.sha256(f"{_VERSION}:{self.model.fingerprint}:{lines}".encode()).hexdigest()

    @property
    def dimensions(self) -> int:
        """Items of the catalogue, which a row of likelihoods has."""
        return len(self.titles)

    @property
    def truncated(self) -> int:
        """No prompt is cut: titles are short."""
        return 0

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Log-likelihood of each title of the catalogue after each prompt, float32 (n, n_items)."""
        lines = [_line(title) for title in self.titles]
        return np.stack([self.model.log_likelihoods(text, lines) for text in texts])

    def total(self, histories: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `zsr_sim.agents.bayes.Votes`; items of weight 0 are not read."""
        heard = (histories >= 0) & (weights != 0)
        known = self._read(np.unique(histories[heard]))
        total = np.zeros((len(histories), self.dimensions))
        for user, place in np.argwhere(heard):
            total[user] += weights[user, place] * known[int(histories[user, place])]
        return total

    def contributions(self, histories: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float64]:
        """See `zsr_sim.agents.bayes.Votes`."""
        known = self._read(np.unique(histories[histories >= 0]))
        votes = np.zeros(histories.shape)
        for user, place in np.argwhere(histories >= 0):
            row = known[int(histories[user, place])]
            votes[user, place] = row[items[user]] - row.mean()
        return votes

    def _read(self, items: NDArray[np.int32]) -> dict[int, NDArray[np.float32]]:
        """Log p(y | x) of all y, float32 (n_items,), of each item x."""
        missing = [int(item) for item in items if int(item) not in self._rows]
        if missing:
            prompts = [_prompt(NO_ITEM), *(_prompt(self.titles[item]) for item in missing)]
            told, _ = encode_texts(prompts, self, self.cache)
            odds = (told[1:] - told[0]).astype(np.float64)
            odds -= logsumexp(odds, axis=1, keepdims=True)
            self._rows |= zip(missing, odds.astype(np.float32), strict=True)
        return self._rows


def _prompt(title: str) -> str:
    return f"Somebody liked {short_title(title)}. The same person also liked"


def _line(title: str) -> str:
    return f" {short_title(title)}."
