"""How fast `similarity` plays in the loop with each history encoder, what it need not read again, and what it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from zsr_sim.agents.similarity import Similarity
from zsr_sim.benches.rates import spread
from zsr_sim.config import HISTORY_ENCODERS, Settings
from zsr_sim.encoders.history import Reads
from zsr_sim.encoders.models import SMOLLM
from zsr_sim.envs.visits import Visits, simulate
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene, make_scene

USERS = 256
_LUCK = 1 << 40
_MIB = 1 << 20


def bench_histories(data: str, settings: Settings, repetitions: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """User-steps per second at 256 users for each history encoder, reading included.

    Each rate is a median, its minimum and maximum beside it; nothing is kept from one repetition to the next. The
    causal model is SmolLM2, the others run over the built-in encoder; what is not installed is told, not measured.
    """
    found: dict[str, Any] = {"users": USERS, "horizon": settings.world.horizon, "repetitions": repetitions}
    scene = make_scene(data, settings.world)
    for name in HISTORY_ENCODERS:
        tell(name)
        history = settings.history.model_copy(update={"encoder": name})
        try:
            own = make_scene(data, settings.world, SMOLLM) if name == "causal" else scene
        except InputError as error:
            found[name] = {"left_out": str(error)}
            continue
        play(own, USERS, _LUCK, 1)  # compiles, and builds the index
        runs = [
            play(own.reading(history), USERS, _LUCK + 1 + luck, settings.world.horizon)[1]
            for luck in range(repetitions)
        ]
        rates = [run["user_steps_per_second"] for run in runs]
        found[name] = runs[-1] | {"encoder": own.encoder} | spread("user_steps_per_second", rates)
    return found


def play(scene: Scene, visits: int, luck: int, horizon: int) -> tuple[Visits, dict[str, Any]]:
    """Visits under `similarity` over the scene's history encoder, and their figures.

    cache_hits: share of the histories that were not read, 0..1. mib_kept: at the end. forgotten: histories that were
    dropped for lack of memory.
    """
    agent = Similarity(scene.retrieval, scene.world.slate_size)
    ids = np.arange(visits, dtype=np.int64)
    begin = time.perf_counter()
    seen = simulate(scene.world, scene.test, ids, agent, luck, horizon)
    seconds = time.perf_counter() - begin
    reads = Reads() if scene.retrieval.history is None else scene.retrieval.history.reads
    return seen, {
        "user_steps_per_second": float(seen.pages.sum()) / seconds,
        "cache_hits": reads.hit_share,
        "mib_kept": reads.kept / _MIB,
        "forgotten": reads.forgotten,
    }
