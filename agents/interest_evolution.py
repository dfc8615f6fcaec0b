"""Slates for RecSim's interest evolution (`zsr_sim.envs.recsim`): even draws, the best page now, the best use of time.

A user's time budget is what a recommender spends there: a good video gives part of its time back, a bad one costs more
than it lasts. The far-sighted strategy maximises minutes watched per minute of budget: with the rate `worth` at which
a strategy turns budget into minutes, it shows the slate of largest E[watched] - worth * E[spent]. The worth is learned
in the loop, by playing, as the fixed point of Dinkelbach (1967), "On nonlinear fractional programming", which for
renewal rewards is policy iteration (Ross 1970). That interests change is left out of account.

The policy gradient is told none of this: it reads interest in each candidate's topic and the candidate's quality, which
RecSim's agents observe, and learns from minutes watched alone (`SlatePolicy`).

`python -m zsr_sim.agents.interest_evolution --episodes 2000` prints what each earns.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zsr_sim.envs.noise import Purpose
from zsr_sim.envs.recsim import InterestEvolution, Session

Slates = NDArray[np.int64]
Strategy = Callable[[Session], Slates]
SLATE_SIZE = 3  # as in the parity test (`tests/envs/test_recsim.py`)


def even_draws(world: InterestEvolution, session: Session) -> Slates:
    """Candidates drawn evenly, without repeats, (n, SLATE_SIZE)."""
    luck = session.draw(Purpose.POLICY, world.n_candidates)
    return np.argsort(luck, axis=1)[:, :SLATE_SIZE]


def best_use(world: InterestEvolution, session: Session, worth: float) -> Slates:
    """The slate of largest E[watched] - worth * E[spent], (n, SLATE_SIZE); worth 0: the most minutes on this page."""
    topics, quality = world.candidates(session)
    scores = np.take_along_axis(session.hidden, topics, axis=1) + 1.0  # (n, candidates)
    length = np.minimum(session.budget, world.video_length)[:, None]
    gain = length - worth * length * (1.0 - world.budget_gain * quality)  # (n, candidates), of each video if watched
    pairs = np.array(list(itertools.combinations(range(world.n_candidates), SLATE_SIZE)))  # (slates, SLATE_SIZE)
    shown = scores[:, pairs]  # (n, slates, SLATE_SIZE)
    clicked = (shown * gain[:, pairs]).sum(axis=2) - 2.0 * worth * world.step_penalty  # no click has score 2
    return np.asarray(pairs[(clicked / (shown.sum(axis=2) + 2.0)).argmax(axis=1)])


def play(world: InterestEvolution, strategy: Strategy, ids: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Minutes watched in each visit, (n,)."""
    session = world.start(ids, seed)
    watched = np.zeros(len(ids))
    while session.present.any():
        watched += world.step(session, strategy(session))
    return watched


def learned_worth(world: InterestEvolution, seed: int, rounds: int = 3, episodes: int = 300) -> float:
    """Minutes watched per minute of budget under the strategy that reckons with just that; from visits of its own."""
    worth = 0.0
    for round_number in range(rounds):
        ids = np.arange(episodes, dtype=np.int64) + round_number * episodes
        known = worth
        watched = play(world, lambda session, known=known: best_use(world, session, known), ids, seed)  # type: ignore[misc]
        worth = float(watched.mean()) / world.time_budget
    return worth


class SlatePolicy(nn.Module):
    """Draws a slate from the candidates, one video after the other (Plackett 1975, Luce 1959), by scores of a network.

    It reads two numbers of each: the user's interest in its topic, and its quality, both about -1 .. 1.
    """

    def __init__(self, seed: int, hidden: int = 16) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
            torch.manual_seed(seed)
            self.read, self.score = nn.Linear(2, hidden), nn.Linear(hidden, 1)
        nn.init.zeros_(self.score.weight)  # the first policy draws evenly
        nn.init.zeros_(self.score.bias)

    def forward(self, candidates: Tensor) -> Tensor:
        """Scores (n, candidates) of candidates (n, candidates, 2)."""
        scores: Tensor = self.score(torch.tanh(self.read(candidates)))
        return scores[:, :, 0]

    def log_probability(self, candidates: Tensor, slates: Tensor) -> Tensor:
        """Of drawing these slates (n, SLATE_SIZE) from candidates (n, candidates, 2), (n,)."""
        logits, total = self(candidates), torch.zeros(len(candidates))
        for place in range(SLATE_SIZE):
            pick = slates[:, place, None]
            total = total + torch.log_softmax(logits, dim=1).gather(1, pick)[:, 0]
            logits = logits.scatter(1, pick, -torch.inf)
        return total

    @torch.inference_mode()
    def slates(self, world: InterestEvolution, session: Session, greedy: bool = False) -> tuple[Tensor, Slates]:
        """What it reads of the candidates, and the slates that it draws, or likes best."""
        topics, quality = world.candidates(session)
        interest = np.take_along_axis(session.hidden, topics, axis=1)
        candidates = torch.from_numpy(np.stack([interest, quality / 3.0], axis=2)).float()
        scores = self(candidates).double().numpy()
        if not greedy:
            scores -= np.log(-np.log(session.draw(Purpose.POLICY, world.n_candidates)))  # Gumbel: Yellott 1977
        return candidates, np.argsort(-scores, axis=1, kind="stable")[:, :SLATE_SIZE]


def learned_policy(world: InterestEvolution, seed: int, updates: int = 60, episodes: int = 64) -> SlatePolicy:
    """REINFORCE (Williams 1992): minutes watched from a page on, less what its budget bought on average."""
    policy = SlatePolicy(seed)
    optimiser = torch.optim.Adam(policy.parameters(), 1e-2)
    for update in range(updates):
        session = world.start(np.arange(episodes, dtype=np.int64) + update * episodes, seed)
        pages: list[tuple[Tensor, Tensor, Tensor]] = []
        watched, budget = [], []
        while session.present.any():
            here = torch.from_numpy(session.present)
            budget.append(session.budget.clip(min=0.0))
            candidates, slates = policy.slates(world, session)
            watched.append(world.step(session, slates))
            pages.append((candidates[here], torch.from_numpy(slates)[here], here))
        to_come = np.cumsum(np.array(watched)[::-1], axis=0)[::-1]  # (pages, episodes)
        left = np.array(budget)
        gain = torch.from_numpy(to_come - to_come.sum() / left.sum() * left).float()
        read, shown, present = (torch.cat([page[k] for page in pages]) for k in range(3))
        gain = gain.flatten()[present]
        loss = -(policy.log_probability(read, shown) * gain / gain.std()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return policy


def measure(episodes: int, seed: int) -> dict[str, tuple[float, float]]:
    """Mean minutes watched and its standard error under each strategy, on visits that nothing was learned from."""
    world = InterestEvolution()
    worth, policy = learned_worth(world, seed), learned_policy(world, seed)
    strategies: dict[str, Strategy] = {
        "random": lambda session: even_draws(world, session),
        "myopic": lambda session: best_use(world, session, 0.0),
        "policy gradient": lambda session: policy.slates(world, session, greedy=True)[1],
        "far-sighted": lambda session: best_use(world, session, worth),
    }
    ids = np.arange(episodes, dtype=np.int64) + 2**40
    found = {name: play(world, strategy, ids, seed + 1) for name, strategy in strategies.items()}
    return {name: (float(v.mean()), float(v.std(ddof=1)) / math.sqrt(episodes)) for name, v in found.items()}


def main() -> None:
    """Print what each strategy earns, and how far ahead the policy gradient and the far-sighted rule are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = measure(asked.episodes, asked.seed)
    far, learned = found["far-sighted"][0], found["policy gradient"][0]
    for name, (mean, error) in found.items():
        ahead = f"policy gradient {100 * (learned / mean - 1):+.1f} %, far-sighted {100 * (far / mean - 1):+.1f} %"
        print(f"{name}: {mean:.2f} +- {1.96 * error:.2f} minutes; {ahead}")


if __name__ == "__main__":
    main()
