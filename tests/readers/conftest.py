"""A tiny causal language model with random weights."""

import shutil
from pathlib import Path

import pytest

from tests.encoders.conftest import TOKENIZER, model_folder

__all__ = ["model_folder"]


@pytest.fixture(scope="session")
def tiny_causal(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers and sixteen dimensions, with MiniLM's tokenizer."""
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
