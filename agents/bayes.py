"""`bayes`: every item of the history votes for what comes next; votes are multiplied, computed in logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from zsr_sim.agents.best import best_page
from zsr_sim.agents.explanation import shares_of
from zsr_sim.agents.similarity import DECAY
from zsr_sim.encoders.space import unit
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.generation.retrieval import Retrieval

Prior = Literal["interest", "popularity"]
_CHUNK = 512  # items whose normalisers are summed at once


class Votes(Protocol):
    """Log-likelihoods p(y | x) of every item y of the catalogue, given an item x of a history."""

    def total(self, histories: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the history (n, length) of weight times log p(y | x_i), float64 (n, n_items)."""

    def contributions(self, histories: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Log p(item | x_i) less its mean over all items, float64 (n, length), for one item (n,) of each user."""


@dataclass
class TextVotes:
    """p(y | x) = exp(cos(x, y) / temperature) / sum over k of exp(cos(x, y_k) / temperature), from the item vectors.

    The product of such votes is log-linear in the vectors, so that their sum over a history takes one scalar product
    an item; it also means that with this likelihood `bayes` ranks as `similarity` does with the prior for weights.
    """

    vectors: NDArray[np.float32]
    temperature: float
    _normalisers: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._normalisers = np.full(len(self.vectors), np.nan)  # of items that nobody's history held so far

    def total(self, histories: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Votes`."""
        there = histories >= 0
        query = _weighted(self.vectors, histories, weights)  # (n, d)
        constant = np.where(there, weights * self._normaliser(histories), 0.0).sum(axis=1)  # (n,)
        return np.asarray(query @ self.vectors.T.astype(np.float64) / self.temperature - constant[:, None])

    def contributions(self, histories: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float64]:
        """See `Votes`."""
        vectors = self.vectors.astype(np.float64)
        ahead = vectors[items] - vectors.mean(axis=0)  # (n, d)
        return np.asarray(np.einsum("nld,nd->nl", vectors[histories], ahead) / self.temperature)

    def _normaliser(self, histories: NDArray[np.int32]) -> NDArray[np.float64]:
        """Log sum over k of exp(cos(x, y_k) / temperature) of each item x (n, length); garbage where it is -1."""
        known = np.unique(histories[histories >= 0])
        missing = known[np.isnan(self._normalisers[known])]
        vectors = self.vectors.astype(np.float64)
        for begin in range(0, len(missing), _CHUNK):
            rows = missing[begin : begin + _CHUNK]
            self._normalisers[rows] = logsumexp(vectors[rows] @ vectors.T / self.temperature, axis=1)
        return np.asarray(self._normalisers[histories])


def _weighted(
    vectors: NDArray[np.float32], histories: NDArray[np.int32], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    kept = np.where(histories >= 0, weights, 0.0)
    return np.asarray(np.einsum("nl,nld->nd", kept, vectors[histories].astype(np.float64)))


@dataclass
class Bayes:
    """p(y) proportional to the product over the history of [p(y | x_i) / sum over k of p(y_k | x_i)] ** w_i.

    w_i: m p(x_i), for a history of m items and a prior p that sums to 1 over it: how much item x_i has to say. (As a
    factor the prior would cancel: it does not depend on y. As an exponent it is the logarithmic opinion pool of Genest
    and Zidek 1986, and with an even prior the plain product.) prior: "interest", p falls by 0.9 with each item
    consumed after x_i; "popularity", p is proportional to 1 + how often x_i was consumed. A user without a history is
    answered by the profile text, whose vector votes as that of one item would; without either by popularity: p(y) is
    proportional to 1 + how often y was consumed.

    votes: where p(y | x) comes from; None for the item vectors, at `temperature`. items: of the history that vote, the
    latest ones; 0: all.
    """

    retrieval: Retrieval
    slate_size: int
    temperature: float = 0.1
    prior: Prior = "interest"
    votes: Votes | None = None
    items: int = 0

    def __post_init__(self) -> None:
        self._votes: Votes = self.votes or TextVotes(self.retrieval.vectors, self.temperature)

    def act(self, observation: Observation) -> Decision:
        """The page of the likeliest items."""
        if self.votes is None:  # log-linear: the order is that of the scalar product with the weighted history
            query = _weighted(self.retrieval.vectors, observation.histories, self._weights(observation.histories))
            if observation.profiles is not None:
                query = np.where(query.any(axis=1, keepdims=True), query, observation.profiles)
            return Decision(self.retrieval.nearest(unit(query).astype(np.float32), observation, self.slate_size))
        return Decision(best_page(self.scores(observation), observation, self.slate_size, self.retrieval.shelf))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """Log p(y), float32 (n, n_items)."""
        logs = self._votes.total(observation.histories, self._weights(observation.histories))  # (n, n_items)
        unknown = (observation.histories < 0).all(axis=1)
        logs[unknown] = np.log1p(self.retrieval.popularity.astype(np.float64))
        if observation.profiles is not None:
            unknown &= observation.profiles.any(axis=1)
            profiles = observation.profiles[unknown].astype(np.float64)
            logs[unknown] = profiles @ self.retrieval.vectors.T.astype(np.float64) / self.temperature
        return np.asarray(logs - logsumexp(logs, axis=1, keepdims=True), dtype=np.float32)

    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Shares of the votes that were higher for the item than for others on average, float64 (n, length)."""
        weights = self._weights(observation.histories)
        votes = self._votes.contributions(np.where(weights > 0, observation.histories, -1), items)
        return shares_of(weights * votes, observation.histories)

    def _weights(self, histories: NDArray[np.int32]) -> NDArray[np.float64]:
        """M p(x_i), float64 (n, length); 0 at the padding."""
        there = histories >= 0
        if self.items:
            there &= there[:, ::-1].cumsum(axis=1)[:, ::-1] <= self.items
        if self.prior == "interest":
            p = np.broadcast_to(DECAY ** np.arange(histories.shape[1] - 1.0, -1, -1), histories.shape)
        else:
            p = 1.0 + self.retrieval.popularity.astype(np.float64)[histories]
        p = np.where(there, p, 0.0)
        return np.asarray(p * there.sum(axis=1, keepdims=True) / np.maximum(p.sum(axis=1, keepdims=True), 1e-300))
