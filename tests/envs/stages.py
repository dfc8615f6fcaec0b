"""Small stages made by hand: a real population in a world of random items."""

from dataclasses import replace

import numpy as np
import torch

from tests.envs.tiny import random_items
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.population import MadeUpPopulation
from zsr_sim.envs.stage import Stage
from zsr_sim.envs.traits import Traits
from zsr_sim.envs.world import World
from zsr_sim.generation.candidates import CandidateSource, RetrievalCandidates
from zsr_sim.generation.gan import GeneratedCandidates, SequenceGan
from zsr_sim.generation.networks import Discriminator, Generator
from zsr_sim.generation.retrieval import Retrieval


def tiny_stage(
    n: int = 40,
    d: int = 6,
    slate: int = 3,
    candidates: int = 5,
    generated: int = 0,
    leave_bias: float = 0.0,
    seed: int = 0,
    lifetime: int = 0,
    rewards: RewardWeights | None = None,
    observe: str = "partial",
    titles: list[str] | None = None,
    **traits: float,
) -> Stage:
    """A world of `n` random items whose users click now and then; `generated` pages are an untrained generator's.

    lifetime: pages for which an item can be had; 0: always, and row i is released at page i modulo 5 otherwise.
    """
    items = random_items(n, d, seed=seed)
    if lifetime:
        released = np.arange(n, dtype=np.int32) % 5
        items = replace(items, released=released, expires=released + np.int32(lifetime))
    people = Traits(**{"base_click_rate": 0.2, "leave_bias": leave_bias} | traits)
    population = MadeUpPopulation.create(items, people, seed)
    popularity = np.random.default_rng(seed).integers(0, 9, n).astype(np.float32)
    retrieval = Retrieval(items.vectors, popularity)
    source: CandidateSource = RetrievalCandidates(retrieval, slate, candidates)
    if generated:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            gan = SequenceGan(Generator(d), Discriminator(d), threshold=0.48)  # lets about half of the pages pass
        source = GeneratedCandidates(gan, retrieval, slate, candidates, generated)
    world = World(items, rewards=rewards or RewardWeights(), slate_size=slate, shown_capacity=30)
    return Stage.of(world, population, source, titles=titles, observe=observe)
