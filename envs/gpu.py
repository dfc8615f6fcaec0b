"""The step law on a GPU: one thread a user; items, users and feedback stay on the device.

What runs is `step.py` itself, compiled by numba-cuda (the extra `gpu` of this package), so there is one description of
the laws for one user, a batch and a GPU. Results equal those of `World.step` but for rounding.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import boolean, float32, float64, int32
from numpy.typing import NDArray

from zsr_sim.compiled import inlined
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.step import remembered_places, step_user
from zsr_sim.envs.tables import ItemColumns, PageColumns, Rules, Scratch, UserColumns
from zsr_sim.envs.world import Users, World, WorldState, user_columns
from zsr_sim.errors import InputError

cuda: Any  # numba-cuda's, where that is installed; kernels read it from here
try:
    cuda = importlib.import_module("numba.cuda")
except ImportError:
    cuda = None

_BLOCK = 128  # threads


class CudaVisits:
    """Visits of many users, their state on a GPU.

    Args: as for `World.start`, `world` being the one that they visit.

    Raises:
        InputError: as `World.start`, where numba finds no GPU, and for a world in which somebody else is asked.
    """

    def __init__(self, world: World, users: Users, seeds: int | NDArray[np.uint64]) -> None:
        find_gpu()
        self._world, self._n = world, len(users)
        if type(world) is not World:
            raise InputError(f"device cuda: users of {type(world).__name__} are asked on the CPU; use a plain World")
        self._state = world.start(users, seeds)
        self._items = ItemColumns(*map(cuda.to_device, world.columns))
        self._users = UserColumns(*map(cuda.to_device, user_columns(self._state)))
        self._answers = cuda.to_device(np.empty((0, world.slate_size), dtype=np.float32))  # the laws alone
        self._feedback: list[Any] = [cuda.to_device(column) for column in self._nothing()]
        self._kernel = _compiled(len(world.columns.log_positions), remembered_places(users.histories.shape[1]))

    def upload(self, slates: NDArray[np.int32]) -> Any:
        """Pages for `step`, checked here, as an array on the device; raises InputError as `World.step` does."""
        self._world.check(slates, self._n)
        return cuda.to_device(np.ascontiguousarray(slates, dtype=np.int32))

    def step(self, slates: Any) -> None:
        """Show each present user a slate, int32 (n, slate_size) from `upload`; returns before the GPU is done."""
        page = PageColumns(slates, self._answers, *self._feedback)
        self._kernel[-(-self._n // _BLOCK), _BLOCK](self._items, self._users, page, self._world.rules)

    def wait(self) -> None:
        """Return once the GPU is done."""
        cuda.synchronize()

    def feedback(self) -> Feedback:
        """What the last page brought, copied from the device."""
        found = self._nothing()
        for here, there in zip(found, self._feedback, strict=True):
            there.copy_to_host(here)
        return Feedback(*found)

    def state(self) -> WorldState:
        """All users as they are now, copied from the device."""
        columns: list[Any] = list(self._users)
        for here, there in zip(user_columns(self._state), columns, strict=True):
            if there.size:
                there.copy_to_host(here)
        return self._state.copy()

    def _nothing(self) -> list[NDArray[Any]]:
        feedback = Feedback.empty(self._n, self._world.slate_size)
        return [np.ascontiguousarray(column) for column in vars(feedback).values()]


def find_gpu() -> None:
    """Raises InputError where numba finds no GPU, or has no code for one."""
    if cuda is None or not cuda.is_available():
        raise InputError(
            "device cuda: numba finds no GPU; leave the device out, or run this where nvidia-smi shows one, after "
            "pip install 'zsr-sim[gpu]'"
        )


def kernel(places: int, remembered: int) -> Callable[[ItemColumns, UserColumns, PageColumns, Rules], None]:
    """One page of one user on each thread, to be compiled for a GPU.

    places: positions of a page, on to whole vector registers. remembered: items of a history, likewise.
    """

    def step(items: ItemColumns, users: UserColumns, page: PageColumns, rules: Rules) -> None:
        i = cuda.grid(1)
        if i >= users.steps.shape[0]:
            return
        local = cuda.local.array
        scratch = Scratch(
            local(places, float64), local(places, float64), local(places, float64), local(places, float64),
            local(places, float64), local(places, float64), local(places, float64), local(places, float64),
            local(places, float64), local(places, int32), local(places, float32), local(places, float32),
            local(places, float32), local(places, float32), local(places, boolean), local(places, int32),
            local(remembered, int32),
        )  # fmt: skip
        for k in range(remembered):
            scratch.remembered[k] = -1
        _forget(i, page)
        if users.present[i]:
            step_user(i, items, users, page, rules, scratch)

    return step


@inlined
def _forget(i: int, page: PageColumns) -> None:
    """Feedback of nobody in row i, as each page begins with."""
    for j in range(page.slates.shape[1]):
        page.clicks[i, j] = page.likes[i, j] = page.purchases[i, j] = False
        page.skips[i, j] = page.unavailable[i, j] = False
        page.dwell[i, j] = page.probabilities[i, j] = 0.0
    for kind in range(page.amounts.shape[1]):
        page.amounts[i, kind] = 0.0
    page.left[i] = False
    page.leave_probability[i] = page.gaps[i] = page.reward[i] = page.expected_reward[i] = 0.0


@functools.cache
def _compiled(places: int, remembered: int) -> Any:
    return cuda.jit(kernel(places, remembered))
