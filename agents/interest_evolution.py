"""Slates for RecSim's interest evolution (`zsr_sim.envs.recsim`): even draws, the best page now, the best use of time.

A user's time budget is what a recommender spends there: a good video gives part of its time back, a bad one costs more
than it lasts. The far-sighted strategy maximises minutes watched per minute of budget: with the rate `worth` at which
a strategy turns budget into minutes, it shows the slate of largest E[watched] - worth * E[spent]. The worth is learned
in the loop, by playing, as the fixed point of Dinkelbach (1967), "On nonlinear fractional programming", which for
renewal rewards is policy iteration (Ross 1970). That interests change is left out of account.

`python -m zsr_sim.agents.interest_evolution --episodes 2000` prints what each earns.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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


def measure(episodes: int, seed: int) -> dict[str, tuple[float, float]]:
    """Mean minutes watched and its standard error under each strategy, on visits that nothing was learned from."""
    world = InterestEvolution()
    worth = learned_worth(world, seed)
    strategies: dict[str, Strategy] = {
        "random": lambda session: even_draws(world, session),
        "myopic": lambda session: best_use(world, session, 0.0),
        "far-sighted": lambda session: best_use(world, session, worth),
    }
    ids = np.arange(episodes, dtype=np.int64) + 2**40
    found = {name: play(world, strategy, ids, seed + 1) for name, strategy in strategies.items()}
    return {name: (float(v.mean()), float(v.std(ddof=1)) / math.sqrt(episodes)) for name, v in found.items()}


def main() -> None:
    """Print what each strategy earns, and how far ahead the far-sighted one is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = measure(asked.episodes, asked.seed)
    far = found["far-sighted"][0]
    for name, (mean, error) in found.items():
        print(f"{name}: {mean:.2f} +- {1.96 * error:.2f} minutes; far-sighted {100 * (far / mean - 1):+.1f} %")


if __name__ == "__main__":
    main()
