"""How the files of a causal language model are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zsr_sim.encoders.models import MISFITS, gguf_file, quiet, reason, require_gguf
from zsr_sim.errors import InputError


def read_causal_model(folder: Path, precision: str, device: str) -> tuple[Any, Any]:
    """Tokenizer and model, typed Any: transformers' Auto classes do not say what they return.

    Raises InputError where the files are no causal language model, or weights are missing.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = gguf_file(folder)
    if gguf:
        require_gguf()
    weights: dict[str, Any] = {"gguf_file": gguf} if gguf else {"use_safetensors": True}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, **({"gguf_file": gguf} if gguf else {})
            )
            read: Any = AutoModelForCausalLM.from_pretrained  # its annotation knows no output_loading_info
            model, report = read(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, **weights
            )
    except (*MISFITS, OSError, ImportError, SafetensorError) as error:
        raise InputError(
            f"{folder} cannot be read as a causal language model ({reason(error)});\n"
            "expected tokenizer and weights of a model that continues texts, such as SmolLM2"
        ) from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise InputError(f"{folder}: its tokenizer has no vocabulary; expected tokenizer.json")
    # A weight that the file lacks would be drawn at random: so would the head of an encoder such as BERT.
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InputError(
            f"{folder} is no causal language model: its weights lack {len(missing)} of such a model's tensors, first "
            f"{missing[0]}; name one that continues texts, such as smollm2"
        )
    return tokenizer, (model.bfloat16() if precision == "bf16" else model).to(device).eval()
