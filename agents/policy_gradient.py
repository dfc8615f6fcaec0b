"""The policy gradient: learns in the closed loop which candidate to show, generated or retrieved.

Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation (Schulman et al. 2016),
batched over users: each update plays whole visits of new users and takes a few passes over their pages, fewer where
these are plenty. Or REINFORCE with a learned baseline (Williams 1992): one pass, whole returns, no clipping.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from zsr_sim.agents.adam import Adam
from zsr_sim.agents.distribution import PageDistribution, seen_items
from zsr_sim.agents.scoring import CandidateScorer
from zsr_sim.agents.surrogate import Pages, descend, draw
from zsr_sim.config import AgentSettings
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.tables import F32
from zsr_sim.envs.visits import observe, show
from zsr_sim.envs.world import World
from zsr_sim.generation.candidates import SOURCES, CandidateSource
from zsr_sim.generation.relations import relations

_GENERATOR = SOURCES.index("generator")
_HASTE, _PAGES = 5.0, 2000  # how much further than the settings say the first update goes; pages for each part of that
_FASTEST = 5e-3  # learning rate that this may lead to
_LONGEST = 0.5  # length that gradients are cut down to

Feedback = Callable[[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]], None]
"""Called with (histories, pages, clicks) of the generated pages that users were shown; a click belongs to an item."""
OnPages = Callable[[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64]], float]
"""Called with (evidence, pages, clicks, users) of all pages that users were shown in an update, each user's in order;
answers with a log-loss."""


class PolicyGradient:
    """Shows the candidate that the trained network scores highest."""

    def __init__(self, scorer: CandidateScorer, source: CandidateSource) -> None:
        self.source = source
        self._scorer = copy.deepcopy(scorer)

    def learn_from(self, scorer: CandidateScorer) -> None:
        """Decide with these weights from now on."""
        self._scorer.set_weights(scorer.weights())

    def act(self, observation: Observation) -> Decision:
        """The best candidate page for each user."""
        candidates = self.source.candidates(observation)
        logits, _ = self.judge(*relations(observation, candidates, self.source.retrieval))
        actions = logits.argmax(axis=1)
        chosen = candidates.sources[np.arange(len(actions)), actions]
        return Decision(candidates.chosen(actions), tuple(SOURCES[s] for s in chosen), candidates.accepted)

    def distribution(self, observation: Observation) -> PageDistribution:
        """The stochastic policy that was learned: softmax of the scores over the candidates (`act` takes the best)."""
        candidates = self.source.candidates(observation)
        logits, _ = self.judge(*relations(observation, candidates, self.source.retrieval))
        n_items = len(self.source.retrieval.vectors)
        excluded = seen_items(observation, n_items, self.source.slate_size)
        return PageDistribution(candidates.items, softmax(logits, axis=1), np.zeros(len(logits)), n_items, excluded)

    def judge(self, pages: F32, context: F32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logits (n, candidates) and values (n,) from `relations`."""
        logits, values = self._scorer(pages, context)
        return logits.astype(np.float64), values.astype(np.float64)


@dataclass
class Rollout:
    """Pages of one update's visits, an entry per step; k users are shown one then."""

    pages: list[Pages] = field(default_factory=list)  # (k)
    users: list[NDArray[np.int64]] = field(default_factory=list)  # (k,), row of the user
    rewards: list[NDArray[np.float64]] = field(default_factory=list)  # (k,)
    generated: list[NDArray[np.bool_]] = field(default_factory=list)  # (k,)
    shown: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = field(default_factory=list)  # histories, pages
    clicks: list[NDArray[np.bool_]] = field(default_factory=list)  # (k, slate)
    accepted: list[float] = field(default_factory=list)
    evidence: list[NDArray[np.float32]] = field(default_factory=list)  # (k, slate, N_EVIDENCE)


def generalised_advantages(
    rewards: NDArray[np.float64], values: NDArray[np.float64], present: NDArray[np.bool_], discount: float, lam: float
) -> NDArray[np.float64]:
    """GAE (Schulman et al. 2016, eq. 16) over (steps, n); a visit ends where `present` ends, with value 0 after it.

    >>> generalised_advantages(np.array([[1.0], [2.0]]), np.zeros((2, 1)), np.ones((2, 1), bool), 0.5, 1.0).ravel()
    array([2., 2.])
    """
    advantages = np.zeros_like(rewards)
    running = np.zeros(rewards.shape[1])
    following = np.zeros(rewards.shape[1])
    for t in range(len(rewards) - 1, -1, -1):
        delta = rewards[t] + discount * following - values[t]
        running = np.where(present[t], delta + discount * lam * running, 0.0)
        following = np.where(present[t], values[t], 0.0)
        advantages[t] = running
    return advantages


class PolicyGradientTrainer:
    """Learns a `CandidateScorer` in the closed loop."""

    KEPT: ClassVar[tuple[str, ...]] = ("scorer", "agent._scorer", "optimiser", "rng", "update", "_scale")

    def __init__(
        self,
        world: World,
        population: Population,
        source: CandidateSource,
        settings: AgentSettings,
        horizon: int,
        seed: int,
        feedback: Feedback | None = None,
        feedback_interval: int = 0,
        on_pages: OnPages | None = None,
    ) -> None:
        self.world, self.population, self.settings, self.horizon, self.seed = world, population, settings, horizon, seed
        self.feedback, self.feedback_interval, self.on_pages = feedback, feedback_interval, on_pages
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            self.scorer = CandidateScorer(settings.hidden)
        self.agent = PolicyGradient(self.scorer, source)
        self.optimiser = Adam.begun(len(self.scorer.weights()))
        self.rng = torch.Generator().manual_seed(seed)
        self.update = 0
        self._reinforce = settings.algorithm == "reinforce"
        self._scale: float | None = None  # rewards are learned in units of the first returns' standard deviation

    def step(self) -> dict[str, float]:
        """One update: play visits of users never seen before, learn from them. Returns the curves' figures."""
        ids = np.arange(self.settings.users, dtype=np.int64) + self.update * self.settings.users
        rollout, present, returns = self._play(ids)
        figures = self._learn(rollout, present)
        self.agent.learn_from(self.scorer)
        self.update += 1
        generated = np.concatenate(rollout.generated)
        figures |= {
            "return": float(returns.mean()),
            "visit_length": float(present.sum(axis=0).mean()),
            "click_rate": float(returns.sum() / (present.sum() * self.world.slate_size)),
            "generated_share": float(generated.mean()),
        }
        if rollout.accepted:
            figures["acceptance"] = float(np.mean(rollout.accepted))
        if self.on_pages and rollout.evidence:
            shown, clicks = np.concatenate([pages for _, pages in rollout.shown]), np.concatenate(rollout.clicks)
            users = np.concatenate(rollout.users)
            figures["click_loss"] = self.on_pages(np.concatenate(rollout.evidence), shown, clicks, users)
        # Not after the last update: the policy is used with the generator that it has learned with.
        due = self.feedback_interval and self.update % self.feedback_interval == 0 < self.settings.updates - self.update
        if self.feedback and due and generated.sum() > 1:
            histories, pages = (np.concatenate(part) for part in zip(*rollout.shown, strict=True))
            self.feedback(histories[generated], pages[generated], np.concatenate(rollout.clicks)[generated])
        return figures

    def haste(self, pages: int) -> float:
        """What an update that learns from so many pages multiplies its learning rate and its clipping with, 1 to 5.

        The first policy draws evenly, so a large step loses little and most is to be learned: so much at first, a half,
        a third ... of it later, and never below 1. Schulman et al. 2017 anneal both, too (their table 5, to 0 over the
        whole training). Few pages bear no large step: it learns a choice where there is nothing to learn. Always 1
        where a click model learns beside it: what is read of a page means another thing before that knows its users.
        """
        return max(1.0, min(_HASTE, pages / _PAGES) / (1 + self.update)) if self.on_pages is None else 1.0

    def learning_rate(self, pages: int) -> float:
        """Of an update that learns from so many pages."""
        rate = self.settings.learning_rate
        return max(rate, min(rate * self.haste(pages), _FASTEST))

    def _play(self, ids: NDArray[np.int64]) -> tuple[Rollout, NDArray[np.bool_], NDArray[np.float64]]:
        state = self.world.start(self.population.visit(ids), self.seed)
        n = len(ids)
        rollout, present, returns = Rollout(), np.zeros((self.horizon, n), dtype=np.bool_), np.zeros(n)
        for t in range(self.horizon):
            here = np.flatnonzero(state.present)
            if not len(here):
                break
            present[t, here] = True
            observation = observe(state).take(here)
            feedback = show(self.world, state, here, self._explore(rollout, observation))
            reward = feedback.reward.astype(np.float64)
            rollout.clicks.append(feedback.clicks[here])
            rollout.rewards.append(reward[here])
            rollout.users.append(here)
            returns += reward
        return rollout, present, returns

    def _explore(self, rollout: Rollout, observation: Observation) -> NDArray[np.int32]:
        """Draw a candidate for each user from the policy and note everything that learning needs."""
        candidates = self.agent.source.candidates(observation)
        pages, context = relations(observation, candidates, self.agent.source.retrieval)
        logits, values = self.scorer(pages, context)
        luck = uniforms(observation.seeds, observation.users, observation.steps, Purpose.POLICY, 1)
        rows, own = np.arange(len(logits)), np.empty(len(logits), dtype=np.float32)
        actions = np.empty(len(logits), dtype=np.int64)
        draw(logits, luck, actions, own)
        shown = candidates.chosen(actions)
        rollout.pages.append(Pages(pages, context, actions, own, values))
        rollout.generated.append(candidates.sources[rows, actions] == _GENERATOR)
        rollout.shown.append((observation.histories, shown))
        if candidates.accepted is not None:
            rollout.accepted.append(candidates.accepted)
        if candidates.evidence is not None:
            rollout.evidence.append(candidates.evidence[rows, actions])
        return shown

    def _learn(self, rollout: Rollout, present: NDArray[np.bool_]) -> dict[str, float]:
        here = present[: len(rollout.rewards)]  # (steps, n)
        rewards, values = np.zeros(here.shape), np.zeros(here.shape)
        for t, users in enumerate(rollout.users):
            rewards[t, users], values[t, users] = rollout.rewards[t], rollout.pages[t].values
        if self._scale is None:
            self._scale = max(float(rewards.sum(axis=0).std()), 1e-6)
        lam = 1.0 if self._reinforce else self.settings.gae_lambda  # REINFORCE: whole returns
        advantages = generalised_advantages(rewards / self._scale, values, here, self.settings.discount, lam)
        targets = (advantages + values)[here]  # (k,), step-major like the rollout
        figures = self._passes(Pages.joined(rollout.pages), advantages[here], targets)
        figures["explained_variance"] = float(1 - advantages[here].var() / max(targets.var(), 1e-12))
        return figures

    def _passes(self, pages: Pages, gain: NDArray[np.float64], targets: NDArray[np.float64]) -> dict[str, float]:
        weights = self.scorer.weights()
        steps = [
            self._gradient_step(weights, pages, rows, gain, targets)
            for rows in self._batches(len(gain))
            if len(rows) > 1  # advantages of one page cannot be normalised
        ]
        self.scorer.set_weights(weights)
        return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}

    def _batches(self, pages: int) -> Iterator[NDArray[np.int64]]:
        """Rows of each gradient step: `epochs` passes over the pages, up to `gradient_steps` or one whole pass.

        Further passes make up for few pages. Where there are many they earn nothing: on the films, with 1,024 users and
        20 updates, a return of +.005 [-.013, .023] with 40 steps instead of 56 (of 8.03; six seeds), -.05 with 28.
        """
        size, passes = self.settings.minibatch, range(1 if self._reinforce else self.settings.epochs)
        batches = (torch.randperm(pages, generator=self.rng).split(size) for _ in passes)
        most = max(self.settings.gradient_steps, math.ceil(pages / size))
        return (rows.numpy() for rows in itertools.islice(itertools.chain.from_iterable(batches), most))

    def _gradient_step(
        self, weights: F32, pages: Pages, rows: NDArray[np.int64], gain: NDArray[np.float64],
        targets: NDArray[np.float64],
    ) -> dict[str, float]:  # fmt: skip
        own, clip = gain[rows], self.settings.clip * self.haste(len(gain))
        own = (own - own.mean()) / (own.std(ddof=1) + 1e-8)  # per minibatch, as Huang et al. 2022, detail 7
        gradients, figures = descend(
            weights, self.scorer.hidden, pages, rows, own.astype(np.float32), targets[rows].astype(np.float32), clip,
            self.settings.entropy, self._reinforce,
        )  # fmt: skip
        length = self.optimiser.step(weights, gradients, self.learning_rate(len(gain)), _LONGEST)
        return figures | {"gradient_norm": length}
