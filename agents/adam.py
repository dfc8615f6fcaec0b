"""Adam, compiled: torch's takes as long to begin a step on a small network as the gradients take to come by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from zsr_sim.compiled import law
from zsr_sim.envs.tables import F32, I64

_MEMORY, _SQUARES = 0.9, 0.999  # of the means: beta_1, beta_2
_LEAST = 1e-8


@dataclass(frozen=True)
class Adam:
    """What Adam (Kingma and Ba 2015, algorithm 1) remembers of the gradients by n weights.

    means, squares: float32 (n,), running means of the gradients and of their squares. steps: int64 (1,), so far.
    """

    means: F32
    squares: F32
    steps: I64

    @classmethod
    def begun(cls, n: int) -> Self:
        """Before the first step."""
        return cls(np.zeros(n, dtype=np.float32), np.zeros(n, dtype=np.float32), np.zeros(1, dtype=np.int64))

    def step(self, weights: F32, gradients: F32, rate: float, longest: float) -> float:
        """Move the weights (n,) against the sum of gradients (parts, n); returns its length.

        rate: learning rate. longest: a longer sum is scaled down to this length. `gradients` is written over.
        """
        self.steps[0] += 1
        return _step(weights, gradients, self.means, self.squares, int(self.steps[0]), rate, longest)


@law
def _step(weights: F32, gradients: F32, means: F32, squares: F32, step: int, rate: float, longest: float) -> float:
    """Loops over few arrays each, which LLVM turns into vector code."""
    gradient, length = gradients[0], 0.0
    for part in range(1, gradients.shape[0]):
        for k in range(gradient.shape[0]):
            gradient[k] += gradients[part, k]
    for k in range(gradient.shape[0]):
        length += np.float64(gradient[k]) * np.float64(gradient[k])
    length = math.sqrt(length)
    share = np.float32(min(longest / (length + 1e-6), 1.0))
    for k in range(gradient.shape[0]):
        gradient[k] *= share
        means[k] += np.float32(1.0 - _MEMORY) * (gradient[k] - means[k])
    for k in range(gradient.shape[0]):
        squares[k] += np.float32(1.0 - _SQUARES) * (gradient[k] * gradient[k] - squares[k])
    pace, root = np.float32(rate / (1.0 - _MEMORY**step)), np.float32(1.0 / math.sqrt(1.0 - _SQUARES**step))
    for k in range(gradient.shape[0]):
        weights[k] -= pace * means[k] / (np.sqrt(squares[k]) * root + np.float32(_LEAST))
    return length
