"""Language models made by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zsr_sim.readers.prompts import CLICK_ANSWERS


@dataclass
class Double:
    """Says yes with the log-odds that `odds` has for a prefix and a line, and rates the same way; counts questions."""

    odds: Callable[[str, str], float]
    fingerprint: str = "double"
    name: str = "a double"
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, questions: Sequence[tuple[str, str]], answers: Sequence[str]) -> NDArray[np.float32]:
        """Normalised log-likelihoods."""
        self.asked += questions
        odds = np.array([self.odds(*question) for question in questions])  # (n,)
        if tuple(answers) == CLICK_ANSWERS:
            raw = np.stack([odds, np.zeros_like(odds)], axis=1)
        else:
            raw = odds[:, None] * np.linspace(-1, 1, len(answers))
        return np.asarray(raw - np.logaddexp.reduce(raw, axis=1, keepdims=True), dtype=np.float32)
