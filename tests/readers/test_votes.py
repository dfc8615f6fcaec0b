"""`bayes` with the likelihood of a language model: by hand, kept on disk, and from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from tests.command_line import zsr_sim
from tests.generation.waiting import waiting
from tests.small_data import ASSIGNMENTS
from zsr_sim.agents.bayes import Bayes
from zsr_sim.encoders.cache import VectorCache
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.readers.model import CausalModel
from zsr_sim.readers.votes import ModelVotes

TITLES = ("Heat (1995)", "Alien", "the long and winding road", "she sings and cooks")
RETRIEVAL = Retrieval(np.eye(4, dtype=np.float32), np.zeros(4, dtype=np.float32))


@pytest.fixture
def model(tiny_causal: Path) -> CausalModel:
    return CausalModel(tiny_causal, "tiny", precision="fp32")


def said(model: CausalModel, liked: str) -> NDArray[np.float64]:
    lines = [" Heat.", " Alien.", " the long and winding road.", " she sings and cooks."]
    return model.log_likelihoods(f"Somebody liked {liked}. The same person also liked", lines).astype(np.float64)


def test_two_votes_of_a_model_by_hand(model: CausalModel) -> None:
    nothing = said(model, "something")
    of_heat = log_softmax(said(model, "Heat") - nothing)
    of_alien = log_softmax(said(model, "Alien") - nothing)
    expected = log_softmax(1.8 / 1.9 * of_heat + 2 / 1.9 * of_alien)
    agent = Bayes(RETRIEVAL, 1, votes=ModelVotes(model, TITLES))
    np.testing.assert_allclose(agent.scores(waiting([[0, 1]]))[0], expected, atol=1e-4)
    assert np.ptp(expected) > 0.1  # it does tell titles apart
    best = [2, 3][int(np.argmax(expected[2:]))]  # among what the user has not had
    assert agent.act(waiting([[0, 1]])).slates.tolist() == [[best]]
    shares = agent.explain(waiting([[0, 1]]), np.array([best], dtype=np.int32))[0]
    ahead = np.array([1.8, 2]) / 1.9 * [of_heat[best] - of_heat.mean(), of_alien[best] - of_alien.mean()]
    np.testing.assert_allclose(shares, np.maximum(ahead, 0) / np.maximum(ahead, 0).sum(), atol=1e-4)


def test_likelihoods_are_kept(model: CausalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, asked = VectorCache(tmp_path), waiting([[0, 1], [1, 2]])
    first = Bayes(RETRIEVAL, 1, votes=ModelVotes(model, TITLES, cache)).scores(asked)
    monkeypatch.delattr(CausalModel, "log_likelihoods")
    again = Bayes(RETRIEVAL, 1, votes=ModelVotes(model, TITLES, cache)).scores(asked)
    np.testing.assert_array_equal(again, first)
    with pytest.raises(AttributeError, match="log_likelihoods"):  # other titles are other likelihoods
        Bayes(RETRIEVAL, 1, votes=ModelVotes(model, (*TITLES[:3], "Ran"), cache)).scores(asked)


def test_by_name(small_place: Path, tiny_causal: Path) -> None:
    settings = [*ASSIGNMENTS, f"bayes.likelihood={tiny_causal}?precision=fp32", "bayes.items=2"]
    words = ("recommend", "--data", "data", "--agent", "bayes", "--k", "3", "--histories", "data/interactions.csv")
    zsr_sim(*words, "--out", "by-model.csv", "--set", *settings)
    zsr_sim(*words, "--out", "by-vectors.csv", "--set", *ASSIGNMENTS)
    one, other = (Path(name).read_text(encoding="utf-8") for name in ("by-model.csv", "by-vectors.csv"))
    assert one.count("\n") == other.count("\n") == 1 + 3 * 60
    assert one != other
    refused = zsr_sim(*words, "--out", "no.csv", "--set", *ASSIGNMENTS, "bayes.likelihood=nowhere/at-all", code=2)
    assert "nowhere/at-all" in refused.stderr
    assert json.loads(zsr_sim("list", "agents", "--json").stdout)["bayes"]
