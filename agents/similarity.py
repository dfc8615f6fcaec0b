"""`similarity`: what is nearest in meaning to the user's history, without any training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from zsr_sim.agents.best import best_page
from zsr_sim.agents.explanation import shares_of
from zsr_sim.encoders.history import Pooled
from zsr_sim.encoders.words import Words
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError
from zsr_sim.generation.retrieval import Retrieval

DECAY = 0.9  # weight of a history item relative to the one consumed after it
_BELOW = 10.0  # takes popularity, 0 .. 1, below every cosine


@dataclass(frozen=True)
class Similarity:
    """Shows the items with the highest P(x | u) = softmax(cos(h_x, h_u) / temperature).

    h_x: the item's vector. h_u: what the user's history comes to, by default the recency-decayed mean of its vectors;
    for a user without a history the vector of the profile text; a user who has neither gets the most popular items.

    temperature: > 0; the lower, the more of the probability is with the nearest items. It does not change their order.
    threshold: least cosine of an item that is near enough. Items below it follow behind, the most popular ones first:
    a page must be filled. -1 lets everything pass.
    words: where given, the cosine is (1 - share) cos(h_x, h_u) + share cos(w_x, w_u), w_u the recency-decayed sum of
    the history's bags of words. share: 0..1.
    """

    retrieval: Retrieval
    slate_size: int
    temperature: float = 0.1
    threshold: float = -1.0
    words: Words | None = None
    share: float = 0.0

    def act(self, observation: Observation) -> Decision:
        """The nearest page for each user."""
        if self.threshold > -1 or self.words:
            return Decision(best_page(self.scores(observation), observation, self.slate_size, self.retrieval.shelf))
        return Decision(self.retrieval.nearest(self.retrieval.read(observation, DECAY), observation, self.slate_size))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """Cosine of each item with the user, float32 (n, n_items); below the threshold by popularity, less 10."""
        scores = self._cosines(observation)
        if self.threshold > -1:
            scores = np.where(scores >= self.threshold, scores, self.retrieval.appeal - _BELOW)
        return scores

    def probabilities(self, observation: Observation) -> NDArray[np.float64]:
        """P(x | u) over the items at or above the threshold, float64 (n, n_items); rows sum to 1, or 0 without any."""
        scores = self._cosines(observation).astype(np.float64)
        logits = np.where(scores >= self.threshold, scores / self.temperature, -np.inf)
        total = logsumexp(logits, axis=1, keepdims=True)
        return np.asarray(np.exp(logits - np.where(np.isfinite(total), total, 0.0)))

    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Shares of the history items in the cosine, float64 (n, length): each adds its weight times its own cosine.

        Raises InputError where a history encoder is in use that is no sum over the items.
        """
        histories = observation.histories
        if not isinstance(self.retrieval.history, Pooled | None):
            raise InputError("only pooled histories are a sum over their items; --set history.encoder=pooled explains")
        vectors = self.retrieval.vectors.astype(np.float64)
        weights = np.where(histories >= 0, self._decay ** np.arange(histories.shape[1] - 1, -1, -1), 0.0)
        parts = weights * np.einsum("nld,nd->nl", vectors[histories], vectors[items])  # (n, length)
        if self.words:
            length = np.linalg.norm(np.einsum("nl,nld->nd", weights, vectors[histories]), axis=1, keepdims=True)
            parts *= (1 - self.share) / np.maximum(length, 1e-12)
            parts += self.share * self.words.parts(histories, items, self._decay)
        return shares_of(parts, histories)

    @property
    def _decay(self) -> float:
        reader = self.retrieval.history
        return reader.decay if isinstance(reader, Pooled) else DECAY

    def _cosines(self, observation: Observation) -> NDArray[np.float32]:
        """Of each item with each user, float32 (n, n_items); popularity in 0 .. 1 for a user who is unknown."""
        cosines = self.retrieval.similarity(self.retrieval.read(observation, DECAY)).numpy()
        known = (observation.histories >= 0).any(axis=1)  # others have no words: a profile is a vector only
        if self.words and known.any():
            shared = self.words.cosines(observation.histories[known], self._decay)
            cosines[known] = (1 - self.share) * cosines[known] + self.share * shared
        return cosines
