"""What a strategy is to everything else: it answers a batch of observations with a page for each user.

`Agent` is all that a strategy must be. What it may offer beside it are protocols, too, and found out with `isinstance`:
`Scoring` and `Explaining` here, `SeesState` in `zsr_sim.envs.visits`.
"""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.visits import SeesState
from zsr_sim.envs.world import WorldState
from zsr_sim.errors import InputError


@runtime_checkable
class Agent(Protocol):
    """What one class of your own must offer, to be named as `module:Class` wherever a command takes an agent.

    It is constructed as `Class(retrieval=..., slate_size=...)`: a `zsr_sim.generation.retrieval.Retrieval` (item
    vectors, popularity, ready-made pages) and the number of items on a page. `zsr_sim.agents.contract.check_agent`
    tries out whether it keeps to what is said here.
    """

    def act(self, observation: Observation) -> Decision:
        """A page for each user: `Decision(slates)` with slates an integer array (len(observation), slate_size).

        A slate holds different rows of the catalogue, best first. It should be a function of the user's own row: then
        results do not depend on the batch size. Randomness: `zsr_sim.envs.noise.uniforms` with the observation's
        seeds, users and steps meets the same luck whenever the run is repeated.
        """


@runtime_checkable
class Scoring(Protocol):
    """An agent that has a number for every item; `recommend` and `evaluate ranking` rank by it."""

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """How much each item is recommended to each user, float32 (n, n_items): finite, higher is better.

        Every item of the catalogue has a score, also one that the user has had: whoever ranks leaves those out.
        """


@runtime_checkable
class Explaining(Protocol):
    """An agent whose score of an item is a sum over the user's history, so that it can say who spoke for the item."""

    def explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        """Which share of the recommendation each history item has, float64 (n, length), beside `histories`.

        items: int32 (n,), one item for each user. Shares are 0 or more and sum to 1; what spoke against the item has
        none. Zeros for a user in whose history nothing spoke for it, and for one without a history.
        """


class AgentError(InputError):
    """An agent that answered what cannot be used, or nothing.

    agent: its name. user: the id of a user whom it failed, step: pages that this user had seen; None where no single
    user can be told.
    """

    def __init__(self, agent: str, fault: str, user: int | None = None, step: int | None = None) -> None:
        who = "" if user is None else f", user {user}"
        when = "" if step is None else f", page {step + 1} of the visit"
        super().__init__(f"agent {agent}{who}{when}: {fault}")
        self.agent, self.user, self.step = agent, user, step


@dataclass(frozen=True)
class CheckedAgent:
    """An agent under the name by which results call it; whatever it answers is checked.

    name: as a person typed it. n_items: of the catalogue. What the agent offers beside `act` (`Scoring`, `Explaining`,
    `SeesState`), this one offers, too. All methods raise AgentError.
    """

    name: str
    agent: Agent
    slate_size: int
    n_items: int

    def __post_init__(self) -> None:
        """Offer what the agent offers: `isinstance` looks at attributes."""
        for name in ("scores", "explain", "act_knowing"):
            if hasattr(self.agent, name):
                object.__setattr__(self, name, getattr(self, f"_{name}"))

    def act(self, observation: Observation) -> Decision:
        """The agent's decision, one that can be shown."""
        try:
            decision = self.agent.act(observation)
        except AgentError:
            raise  # it says already who failed whom
        except Exception as error:
            raise self._raised(error, observation) from error
        return self._shown(decision, observation)

    def _act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        assert isinstance(self.agent, SeesState)  # or this method would not be offered
        return self._shown(self.agent.act_knowing(observation, state), observation)

    def _scores(self, observation: Observation) -> NDArray[np.float32]:
        assert isinstance(self.agent, Scoring)
        found: object = self.agent.scores(observation)
        expected = (len(observation), self.n_items)
        if not isinstance(found, np.ndarray) or found.shape != expected or found.dtype.kind != "f":
            kind = f"{found.dtype.name} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
            raise AgentError(self.name, f"scores() gave {kind}; floats {expected} expected: (users, items)")
        bad = ~np.isfinite(found)
        if bad.any():
            row, item = (int(i) for i in np.argwhere(bad)[0])
            raise self._error(
                observation, row, f"the score of item {item} is {found[row, item]}; a finite one expected"
            )
        return found.astype(np.float32, copy=False)

    def _explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        assert isinstance(self.agent, Explaining)
        return self.agent.explain(observation, items)

    def _error(self, observation: Observation, row: int, fault: str) -> AgentError:
        return AgentError(self.name, fault, int(observation.users[row]), int(observation.steps[row]))

    def _raised(self, error: Exception, observation: Observation) -> AgentError:
        """Tell whom the agent fails: the first user with whom it fails alone, too."""
        what = " ".join(str(error).split()) or "it raised an error"
        step = int(observation.steps.max(initial=0))
        if isinstance(error, InputError):  # it says itself what is wrong
            return AgentError(self.name, what, step=step)
        where = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{what} ({type(error).__name__} in {where.name}, {Path(where.filename).name} line {where.lineno})"
        for row in range(len(observation)):
            if not self._answers(observation.take(slice(row, row + 1))):
                return self._error(observation, row, fault)
        return AgentError(
            self.name, f"{fault}, for {len(observation)} users together, for none of them alone", None, step
        )

    def _answers(self, observation: Observation) -> bool:
        with contextlib.suppress(Exception):
            self.agent.act(observation)
            return True
        return False

    def _shown(self, decision: object, observation: Observation) -> Decision:
        if not isinstance(decision, Decision):
            raise AgentError(
                self.name, f"act() gave {type(decision).__name__}; a zsr_sim.envs.observation.Decision expected"
            )
        fault = self._shape_fault(decision, len(observation))
        if fault:
            raise AgentError(self.name, fault, step=int(observation.steps.max(initial=0)))
        slates = decision.slates
        ordered = np.sort(slates, axis=1)
        wrong = (ordered[:, 0] < 0) | (ordered[:, -1] >= self.n_items) | (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            expected = f"{self.slate_size} different items, each 0 to {self.n_items - 1}, expected"
            raise self._error(observation, row, f"its slate is {slates[row].tolist()}; {expected}")
        return decision

    def _shape_fault(self, decision: Decision, n: int) -> str:
        """What is wrong with the form of a decision for n users, in words; empty where nothing is."""
        slates: object = decision.slates
        if not isinstance(slates, np.ndarray) or slates.dtype.kind not in "iu":
            found = slates.dtype.name if isinstance(slates, np.ndarray) else type(slates).__name__
            return f"slates hold {found}; an array of integers (rows of the catalogue) expected"
        if slates.shape != (n, self.slate_size):
            return f"slates have shape {slates.shape}; {(n, self.slate_size)} expected: (users, slate_size)"
        if decision.sources is not None and len(decision.sources) != n:
            return f"{len(decision.sources)} sources for {n} users; one for each, or None, expected"
        return ""
