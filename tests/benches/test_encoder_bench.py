"""`bench --encoders` and `bench --histories`: what is measured; rates themselves are not asserted."""

import importlib.util
import json

import pytest

from tests.command_line import zsr_sim
from zsr_sim.benches import encoders, histories
from zsr_sim.config import Settings
from zsr_sim.datasets import load
from zsr_sim.encoders import load_encoder, models


def test_encoders_and_their_cache() -> None:
    told: list[str] = []
    found = encoders.bench_encoders("films", 2, told.append, texts=20, cached=3000)
    short = [" ".join(text.split()[: encoders.WORDS]) for text in load("films").catalogue.texts[:20]]
    tokens = load_encoder().count_tokens(short)
    assert found["tokens_per_text"] == pytest.approx(sum(tokens) / 20, abs=0.05)
    for name in encoders.VARIANTS:
        assert 0 < found[name]["minimum"] <= found[name]["texts_per_second"] <= found[name]["maximum"]
    assert found["built-in"]["times_built_in"] == 1
    assert found["built-in"]["difference"] == 0 < found["built-in?precision=bf16"]["difference"] < 1
    if importlib.util.find_spec("sentence_transformers"):
        assert found["sentence-transformers"]["difference"] < 1e-5
    assert (found["cache"]["vectors"], found["repetitions"]) == (3000, 2)
    assert told[-1] == "reading 3,000 cached vectors"


def test_histories_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "USERS", 6)
    monkeypatch.setattr(models, "SMOLLM_FILE", "no such file")
    settings = Settings.model_validate({"world": {"horizon": 3}, "history": {"steps": 2, "items": 2}})
    found = histories.bench_histories("films", settings, 1, lambda name: None)
    assert (found["users"], found["horizon"]) == (6, 3)
    assert {name for name, row in found.items() if isinstance(row, dict)} == {"pooled", "attention", "text", "causal"}
    assert "is not installed; run: pip install" in found["causal"]["left_out"]
    text = found["text"]
    assert text["encoder"] == "all-MiniLM-L6-v2"
    assert 0 <= text["cache_hits"] < 1
    assert text["mib_kept"] > 0
    assert found["pooled"]["mib_kept"] == 0


def test_the_command_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "bench_encoders", lambda data, repetitions, tell: {"encoders": data})
    monkeypatch.setattr(histories, "bench_histories", lambda data, settings, repetitions, tell: {"n": repetitions})
    assert json.loads(zsr_sim("bench", "--encoders", "--json").stdout) == {"encoders": "films"}
    assert json.loads(zsr_sim("bench", "--histories", "--repetitions", "2", "--json").stdout) == {"n": 2}
