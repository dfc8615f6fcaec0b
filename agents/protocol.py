"""What a strategy is to everything else: it answers a batch of observations with a page for each user.

`Agent` is all that a strategy must be. What it may offer beside it are protocols, too: `Scoring` and `Explaining` here,
`SeesState` in `zsr_sim.envs.visits`, and `Learning` in `zsr_sim.agents.lesson`, of a class that is trained.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.visits import SeesState
from zsr_sim.envs.world import WorldState
from zsr_sim.errors import InputError

_SUM_TOLERANCE = 1e-4  # of shares in single precision


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

    agent: its name. user: the id of a user whom it failed, step: pages that this user had seen; None where nobody had
    been asked for. others: how many more it failed in the same way, at once.
    """

    def __init__(
        self, agent: str, fault: str, user: int | str | None = None, step: int | None = None, others: int = 0
    ) -> None:
        who = "" if user is None else f", user {user}"
        more = f" and {others:,} other{'s' * (others > 1)}" if others else ""
        when = "" if step is None else f", page {step + 1} of the visit"
        super().__init__(f"agent {agent}{who}{more}{when}: {fault}")
        self.agent, self.user, self.step = agent, user, step
        self._fault, self._others = fault, others

    def known_as(self, names: Mapping[int, str]) -> AgentError:
        """The same, where the user has a name that a person knows."""
        if not isinstance(self.user, int) or self.user not in names:
            return self
        return AgentError(self.agent, self._fault, names[self.user], self.step, self._others)

    @classmethod
    def for_all(cls, agent: str, fault: str, asked: Observation) -> AgentError:
        """It failed all users that it was asked for; the first one is named."""
        return cls(agent, fault, int(asked.users[0]), int(asked.steps[0]), len(asked) - 1)


def told(error: BaseException) -> str:
    """What an error of an agent's own says, and where it was raised: "no model (OSError in act, mine.py line 7)"."""
    what = " ".join(str(error).split()) or "it raised an error"
    if isinstance(error, (InputError, SyntaxError)):  # it says itself what is wrong, and where
        return what
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{what} ({type(error).__name__} in {where.name}, {Path(where.filename).name} line {where.lineno})"


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
        return self._shown(self._asked(self.agent.act, observation), observation)

    def _act_knowing(self, observation: Observation, state: WorldState) -> Decision:
        assert isinstance(self.agent, SeesState)  # or this method would not be offered
        return self._shown(self._asked(self.agent.act_knowing, observation, state), observation)

    def _scores(self, observation: Observation) -> NDArray[np.float32]:
        assert isinstance(self.agent, Scoring)
        found: object = self._asked(self.agent.scores, observation)
        expected = (len(observation), self.n_items)
        if not isinstance(found, np.ndarray) or found.shape != expected or found.dtype.kind != "f":
            kind = f"{found.dtype.name} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
            raise self._for_all(observation, f"scores() gave {kind}; floats {expected} expected: (users, items)")
        with np.errstate(over="ignore"):  # what single precision cannot hold is infinite, and told
            scores = found.astype(np.float32, copy=False)
        bad = ~np.isfinite(scores)
        if bad.any():
            row, item = (int(i) for i in np.argwhere(bad)[0])
            raise self._error(
                observation, row, f"the score of item {item} is {found[row, item]}; a finite float32 expected"
            )
        return scores

    def _explain(self, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
        assert isinstance(self.agent, Explaining)
        found: object = self._asked(self.agent.explain, observation, items)
        expected = observation.histories.shape
        if not isinstance(found, np.ndarray) or found.shape != expected or found.dtype.kind != "f":
            kind = f"{found.dtype.name} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
            raise self._for_all(observation, f"explain() gave {kind}; shares, floats {expected}, expected")
        total = np.where(np.isfinite(found) & (found >= 0), found, np.inf).sum(axis=1, dtype=np.float64)
        wrong = (np.abs(total - 1) > _SUM_TOLERANCE) & (total != 0)
        wrong |= ((found != 0) & (observation.histories < 0)).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            expected_shares = "0 or more, none beside padding, and of sum 1 (or 0) expected"
            raise self._error(observation, row, f"explain() gave shares {found[row].tolist()}; {expected_shares}")
        return found

    def _error(self, observation: Observation, row: int, fault: str) -> AgentError:
        return AgentError(self.name, fault, int(observation.users[row]), int(observation.steps[row]))

    def _for_all(self, observation: Observation, fault: str) -> AgentError:
        return AgentError.for_all(self.name, fault, observation)

    def _asked(self, method: Callable[..., Any], observation: Observation, *beside: Any) -> Any:
        """What a method of the agent answers. beside: what it gets for each user beside the observation.

        Where it raises, the first user is named with whom it fails alone, too.
        """
        try:
            return method(observation, *beside)
        except AgentError:
            raise  # it says already who failed whom
        except InputError as error:  # whoever is asked for
            raise AgentError(self.name, told(error)) from error
        except (Exception, SystemExit) as error:
            fault = told(error)
            for row in range(len(observation)):
                alone = np.array([row])
                with contextlib.suppress(Exception, SystemExit):
                    method(observation.take(alone), *(part.take(alone) for part in beside))
                    continue
                raise self._error(observation, row, fault) from error
            raise self._for_all(observation, f"{fault}, for these users together, for none of them alone") from error

    def _shown(self, decision: object, observation: Observation) -> Decision:
        if not isinstance(decision, Decision):
            found = type(decision).__name__
            raise self._for_all(observation, f"act() gave {found}; a zsr_sim.envs.observation.Decision expected")
        fault = self._shape_fault(decision, len(observation))
        if fault:
            raise self._for_all(observation, fault)
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
