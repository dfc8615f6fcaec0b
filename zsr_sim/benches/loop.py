"""How fast this machine is: user-steps per second of world, environment and training, texts per second of the encoder.

A user-step is one page shown to one user. What is compiled on first use is compiled before the clock starts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.benches.proposing import measured
from zsr_sim.benches.rates import spread
from zsr_sim.config import Settings
from zsr_sim.encoders.text import load_encoder
from zsr_sim.envs.recommendation import RecommendationEnv
from zsr_sim.envs.stage import Stage
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.generation.candidates import RetrievalCandidates
from zsr_sim.generation.clicks import ClickTrainer
from zsr_sim.learning import policy_trainer

WORLD_USERS, WORLD_PAGES = 8192, 20
ENV_STEPS = 300
TEXTS = 512

Timed = Callable[[], tuple[int, float]]
"""Does the work once; returns how many units it did, and in how many seconds."""


def bench_loop(data: str, settings: Settings, repetitions: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything; each rate is the median of the repetitions, its minimum and maximum beside it.

    The loop is the training of the policy gradient without a generator: play an update's visits, learn from it.
    `tell` is called with the name of each measurement before it begins.
    """
    scene = make_scene(data, settings.world)
    facts = {"items": len(scene.dataset.catalogue), "slate": scene.world.slate_size}
    steps = "user_steps_per_second"
    found: dict[str, Any] = {}
    tell("world")
    found["world"] = _rates(steps, _world(scene), repetitions) | {"users": WORLD_USERS} | facts
    tell("single_env")
    found["single_env"] = _rates(steps, _single_env(scene, settings), repetitions) | {"users": 1} | facts
    tell("loop")
    found["loop"] = _rates(steps, _loop(scene, settings), repetitions) | {"users": settings.agent.users} | facts
    tell("proposing")
    found["proposing"] = measured("proposing", scene.world.slate_size, repetitions)
    tell("encoder")
    encoder = load_encoder()
    texts = (scene.dataset.catalogue.texts * TEXTS)[:TEXTS]

    def encode() -> tuple[int, float]:
        begin = time.perf_counter()
        encoder.encode(texts)
        return len(texts), time.perf_counter() - begin

    tokens = statistics.mean(encoder.count_tokens(texts))
    found["encoder"] = _rates("texts_per_second", encode, repetitions) | {"tokens_per_text": round(tokens, 1)}
    return found


def _rates(name: str, work: Timed, repetitions: int) -> dict[str, Any]:
    work()  # compiles, and fills caches
    rates = [units / seconds for units, seconds in (work() for _ in range(repetitions))]
    return spread(name, rates) | {"repetitions": repetitions}


def _world(scene: Scene) -> Timed:
    users = scene.train.visit(np.arange(WORLD_USERS, dtype=np.int64))
    slates = [_slates(page, WORLD_USERS, scene) for page in range(WORLD_PAGES)]

    def work() -> tuple[int, float]:
        state, count = scene.world.start(users, 0), 0
        begin = time.perf_counter()
        for page in slates:
            count += int(state.present.sum())
            scene.world.step(state, page)
        return count, time.perf_counter() - begin

    return work


def _slates(page: int, n: int, scene: Scene) -> NDArray[np.int32]:
    """Different items on each slate, int32 (n, slate_size), without a strategy: neighbours in the catalogue."""
    size = scene.world.slate_size
    first = (np.arange(n) * 31 + page * size)[:, None]
    return ((first + np.arange(size)) % len(scene.dataset.catalogue)).astype(np.int32)


def _single_env(scene: Scene, settings: Settings) -> Timed:
    source = RetrievalCandidates(scene.retrieval, scene.world.slate_size, settings.agent.candidates)
    env = RecommendationEnv.on(Stage.of(scene.world, scene.train, source))

    def work() -> tuple[int, float]:
        env.reset(seed=0)
        begin = time.perf_counter()
        for step in range(ENV_STEPS):
            _, _, terminated, _, _ = env.step(step % settings.agent.candidates)
            if terminated:
                env.reset()
        return ENV_STEPS, time.perf_counter() - begin

    return work


def _loop(scene: Scene, settings: Settings) -> Timed:
    clicks = ClickTrainer(scene.vectors, 0) if settings.agent.composed else None
    trainer = policy_trainer(scene, settings, 0, None, clicks)

    def work() -> tuple[int, float]:
        begin = time.perf_counter()
        figures = trainer.step()
        seconds = time.perf_counter() - begin
        return round(figures["visit_length"] * settings.agent.users), seconds

    return work
