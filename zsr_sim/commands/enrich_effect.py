"""What descriptions do to ranking: the same items hidden from `similarity` over the texts without and with them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.agents.similarity import Similarity
from zsr_sim.config import WorldSettings
from zsr_sim.console import Phases, Screen
from zsr_sim.datasets import Dataset
from zsr_sim.encoders.cache import VectorCache, encode_texts
from zsr_sim.encoders.space import ItemSpace
from zsr_sim.encoders.text import Encoder, Vectors
from zsr_sim.errors import InputError
from zsr_sim.evaluation.next_item import place
from zsr_sim.evaluation.ranking_results import protocol_results
from zsr_sim.evaluation.trials import Trials, cold_items, first_encounters, held_out_items, leave_one_out
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions
from zsr_sim.reporting.numbers import with_interval

MIN_INTERACTIONS = 5  # as in `evaluate ranking`
METRIC = "hr@10"
WITHOUT, WITH = "without", "with"


def effect_on_ranking(
    log: Interactions, plain: Dataset, described: Dataset, encoder: Encoder, seed: int, screen: Screen
) -> dict[str, Any]:
    """HR@10 without and with descriptions, and the difference paired by user, each with a 95 % interval.

    By the protocols of `evaluate ranking`, with one draw of held-out items: {protocol: {"users", "without", "with",
    "difference"}}; {} where the log is too short for that, which is said.
    """
    settings, n = WorldSettings(), len(plain.catalogue)
    try:
        log = first_encounters(log, MIN_INTERACTIONS)
        protocols = {"warm": leave_one_out(log, n), "cold": cold_items(log, held_out_items(log, n, 0, seed))}
    except InputError as error:  # the descriptions are written, and of use without this
        screen.line(f"what this does to ranking cannot be measured: {error}")
        return {}
    vectors: dict[str, Vectors] = {}
    with Phases(screen) as phases:
        for label, dataset in ((WITHOUT, plain), (WITH, described)):
            texts, _ = encode_texts(dataset.catalogue.texts, encoder, VectorCache(), phases.encoding)
            space = ItemSpace.fit(texts, settings.dimensions, settings.centred, settings.normalised)
            vectors[label] = space.project(texts)  # (n, d)
    found = {protocol: _effect(trials, vectors, seed) for protocol, trials in protocols.items()}
    for protocol, told in found.items():
        without, with_, difference = (with_interval(told[key], 3) for key in (WITHOUT, WITH, "difference"))
        screen.line(
            f"{protocol}: HR@10 of similarity for {told['users']:,} people {without} without and {with_} with "
            f"descriptions, difference {difference}"
        )
    return found


def _effect(trials: Trials, vectors: dict[str, Vectors], seed: int) -> dict[str, Any]:
    n = len(vectors[WITHOUT])
    size = min(WorldSettings().slate_size, n)
    popularity = np.bincount(trials.train.items, minlength=n).astype(np.float32)
    agent = partial(CheckedAgent, "similarity", slate_size=size, n_items=n)
    placed = {
        label: [place(agent(agent=Similarity(Retrieval(own, popularity), size)), trials, seed)]
        for label, own in vectors.items()
    }
    results = protocol_results([trials], placed, vectors[WITHOUT], seed)
    (change,) = [row for row in results["differences"] if row["metric"] == METRIC]
    return {
        "users": results["users"],
        **{label: results["agents"][label]["metrics"][METRIC] for label in vectors},
        "difference": {"mean": change["difference"], "ci95": change["ci95"]},
    }
