"""How fast LLM users answer: slates per second of a visit, of its first page, of later ones, and of known answers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.benches.rates import spread
from zsr_sim.config import WorldSettings
from zsr_sim.envs.world import Users
from zsr_sim.experiment import make_scene
from zsr_sim.readers.model import CausalModel, load_causal_model
from zsr_sim.readers.scene import personas_of
from zsr_sim.readers.users import LlmUsers

USERS, PAGES = 48, 4


def bench_llm_users(data: str, model: str, repetitions: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Slates per second over a visit of PAGES pages by USERS users, nothing known before; medians, minima, maxima.

    `first_page` includes reading who the users are, `later_pages` does not, `known` are pages answered before.
    per_cpu_second: slates by the CPU seconds of all threads, which a busy machine lengthens less than the clock.
    """
    scene = make_scene(data, WorldSettings())
    users = scene.train.visit(np.arange(USERS, dtype=np.int64))
    slate, n = scene.world.slate_size, len(scene.vectors)
    rng = np.random.default_rng(0)
    pages = [np.stack([rng.permutation(n)[:slate] for _ in range(USERS)]).astype(np.int32) for _ in range(PAGES)]
    causal = load_causal_model(model)
    personas = personas_of(scene.dataset)
    LlmUsers(causal, personas).clicks(users, pages[0])  # reads the weights
    rates: dict[str, list[float]] = {name: [] for name in ("visit", "first_page", "later_pages", "known")}
    costs: dict[str, list[float]] = {name: [] for name in rates}
    for repetition in range(repetitions):
        tell(f"asking, repetition {repetition + 1} of {repetitions}")
        first, later, known = _visit(causal, LlmUsers(causal, personas), users, pages)  # (clock, CPU) each
        parts = {
            "first_page": (USERS, first), "later_pages": (USERS * (PAGES - 1), later),
            "visit": (USERS * PAGES, first + later), "known": (USERS * PAGES, known),
        }  # fmt: skip
        for name, (slates, (clock, cpu)) in parts.items():
            rates[name].append(slates / float(clock))
            costs[name].append(slates / float(cpu))
    figures = {
        name: spread("slates_per_second", found) | {"per_cpu_second": statistics.median(costs[name])}
        for name, found in rates.items()
    }
    return {"model": causal.name, "users": USERS, "pages": PAGES, "slate": slate, "items": n} | figures


def _visit(
    causal: CausalModel, asked: LlmUsers, users: Users, pages: list[NDArray[np.int32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seconds by the clock and of the CPU of the first page, of all later ones, and of all again."""
    causal.forget()
    marks = [_now()]
    for page in pages:
        asked.clicks(users, page)
        marks.append(_now())
    for page in pages:
        asked.clicks(users, page)
    return marks[1] - marks[0], marks[-1] - marks[1], _now() - marks[-1]


def _now() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])
