"""Writing a log: simulated users under a strategy that draws, each page with its exact propensities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zsr_sim.agents.distribution import Sampled
from zsr_sim.encoders.history import pooled
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import World
from zsr_sim.generation.retrieval import CONTRAST

EPOCH = 1_704_067_200  # 2024-01-01 UTC; simulated users have no clock: times only put pages in order
FEEDBACK = ("", "skip", "click", "like", "purchase")
BETWEEN_VISITS, BETWEEN_PAGES = 3600, 60  # seconds


@dataclass
class Recording:
    """Pages in the order in which they were shown: n rows, s positions.

    users: int64 (n,), ids of visits. people: int64 (n,). steps: int64 (n,). slates: int32 (n, s). clicks: bool (n, s).
    feedback: int8 (n, s), rows of FEEDBACK, the strongest that was given.
    position, prefix: float64 (n, s), slate: float64 (n,), propensities. left: bool (n,), the visit ended here by the
    user's choice. taste, taste_after: float32 (n, 2 d), lasting and recent taste as the history tells it, before and
    after the page. expected: for each target, float64 (n,), the true expected clicks of the page that it would have
    shown. histories: visit id -> what the user had consumed before.
    """

    users: list[NDArray[np.int64]] = field(default_factory=list)
    people: list[NDArray[np.int64]] = field(default_factory=list)
    steps: list[NDArray[np.int64]] = field(default_factory=list)
    slates: list[NDArray[np.int32]] = field(default_factory=list)
    clicks: list[NDArray[np.bool_]] = field(default_factory=list)
    feedback: list[NDArray[np.int8]] = field(default_factory=list)
    position: list[NDArray[np.float64]] = field(default_factory=list)
    prefix: list[NDArray[np.float64]] = field(default_factory=list)
    left: list[NDArray[np.bool_]] = field(default_factory=list)
    taste: list[NDArray[np.float32]] = field(default_factory=list)
    taste_after: list[NDArray[np.float32]] = field(default_factory=list)
    expected: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    histories: dict[int, NDArray[np.int32]] = field(default_factory=dict)

    def joined(self, name: str) -> NDArray[np.generic]:
        """All batches of a column."""
        return np.concatenate(getattr(self, name))


def record(
    world: World,
    population: Population,
    ids: NDArray[np.int64],
    agent: Sampled,
    seed: int,
    horizon: int,
    targets: Mapping[str, Sampled] | None = None,
    batch_size: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Let users visit under `agent`, and note every page.

    targets: strategies whose true value on the same pages is noted, too: at every state of the log the target's page
    is drawn and its expected clicks are read from the world, without showing it.
    """
    recording = Recording(expected={name: [] for name in targets or {}})
    for begin in range(0, len(ids), batch_size):
        _record_batch(
            world, population, ids[begin : begin + batch_size], agent, seed, horizon, targets or {}, recording
        )
        if progress:
            progress(min(begin + batch_size, len(ids)), len(ids))
    return recording


def _record_batch(
    world: World, population: Population, ids: NDArray[np.int64], agent: Sampled, seed: int, horizon: int,
    targets: Mapping[str, Sampled], recording: Recording,
) -> None:  # fmt: skip
    state = world.start(population.visit(ids), seed)
    for row, user in enumerate(state.users.ids.tolist()):
        recording.histories[user] = state.histories[row].copy()
    for _ in range(horizon):
        here = np.flatnonzero(state.present)
        if not len(here):
            break
        observation = observe(state).take(here)
        found = agent.distribution(observation)
        slates = found.draw(observation.seeds, observation.users, observation.steps)
        for name, target in targets.items():
            probe = world.step(state.copy(), _spread(target.act(observation).slates, here, len(ids)))
            recording.expected[name].append(probe.probabilities[here].sum(axis=1, dtype=np.float64))
        recording.taste.append(_tastes(observation.histories, world.items.vectors))
        feedback = world.step(state, _spread(slates, here, len(ids)))
        recording.taste_after.append(_tastes(state.histories[here], world.items.vectors))
        recording.users.append(observation.users)
        recording.people.append(state.users.people[here])
        recording.steps.append(observation.steps)
        recording.slates.append(slates)
        recording.clicks.append(feedback.clicks[here])
        strongest = np.zeros(slates.shape, dtype=np.int8)
        for code, name in enumerate(("skips", "clicks", "likes", "purchases"), start=1):
            strongest[getattr(feedback, name)[here]] = code
        recording.feedback.append(strongest)
        recording.position.append(found.position_propensity(slates))
        recording.prefix.append(found.prefix_propensity(slates))
        recording.left.append(feedback.left[here])


def _tastes(histories: NDArray[np.int32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([pooled(histories, vectors, decay) for decay in CONTRAST], axis=1)


def _spread(slates: NDArray[np.int32], here: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """Slates for all n users; those who are not there are shown nothing, but need a valid page."""
    pages = np.tile(np.arange(slates.shape[1], dtype=np.int32), (n, 1))
    pages[here] = slates
    return pages


def impressions_frame(recording: Recording, item_ids: Sequence[str]) -> pd.DataFrame:
    """The rows of an impressions file: one for each item shown, visits in order, positions from 1."""
    users, steps = recording.joined("users"), recording.joined("steps")
    order = np.lexsort((steps, users))
    slates, feedback = recording.joined("slates")[order], recording.joined("feedback")[order]
    n, s = slates.shape
    user = np.repeat(users[order].astype(np.int64), s)
    step = np.repeat(steps[order].astype(np.int64), s)
    _, visit = np.unique(user, return_inverse=True)
    prefix = recording.joined("prefix")[order]
    names = pd.Series(user).astype(str)
    return pd.DataFrame({
        "user_id": names,
        "timestamp": EPOCH + BETWEEN_VISITS * visit + BETWEEN_PAGES * step,
        "slate_id": names + "-" + pd.Series(step).astype(str),
        "item_id": np.asarray(item_ids, dtype=object)[slates.ravel()],
        "position": np.tile(np.arange(1, s + 1), n),
        "feedback": np.asarray(FEEDBACK, dtype=object)[feedback.ravel().astype(np.int64)],
        "propensity": recording.joined("position")[order].ravel(),
        "slate_propensity": np.repeat(prefix[:, -1], s),
        "prefix_propensity": prefix.ravel(),
    })  # fmt: skip


def histories_frame(recording: Recording, item_ids: Sequence[str]) -> pd.DataFrame:
    """What each visitor had consumed before the visit, as an interactions file: a second apart, just before it."""
    rows = []
    for visit, user in enumerate(sorted(recording.histories)):
        items = recording.histories[user]
        items = items[items >= 0]
        begin = EPOCH + BETWEEN_VISITS * visit - len(items)
        rows.append(pd.DataFrame({"user_id": str(user), "item": items, "timestamp": begin + np.arange(len(items))}))
    frame = pd.concat(rows, ignore_index=True)
    frame.insert(1, "item_id", np.asarray(item_ids, dtype=object)[frame.pop("item").to_numpy(dtype=np.int64)])
    return frame
