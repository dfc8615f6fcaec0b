"""The contract of an agent, tried out: what any implementation can run on itself.

from zsr_sim.agents.contract import check_agent
check_agent(MyAgent)
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.protocol import Agent, AgentError, CheckedAgent, Explaining, Scoring
from zsr_sim.encoders.space import unit
from zsr_sim.envs.noise import Purpose, normals, uniforms
from zsr_sim.envs.observation import Observation
from zsr_sim.errors import InputError
from zsr_sim.generation.retrieval import Retrieval

_ITEMS, _DIMENSIONS, _SLATE = 80, 8, 4
_USERS, _LENGTH, _SHOWN = 24, 12, 8


def check_agent(agent: Any, retrieval: Retrieval | None = None, slate_size: int = _SLATE) -> None:
    """Ask an agent for the pages of a batch of users and hold them against what `zsr_sim.agents.protocol` says.

    Users with and without a history, at the beginning and in the middle of a visit: pages hold different items of the
    catalogue; asked again it answers the same; the answer for a user does not depend on who else is asked for, nor on
    the order; what it is shown it leaves as it is; scores, where there are any, are finite and keep to the same rules;
    shares of an explanation are 0 or more and sum to 1, or to 0.

    Args:
        agent: a class that is constructed as `Class(retrieval=..., slate_size=...)`, or an agent.
        retrieval: the catalogue of an agent that exists already, at least 20 items; without it a small one of random
            vectors is made.
        slate_size: items on the agent's page.

    Raises:
        InputError: a catalogue of fewer than 20 items.
        AgentError: says which rule is broken and, where one user can be named, for whom.
    """
    retrieval = retrieval or _catalogue()
    n_items = len(retrieval.vectors)
    if n_items < _LENGTH + _SHOWN:
        raise InputError(
            f"the catalogue has {n_items} items; at least {_LENGTH + _SHOWN} are needed to try an agent out"
        )
    if isinstance(agent, type):
        agent = agent(retrieval=retrieval, slate_size=slate_size)
    name = type(agent).__name__
    if not isinstance(agent, Agent):
        raise AgentError(name, "the class has no method act(self, observation) (zsr_sim.agents.protocol)")
    checked = CheckedAgent(name, agent, slate_size, n_items)
    _same_for_each(name, "act", lambda users: np.asarray(checked.act(users).slates), n_items)
    if isinstance(checked, Scoring):
        _same_for_each(name, "scores", checked.scores, n_items)
    if isinstance(checked, Explaining):
        checked.explain(_users(n_items), np.zeros(_USERS, dtype=np.int32))


def _same_for_each(name: str, method: str, answer: Any, n_items: int) -> None:
    users, before = _users(n_items), _users(n_items)
    together = answer(users).copy()
    for column in fields(Observation):
        if not np.array_equal(getattr(users, column.name), getattr(before, column.name)):
            raise AgentError(name, f"{method}() wrote into the observation's {column.name}; work on a copy")
    _require_equal(name, users, together, answer(users), f"{method}() answers otherwise when it is asked again")
    back = np.arange(len(users))[::-1].copy()
    moved = answer(users.take(back))[back]
    _require_equal(name, users, together, moved, f"{method}() depends on the order of the users")
    alone = np.concatenate([answer(users.take(slice(row, row + 1))) for row in range(len(users))])
    _require_equal(name, users, together, alone, f"{method}() depends on who else is asked for")


def _require_equal(name: str, users: Observation, one: NDArray[Any], two: NDArray[Any], fault: str) -> None:
    differs = (one != two).any(axis=1)
    if differs.any():
        row = int(differs.argmax())
        pages = f": {one[row].tolist()} and {two[row].tolist()}" if one.shape[1] <= 20 else ""
        raise AgentError(name, f"{fault}{pages}", int(users.users[row]), int(users.steps[row]))


def _catalogue() -> Retrieval:
    """Items in all directions; some were never consumed, and two have the same text."""
    vectors = unit(normals(0, np.arange(_ITEMS), 0, Purpose.TASTE, _DIMENSIONS)).astype(np.float32)
    vectors[1] = vectors[0]
    counts = np.maximum(uniforms(0, np.arange(_ITEMS), 0, Purpose.QUALITY, 1)[:, 0] * 60 - 10, 0)
    return Retrieval(vectors, np.floor(counts).astype(np.float32))


def _users(n_items: int) -> Observation:
    """Users in the middle of their visits, the first four of them without a history."""
    ids = 10**12 + 7 * np.arange(_USERS, dtype=np.int64)
    drawn = uniforms(1, ids, 0, Purpose.SAMPLE_USERS, n_items).argsort(axis=1).astype(np.int32)  # (users, n_items)
    draws = uniforms(1, ids, 1, Purpose.SAMPLE_USERS, 2)
    lengths = np.where(np.arange(_USERS) < 4, 0, 1 + draws[:, 0] * _LENGTH).astype(np.int64)
    steps = (np.arange(_USERS) % 3).astype(np.int64)
    shown = np.where(np.arange(_SHOWN) < (_SHOWN - _SLATE * steps)[:, None], -1, drawn[:, -_SHOWN:])
    histories = np.where(np.arange(_LENGTH) < (_LENGTH - lengths)[:, None], -1, drawn[:, :_LENGTH])
    return Observation(
        np.full(_USERS, 5, dtype=np.uint64), ids, steps, histories.astype(np.int32), shown.astype(np.int32)
    )
