"""`policy-gradient` with `agent.algorithm=top-k`: item by item, off-policy, from a log with propensities.

The top-K corrected REINFORCE of Chen, Beutel, Covington, Jain, Belletti and Chi (2019), "Top-K off-policy correction
for a REINFORCE recommender system".
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.agents.bandit import item_rewards
from zsr_sim.agents.item_features import N_FEATURES, Shortlist, shortlisted
from zsr_sim.config import AgentSettings
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import observe, show
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import CandidateSource
from zsr_sim.generation.relations import N_CONTEXT

SHORTLIST = 60  # items among which the policy chooses
_MOST_WEIGHT = 10.0  # at which importance weights are cut (Chen et al. 2019, section 4.4)


def top_k_loss(
    log_p: Tensor, actions: Tensor, propensities: Tensor, gains: Tensor, k: int, most: float = _MOST_WEIGHT
) -> Tensor:
    """Minus the surrogate whose gradient is the top-K corrected one (Chen et al. 2019, eq. 6 and 7).

    mean of min(pi / beta, most) * lambda_K * gain * log pi, with lambda_K = K (1 - pi) ** (K - 1), both factors held
    constant: where an item is likely to be on a page of K anyway, more of its probability gains nothing.

    log_p: (n, m), log pi of each item of a shortlist. actions: int64 (n,), which item was shown. propensities: (n,),
    beta, with which it was shown. gains: (n,), return less a baseline.
    """
    taken = log_p.gather(1, actions[:, None])[:, 0]  # (n,)
    pi = taken.detach().exp()
    weight = (pi / propensities).clamp(max=most) * k * (1 - pi) ** (k - 1)
    return -(weight * gains * taken).mean()


class ItemScorer(nn.Module):
    """Reads how an item relates to a user and where the user stands; one number for each item."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(N_FEATURES + N_CONTEXT, hidden), nn.Tanh())
        self.score = nn.Linear(hidden, 1)
        nn.init.zeros_(self.score.weight)  # the first policy draws evenly
        nn.init.zeros_(self.score.bias)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Logits (n, m), from features (n, m, N_FEATURES) and context (n, N_CONTEXT)."""
        wide = context[:, None, :].expand(-1, features.shape[1], -1)
        logits: Tensor = self.score(self.read(torch.cat([features, wide], dim=2)))[:, :, 0]
        return logits


class TopK:
    """Shows the items of a shortlist that the learned policy finds likeliest."""

    def __init__(self, scorer: ItemScorer, source: CandidateSource) -> None:
        self.scorer, self.source = scorer, source
        self._scorer = copy.deepcopy(scorer).double().eval()  # a choice must not depend on the batch

    def act(self, observation: Observation) -> Decision:
        """The page of the likeliest items for each user."""
        among = shortlisted(self.source, observation, SHORTLIST)
        return Decision(among.best(self.logits(among), self.source.slate_size))

    @torch.inference_mode()
    def logits(self, among: Shortlist) -> NDArray[np.float64]:
        """Of the shortlisted items, float64 (n, m)."""
        found = self._scorer(torch.from_numpy(among.features), torch.from_numpy(among.context).double())
        return np.asarray(found.float().double().numpy())  # rounded: equal items tie whatever the batch

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `restore` needs beside a source."""
        return dict(self.scorer.state_dict()), {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], hidden: int, source: CandidateSource) -> TopK:
        """The agent of a checkpoint."""
        scorer = ItemScorer(hidden)
        scorer.load_state_dict(tensors)
        return cls(scorer, source)


@dataclass
class ItemLog:
    """Items that were shown, one row each: what is learned from.

    features: (p, m, N_FEATURES) and context (p, N_CONTEXT) of each page's shortlist. pages: int64 (n,), on which of the
    p pages an item stood. actions: int64 (n,), which item of the shortlist it is. propensities, gains: (n,).
    """

    features: Tensor
    context: Tensor
    pages: Tensor
    actions: Tensor
    propensities: Tensor
    gains: Tensor


class TopKTrainer:
    """Logs visits under pages drawn evenly from the shortlist, and learns from that log, off-policy, update by update.

    The log holds the exact propensity of each item at its position: 1 / m. An item's gain is what it brought by itself
    and the discounted rest of the visit, less the mean of these over all users at that page and position, in standard
    deviations.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("scorer", "optimiser", "rng", "update")

    def __init__(
        self, world: World, population: Population, source: CandidateSource, settings: AgentSettings, horizon: int,
        seed: int,
    ) -> None:  # fmt: skip
        self.world, self.population, self.source = world, population, source
        self.settings, self.horizon, self.seed = settings, horizon, seed
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            self.scorer = ItemScorer(settings.hidden)
        self.optimiser = torch.optim.Adam(self.scorer.parameters(), settings.learning_rate)
        self.rng = torch.Generator().manual_seed(seed)
        self.update = 0

    @property
    def agent(self) -> TopK:
        """The agent as it is now."""
        return TopK(copy.deepcopy(self.scorer), self.source)

    def step(self) -> dict[str, float]:
        """Visits of users never seen before, logged, then learned from. `return` is that of the logged visits."""
        ids = np.arange(self.settings.users, dtype=np.int64) + self.update * self.settings.users
        log, figures = self.collect(ids)
        losses = [
            self.learn(log, rows)
            for _ in range(self.settings.epochs)
            for rows in torch.randperm(len(log.actions), generator=self.rng).split(self.settings.minibatch)
        ]
        self.update += 1
        return figures | {"policy_loss": float(np.mean(losses))}

    def collect(self, ids: NDArray[np.int64]) -> tuple[ItemLog, dict[str, float]]:
        """The log of these users' visits, and its figures."""
        n, s = len(ids), self.world.slate_size
        state = self.world.start(self.population.visit(ids), self.seed)
        own = np.zeros((self.horizon, n, s))  # what each item brought
        present, shown = np.zeros((self.horizon, n), dtype=np.bool_), []
        clicks = 0
        for t in range(self.horizon):
            here = np.flatnonzero(state.present)
            if not len(here):
                break
            observation = observe(state).take(here)
            among = shortlisted(self.source, observation, SHORTLIST)
            m = among.items.shape[1]
            luck = uniforms(observation.seeds, observation.users, observation.steps, Purpose.POLICY, m)
            actions = np.argsort(luck, axis=1)[:, :s]  # (here, s), without repeats, each item 1 / m at each position
            feedback = show(self.world, state, here, np.take_along_axis(among.items, actions, axis=1))
            own[t], present[t, here] = item_rewards(feedback, self.world), True
            clicks += int(feedback.clicks.sum())
            shown.append((t, here, among, actions))
        figures = {
            "return": float(own.sum() / n),
            "visit_length": float(present.sum() / n),
            "click_rate": clicks / (int(present.sum()) * s),
        }
        return self._joined(shown, item_gains(own, present, self.settings.discount)), figures

    def _joined(
        self, shown: list[tuple[int, NDArray[np.int64], Shortlist, NDArray[np.int64]]], gains: NDArray[np.float64]
    ) -> ItemLog:
        parts, before = [], 0
        for t, here, among, actions in shown:
            pages = before + np.repeat(np.arange(len(here)), actions.shape[1])
            parts.append((among.features, among.context, pages, actions.ravel(), gains[t, here].ravel()))
            before += len(here)
        features, context, on, action, gain = (np.concatenate(part) for part in zip(*parts, strict=True))
        return ItemLog(
            torch.from_numpy(features).float(), torch.from_numpy(context), torch.from_numpy(on),
            torch.from_numpy(action), torch.full((len(action),), 1.0 / features.shape[1]),
            torch.from_numpy(gain).float(),
        )  # fmt: skip

    def learn(self, log: ItemLog, rows: Tensor) -> float:
        """One gradient step on these rows of a log; the loss before it."""
        pages = log.pages[rows]
        log_p = torch.log_softmax(self.scorer(log.features[pages], log.context[pages]), dim=1)
        loss = top_k_loss(log_p, log.actions[rows], log.propensities[rows], log.gains[rows], self.world.slate_size)
        entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
        self.optimiser.zero_grad()
        (loss - self.settings.entropy * entropy).backward()
        nn.utils.clip_grad_norm_(self.scorer.parameters(), 0.5)
        self.optimiser.step()
        return float(loss.detach())


class LoggedTopKTrainer(TopKTrainer):
    """Learns from pages that somebody else showed: all of them in every update. The world is never asked.

    observations: of n users' pages, before each; items: int32 (n, s), what was shown; rewards and propensities: float64
    (n, s), of each item at its position; users: int64 (n,), whose visit a page belongs to, 0, 1, ...

    Items off the shortlist are beyond the policy, which shows them with probability 0: their weight is 0, and they are
    left out. Raises InputError where that leaves nothing.
    """

    def __init__(
        self, world: World, population: Population, source: CandidateSource, settings: AgentSettings, horizon: int,
        seed: int, logged: LoggedPages,
    ) -> None:  # fmt: skip
        super().__init__(world, population, source, settings, horizon, seed)
        self._log = self._read(logged)
        visits = len(np.unique(logged.users))
        self._figures = {
            "return": float(logged.rewards.sum() / visits),
            "visit_length": len(logged.users) / visits,
            "click_rate": float((logged.rewards > 0).mean()),
        }

    def collect(self, ids: NDArray[np.int64]) -> tuple[ItemLog, dict[str, float]]:
        """The log, whoever visits."""
        return self._log, dict(self._figures)

    def _read(self, logged: LoggedPages) -> ItemLog:
        among = shortlisted(self.source, logged.observations, SHORTLIST)
        there = among.items[:, None, :] == logged.items[:, :, None]  # (n, s, m)
        page, position = np.nonzero(there.any(axis=2))
        if not len(page):
            raise InputError("no item of the log is among what this strategy could show; log with --explore")
        gains = logged.gains(self.settings.discount)[page, position]
        return ItemLog(
            torch.from_numpy(among.features).float(), torch.from_numpy(among.context), torch.from_numpy(page),
            torch.from_numpy(there.argmax(axis=2)[page, position]),
            torch.from_numpy(logged.propensities[page, position]).float(), torch.from_numpy(gains).float(),
        )  # fmt: skip


@dataclass(frozen=True)
class LoggedPages:
    """What `LoggedTopKTrainer` learns from; see there."""

    observations: Observation
    items: NDArray[np.int32]
    rewards: NDArray[np.float64]
    propensities: NDArray[np.float64]
    users: NDArray[np.int64]

    def gains(self, discount: float) -> NDArray[np.float64]:
        """`item_gains` of each page, (n, s)."""
        steps = self.observations.steps
        shape = (int(steps.max()) + 1, int(self.users.max()) + 1)
        own, present = np.zeros((*shape, self.items.shape[1])), np.zeros(shape, dtype=np.bool_)
        own[steps, self.users], present[steps, self.users] = self.rewards, True
        return item_gains(own, present, discount)[steps, self.users]


def item_gains(own: NDArray[np.float64], present: NDArray[np.bool_], discount: float) -> NDArray[np.float64]:
    """Standardised gains of items, (steps, n, slate), from what each brought itself (steps, n, slate).

    own + discount * (the discounted rewards of later pages), less its mean over users at that page and position, over
    the standard deviation of all. present: (steps, n); absent users count for nothing.
    """
    later = np.zeros(own.shape[1])
    gains = np.zeros_like(own)
    for t in range(len(own) - 1, -1, -1):
        gains[t] = own[t] + discount * later[:, None]
        later = own[t].sum(axis=1) + discount * later
        here = present[t]
        if here.any():
            gains[t] -= gains[t, here].mean(axis=0)
    gains[~present] = 0.0
    spread = gains[present].std() if present.any() else 1.0
    return gains / max(spread, 1e-12)
