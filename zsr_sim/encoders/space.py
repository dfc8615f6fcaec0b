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

    components: float32 (dimensions, d_text), orthonormal rows. centred: whether a catalogue's mean direction is taken
    out; sentence vectors share most of theirs. normalised: whether item vectors have length 1; without it, texts far
    from the mean weigh more.
    """

    components: NDArray[np.float32]
    centred: bool = True
    normalised: bool = True

    @classmethod
    def fit(
        cls, text_vectors: NDArray[np.float32], dimensions: int = 64, centred: bool = True, normalised: bool = True
    ) -> ItemSpace:
        """Principal axes of the centred, normalised text vectors, shape (n, d_text).

        n different texts span at most min(n - 1, d_text) dimensions; asking for more gives those that there are, and
        at least 1.
        """
        directions = unit(text_vectors.astype(np.float64))  # (n, d_text)
        points = directions - directions.mean(axis=0) if centred else directions
        _, spreads, axes = np.linalg.svd(points, full_matrices=False)  # axes (min(n, d_text), d_text)
        # An axis along which no text differs is made of rounding errors: other on each machine, noise for new texts.
        existing = max(int((spreads > 1e-6).sum()), 1)
        return cls(signed(axes[: min(dimensions, existing)]).astype(np.float32), centred, normalised)

    @property
    def dimensions(self) -> int:
        """Length of an item vector."""
        return int(self.components.shape[0])

    def centre(self, text_vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The mean direction of a catalogue's text vectors (n, d_text), float64 (d_text,); zeros in a space without."""
        if not self.centred:
            return np.zeros(text_vectors.shape[1])
        return np.asarray(unit(text_vectors.astype(np.float64)).mean(axis=0))

    def project(
        self, text_vectors: NDArray[np.float32], centre: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """Item vectors, shape (n, dimensions), from the text vectors of one catalogue (n, d_text).

        centre: what is taken out of each direction, (d_text,); None for the given vectors' own mean: centring is what
        makes cosine similarity of sentence vectors discriminate (Mu and Viswanath 2018, "All-but-the-top"), and
        another domain has another mean. Texts that are no catalogue (histories, profiles) need one's centre.
        """
        if text_vectors.shape[1] != self.components.shape[1]:
            raise InputError(
                f"text vectors have {text_vectors.shape[1]} dimensions, this item space was made for "
                f"{self.components.shape[1]}; use the encoder that the run was trained with"
            )
        directions = unit(text_vectors.astype(np.float64))  # (n, d_text)
        taken = self.centre(text_vectors) if centre is None else centre
        points = ((directions - taken) @ self.components.T).astype(np.float32)
        return unit(points) if self.normalised else points


def signed(axes: NDArray[Any]) -> NDArray[Any]:
    """Axes (n, d) turned so that each one's largest entry in size is positive.

    An axis has no sign of its own: fixed, the same texts give the same space on every machine.
    """
    largest = np.abs(axes).argmax(axis=1)
    return np.asarray(axes * np.sign(axes[np.arange(len(axes)), largest])[:, None])


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors scaled to length 1 along the last axis; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=vectors.dtype)
