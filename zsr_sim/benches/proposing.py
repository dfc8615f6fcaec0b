"""How fast a generator proposes, and how that grows with the catalogue: up to a million items in all directions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from zsr_sim.benches.rates import spread
from zsr_sim.encoders.space import unit
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.gan import GeneratedCandidates, SequenceGan
from zsr_sim.generation.networks import Discriminator, Generator
from zsr_sim.generation.retrieval import Retrieval

CASES = {"proposing": (256, 10_000), "larger_catalogue": (256, 100_000), "large_catalogue": (256, 1_000_000)}
"""Users and items of each measurement."""
PROPOSED, SLATE = 8, 10
_DIMENSIONS, _HISTORY = 64, 25


def bench_proposing(repetitions: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Of each case user-steps per second and per second of CPU (of all threads); `tell` is called with its name."""
    found: dict[str, Any] = {}
    for case in CASES:
        tell(f"measuring {case}: {CASES[case][1]:,} items")
        found[case] = measured(case, SLATE, repetitions)
    return found


def measured(case: str, slate: int, repetitions: int) -> dict[str, Any]:
    """`PROPOSED` pages of `slate` items for each user, written by a generator and judged by its discriminator.

    Rates are medians, minimum and maximum beside them. What is compiled on first use is compiled before the clock
    starts.
    """
    users, items = CASES[case]
    source, observation = _source(items, slate), _observation(users, items)
    source.candidates(observation)
    rates, per_cpu = [], []
    for _ in range(repetitions):
        begin, cpu = time.perf_counter(), time.process_time()
        source.candidates(observation)
        rates.append(users / (time.perf_counter() - begin))
        per_cpu.append(users / (time.process_time() - cpu))
    sizes = {"repetitions": repetitions, "users": users, "items": items, "slate": slate}
    per_cpu_second = {"user_steps_per_cpu_second": statistics.median(per_cpu)}
    return spread("user_steps_per_second", rates) | per_cpu_second | sizes


def _source(items: int, slate: int) -> GeneratedCandidates:
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((items, _DIMENSIONS), dtype=np.float32)).astype(np.float32)
    retrieval = Retrieval(vectors, rng.integers(1, 100, items).astype(np.float32))
    with torch.random.fork_rng(devices=[]):  # torch initialises weights from its global state only
        torch.manual_seed(0)
        gan = SequenceGan(Generator(_DIMENSIONS), Discriminator(_DIMENSIONS), threshold=0.0)  # what is written passes
    return GeneratedCandidates(gan, retrieval, slate, PROPOSED + 1, PROPOSED)


def _observation(users: int, items: int) -> Observation:
    histories = np.random.default_rng(1).integers(0, items, (users, _HISTORY))
    return Observation.of_histories(histories.astype(np.int32))
