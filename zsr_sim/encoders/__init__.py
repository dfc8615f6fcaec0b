"""From texts to vectors: the LLM text encoders and the cache that keeps what they wrote."""

from zsr_sim.encoders.cache import EncodeReport, VectorCache, encode_texts
from zsr_sim.encoders.text import Encoder, TextEncoder, load_encoder

__all__ = ["EncodeReport", "Encoder", "TextEncoder", "VectorCache", "encode_texts", "load_encoder"]
