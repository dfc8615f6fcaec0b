"""Visits of a few users on a GPU, or on numba's simulator of one: `python -m tests.envs.visits_on_cuda FILE CHOICE`."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.envs.tiny import random_items, random_users
from zsr_sim.config import WorldSettings
from zsr_sim.envs.feedback import RewardWeights
from zsr_sim.envs.gpu import CudaVisits
from zsr_sim.envs.world import Users, World

USERS, PAGES, SLATE = 12, 5, 4


def few(choice: str) -> tuple[World, Users, np.ndarray[Any, Any]]:
    """A world of every law, users of it, and pages, int32 (pages, users, slate)."""
    items = random_items(30)
    released = (np.arange(30) % 3).astype(np.int32)
    items = dataclasses.replace(items, released=released, expires=released + np.int32(4))
    world = World(items, choice, RewardWeights(1.0, 0.5, 5.0, 0.01), SLATE)
    users = random_users(USERS, items, traits=WorldSettings.named("everything"))
    first = np.random.default_rng(2).integers(0, 30, (PAGES, USERS, 1))
    return world, users, ((first + 7 * np.arange(SLATE)) % 30).astype(np.int32)


def arrays(columns: Any, name: str = "") -> dict[str, Any]:
    """All arrays of a dataclass by name."""
    found: dict[str, Any] = {}
    for field, value in vars(columns).items():
        found |= arrays(value, f"{name}{field}.") if dataclasses.is_dataclass(value) else {f"{name}{field}": value}
    return found


def main(path: Path, choice: str) -> None:
    """Write feedback of each page, and the state after the last."""
    world, users, pages = few(choice)
    visits, found = CudaVisits(world, users, 5), dict[str, Any]()
    for number, page in enumerate(pages):
        visits.step(visits.upload(page))
        visits.wait()
        found |= arrays(visits.feedback(), f"{number}.")
    np.savez(path, **found, **arrays(visits.state()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
