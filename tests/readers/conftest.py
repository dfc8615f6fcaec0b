"""A tiny causal language model with random weights, the encoders' one."""

from tests.encoders.conftest import model_folder, tiny_causal

__all__ = ["model_folder", "tiny_causal"]
