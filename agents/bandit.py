"""`linucb` and `thompson`: contextual bandits on how item vectors relate to the user's; they learn in the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsr_sim.agents.item_features import N_FEATURES, item_features, shortlisted
from zsr_sim.config import AgentSettings, BanditSettings
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.noise import Purpose, normals
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import observe, show
from zsr_sim.envs.world import World
from zsr_sim.generation.candidates import CandidateSource

Kind = Literal["linucb", "thompson"]
_POSITION = 1  # further features: how far down the page an item was shown, for learning; 0 for choosing
_CHUNK = 64  # users whose whole catalogue is scored at once


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of an item's reward on its features: A = penalty I + sum of x x', b = sum of r x.

    a: float64 (p, p). b: float64 (p,). (Li, Chu, Langford and Schapire 2010, algorithm 1, one model for all items.)
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]

    @classmethod
    def fresh(cls, p: int, penalty: float) -> Ridge:
        """What is known before any reward."""
        return cls(penalty * np.eye(p), np.zeros(p))

    def learned(self, x: NDArray[np.float64], rewards: NDArray[np.float64]) -> Ridge:
        """With observations x (k, p) and their rewards (k,) added."""
        return Ridge(self.a + x.T @ x, self.b + x.T @ rewards)

    @property
    def theta(self) -> NDArray[np.float64]:
        """The estimate A^-1 b, (p,)."""
        return np.asarray(np.linalg.solve(self.a, self.b))

    @property
    def root(self) -> NDArray[np.float64]:
        """L (p, p) with L L' = A^-1: x' A^-1 x is the squared length of x' L."""
        return np.asarray(np.linalg.cholesky(np.linalg.inv(self.a)))


class Bandit:
    """Shows the items of a shortlist with the highest index: an optimistic estimate, or one drawn from the posterior.

    linucb: x' theta + exploration * sqrt(x' A^-1 x) (Li et al. 2010). thompson: x' theta~, with theta~ drawn for each
    user and page from N(theta, exploration^2 A^-1) (Agrawal and Goyal 2013), a function of the observation's key.
    x: `item_features` and, while learning, how far down the page the item stood, so that the places below, which fewer
    look at, do not count against an item. Once trained it does not learn any more: its answers are functions of the
    observation.
    """

    def __init__(self, kind: Kind, ridge: Ridge, exploration: float, source: CandidateSource, size: int) -> None:
        self.kind, self.ridge, self.exploration, self.source, self.size = kind, ridge, exploration, source, size
        self._theta, self._root = ridge.theta[:N_FEATURES], ridge.root[:N_FEATURES]

    def act(self, observation: Observation) -> Decision:
        """The page of the highest indices for each user."""
        among = shortlisted(self.source, observation, self.size)
        return Decision(among.best(self.index(observation, among.features), self.source.slate_size))

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """The estimates x' theta, float32 (n, n_items)."""
        n_items = len(self.source.retrieval.vectors)
        out = np.empty((len(observation), n_items), dtype=np.float32)
        for begin in range(0, len(observation), _CHUNK):
            part = observation.take(slice(begin, begin + _CHUNK))
            items = np.tile(np.arange(n_items, dtype=np.int32), (len(part), 1))
            out[begin : begin + _CHUNK] = _dot(item_features(part, items, self.source.retrieval), self._theta)
        return out

    def index(self, observation: Observation, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """By what items are chosen, float64 (n, m), for features (n, m, N_FEATURES)."""
        if self.kind == "linucb":
            spread = sum(_dot(features, column) ** 2 for column in self._root.T)  # x' A^-1 x
            return np.asarray(_dot(features, self._theta) + self.exploration * np.sqrt(spread))
        key = observation.seeds, observation.users, observation.steps
        z = normals(*key, Purpose.THOMPSON, self._root.shape[1])  # (n, p)
        drawn = self._theta + self.exploration * np.stack([_dot(z, row) for row in self._root], axis=1)
        return np.asarray((features * drawn[:, None, :]).sum(axis=2))

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `restore` needs beside a source."""
        tensors = {"a": torch.from_numpy(self.ridge.a), "b": torch.from_numpy(self.ridge.b)}
        return tensors, {"kind": self.kind, "exploration": self.exploration, "size": self.size}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], facts: dict[str, Any], source: CandidateSource) -> Bandit:
        """The bandit of a checkpoint."""
        ridge = Ridge(tensors["a"].numpy(), tensors["b"].numpy())
        return cls(facts["kind"], ridge, facts["exploration"], source, facts["size"])


def _dot(x: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """X (..., p) times a vector (p,), each row summed alone: a BLAS product would depend on the batch."""
    return np.asarray((x * vector).sum(axis=-1))


class BanditTrainer:
    """Lets users visit and learns from every page that they were shown."""

    KEPT: ClassVar[tuple[str, ...]] = ("ridge", "update")

    def __init__(
        self, kind: Kind, world: World, population: Population, source: CandidateSource, settings: BanditSettings,
        loop: AgentSettings, horizon: int, seed: int,
    ) -> None:  # fmt: skip
        self.kind, self.world, self.population, self.source = kind, world, population, source
        self.settings, self.loop, self.horizon, self.seed = settings, loop, horizon, seed
        self.ridge = Ridge.fresh(N_FEATURES + _POSITION, settings.penalty)
        self.update = 0

    @property
    def agent(self) -> Bandit:
        """The bandit as it is now; further updates do not change it."""
        return Bandit(self.kind, self.ridge, self.settings.exploration, self.source, self.settings.shortlist)

    def step(self) -> dict[str, float]:
        """Visits of users never seen before; what each page brought is known on the next one. Returns the figures."""
        n = self.loop.users
        ids = np.arange(n, dtype=np.int64) + self.update * n
        state = self.world.start(self.population.visit(ids), self.seed)
        returns, pages, clicks = np.zeros(n), 0, 0
        for _ in range(self.horizon):
            here = np.flatnonzero(state.present)
            if not len(here):
                break
            observation = observe(state).take(here)
            slates = self.agent.act(observation).slates
            features = item_features(observation, slates, self.source.retrieval)  # before the world moves on
            feedback = show(self.world, state, here, slates)
            self._learn(features, item_rewards(feedback, self.world)[here])
            returns += feedback.reward
            pages, clicks = pages + len(here), clicks + int(feedback.clicks.sum())
        self.update += 1
        return {
            "return": float(returns.mean()),
            "visit_length": pages / n,
            "click_rate": clicks / (pages * self.world.slate_size),
        }

    def _learn(self, features: NDArray[np.float64], rewards: NDArray[np.float64]) -> None:
        down = np.broadcast_to(1.0 - 1.0 / np.sqrt(1.0 + np.arange(rewards.shape[1])), rewards.shape)
        x = np.concatenate([features, down[:, :, None]], axis=2)
        self.ridge = self.ridge.learned(x.reshape(-1, x.shape[2]), rewards.ravel())


def item_rewards(feedback: Feedback, world: World) -> NDArray[np.float64]:
    """What each item of a page brought by itself, float64 (n, slate); a purchase counts at once."""
    w = world.rewards
    amounts = (feedback.clicks, feedback.likes, feedback.purchases, feedback.dwell)
    return np.asarray(sum(weight * amount.astype(np.float64) for weight, amount in zip(w, amounts, strict=True)))
