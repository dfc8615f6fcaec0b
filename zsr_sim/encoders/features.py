"""What an item's text tells of who will consume it: meaning from sentence vectors, names and years from words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.encoders.space import signed, unit
from zsr_sim.encoders.words import WordSpace

# Held-out items of MovieTweetings and ml-latest-small are told as well with shares of .3 to .7 and with 256 word axes.
_WORDS, _WORD_AXES, _AXES = 0.5, 128, 192


@dataclass(frozen=True)
class FeatureSpace:
    """Common axes of meaning and words, the widest first, learned from texts alone.

    Half of a cosine is that of the centred text vectors, half that of the words' places. axes: float32 (features,
    d_text + word axes), orthonormal rows, the principal ones of both kernels' mean. dimensions: so many of an item's
    first features have length 1.
    """

    words: WordSpace
    axes: NDArray[np.float32]
    dimensions: int

    @classmethod
    def fit(cls, texts: Sequence[str], text_vectors: NDArray[np.float32], dimensions: int) -> FeatureSpace:
        """There are 192 axes, or as many as `dimensions` or the texts, with vectors (n, d_text), differ in."""
        words = WordSpace.fit(texts, _WORD_AXES)
        points = _joined(words, texts, text_vectors)
        variances, axes = np.linalg.eigh(points.T @ points)  # ascending
        kept = np.flatnonzero(variances > 1e-9 * variances[-1])[::-1][: max(_AXES, dimensions)]
        return cls(words, np.ascontiguousarray(signed(axes[:, kept].T), dtype=np.float32), dimensions)

    def project(self, texts: Sequence[str], text_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of a catalogue's items, float32 (n, features); its own mean is taken out.

        Words that are not known say nothing.
        """
        places = _joined(self.words, texts, text_vectors) @ self.axes.T.astype(np.float64)
        lengths = np.linalg.norm(places[:, : self.dimensions], axis=1, keepdims=True)
        return np.asarray(places / np.maximum(lengths, 1e-12), dtype=np.float32)

    def tensors(self) -> dict[str, Tensor]:
        """What `restore` needs beside `facts`."""
        arrays = {"axes": self.axes, "word_axes": self.words.axes, "idf": self.words.idf}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def facts(self) -> dict[str, Any]:
        """What `restore` needs beside `tensors`; JSON."""
        return {"words": list(self.words.words), "dimensions": self.dimensions}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> FeatureSpace:
        """The space that these were of. Raises KeyError where something is missing."""
        words = WordSpace(tuple(facts["words"]), tensors["idf"].numpy(), tensors["word_axes"].numpy())
        return cls(words, tensors["axes"].numpy(), facts["dimensions"])


def features_of(texts: Sequence[str], text_vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Items on axes of their own, float32 (n, at least `dimensions`): zeros fill up what few texts leave open."""
    values = FeatureSpace.fit(texts, text_vectors, dimensions).project(texts, text_vectors)
    return np.pad(values, ((0, 0), (0, max(dimensions - values.shape[1], 0))))


@dataclass(frozen=True)
class Features:
    """What a generator reads of a catalogue's texts: values, float32 (n_items, features), and where they lie."""

    space: FeatureSpace
    values: NDArray[np.float32]

    @classmethod
    def of(cls, texts: Sequence[str], text_vectors: NDArray[np.float32], space: FeatureSpace) -> Features:
        """Of a catalogue's texts, with vectors (n_items, d_text)."""
        return cls(space, space.project(texts, text_vectors))


def _joined(words: WordSpace, texts: Sequence[str], text_vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Meaning and words beside each other, each centred and of length 1, centred again: (n, d_text + word axes)."""
    meaning, told = unit(text_vectors.astype(np.float64)), words.project(texts).astype(np.float64)
    known = told.any(axis=1, keepdims=True)
    places = unit(meaning - meaning.mean(axis=0)), known * unit(told - told.mean(axis=0))
    joined = np.concatenate([np.sqrt(1 - _WORDS) * places[0], np.sqrt(_WORDS) * places[1]], axis=1)
    return np.asarray(joined - joined.mean(axis=0))
