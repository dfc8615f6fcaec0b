"""`gan`: the generator's accepted sequences, greedy by the discriminator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.generation.candidates import SOURCES
from zsr_sim.generation.gan import GeneratedCandidates

_GENERATOR = SOURCES.index("generator")


@dataclass
class Gan:
    """Shows the generated page that the discriminator finds most plausible; where it lets none pass, the first other.

    source: proposes the candidates, generated ones among them.
    """

    source: GeneratedCandidates

    def act(self, observation: Observation) -> Decision:
        """The most plausible generated page for each user."""
        candidates = self.source.candidates(observation)
        written = candidates.sources == _GENERATOR
        actions = np.where(written, candidates.plausibility, -1.0).argmax(axis=1)  # the first, where there is none
        chosen = candidates.sources[np.arange(len(actions)), actions]
        return Decision(candidates.chosen(actions), tuple(SOURCES[s] for s in chosen), candidates.accepted)

    def scores(self, observation: Observation) -> NDArray[np.float32]:
        """The generator's logits of what each user takes next, float32 (n, n_items)."""
        return self.source.gan.scores(observation, self.source.retrieval).astype(np.float32)
