"""The words that texts share: what names, years and genres say, beside what the vectors say.

Sparse and dense vectors find different things. A sentence encoder knows what is alike in meaning, but it reads names as
meaning, and one year is to it much like another. No interaction is learned from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from zsr_sim.encoders.space import signed, unit

_ROUNDS = 6  # of the randomised decomposition (Halko, Martinsson and Tropp 2011)


class Words:
    """A catalogue's texts as bags of words of length 1, in which rare words weigh more.

    A word that stands c times in a text, and in df of n texts, weighs (1 + ln c) (1 + ln((1 + n) / (1 + df))) (tf-idf;
    Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"; logarithmic and smoothed).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        bags = TfidfVectorizer(analyzer=words_of, sublinear_tf=True).fit_transform(texts)
        self._bags = csr_array(bags)  # (n_items, words)

    def cosines(self, histories: NDArray[np.int32], decay: float) -> NDArray[np.float32]:
        """Cosine of each item with the recency-decayed sum of the history's bags, float32 (n, n_items), 0..1.

        histories: int32 (n, length), most recent last, padded left with -1. decay: weight of an item relative to the
        one consumed after it, 0..1. Zeros for a user without a history.
        """
        sums, norms = self._sums(histories, decay)
        found = (sums @ self._bags.T).toarray()  # (n, n_items)
        return np.asarray(found / norms[:, None], dtype=np.float32)

    def parts(self, histories: NDArray[np.int32], items: NDArray[np.int32], decay: float) -> NDArray[np.float64]:
        """What each history item adds to the cosine of `items`, int32 (n,): float64 (n, length), rows sum to it."""
        n, length = histories.shape
        _, norms = self._sums(histories, decay)
        shared = self._bags[histories.ravel()].multiply(self._bags[np.repeat(items, length)])
        cosines = np.asarray(shared.sum(axis=1)).reshape(n, length)
        return np.asarray(_ages(histories, decay) * cosines / norms[:, None])

    def _sums(self, histories: NDArray[np.int32], decay: float) -> tuple[csr_array, NDArray[np.float64]]:
        """Each user's decayed sum of bags (n, words), and its length (n,), a little above 0 for an empty one."""
        weights, (users, places) = _ages(histories, decay), np.nonzero(histories >= 0)
        entries = (weights[users, places], (users, histories[users, places]))
        sums = csr_array(csr_array(entries, shape=(len(histories), self._bags.shape[0])) @ self._bags)
        return sums, np.maximum(np.sqrt(np.asarray(sums.multiply(sums).sum(axis=1))), 1e-12)


@dataclass(frozen=True)
class WordSpace:
    """A place for each bag of words, in which texts whose words occur together are near (latent semantic analysis).

    words: those that two texts or more have in common; a word of one text alone tells nothing of another. idf:
    float64 (words,), how much each weighs (`Words`). axes: float32 (dimensions, words), orthonormal rows.
    """

    words: tuple[str, ...]
    idf: NDArray[np.float64]
    axes: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str], dimensions: int = 128) -> WordSpace:
        """The leading right singular vectors of the texts' tf-idf (Deerwester et al. 1990, "Indexing by LSA").

        At most as many dimensions as there are texts and shared words, so 0 where no two texts share a word.
        """
        vectoriser = TfidfVectorizer(analyzer=words_of, sublinear_tf=True, norm=None)
        bags = csr_array(vectoriser.fit_transform(texts))
        shared = np.flatnonzero(np.bincount(bags.indices, minlength=bags.shape[1]) > 1)
        words, idf = vectoriser.get_feature_names_out()[shared].tolist(), vectoriser.idf_[shared]
        bags = _unit_rows(bags[:, shared])
        most = min(dimensions, *bags.shape)
        if not most:
            return cls((), idf, np.zeros((0, 0), dtype=np.float32))
        _, spreads, axes = randomized_svd(bags, most, n_iter=_ROUNDS, random_state=0)
        axes = signed(axes[spreads > 1e-6])  # the rest is made of rounding errors
        return cls(tuple(words), idf, axes.astype(np.float32))

    def project(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Places of texts, float32 (n, dimensions), of length 1; zeros for a text without any of these words."""
        if not self.words:
            return np.zeros((len(texts), 0), dtype=np.float32)
        vectoriser = TfidfVectorizer(analyzer=words_of, sublinear_tf=True, norm="l2", vocabulary=self.words)
        vectoriser.idf_ = self.idf
        places = csr_array(vectoriser.transform(texts)) @ self.axes.T  # (n, dimensions)
        lengths = np.linalg.norm(places, axis=1, keepdims=True)
        return np.asarray(unit(np.where(lengths > 1e-6, places, 0.0)), dtype=np.float32)


def words_of(text: str) -> list[str]:
    """Words and numbers in lower case; a text without any is one word of its own."""
    return re.findall(r"\w+", text.lower()) or [text]


def _unit_rows(bags: csr_array) -> csr_array:
    """Each row (n, words) scaled to length 1; empty rows stay empty."""
    lengths = np.sqrt(np.asarray(bags.multiply(bags).sum(axis=1)))
    return csr_array(bags.multiply(1.0 / np.maximum(lengths, 1e-12)[:, None]))


def _ages(histories: NDArray[np.int32], decay: float) -> NDArray[np.float64]:
    """Weight of each history item, float64 (n, length); 0 beside padding."""
    weights = decay ** np.arange(histories.shape[1] - 1, -1, -1, dtype=np.float64)
    return np.where(histories >= 0, weights, 0.0)
