"""Between the world and its Gymnasium environments: who comes, which pages are proposed, what is observed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from zsr_sim.config import Settings, WorldSettings
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import observe
from zsr_sim.envs.world import World, WorldState
from zsr_sim.errors import InputError, nearest
from zsr_sim.generation.candidates import SOURCES, Candidates, CandidateSource, RetrievalCandidates
from zsr_sim.generation.gan import GeneratedCandidates, SequenceGan
from zsr_sim.generation.relations import N_CONTEXT, N_COSINES, N_RELATIONS, relate
from zsr_sim.generation.retrieval import Retrieval

if TYPE_CHECKING:
    from zsr_sim.experiment import Scene

Arrays = dict[str, NDArray[np.float32]]

POPULATIONS = ("train", "test")
_VISITORS = 2**39  # ids of visits are drawn below this: above it a population keeps ids for other ends
_SEEDS = 2**64 - 1
_UNIT_TOLERANCE = 1e-4


def observation_space(dimensions: int, n_candidates: int) -> spaces.Dict[Any]:
    """The space of `page_observation` for one user; each bound is the quantity's own (see `relations.py`)."""
    low = np.zeros((n_candidates, N_RELATIONS), dtype=np.float32)
    low[:, :N_COSINES] = -1
    return spaces.Dict(
        {
            "history": spaces.Box(-1, 1, (dimensions,), np.float32),
            "candidates": spaces.Box(-1, 1, (n_candidates * dimensions,), np.float32),
            "relations": spaces.Box(low.ravel(), np.ones(low.size, dtype=np.float32), dtype=np.float32),
            "context": spaces.Box(0, 1, (N_CONTEXT,), np.float32),
        }
    )


def page_observation(observation: Observation, candidates: Candidates, retrieval: Retrieval) -> Arrays:
    """What an agent observes of a batch of users and their candidate pages; the environments' docstrings explain it.

    float32 arrays: history (n, d), candidates (n, candidates * d), relations (n, candidates * N_RELATIONS), context
    (n, N_CONTEXT). A row depends on that user alone, whatever the batch.
    """
    related = relate(observation, candidates, retrieval)
    return {
        "history": related.lasting,
        "candidates": related.means.reshape(len(observation), -1),
        "relations": related.scalars.reshape(len(observation), -1),
        "context": related.context,
    }


@dataclass(frozen=True)
class Stage:
    """The parts of an environment: the world, who visits it, and who proposes pages.

    item_ids: text (n_items,), the names of the rows that `info` tells.
    """

    world: World
    population: Population
    source: CandidateSource
    item_ids: NDArray[np.str_]

    def __post_init__(self) -> None:
        n, vectors = len(self.world.items), self.source.retrieval.vectors
        if len(self.item_ids) != n or len(vectors) != n:
            raise InputError(
                f"the world has {n} items, candidates are made of {len(vectors)}, and there are {len(self.item_ids)} "
                "item ids; all three must be of one catalogue"
            )
        if self.source.slate_size != self.world.slate_size:
            raise InputError(
                f"candidate pages have {self.source.slate_size} items, the world's pages {self.world.slate_size}; "
                "give both the same slate_size"
            )
        lengths = np.linalg.norm(vectors, axis=1)
        wrong = np.flatnonzero(~((np.abs(lengths - 1) <= _UNIT_TOLERANCE) | (lengths == 0)))
        if len(wrong):  # the observation space's bounds rest on it
            raise InputError(
                f"the vector of item {self.item_ids[wrong[0]]} has length {lengths[wrong[0]]:.6g}; item vectors must "
                "have length 1 (zsr_sim.encoders.space.unit makes them so)"
            )

    @classmethod
    def of(
        cls, world: World, population: Population, source: CandidateSource, item_ids: Sequence[str] | None = None
    ) -> Stage:
        """A stage of these parts, which must be of one catalogue; without ids, items are called by their rows."""
        names = [str(row) for row in range(len(world.items))] if item_ids is None else item_ids
        return cls(world, population, source, np.array(names, dtype=np.str_))


def make_stage(
    data: str = "films",
    encoder: str | None = None,
    settings: WorldSettings | None = None,
    n_candidates: int = 8,
    generator: SequenceGan | None = None,
    population: str = "train",
) -> Stage:
    """Build the parts from a data set; the arguments are those of `RecommendationEnv`.

    Raises InputError for arguments of the wrong kind, data that cannot be read, or an encoder that cannot be loaded.
    """
    if not isinstance(settings, WorldSettings | None):
        raise InputError(f"settings is {settings!r}; a zsr_sim.config.WorldSettings expected, or None for the defaults")
    if not isinstance(generator, SequenceGan | None):
        raise InputError(f"generator is {generator!r}; a trained SequenceGan expected, or None for retrieval alone")
    if not isinstance(n_candidates, int) or n_candidates < 2:
        raise InputError(f"n_candidates is {n_candidates!r}; an integer of at least 2 expected: pages to choose from")
    if population not in POPULATIONS:
        hint = nearest(str(population), POPULATIONS)
        raise InputError(f"population is {population!r}; one of {', '.join(POPULATIONS)} expected{hint}")
    scene = _scene(str(data), encoder, settings or Settings().world)
    source: CandidateSource
    if generator is None:
        source = RetrievalCandidates(scene.retrieval, scene.world.slate_size, n_candidates)
    else:
        source = GeneratedCandidates(
            generator, scene.retrieval, scene.world.slate_size, n_candidates, n_generated=n_candidates // 2
        )
    people = scene.train if population == "train" else scene.test
    return Stage.of(scene.world, people, source, scene.dataset.catalogue.item_ids)


@functools.lru_cache(maxsize=1)
def _scene(data: str, encoder: str | None, settings: WorldSettings) -> Scene:
    """The last scene that was asked for, so that sixteen environments of one kind do not read and fit sixteen times.

    A scene is a function of its arguments and is never written to; a process without this cache gets the same one,
    only later. Data that change on disk under a running process are not read again.
    """
    from zsr_sim.experiment import make_scene  # above the environments: only who asks for a data set by name needs it

    return make_scene(data, settings, encoder)


@dataclass(frozen=True)
class Served:
    """A page for each user: slates int32 (n, slate_size), sources int8 (n,), rows of SOURCES, and the feedback.

    Users who were not there get a slate too, but have not seen it; their feedback is empty.
    """

    slates: NDArray[np.int32]
    sources: NDArray[np.int8]
    feedback: Feedback

    def source(self, row: int) -> str:
        """The proposer of the page at this row."""
        return SOURCES[self.sources[row]]


class Audience:
    """Visits under way, one in each row, and the candidate pages among which their users' pages are chosen."""

    def __init__(self, stage: Stage, n: int) -> None:
        self.stage = stage
        shape = n, stage.source.n_candidates
        self.space = observation_space(stage.source.retrieval.vectors.shape[1], stage.source.n_candidates)
        self._state: WorldState | None = None
        self._pages = np.zeros((*shape, stage.world.slate_size), dtype=np.int32)
        self._sources = np.zeros(shape, dtype=np.int8)
        self._observation: Arrays = {
            name: np.zeros((n, *(box.shape or ())), np.float32) for name, box in self.space.items()
        }

    @property
    def state(self) -> WorldState:
        """The world's state; not before `admit`."""
        if self._state is None:
            raise RuntimeError("nobody has been admitted yet")
        return self._state

    def admit(self, rows: NDArray[np.int64], generators: Sequence[np.random.Generator]) -> None:
        """Begin a new visit at each of these rows: who comes, and with what luck, is drawn from the row's generator.

        The first time all rows must be admitted.
        """
        ids = np.array([generator.integers(_VISITORS) for generator in generators], dtype=np.int64)
        seeds = [generator.integers(_SEEDS, dtype=np.uint64, endpoint=True) for generator in generators]
        fresh = self.stage.world.start(self.stage.population.visit(ids), np.array(seeds, dtype=np.uint64))
        if self._state is None:
            self._state = fresh
        else:
            self._state.put(rows, fresh)

    def look(self, rows: NDArray[np.int64]) -> Arrays:
        """Propose pages to the users at these rows; the observation of all rows, in arrays of its own."""
        waiting = observe(self.state).take(rows)
        candidates = self.stage.source.candidates(waiting)
        self._pages[rows], self._sources[rows] = candidates.items, candidates.sources
        for name, values in page_observation(waiting, candidates, self.stage.source.retrieval).items():
            self._observation[name][rows] = values
        return {name: values.copy() for name, values in self._observation.items()}

    def show(self, actions: NDArray[np.int64], there: NDArray[np.bool_]) -> Served:
        """Show the users who are `there` (n,) the candidates that `actions` (n,) name; other users' visits are over."""
        rows, actions = np.arange(len(actions)), np.where(there, actions, 0)
        self.state.present &= there
        slates = self._pages[rows, actions]
        return Served(slates, self._sources[rows, actions], self.stage.world.step(self.state, slates))
