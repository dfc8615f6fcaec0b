"""The laws as a GPU runs them: on numba's simulator, for no test may need a GPU, and compiled as far as that goes."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

from tests.envs.visits_on_cuda import SLATE, arrays, few
from zsr_sim.envs import gpu
from zsr_sim.envs.choice import CHOICES
from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.gpu import CudaVisits, kernel
from zsr_sim.envs.step import remembered_places
from zsr_sim.envs.tables import PageColumns
from zsr_sim.envs.world import user_columns
from zsr_sim.errors import InputError

SIMULATED = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_gpu_plays_the_same_visits(choice: str, tmp_path: Path) -> None:
    """Draws and what follows from them are equal, numbers but for rounding: the simulator computes as NumPy does."""
    path = tmp_path / "visits.npz"
    command = [sys.executable, "-m", "tests.envs.visits_on_cuda", str(path), choice]
    subprocess.run(command, cwd=ROOT, env=os.environ | SIMULATED, check=True, timeout=120)
    world, users, pages = few(choice)
    state, expected = world.start(users, 5), dict[str, Any]()
    for number, page in enumerate(pages):
        expected |= arrays(world.step(state, page), f"{number}.")
    expected |= arrays(state)
    assert not state.present.all()
    assert expected["0.clicks"].any()
    with np.load(path) as found:
        assert set(found) == set(expected)
        for name, values in expected.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(found[name], values, rtol=2e-5, atol=2e-6, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_without_a_gpu_it_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    world, users, _ = few("position")
    if gpu.cuda.is_available():
        monkeypatch.setattr(gpu.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"numba finds no GPU; .*zsr-sim\[gpu\]"):
        CudaVisits(world, users, 0)
    monkeypatch.setattr(gpu, "cuda", None)
    with pytest.raises(InputError, match="numba finds no GPU"):
        CudaVisits(world, users, 0)


def test_the_whole_step_compiles_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """To PTX, for compute capability 8.0; no GPU takes part."""
    pytest.importorskip("numba_cuda", reason="numba-cuda compiles for a GPU; the extra `gpu` brings it")
    from numba.cuda import dispatcher

    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(8, 0)))
    world, users, pages = few("position")
    answers, state = np.empty((0, SLATE), dtype=np.float32), world.start(users, 0)
    feedback = vars(Feedback.empty(len(users), SLATE)).values()
    page = PageColumns(pages[0], answers, *map(np.ascontiguousarray, feedback))
    columns = (world.columns, user_columns(state), page, world.rules)
    step = kernel(len(world.columns.log_positions), remembered_places(users.histories.shape[1]))
    code, result = gpu.cuda.compile_ptx(step, tuple(map(numba.typeof, columns)), cc=(8, 0))
    assert ".target sm_80" in code
    assert str(result) == "none"
