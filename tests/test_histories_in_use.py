"""A named history encoder in environments and in runs: what strategies read is what it writes, also after a reload."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import zsr_sim  # noqa: F401  # registers the environments

from tests.command_line import zsr_sim as command  # isort: skip
from tests.small_data import ASSIGNMENTS, small_settings
from zsr_sim.agents.registry import find_agent
from zsr_sim.config import HistorySettings
from zsr_sim.encoders.attention import AttentionHistories
from zsr_sim.envs.stage import make_stage, page_observation
from zsr_sim.envs.visits import observe
from zsr_sim.errors import InputError
from zsr_sim.experiment import make_scene

ATTENTION = ("history.encoder=attention", "history.steps=12", "history.hidden=8")
pytestmark = pytest.mark.usefixtures("small_place")


def test_environments_observe_what_the_encoder_writes() -> None:
    settings = small_settings().world
    text = HistorySettings.model_validate({"encoder": "text", "items": 2})
    stage = make_stage("data", settings=settings, history=text)
    state = stage.world.start(stage.population.visit(np.arange(5, dtype=np.int64)), 0)
    waiting = observe(state)
    assert stage.source.retrieval.history is not None
    written = stage.source.retrieval.history.encode(waiting.histories)
    seen = page_observation(waiting, stage.source.candidates(waiting), stage.source.retrieval)
    np.testing.assert_array_equal(seen["history"], written)
    plain = make_stage("data", settings=settings)
    assert plain.source.retrieval.history is None
    pooled = page_observation(waiting, plain.source.candidates(waiting), plain.source.retrieval)["history"]
    assert np.abs(pooled - written).max() > 0.1
    env = gymnasium.make("zsr_sim/Recommendation-v0", data="data", settings=settings, history=text)
    observation, _ = env.reset(seed=0)
    assert observation["history"].shape == (16,)
    with pytest.raises(InputError, match=r"history is 'text'; a zsr_sim\.config\.HistorySettings expected"):
        make_stage("data", settings=settings, history="text")  # type: ignore[arg-type]


def test_a_run_keeps_what_its_history_encoder_learned() -> None:
    words = ("train", "--data", "data", "--agent", "policy-gradient", "--users", "12", "--out", "runs/read")
    command(*words, "--set", *ASSIGNMENTS, "generator.candidates=0", *ATTENTION)
    (weights,) = Path("runs/read/checkpoints").rglob("*.safetensors")
    saved = {name: value for name, value in load_file(weights).items() if name.startswith("history.")}
    assert saved["history.ask.weight"].shape == (8, 16)
    assert json.loads(Path("runs/read/results.json").read_text())["world"]["history"] == "attention"

    scene = make_scene("data", small_settings().world)  # read in another way: the run's own way counts
    agent = find_agent("runs/read").build(scene)
    reader = agent.agent.source.retrieval.history  # type: ignore[attr-defined]  # a PolicyGradient
    assert isinstance(reader, AttentionHistories)
    for name, value in reader.tensors().items():
        np.testing.assert_array_equal(value.numpy(), saved[f"history.{name}"])


def test_only_pooled_histories_explain() -> None:
    Path("histories.csv").write_text("user_id,item_id,timestamp\nme,i00,1\nme,i01,2\n", encoding="utf-8")
    words = ("recommend", "--data", "data", "--agent", "similarity", "--histories", "histories.csv", "--explain")
    small = ("--k", "2", "--set", *ASSIGNMENTS)
    found = command(*words, "--out", "a.csv", *small, "history.decay=0.5").stdout
    assert "because of" in found
    said = command(*words, "--out", "b.csv", *small, *ATTENTION, code=2).stderr
    assert "only pooled histories are a sum over their items; --set history.encoder=pooled explains" in said
    assert not Path("b.csv").exists()


def test_the_item_space_is_as_the_settings_say_also_in_a_run() -> None:
    plain = ("world.centred=false", "world.normalised=false")
    scene = make_scene("data", small_settings(*plain).world)
    assert (scene.space.centred, scene.space.normalised) == (False, False)
    lengths = np.linalg.norm(scene.vectors, axis=1)
    assert lengths.max() < 1 + 1e-5
    assert np.abs(lengths - 1).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(scene.world.items.vectors, axis=1), 1, atol=1e-5)  # users' own
    words = ("train", "--data", "data", "--agent", "few-shot", "--users", "12", "--out", "runs/plain")
    command(*words, "--set", *ASSIGNMENTS, *plain)
    agent = find_agent("runs/plain").build(make_scene("data", small_settings().world))
    seen: NDArray[np.float32] = agent.agent.retrieval.vectors  # type: ignore[attr-defined]  # a FewShot
    np.testing.assert_allclose(seen, scene.vectors, atol=1e-6)
