"""From `world.users` to the users of a scene: laws, a language model, or numeric users distilled from its answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from zsr_sim.datasets import Dataset
from zsr_sim.encoders.cache import VectorCache
from zsr_sim.encoders.models import SMOLLM
from zsr_sim.envs.asked import AskedWorld
from zsr_sim.envs.population import Population
from zsr_sim.envs.world import World
from zsr_sim.interactions import Interactions, id_keys
from zsr_sim.readers.distilling import distil
from zsr_sim.readers.model import Answering, Progress, load_causal_model
from zsr_sim.readers.prompts import LIKED, Personas
from zsr_sim.readers.users import LlmUsers, levelled

logger = logging.getLogger(__name__)

LLM, DISTILLED = "llm", "distilled"
_LEVEL_USERS = 32  # whose answers set the level


@dataclass(frozen=True)
class AskedUsers:
    """A world and populations whose users are a language model's, and what a reader of results must know of them."""

    world: World
    train: Population
    test: Population
    told: dict[str, object]
    trust: str


def ask_users(
    users: str, dataset: Dataset, world: World, train: Population, test: Population, declared: float, seed: int,
    progress: Progress | None = None, model: Answering | None = None,
) -> AskedUsers:  # fmt: skip
    """The users that `users` names: "llm" or "distilled", with a model after a colon ("llm:FOLDER").

    declared: the click level of these users, that of logged pages where there are any. model: one that is loaded
    already. The agreeableness check is logged, so that it is seen with every use.
    """
    kind, _, name = users.partition(":")
    asked = LlmUsers(model or load_causal_model(name or SMOLLM), personas_of(dataset), VectorCache())
    check = levelled(
        asked, train.visit(np.arange(_LEVEL_USERS, dtype=np.int64)), len(world.items), declared, seed, progress=progress
    )
    logger.warning("%s", check.sentence())
    told: dict[str, object] = {"kind": kind, "agreeableness": check.to_json()}
    trust = (
        f"These users are answers of the language model {asked.model.name}, not people; whether it orders strategies "
        f"as reality does has not been checked. {check.sentence()}."
    )
    if kind == LLM:
        parts = {part.name: getattr(world, part.name) for part in fields(World) if part.init}
        return AskedUsers(AskedWorld(**parts, asked=asked), train, test, told, trust)
    train, agreement = distil(asked, train, world.items, seed, progress=progress)
    test, held_out = distil(asked, test, world.items, seed, progress=progress)
    logger.warning("training users: %s; test users: %s", agreement.sentence(), held_out.sentence())
    told["agreement"] = {"train": vars(agreement), "test": vars(held_out)}
    return AskedUsers(world, train, test, told, f"{trust} The test users are fitted to it: {held_out.sentence()}.")


def personas_of(dataset: Dataset) -> Personas:
    """Who the people of a data set are: what its users file says of them, and what they liked in its log."""
    profiles = dataset.profiles or {}
    keys = id_keys(list(profiles)).tolist()
    liked = liked_items(dataset.interactions) if dataset.interactions is not None else {}
    return Personas(dataset.catalogue.titles, dict(zip(keys, profiles.values(), strict=True)), liked)


def liked_items(log: Interactions) -> Mapping[int, NDArray[np.int32]]:
    """The last items of each person that have no value, or one at or above the person's mean, by `id_keys`."""
    rated = ~np.isnan(log.values)
    sums = np.bincount(log.users, np.where(rated, log.values, 0.0), log.n_users)
    means = sums / np.maximum(np.bincount(log.users, rated, log.n_users), 1)
    liked = ~rated | (log.values >= means[log.users])
    keys = id_keys(log.user_ids).tolist()
    return {
        key: log.items[begin:end][liked[begin:end]][-LIKED:]
        for key, begin, end in zip(keys, log.starts[:-1], log.starts[1:], strict=True)
        if liked[begin:end].any()
    }
