"""What an item's text tells of who will consume it: meaning from sentence vectors, names and years from words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.encoders.words import WordSpace

# Held-out items of MovieTweetings and ml-latest-small are told as well with shares of .3 to .7 and with 256 word axes.
_WORDS, _WORD_AXES, _AXES = 0.5, 128, 192


def features_of(texts: Sequence[str], text_vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Items on common axes of meaning and words, float32 (n, at least `dimensions`), the widest first.

    text_vectors: (n, d_text). The principal axes of both kernels' mean: half of a cosine is that of the centred text
    vectors, half that of the words' places (`WordSpace`). There are 192, or as many as `dimensions` or the texts differ
    in; the first `dimensions` of each row have length 1, and zeros fill up what few texts leave open.
    """
    meaning, words = unit(text_vectors.astype(np.float64)), WordSpace.fit(texts, _WORD_AXES).project(texts)
    joined = np.concatenate(
        [np.sqrt(share) * unit(part - part.mean(axis=0)) for share, part in ((1 - _WORDS, meaning), (_WORDS, words))],
        axis=1,
    )  # (n, d_text + word axes)
    points = joined - joined.mean(axis=0)
    variances, axes = np.linalg.eigh(points.T @ points)  # ascending
    kept = np.flatnonzero(variances > 1e-9 * variances[-1])[::-1][: max(_AXES, dimensions)]
    largest = np.abs(axes[:, kept]).argmax(axis=0)  # an axis has no sign of its own
    places = points @ (axes[:, kept] * np.sign(axes[largest, kept]))  # (n, axes)
    lengths = np.linalg.norm(places[:, :dimensions], axis=1, keepdims=True)
    found = np.zeros((len(places), max(len(kept), dimensions)), dtype=np.float32)
    found[:, : len(kept)] = places / np.maximum(lengths, 1e-12)
    return found
