"""What a strategy is to everything else: it answers a batch of observations with a page for each user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.errors import InputError


class Agent(Protocol):
    """What one class of your own must offer, to be named as `module:Class` wherever a command takes an agent.

    It is constructed as `Class(retrieval=..., slate_size=...)`: a `zsr_sim.generation.retrieval.Retrieval` (item
    vectors, popularity, ready-made pages) and the number of items on a page.
    """

    def act(self, observation: Observation) -> Decision:
        """A page for each user: `Decision(slates)` with slates an integer array (len(observation), slate_size).

        A slate holds different rows of the catalogue, best first. It should be a function of the user's own row: then
        results do not depend on the batch size. Randomness: `zsr_sim.envs.noise.uniforms` with the observation's
        seeds, users and steps meets the same luck whenever the run is repeated.
        """


@runtime_checkable
class Scoring(Protocol):
    """What an agent may offer beside `act`: scores for all items, by which `recommend` and `evaluate ranking` rank."""

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """float32 (len(observation), n_items), finite, higher is better; items that the user has seen included.

        Whoever ranks leaves seen items out. Like a page, a row should be a function of the user's own row.
        """


@dataclass(frozen=True)
class CheckedAgent:
    """An agent under the name by which results call it; every page that it answers is checked.

    name: as a person typed it. n_items: of the catalogue.
    """

    name: str
    agent: Agent
    slate_size: int
    n_items: int

    def act(self, observation: Observation) -> Decision:
        """The agent's decision. Raises InputError, with the agent's name and the step, for one that cannot be shown."""
        decision = self.agent.act(observation)
        fault = self._fault(decision, len(observation))
        if fault:
            step = int(observation.steps.max(initial=0))
            raise InputError(f"agent {self.name}, page {step + 1} of a visit: {fault}")
        return decision

    def _fault(self, decision: object, n: int) -> str:
        """What is wrong with a decision for n users, in words; empty where nothing is."""
        if not isinstance(decision, Decision):
            return f"act() gave {type(decision).__name__}; a zsr_sim.envs.observation.Decision expected"
        slates = decision.slates
        if not isinstance(slates, np.ndarray) or slates.dtype.kind not in "iu":
            found = slates.dtype.name if isinstance(slates, np.ndarray) else type(slates).__name__
            return f"slates hold {found}; an array of integers (rows of the catalogue) expected"
        if slates.shape != (n, self.slate_size):
            return f"slates have shape {slates.shape}; {(n, self.slate_size)} expected: (users, slate_size)"
        if decision.sources is not None and len(decision.sources) != n:
            return f"{len(decision.sources)} sources for {n} users; one for each, or None, expected"
        ordered = np.sort(slates, axis=1)
        wrong = (ordered[:, 0] < 0) | (ordered[:, -1] >= self.n_items) | (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
        if not wrong.any():
            return ""
        row = int(wrong.argmax())
        return (
            f"the slate of row {row} is {slates[row].tolist()}; "
            f"{self.slate_size} different items, each 0 to {self.n_items - 1}, expected"
        )
