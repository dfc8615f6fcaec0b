"""`gan`: which of the candidates is shown."""

import numpy as np

from tests.envs.stages import tiny_stage
from zsr_sim.agents.gan import Gan
from zsr_sim.envs.visits import observe
from zsr_sim.generation.candidates import SOURCES
from zsr_sim.generation.gan import GeneratedCandidates


def test_the_most_plausible_generated_page_is_shown() -> None:
    stage = tiny_stage(generated=3, candidates=4)
    observation = observe(stage.world.start(stage.population.visit(np.arange(60)), 5))
    assert isinstance(stage.source, GeneratedCandidates)
    candidates, decision = stage.source.candidates(observation), Gan(stage.source).act(observation)
    assert decision.sources is not None
    written = candidates.sources == SOURCES.index("generator")
    assert written.any(axis=1).sum() > 0
    for row, source in enumerate(decision.sources):
        plausible = candidates.plausibility[row][written[row]]
        if len(plausible):
            assert source == "generator"
            best = candidates.items[row][written[row]][plausible.argmax()]
            np.testing.assert_array_equal(decision.slates[row], best)
        else:
            np.testing.assert_array_equal(decision.slates[row], candidates.items[row, 0])
            assert source == "similarity"
