"""Two small worlds of RecSim, batched, to show that results can be held against those of the field.

Ie et al. (2019), "RecSim: a configurable simulation platform for recommender systems", and the code of
`recsim.environments.interest_evolution` and `recsim.environments.long_term_satisfaction`, whose defaults these are;
where its documentation and its code differ, the code is followed. Documents are new on every page. Every draw is a
function of (seed, user, page), so a user's visit is the same in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.columns import Columns
from zsr_sim.envs.noise import Purpose, normals, uniforms

Floats = NDArray[np.float64]


@dataclass
class Session(Columns):
    """Visits under way.

    ids: int64 (n,). seeds: uint64 (n,). steps: int64 (n,), pages seen. budget: float64 (n,), minutes or pages that are
    left. hidden: float64 (n, k), what the world hides of the user.
    """

    ids: NDArray[np.int64]
    seeds: NDArray[np.uint64]
    steps: NDArray[np.int64]
    budget: Floats
    hidden: Floats

    @property
    def present(self) -> NDArray[np.bool_]:
        """Who has budget left, bool (n,)."""
        return np.asarray(self.budget > 0)

    def draw(self, purpose: Purpose, count: int) -> Floats:
        """Uniforms of each user's present page, (n, count)."""
        return uniforms(self.seeds, self.ids, self.steps, purpose, count)


@dataclass(frozen=True)
class InterestEvolution:
    """A user watches at most one video of a slate; bad videos cost time, and interests follow what is seen.

    The experiment of Ie et al. (2019), "SlateQ: a tractable decomposition for reinforcement learning with
    recommendation sets", section 7.
    """

    n_candidates: int = 10
    n_topics: int = 20
    time_budget: float = 200.0
    video_length: float = 4.0
    step_penalty: float = 0.5
    quality_noise: float = 0.1
    budget_gain: float = 0.9 / 3.4
    """Share of a video's time that a unit of its quality gives back."""

    def start(self, ids: NDArray[np.int64], seed: int) -> Session:
        """New visits; hidden: interest in each topic, uniform in -1 .. 1."""
        n = len(ids)
        interests = 2.0 * uniforms(seed, ids, 0, Purpose.INTERESTS, self.n_topics) - 1.0
        seeds = np.full(n, seed, dtype=np.uint64)
        return Session(ids, seeds, np.zeros(n, dtype=np.int64), np.full(n, self.time_budget), interests)

    def candidates(self, session: Session) -> tuple[NDArray[np.int64], Floats]:
        """Topic and quality of the videos on offer, (n, n_candidates) each: trash in 70 % of topics, down to -3."""
        topics = (session.draw(Purpose.RANDOM_ITEMS, self.n_candidates) * self.n_topics).astype(np.int64)
        trash = int(0.7 * self.n_topics)
        means = np.concatenate([np.linspace(-3.0, 0.0, trash), np.linspace(0.0, 3.0, int(0.3 * self.n_topics))])
        noise = normals(session.seeds, session.ids, session.steps, Purpose.QUALITY, self.n_candidates)
        return topics, means[topics] + self.quality_noise * noise

    def step(self, session: Session, slates: NDArray[np.int64]) -> Floats:
        """Show each user some of the candidates, rows (n, slate); minutes watched, (n,). `session` changes in place.

        Choice in proportion to score + 1, a score being the interest in the topic, and no click having score 1.
        """
        here, rows = session.present, np.arange(len(slates))
        topics, quality = self.candidates(session)
        topics, quality = topics[rows[:, None], slates], quality[rows[:, None], slates]  # (n, slate) each
        scores = np.take_along_axis(session.hidden, topics, axis=1) + 1.0  # (n, slate)
        edges = np.cumsum(np.concatenate([scores, np.full((len(slates), 1), 2.0)], axis=1), axis=1)
        choice, flip = session.draw(Purpose.CLICK, 2).T
        place = (edges < choice[:, None] * edges[:, -1:]).sum(axis=1)  # (n,), slate: nothing
        clicked = here & (place < slates.shape[1])
        place = np.minimum(place, slates.shape[1] - 1)
        topic, worth = topics[rows, place], quality[rows, place]
        interest = session.hidden[rows, topic]
        change = (0.3 - 0.3 * np.abs(interest)) * (1.0 - interest)
        moved = np.clip(np.where(flip < (interest + 1.0) / 2.0, interest + change, interest - change), -1.0, 1.0)
        session.hidden[rows[clicked], topic[clicked]] = moved[clicked]
        watched = np.where(clicked, np.minimum(session.budget, self.video_length), 0.0)
        spent = np.where(clicked, watched * (1.0 - self.budget_gain * worth), self.step_penalty)
        session.budget -= np.where(here, spent, 0.0)
        session.steps += here
        return watched


@dataclass(frozen=True)
class LongTermSatisfaction:
    """Choc and kale: clickbait engages more today and lowers satisfaction, which scales all later engagement.

    Net positive exposure p <- memory * p - 2 (clickbait - 1/2) + N(0, noise): RecSim's docstring has the opposite sign.
    """

    n_candidates: int = 10
    time_budget: int = 60
    memory: float = 0.7
    sensitivity: float = 0.01
    noise: float = 0.05
    choc: tuple[float, float] = (5.0, 1.0)
    kale: tuple[float, float] = (4.0, 1.0)
    """Mean and standard deviation of log engagement, of pure clickbait and of none."""

    def start(self, ids: NDArray[np.int64], seed: int) -> Session:
        """New visits; hidden: net positive exposure, uniform around 0 with width 1 / (1 - memory)."""
        n = len(ids)
        exposure = (uniforms(seed, ids, 0, Purpose.INTERESTS, 1) - 0.5) / (1.0 - self.memory)
        seeds = np.full(n, seed, dtype=np.uint64)
        return Session(ids, seeds, np.zeros(n, dtype=np.int64), np.full(n, float(self.time_budget)), exposure)

    def candidates(self, session: Session) -> Floats:
        """Clickbait score of what is on offer, (n, n_candidates), uniform in 0 .. 1."""
        return session.draw(Purpose.RANDOM_ITEMS, self.n_candidates)

    def step(self, session: Session, slates: NDArray[np.int64]) -> Floats:
        """Show each user some of the candidates, rows (n, slate), of which the first is consumed; engagement, (n,)."""
        here = session.present
        bait = np.take_along_axis(self.candidates(session), slates[:, :1], axis=1)[:, 0]
        z = normals(session.seeds, session.ids, session.steps, Purpose.CLICK, 2)  # (n, 2)
        exposure = session.hidden[:, 0]
        satisfaction = 1.0 / (1.0 + np.exp(-self.sensitivity * exposure))
        mean = (bait * self.choc[0] + (1.0 - bait) * self.kale[0]) * satisfaction
        sd = bait * self.choc[1] + (1.0 - bait) * self.kale[1]
        moved = self.memory * exposure - 2.0 * (bait - 0.5) + self.noise * z[:, 1]
        session.hidden[:, 0] = np.where(here, moved, exposure)
        session.budget -= here
        session.steps += here
        return np.where(here, np.exp(mean + sd * z[:, 0]), 0.0)
