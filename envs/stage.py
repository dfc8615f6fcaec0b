"""The parts of an environment: the world, who visits it, who proposes pages, and what an agent observes of it all."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from zsr_sim.config import POOLED, HistorySettings, WorldSettings, with_users
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import Population
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError, nearest
from zsr_sim.generation.candidates import Candidates, CandidateSource, RetrievalCandidates
from zsr_sim.generation.gan import GeneratedCandidates, SequenceGan
from zsr_sim.generation.relations import N_CONTEXT, N_COSINES, N_RELATIONS, relate
from zsr_sim.generation.retrieval import Retrieval

if TYPE_CHECKING:
    from zsr_sim.experiment import Scene

Arrays = dict[str, NDArray[np.float32]]

POPULATIONS = ("train", "test")
OBSERVED = ("partial", "state")
"""What an agent may observe: what a recommender knows, or the user's hidden state beside it."""
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

    item_ids: text (n_items,), the names of the rows that `info` tells. titles: (n_items,), what `render` shows.
    observe: "partial" or "state", see `OBSERVED`.
    """

    world: World
    population: Population
    source: CandidateSource
    item_ids: NDArray[np.str_]
    titles: Sequence[str]
    observe: str = "partial"

    def __post_init__(self) -> None:
        n, vectors = len(self.world.items), self.source.retrieval.vectors
        if {len(vectors), len(self.item_ids), len(self.titles)} != {n}:
            raise InputError(
                f"the world has {n} items, candidates are made of {len(vectors)}, and there are {len(self.item_ids)} "
                f"item ids and {len(self.titles)} titles; all must be of one catalogue"
            )
        if self.observe not in OBSERVED:
            hint = nearest(str(self.observe), OBSERVED)
            raise InputError(f"observe is {self.observe!r}; one of {', '.join(OBSERVED)} expected{hint}")
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

    @property
    def dimensions(self) -> int:
        """Dimensions of the item space."""
        return int(self.source.retrieval.vectors.shape[1])

    @classmethod
    def of(
        cls,
        world: World,
        population: Population,
        source: CandidateSource,
        item_ids: Sequence[str] | None = None,
        titles: Sequence[str] | None = None,
        observe: str = "partial",
    ) -> Stage:
        """A stage of these parts, which must be of one catalogue; items without ids are called by row."""
        names = [str(row) for row in range(len(world.items))] if item_ids is None else item_ids
        return cls(world, population, source, np.array(names, dtype=np.str_), titles or list(names), observe)


class StageOptions(TypedDict, total=False):
    """What `gymnasium.make` takes for every id; the docstring of `RecommendationEnv` tells what each is."""

    data: str
    world: str | None
    settings: WorldSettings | None
    encoder: str | None
    generator: SequenceGan | None
    population: str
    observe: str
    history: HistorySettings
    users: str | None


def make_stage(
    data: str = "films",
    world: str | None = None,
    settings: WorldSettings | None = None,
    encoder: str | None = None,
    n_candidates: int = 8,
    generator: SequenceGan | None = None,
    population: str = "train",
    observe: str = "partial",
    history: HistorySettings = POOLED,
    users: str | None = None,
) -> Stage:
    """Build the parts from a data set; the arguments are those of `RecommendationEnv`.

    Raises InputError for arguments of the wrong kind, data that cannot be read, or an encoder that cannot be loaded.
    """
    if not isinstance(settings, WorldSettings | None):
        raise InputError(f"settings is {settings!r}; a zsr_sim.config.WorldSettings expected, or None for the defaults")
    if world is not None and settings is not None:
        raise InputError(
            f"world is {world!r} and settings are given; give settings=WorldSettings.named({world!r}, ...) alone"
        )
    if not isinstance(generator, SequenceGan | None):
        raise InputError(f"generator is {generator!r}; a trained SequenceGan expected, or None for retrieval alone")
    if not isinstance(n_candidates, int) or n_candidates < 2:
        raise InputError(f"n_candidates is {n_candidates!r}; an integer of at least 2 expected: pages to choose from")
    if population not in POPULATIONS:
        hint = nearest(str(population), POPULATIONS)
        raise InputError(f"population is {population!r}; one of {', '.join(POPULATIONS)} expected{hint}")
    if not isinstance(history, HistorySettings):
        raise InputError(f"history is {history!r}; a zsr_sim.config.HistorySettings expected, or nothing for pooled")
    settings = settings or WorldSettings.named(str(world or "standard"))
    if users is not None:
        settings = with_users(settings, users)
    if observe == "state" and settings.users.startswith("llm"):
        raise InputError("observe is 'state', but what users='llm' are like inside is a language model; use 'partial'")
    scene = _scene(str(data), encoder, settings, history)
    source: CandidateSource
    if generator is None:
        source = RetrievalCandidates(scene.retrieval, scene.world.slate_size, n_candidates)
    else:
        source = GeneratedCandidates(
            generator, scene.retrieval, scene.world.slate_size, n_candidates, n_generated=n_candidates // 2
        )
    people = scene.train if population == "train" else scene.test
    catalogue = scene.dataset.catalogue
    return Stage.of(scene.world, people, source, catalogue.item_ids, catalogue.titles, observe)


@functools.lru_cache(maxsize=1)
def _scene(data: str, encoder: str | None, settings: WorldSettings, history: HistorySettings) -> Scene:
    """The last scene that was asked for, so that sixteen environments of one kind do not read and fit sixteen times.

    A scene is a function of its arguments and is never written to; a process without this cache gets the same one,
    only later. Data that change on disk under a running process are not read again.
    """
    from zsr_sim.experiment import make_scene  # above the environments: only who asks for a data set by name needs it

    return make_scene(data, settings, encoder).reading(history)
