"""The scene of an experiment: a data set, its item vectors, and the world and users made or fitted from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zsr_sim.config import MADE_UP, POOLED, HistorySettings, WorldSettings
from zsr_sim.datasets import Dataset, load
from zsr_sim.encoders.cache import EncodeReport, VectorCache, encode_texts
from zsr_sim.encoders.features import Features, FeatureSpace, features_of
from zsr_sim.encoders.histories import Items, make_history
from zsr_sim.encoders.space import ItemSpace, unit
from zsr_sim.encoders.text import TextEncoder, load_encoder
from zsr_sim.envs.estimates import Estimate
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.fitting import appeal_from, fit
from zsr_sim.envs.glances import learn_glances
from zsr_sim.envs.items import WorldItems, make_items
from zsr_sim.envs.newcomers import Described, with_newcomers
from zsr_sim.envs.population import FittedPopulation, MadeUpPopulation, Population
from zsr_sim.envs.world import World
from zsr_sim.errors import InputError
from zsr_sim.generation.index import Shelf
from zsr_sim.generation.networks import HIDDEN
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import training_log
from zsr_sim.interactions import Interactions, id_keys

if TYPE_CHECKING:
    from torch import Tensor

    from zsr_sim.readers.scene import AskedUsers

TEST_SHARE = 0.2  # of a log's people, kept for evaluation
WORLD_SEED = 0  # who the users are; a run's own seed decides what is learned and what luck they meet

# Parameters that matter most to what strategies earn: a reader is told which of them the log did not decide.
_TOLD = (
    "base_click_rate", "examination_decay", "appeal_weight", "like_rate", "boredom", "repeat_penalty", "drift_rate",
    "leave_bias", "return_rate",
)  # fmt: skip

Progress = Callable[[int, int], None]
Resample = Callable[[Interactions], Interactions]


@dataclass(frozen=True)
class Scene:
    """Everything that strategies and users share.

    vectors: float32 (n_items, d), the catalogue in the item space. train, test: populations without a common user.
    items: as their texts place them; the users of a log see them as `world.items`. features: float32 (n_items, e), what
    the users' tastes are learned from (`features_of`); None where users are made up. log: what the training users
    consumed before any recommender. shown: what logged pages say of users. history: how histories are read (`retrieval`
    does). asked: set where a language model says what attracts. described: people of whom there is a text.
    """

    dataset: Dataset
    encoder: str
    encoder_fingerprint: str
    encoded: EncodeReport
    text_vectors: NDArray[np.float32]
    space: ItemSpace
    vectors: NDArray[np.float32]
    items: WorldItems
    features: NDArray[np.float32] | None
    world: World
    train: Population
    test: Population
    log: Interactions
    retrieval: Retrieval
    settings: WorldSettings
    history: HistorySettings
    text_encoder: TextEncoder
    shown: Mapping[str, Estimate]
    asked: AskedUsers | None = None
    described: Described | None = None

    @property
    def fitted(self) -> bool:
        """Whether the users come from a log."""
        return self.features is not None

    @property
    def trust(self) -> str:
        """How far results in this world can be trusted, in words."""
        if self.asked is not None:
            return self.asked.trust
        if not self.fitted:
            why = "the log was not fitted" if self.dataset.interactions is not None else "no log was given"
            return (
                f"These users are made up, {why}. A rehearsal, not evidence; a log of your own, fitted, comes next."
                + ("" if not self.shown else " Position bias and click level are those of the logged pages.")
            )
        fitted = [line.name for line in self.fit_report if line.fitted]
        default = [name for name in _TOLD if name not in fitted]
        items = ["tastes", "appeal of the items", *(["their quality"] if self.world.items.pleasures.shape[1] else [])]
        return (
            f"Fitted to the log of {self.dataset.catalogue.name}: {_listed(items + fitted)}. Set or defaults, because "
            f"such a log cannot show them: {_listed(default)}. "
            "Whether this world orders strategies as reality does has not been checked."
        )

    def learning_from(self, log: Interactions) -> Scene:
        """The same users and items where this log, and nothing else, is what may be learned from; histories pooled."""
        popularity = np.bincount(log.items, minlength=len(self.vectors)).astype(np.float32)
        retrieval = Retrieval(self.vectors, popularity, shelf=self.retrieval.shelf)
        return replace(self, log=log, retrieval=retrieval, history=POOLED)

    def told(self, space: FeatureSpace | None = None) -> Scene:
        """The same scene where a generator reads meaning and words of the items' texts; space: None fits one to them.

        Without a log it reads vectors alone: the tastes of made-up users have nothing to do with words.
        """
        if space is None and self.dataset.interactions is None:
            return self
        texts, vectors = self.dataset.catalogue.texts, self.text_vectors
        features = Features.of(texts, vectors, space or FeatureSpace.fit(texts, vectors, HIDDEN))
        return replace(self, retrieval=self.retrieval.told_by(features))

    def reading(self, history: HistorySettings, tensors: Mapping[str, Tensor] | None = None) -> Scene:
        """The same scene where histories are read in this way, which learns from the scene's log where it learns.

        tensors: what it has learned already. Raises InputError where encoder or log do not allow it.
        """
        catalogue = self.dataset.catalogue
        items = Items(catalogue.texts, catalogue.titles, self.vectors, self.space, self.text_encoder)
        reader = make_history(history, items, self.log, tensors)
        return replace(self, history=history, retrieval=self.retrieval.read_by(reader))

    @property
    def fit_report(self) -> tuple[Estimate, ...]:
        """Where each parameter of the users comes from; of made-up users, those that logged pages say."""
        return self.test.report if isinstance(self.test, FittedPopulation) else tuple(self.shown.values())

    def place(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Where texts that are no items lie in the item space, such as profiles; unit length, float32 (n, d).

        Raises InputError for a text that the encoder cannot read.
        """
        return _placed(texts, self.text_encoder, self.space, self.text_vectors)

    def describe(self) -> dict[str, object]:
        """What a reader of results needs to know of this world; JSON-ready."""
        users = "fitted to the log" if self.fitted else "made up from the catalogue"
        if self.asked is not None:
            users += f", with a language model's answers ({self.settings.users})"
        asked: dict[str, object] = {} if self.asked is None else {"asked": self.asked.told}
        return asked | {
            "data": self.dataset.catalogue.name,
            "data_fingerprint": fingerprint(self.dataset),
            "items": len(self.dataset.catalogue),
            "encoder": self.encoder,
            "history": self.history.encoder,
            "users": users,
            "people": self.test.people,
            "traits": self.test.traits.typical(),
            "settings": self.settings.model_dump(),
            "fit": [line.to_json() for line in self.fit_report],
            "trust": self.trust,
        }


def _placed(
    texts: Sequence[str], encoder: TextEncoder, space: ItemSpace, of_items: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Where texts lie among those of items, unit length, float32 (n, d)."""
    vectors, _ = encode_texts(texts, encoder, VectorCache())
    return unit(space.project(vectors, space.centre(of_items)))


def _listed(words: Sequence[str]) -> str:
    said = [word.replace("_", " ") for word in words]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the catalogue and, where there is one, the log."""
    digest = hashlib.sha256(dataset.catalogue.fingerprint.encode())
    log = dataset.interactions
    if log is not None:
        digest.update("\n".join(log.user_ids).encode())
        for column in (log.users, log.items, log.timestamps, log.values):
            digest.update(column.tobytes())
    return digest.hexdigest()


def make_scene(
    data: str | Path,
    settings: WorldSettings,
    encoder: str | None = None,
    progress: Progress | None = None,
    space: ItemSpace | None = None,
    resample: Resample | None = None,
    asking: Progress | None = None,
) -> Scene:
    """Read a data set, encode its texts (cached), and make its users.

    space: the item space of a trained strategy, so that the same strategy can be tried on another catalogue; None fits
    one to this catalogue. resample: makes another log of the log, for another world of the same people (for instance
    `lambda log: bootstrap(log, seed, replicate)`, envs/replicates.py); a person is on the same side, train or test, in
    each. asking: told how many answers of a language model there are, where users are asked. Raises InputError for
    data, an encoder or settings that do not fit each other, or a log to resample that is not there.
    """
    dataset = load(data)
    n = len(dataset.catalogue)
    if n < settings.slate_size:
        raise InputError(
            f"{dataset.catalogue.name} has {n} item{'s' * (n != 1)}, a page needs {settings.slate_size}; "
            f"add items or lower it with --set world.slate_size={n}"
        )
    if n > 1 and len(set(dataset.catalogue.texts)) == 1:
        raise InputError(
            f"{dataset.catalogue.name}: all {n} items have the same text, {dataset.catalogue.texts[0][:60]!r}; texts "
            "that tell items apart are expected: name other columns, or write descriptions"
        )
    text_encoder = load_encoder(encoder)
    text_vectors, report = encode_texts(dataset.catalogue.texts, text_encoder, VectorCache(), progress)
    space = space or ItemSpace.fit(text_vectors, settings.dimensions, settings.centred, settings.normalised)
    vectors = space.project(text_vectors)
    log = dataset.interactions
    if resample is not None:
        if log is None:
            raise InputError(f"{dataset.catalogue.name} has no log, its users are made up; other worlds need a log")
        log = resample(log)
    items = make_items(  # whatever strategies see, users live among vectors of length 1
        vectors if space.normalised else unit(vectors), appeal_from(log, n) if log is not None else None,
        settings.topics, WORLD_SEED, settings.quality_correlation, settings.item_lifetime, settings.horizon,
    )  # fmt: skip
    glances = learn_glances(dataset.impressions, n) if dataset.impressions is not None else None
    shown = {} if glances is None else glances.estimates
    described = None
    if dataset.profiles:
        places = _placed(list(dataset.profiles.values()), text_encoder, space, text_vectors)
        described = Described(id_keys(list(dataset.profiles)), places)
    fitted = log is not None and settings.users != MADE_UP
    features = features_of(dataset.catalogue.texts, text_vectors, vectors.shape[1]) if fitted else None
    population = joined_by(described, population_of(items, features, log, settings, shown, WORLD_SEED))
    train: Population
    test: Population
    train, test = population.split(TEST_SHARE, WORLD_SEED)
    consumed = training_log(train, log)
    popularity = np.bincount(consumed.items, minlength=n).astype(np.float32)
    world = World(
        population.items,
        settings.choice,
        RewardWeights(settings.reward_click, settings.reward_like, settings.reward_purchase, settings.reward_dwell),
        settings.slate_size,
        shown_capacity=settings.slate_size * settings.horizon,
        season_period=settings.season_period,
        max_gap=settings.max_gap,
    )
    asked: AskedUsers | None = None
    if settings.users not in ("laws", MADE_UP):
        from zsr_sim.readers.scene import ask_users  # only who asks for it waits for it

        level = population.traits.base_click_rate
        asked = ask_users(settings.users, dataset, world, train, test, level, WORLD_SEED, asking)
        world, train, test = asked.world, asked.train, asked.test
    retrieval = Retrieval(vectors, popularity, shelf=Shelf.of(world.items))
    return Scene(
        dataset, text_encoder.name, text_encoder.fingerprint, report, text_vectors, space, vectors, items, features,
        world, train, test, consumed, retrieval, settings, POOLED, text_encoder, shown, asked, described,
    )  # fmt: skip


def joined_by(
    described: Described | None, population: MadeUpPopulation | FittedPopulation
) -> MadeUpPopulation | FittedPopulation:
    """The people of a log, and those of whom there is a text and no history; made-up users stay by themselves."""
    if described is None or not isinstance(population, FittedPopulation):
        return population
    return with_newcomers(population, described)


def population_of(
    items: WorldItems, features: NDArray[np.float32] | None, log: Interactions | None, settings: WorldSettings,
    shown: Mapping[str, Estimate], seed: int,
) -> MadeUpPopulation | FittedPopulation:  # fmt: skip
    """Users of a log, or made up (by `seed`) without `features`; items: as their texts place them.

    shown: what logged pages say of users; what is explicitly set counts more.
    """
    if log is None or features is None:
        known = {name: line.value for name, line in shown.items() if name not in settings.model_fields_set}
        return MadeUpPopulation.create(items, settings.model_copy(update=known), seed, settings.interests)
    given = "quality_correlation" in settings.model_fields_set
    return fit(items, log, settings, WORLD_SEED, settings.interests, keep_quality=given, shown=shown, features=features)
