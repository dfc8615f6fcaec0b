"""What a strategy that draws its pages draws from: exact probabilities of pages, for logs and off-policy estimates.

A page is drawn from a few candidate pages or, with the rest of the probability, evenly from all pages of different
items of a pool. All probabilities are conditional on the observation and hence on the candidates, which are a function
of it: importance weights between two strategies that meet the same observation are valid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.protocol import Agent, CheckedAgent
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class PageDistribution:
    """The pages that n users may be shown, with probabilities.

    items: int32 (n, candidates, slate_size), pages of different items; the same page may stand there twice.
    probabilities: float64 (n, candidates), >= 0. uniform: float64 (n,), the probability that the page is drawn evenly
    from the pool instead; each user's probabilities and `uniform` sum to 1. n_items: of the catalogue. excluded: int32
    (n, e), the rows of the catalogue that do not belong to the pool, ascending, without repeats, padded on the right
    with n_items.

    Raises ValueError for probabilities that do not sum to 1, or a pool without a page.
    """

    items: NDArray[np.int32]
    probabilities: NDArray[np.float64]
    uniform: NDArray[np.float64]
    n_items: int
    excluded: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int32))

    def __post_init__(self) -> None:
        n = len(self.uniform)
        if not self.excluded.size:
            object.__setattr__(self, "excluded", np.zeros((n, 0), dtype=np.int32))
        if self.items.shape[:2] != self.probabilities.shape or len(self.items) != n or len(self.excluded) != n:
            raise ValueError(
                f"items {self.items.shape}, probabilities {self.probabilities.shape}, uniform {self.uniform.shape} and "
                f"excluded {self.excluded.shape} do not fit each other"
            )
        total = self.probabilities.sum(axis=1) + self.uniform
        if n and not (np.abs(total - 1) <= _TOLERANCE).all():
            row = int(np.abs(total - 1).argmax())
            raise ValueError(f"probabilities of row {row} sum to {total[row]}, 1 expected")
        if n and self.pool.min() < self.items.shape[2]:
            raise ValueError(f"a pool of {self.pool.min()} items holds no page of {self.items.shape[2]}")

    def __len__(self) -> int:
        return len(self.uniform)

    @property
    def pool(self) -> NDArray[np.int64]:
        """int64 (n,), how many items evenly drawn pages are made of."""
        return np.asarray(self.n_items - (self.excluded < self.n_items).sum(axis=1))

    def draw(self, seeds: NDArray[np.uint64], users: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int32]:
        """A page for each user, int32 (n, slate_size), a function of its own (seed, user, step).

        Draws have 32 bits: an item of the pool is up to a share pool / 2**32 likelier than stated.
        """
        n, c, s = self.items.shape
        luck = uniforms(seeds, users, steps, Purpose.LOGGING, 1 + s)  # (n, 1 + s)
        chosen = (self.probabilities.cumsum(axis=1) <= luck[:, :1]).sum(axis=1)  # (n,), c for the uniform share
        # Rounding may leave the last cumulative sum below 1 where the uniform share is 0: then the last likely page.
        last = c - 1 - (self.probabilities[:, ::-1] > 0).argmax(axis=1) if c else np.zeros(n, dtype=np.int64)
        chosen = np.where(self.uniform > 0, chosen, np.minimum(chosen, last))
        pages = self._even_pages(luck[:, 1:])
        listed = chosen < c
        pages[listed] = self.items[listed, chosen[listed]]
        return pages

    def _even_pages(self, luck: NDArray[np.float64]) -> NDArray[np.int32]:
        """Pages of different items of the pool, int32 (n, s), from uniforms (n, s)."""
        ranks = np.empty(luck.shape, dtype=np.int64)
        for k in range(luck.shape[1]):
            left = np.floor(luck[:, k] * (self.pool - k)).astype(np.int64)
            ranks[:, k] = _skip(left, np.sort(ranks[:, :k], axis=1))
        missing = np.where(self.excluded < self.n_items, self.excluded, np.iinfo(np.int32).max)
        return np.stack([_skip(ranks[:, k], missing) for k in range(luck.shape[1])], axis=1).astype(np.int32)

    def slate_propensity(self, slates: NDArray[np.int32]) -> NDArray[np.float64]:
        """Probability of exactly these pages (n, slate_size), float64 (n,)."""
        return np.ascontiguousarray(self.prefix_propensity(slates)[:, -1])

    def position_propensity(self, slates: NDArray[np.int32]) -> NDArray[np.float64]:
        """Marginal probability of each item at its position, float64 (n, slate_size)."""
        agree = self.items == slates[:, None, :]  # (n, c, s)
        even = np.where(self._in_pool(slates), self.uniform[:, None] / self.pool[:, None], 0.0)
        return np.asarray((self.probabilities[:, :, None] * agree).sum(axis=1) + even)

    def prefix_propensity(self, slates: NDArray[np.int32]) -> NDArray[np.float64]:
        """Probability of the page down to each position, float64 (n, slate_size); the last is that of the page."""
        agree = np.logical_and.accumulate(self.items == slates[:, None, :], axis=2)  # (n, c, s)
        remaining = self.pool[:, None] - np.arange(slates.shape[1])  # (n, s)
        possible = np.logical_and.accumulate(self._in_pool(slates) & ~_repeated(slates), axis=1)
        even = self.uniform[:, None] * np.cumprod(1.0 / remaining, axis=1)
        return np.asarray((self.probabilities[:, :, None] * agree).sum(axis=1) + np.where(possible, even, 0.0))

    def _in_pool(self, slates: NDArray[np.int32]) -> NDArray[np.bool_]:
        return np.asarray(~(slates[:, :, None] == self.excluded[:, None, :]).any(axis=2))  # (n, s)

    def explored(self, epsilon: float) -> PageDistribution:
        """With probability `epsilon` an evenly drawn page of the pool instead, 0..1."""
        kept = 1.0 - epsilon
        uniform = epsilon + kept * self.uniform
        return PageDistribution(self.items, kept * self.probabilities, uniform, self.n_items, self.excluded)


def _skip(ranks: NDArray[np.int64], missing: NDArray[np.integer]) -> NDArray[np.int64]:
    """The `ranks`-th (n,) whole numbers, from 0, among those that are not `missing` (n, k), ascending rows.

    Of the numbers below the answer, those missing are exactly the missing[i] with missing[i] - i <= rank.

    >>> _skip(np.array([0, 1, 2]), np.array([[1, 2]] * 3))
    array([0, 3, 4])
    """
    below = missing - np.arange(missing.shape[1]) <= ranks[:, None]
    return np.asarray(ranks + below.sum(axis=1))


def _repeated(slates: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each item (n, s) stands on its page before."""
    same = slates[:, :, None] == slates[:, None, :]  # (n, s, s)
    return np.asarray(np.tril(same, k=-1).any(axis=2))


def seen_items(observation: Observation, n_items: int, slate_size: int) -> NDArray[np.int32]:
    """What evenly drawn pages leave out, as `PageDistribution.excluded`: consumed before or shown in this visit.

    Where fewer than a page's items would be left, nothing is left out.
    """
    seen = np.sort(np.concatenate([observation.histories, observation.shown], axis=1), axis=1)  # (n, e)
    again = np.zeros(seen.shape, dtype=np.bool_)
    again[:, 1:] = seen[:, 1:] == seen[:, :-1]
    seen[again | (seen < 0)] = n_items
    seen[n_items - (seen < n_items).sum(axis=1) < slate_size] = n_items
    return np.ascontiguousarray(np.sort(seen, axis=1), dtype=np.int32)


@runtime_checkable
class Drawing(Protocol):
    """An agent that draws its pages and knows from what; offered beside `act`."""

    def distribution(self, observation: Observation) -> PageDistribution:
        """What each user's page is drawn from; a pure function of each user's own observation."""


def page_distribution(agent: Agent, observation: Observation, n_items: int) -> PageDistribution:
    """An agent's distribution; for one that does not draw, all probability is on the page that it shows.

    Raises InputError where the agent's own distribution is of other users or another catalogue.
    """
    inner = agent.agent if isinstance(agent, CheckedAgent) else agent
    if not isinstance(inner, Drawing):
        slates = np.ascontiguousarray(agent.act(observation).slates, dtype=np.int32)
        n, s = slates.shape
        excluded = seen_items(observation, n_items, s)
        return PageDistribution(slates[:, None, :], np.ones((n, 1)), np.zeros(n), n_items, excluded)
    found = inner.distribution(observation)
    if len(found) != len(observation) or found.n_items != n_items:
        name = agent.name if isinstance(agent, CheckedAgent) else type(agent).__name__
        raise InputError(
            f"agent {name}: distribution() speaks of {len(found)} users and {found.n_items} items; "
            f"{len(observation)} and {n_items} expected"
        )
    return found


def sampled(agent: Agent, n_items: int, epsilon: float = 0.0) -> Sampled:
    """The agent as one that draws, exploring with probability `epsilon`; InputError outside 0..1."""
    if not 0.0 <= epsilon <= 1.0:
        raise InputError(f"--explore {epsilon:g}: a probability from 0 to 1 expected")
    return Sampled(agent, n_items, epsilon)


@dataclass(frozen=True)
class Sampled:
    """Draws each page from another agent's distribution; with probability `epsilon` an evenly drawn page instead."""

    agent: Agent
    n_items: int
    epsilon: float = 0.0

    def distribution(self, observation: Observation) -> PageDistribution:
        """The agent's own distribution, mixed with evenly drawn pages."""
        return page_distribution(self.agent, observation, self.n_items).explored(self.epsilon)

    def act(self, observation: Observation) -> Decision:
        """A drawn page for each user."""
        drawn = self.distribution(observation).draw(observation.seeds, observation.users, observation.steps)
        return Decision(drawn)


@dataclass(frozen=True)
class Greedy:
    """An agent as it acts, whatever it could draw from: all probability on the page that it shows."""

    agent: Agent

    def act(self, observation: Observation) -> Decision:
        """The agent's own decision."""
        return self.agent.act(observation)
