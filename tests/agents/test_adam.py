"""Adam, compiled, held against its first step in closed form and against torch's."""

import numpy as np
import pytest
import torch

from zsr_sim.agents.adam import Adam


def test_the_first_step_goes_as_far_as_the_learning_rate() -> None:
    """Against the sign of each gradient, whatever its size: the means are gradient and square, once corrected."""
    weights = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    gradients = np.array([[1.0, 0.0, -4.0], [2.0, 0.0, 0.0]], dtype=np.float32)
    assert Adam.begun(3).step(weights, gradients, 0.25, 100.0) == pytest.approx(5.0)  # of (3, 0, -4)
    np.testing.assert_allclose(weights, [0.75, 2.0, 3.25], rtol=1e-6)


@pytest.mark.parametrize("size", [0.01, 3.0], ids=["as they are", "cut down"])
def test_many_steps_are_torchs(size: float) -> None:
    rng, n = np.random.default_rng(0), 131
    weights = rng.normal(size=n).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    optimiser, own = torch.optim.Adam([theirs], lr=1.0), Adam.begun(n)
    for step in range(50):
        gradients, rate = (size * rng.normal(size=(3, n))).astype(np.float32), 1e-2 / (1 + step)
        theirs.grad = torch.from_numpy(gradients.sum(axis=0))
        length = float(torch.nn.utils.clip_grad_norm_([theirs], 0.5))
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        assert own.step(weights, gradients, rate, 0.5) == pytest.approx(length, rel=1e-5)
        np.testing.assert_allclose(weights, theirs.detach().numpy(), atol=1e-5)
    assert own.steps == 50
