"""The item space: the language model's text vectors, centred on the catalogue, reduced and normalised.

Users' tastes, histories, generated sequences and policies are all functions of points in this space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.errors import InputError


@dataclass(frozen=True)
class ItemSpace:
    """A linear map from text vectors to item vectors; it is learned from item texts alone, without any interaction.

    components: float32 (dimensions, d_text), orthonormal rows.
    """

    components: NDArray[np.float32]

    @classmethod
    def fit(cls, text_vectors: NDArray[np.float32], dimensions: int = 64) -> ItemSpace:
        """Principal axes of the centred, normalised text vectors, shape (n, d_text).

        n different texts span at most min(n - 1, d_text) dimensions; asking for more gives those that there are, and
        at least 1.
        """
        centred = _centred(text_vectors)  # (n, d_text)
        _, spreads, axes = np.linalg.svd(centred, full_matrices=False)  # axes (min(n, d_text), d_text)
        # An axis along which no text differs is made of rounding errors: other on each machine, noise for new texts.
        existing = max(int((spreads > 1e-6).sum()), 1)
        components = axes[: min(dimensions, existing)]
        # An axis has no sign of its own: fix it, so that the same texts give the same space on every machine.
        largest = np.abs(components).argmax(axis=1)
        signs = np.sign(components[np.arange(len(components)), largest])
        return cls((components * signs[:, None]).astype(np.float32))

    @property
    def dimensions(self) -> int:
        """Length of an item vector."""
        return int(self.components.shape[0])

    def project(self, text_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Item vectors of unit length, shape (n, dimensions), from the text vectors of one catalogue (n, d_text).

        The mean is the given catalogue's own: centring is what makes cosine similarity of sentence vectors
        discriminate (Mu and Viswanath 2018, "All-but-the-top"), and another domain has another mean.
        """
        if text_vectors.shape[1] != self.components.shape[1]:
            raise InputError(
                f"text vectors have {text_vectors.shape[1]} dimensions, this item space was made for "
                f"{self.components.shape[1]}; use the encoder that the run was trained with"
            )
        return unit((_centred(text_vectors) @ self.components.T).astype(np.float32))


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors scaled to length 1 along the last axis; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=vectors.dtype)


def _centred(text_vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    directions = unit(text_vectors.astype(np.float64))
    return np.asarray(directions - directions.mean(axis=0, keepdims=True))
