"""How fast the simulated users are by themselves: many at once, one alone, and over a catalogue of a million items.

`single`: one user through `gymnasium.make`, in the setting of SARDINE's SlateTopK-Bored: boredom, pages composed of the
whole catalogue, visits of 100 pages. Where SARDINE can be imported (PyPI `sardine-rec`), that runs in between, and the
ratio of the rates is told; a ratio taken in one run bears the load of a shared machine that a rate does not.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from zsr_sim.benches.rates import spread
from zsr_sim.config import WorldSettings
from zsr_sim.encoders.space import unit
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.gpu import CudaVisits, find_gpu
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.registration import SLATE_RECOMMENDATION
from zsr_sim.envs.traits import draw_traits
from zsr_sim.envs.world import Users, World
from zsr_sim.errors import InputError, nearest

PAGES = 20
CASES = {"many": (8192, 10_000), "one": (1, 10_000), "large_catalogue": (8192, 1_000_000)}
"""Users and items of each measurement."""
CUDA_CASES = {"cuda": (262_144, 10_000), "cuda_large_catalogue": (262_144, 1_000_000)}
"""The same on a GPU, with users enough to fill it."""
DEVICES = ("cpu", "cuda")
SARDINE, SINGLE_STEPS = "sardine/SlateTopK-Bored-v0", 300
_HISTORY, _CONSUMED = 50, 12

Timed = Callable[[], float]
"""Does the work once; returns user-steps per second."""


def bench_world(name: str, repetitions: int, tell: Callable[[str], None], device: str = "cpu") -> dict[str, Any]:
    """User-steps per second of a named world, one measurement after the other, `repetitions` times over.

    Each rate is a median, its minimum and maximum beside it. `tell` is called with what is prepared or measured next.
    device: one of `DEVICES`; with "cuda", `CUDA_CASES` in place of `CASES`, and InputError where there is no GPU.
    """
    if device not in DEVICES:
        raise InputError(f"--device is {device!r}; one of {', '.join(DEVICES)} expected{nearest(device, DEVICES)}")
    if device == "cuda":
        find_gpu()
    works: dict[str, Timed] = {}
    sizes = dict(CUDA_CASES if device == "cuda" else CASES)
    for case, (users, items) in sizes.items():
        tell(f"preparing {case}: {users:,} users, {items:,} items")
        works[case] = (_cuda_work if device == "cuda" else _world_work)(WorldSettings.named(name), users, items)
    single: dict[str, Any] = {
        "single": gymnasium.make(SLATE_RECOMMENDATION, world="boredom", n_pool=None, max_episode_steps=100)
    }
    if importlib.util.find_spec("sardine"):
        importlib.import_module("sardine")  # registers its environments
        single["sardine"] = gymnasium.make(SARDINE)
    for case, env in single.items():
        works[case], sizes[case] = _single_work(env), (1, int(env.action_space.nvec[0]))
    for work in works.values():
        work()  # compiles, and fills caches
    rates: dict[str, list[float]] = {case: [] for case in works}
    for repetition in range(repetitions):
        tell(f"repetition {repetition + 1} of {repetitions}")
        for case, work in works.items():
            rates[case].append(work())
    found: dict[str, Any] = {"world": name, "slate": WorldSettings.named(name).slate_size, "repetitions": repetitions}
    for case, values in rates.items():
        users, items = sizes[case]
        found[case] = spread("user_steps_per_second", values) | {"users": users, "items": items}
    if "sardine" in rates:
        for case in [case for case in rates if case != "sardine"]:
            ratios = [ours / theirs for ours, theirs in zip(rates[case], rates["sardine"], strict=True)]
            found[case]["times_sardine"] = statistics.median(ratios)
    return found


def _world_work(settings: WorldSettings, n: int, n_items: int) -> Timed:
    """Visits of n users to items in all directions; pages are drawn before the clock starts."""
    world, users, pages = _visits(settings, n, n_items)
    visits = 1 if n > 1 else 50

    def work() -> float:
        count, seconds = 0, 0.0
        for seed in range(visits):
            state = world.start(users, seed)
            begin = time.perf_counter()
            for page in pages:
                world.step(state, page)
            seconds += time.perf_counter() - begin
            count += int(state.steps.sum())
        return count / seconds

    return work


def _cuda_work(settings: WorldSettings, n: int, n_items: int) -> Timed:
    """The same on a GPU, to which users, items and pages are moved before the clock starts."""
    world, users, pages = _visits(settings, n, n_items)

    def work() -> float:
        visits = CudaVisits(world, users, 0)
        uploaded = [visits.upload(page) for page in pages]
        visits.wait()
        begin = time.perf_counter()
        for page in uploaded:
            visits.step(page)
        visits.wait()
        seconds = time.perf_counter() - begin
        return int(visits.state().steps.sum()) / seconds

    return work


def _visits(settings: WorldSettings, n: int, n_items: int) -> tuple[World, Users, NDArray[np.int32]]:
    generator = np.random.default_rng(0)
    world = _world(settings, n_items, generator)
    users = _users(settings, n, world.items, generator)
    first = generator.integers(0, n_items, (PAGES, n, 1))
    pages = ((first + 7919 * np.arange(settings.slate_size)) % n_items).astype(np.int32)  # (pages, n, slate)
    return world, users, pages


def _world(settings: WorldSettings, n_items: int, generator: np.random.Generator) -> World:
    vectors = unit(generator.standard_normal((n_items, settings.dimensions), dtype=np.float32))
    appeal, quality = generator.standard_normal((2, n_items), dtype=np.float32)
    life = settings.item_lifetime
    released = generator.integers(-life, PAGES, n_items).astype(np.int32) if life else np.zeros(n_items, dtype=np.int32)
    items = WorldItems(
        vectors, appeal, (np.arange(n_items) % settings.topics).astype(np.int32), settings.topics, quality,
        released, released + np.int32(life or PAGES),
    )  # fmt: skip
    rewards = RewardWeights(
        settings.reward_click, settings.reward_like, settings.reward_purchase, settings.reward_dwell
    )
    capacity = settings.slate_size * settings.horizon
    return World(
        items, settings.choice, rewards, settings.slate_size, capacity, settings.season_period, settings.max_gap
    )


def _users(settings: WorldSettings, n: int, items: WorldItems, generator: np.random.Generator) -> Users:
    ids = np.arange(n, dtype=np.int64)
    tastes = unit(generator.standard_normal((n, settings.interests, settings.dimensions), dtype=np.float32))
    histories = np.full((n, _HISTORY), -1, dtype=np.int32)
    histories[:, -_CONSUMED:] = generator.integers(0, len(items), (n, _CONSUMED))
    return Users(ids, ids, tastes.astype(np.float32), draw_traits(settings, 0, ids, -4.0), histories)


def _single_work(env: Any) -> Timed:
    """One user who is shown pages drawn from the catalogue, each visit followed by the next."""
    generator = np.random.default_rng(0)
    slates = [generator.permutation(env.action_space.nvec[0])[:10] for _ in range(SINGLE_STEPS)]

    def work() -> float:
        env.reset(seed=0)
        begin = time.perf_counter()
        for slate in slates:
            _, _, terminated, truncated, _ = env.step(slate)
            if terminated or truncated:
                env.reset()
        return SINGLE_STEPS / (time.perf_counter() - begin)

    return work
