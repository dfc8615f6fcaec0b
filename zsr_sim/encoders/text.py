"""LLM text encoders: a text goes in, one vector comes out, pooled from the model's last hidden states.

First station of the loop: item texts become points of the item space. Centring and normalising are the item space's
job. Source of the poolings mean and cls: Reimers & Gurevych 2019, "Sentence-BERT", section 3 (MiniLM was trained with
the mean); last: Neelakantan et al. 2022, "Text and code embeddings by contrastive pre-training"; summary: `recipe.py`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.cards import Card, read_card, write_card
from zsr_sim.encoders.models import (
    BUILT_IN,
    MISFITS,
    SMOLLM,
    built_in_folder,
    declared_pooling,
    download,
    fingerprint,
    hashes,
    max_length,
    not_an_encoder,
    read_model,
    require_model_files,
    smollm_folder,
)
from zsr_sim.encoders.recipe import PLAIN, Recipe, parse
from zsr_sim.errors import InputError

# torch and transformers take about three seconds to import, so they are imported where a model is read or run:
# `zsr-sim --help` and a wrong argument answer at once.
if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]  # (texts done, texts in all)
Vectors = NDArray[np.float32]

# A batch holds texts of one length only: nothing is computed on padding, and a vector does not depend on others.
# (Matrix products of other shapes round differently, by 1e-6. Measured on AVX-512, MKL: any grouping gives the same
# bits from 12 tokens on; below, other kernels run, so a small batch is filled up with copies to MIN_TOKENS.)
BATCH_TOKENS = 4096
MIN_TOKENS = 16


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
    """A transformers model, encoder or causal, whose last hidden states are pooled to one vector a text.

    A model whose files were read and tried before is read when it is first asked, since its vectors may all be cached.

    Args:
        folder: holds config.json, the tokenizer and safetensors weights, or one .gguf file.
        name: what a person calls the model.
        recipe: pooling, prefix, precision, dimensions and device.

    Raises:
        InputError: the folder lacks files, or they are not a text encoder that transformers can read.
    """

    def __init__(self, folder: Path, name: str, recipe: Recipe = PLAIN) -> None:
        require_model_files(folder)
        self.name = name
        self.folder = folder
        self.device = recipe.device
        self.truncated = 0
        self.recipe = replace(recipe, pooling=recipe.pooling or declared_pooling(folder))
        files = hashes(folder)
        content = fingerprint(files, None, self.recipe)
        card = read_card(content)
        if card is None:
            self.max_length = max_length(folder, self.tokenizer, self.model.config)  # tokens, special ones included
            self.dimensions = self._probe(folder)
            write_card(content, Card(self.max_length, self.dimensions))
        else:
            self.max_length, self.dimensions = card.max_length, card.dimensions
        self.fingerprint = fingerprint(files, self.max_length, self.recipe)

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

    @property
    def model(self) -> Any:
        """The transformers model, for those who read with it in a way of their own (`causal.py`)."""
        return self._parts[1]

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._parts[0]

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        tokenizer, model = read_model(self.folder, self.device)
        return tokenizer, _in_precision(model, self.recipe.precision, self.device)

    def tokens(self, text: str, most: int) -> list[int]:
        """The tokens of a text as the model reads it, at most so many. Raises InputError for no valid Unicode."""
        _require_unicode(text)
        ids: list[int] = self.tokenizer(self.recipe.prompt(text), truncation=True, max_length=most)["input_ids"]
        return ids

    @property
    def first_tokens(self) -> list[int]:
        """What the tokenizer puts before every text."""
        whole: list[int] = self.tokenizer("a")["input_ids"]
        return whole[: whole.index(self.plain_tokens("a")[0])]

    def plain_tokens(self, text: str) -> list[int]:
        """The tokens of a text, without special ones, uncut. Raises InputError for text that is not valid Unicode."""
        _require_unicode(text)
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return tokens

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        for text in texts:
            _require_unicode(text)
        # verbose=False: the tokenizer would warn about long texts, which are counted and cut here.
        prompts = [self.recipe.prompt(text) for text in texts]
        tokens: list[list[int]] = self.tokenizer(prompts, verbose=False)["input_ids"]
        long = [row for row, ids in enumerate(tokens) if len(ids) > self.max_length]
        if long:
            for row, ids in zip(long, self._cut([texts[row] for row in long]), strict=True):
                tokens[row] = ids
            self.truncated += len(long)
        empty = next((text for text, ids in zip(texts, tokens, strict=True) if not ids), None)
        if empty is not None:
            raise InputError(f"{self.name} finds no token in the text {empty[:60]!r}; give that item a text")
        return tokens

    def _cut(self, texts: list[str]) -> list[list[int]]:
        """The tokens of texts that are too long, without their ends; a prompt around a text stays whole."""
        if self.recipe.pooling != "summary":
            prompts = [self.recipe.prompt(text) for text in texts]
            cut: list[list[int]] = self.tokenizer(prompts, truncation=True, max_length=self.max_length)["input_ids"]
            return cut
        cut = []
        for text in texts:
            ids: list[int] = self.tokenizer(self.recipe.prompt(text), verbose=False)["input_ids"]
            while len(ids) > self.max_length and text:  # tokens and characters are in no fixed proportion
                text = text[: min(len(text) - 1, int(len(text) * self.max_length / len(ids)))]
                ids = self.tokenizer(self.recipe.prompt(text), verbose=False)["input_ids"]
            cut.append(ids)
        return cut

    def _pooled(self, tokens: list[list[int]]) -> Vectors:
        """One vector for each of some texts of one length: float32 (batch, d_text)."""
        import torch

        ids = torch.tensor(tokens, device=self.device)  # (batch, length)
        ids = ids.repeat(math.ceil(MIN_TOKENS / ids.numel()), 1)
        with torch.inference_mode():
            hidden = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            hidden = hidden[: len(tokens)].float()  # (batch, length, d_text)
            if self.recipe.pooling == "mean":
                pooled: torch.Tensor = hidden.mean(dim=1)  # (batch, d_text)
            else:
                pooled = hidden[:, 0 if self.recipe.pooling == "cls" else -1]
        return pooled[:, : self.recipe.dimensions].cpu().numpy()

    def _probe(self, folder: Path) -> int:
        """Encode one word, so that a model that is no text encoder is refused here and not in the middle of a run."""
        try:
            vector = self._pooled(self._tokenize(["film"]))  # (1, d_text)
        except MISFITS as error:
            raise not_an_encoder(folder, error) from error
        if not np.isfinite(vector).all():
            raise InputError(f"encoder folder {folder}: vectors hold NaN or infinity; fetch its weights again")
        return int(vector.shape[1])


def load_encoder(spec: str | None = None) -> TextEncoder:
    """The text encoder that a person names.

    Args:
        spec: None or "built-in" for all-MiniLM-L6-v2; "smollm2" for SmolLM2-135M-Instruct; a folder with config.json,
            tokenizer and safetensors weights, or with one .gguf file; or the id of a model on the Hugging Face hub,
            which is downloaded (once) and needs a network. Options after a question mark: see `recipe.py`.

    Raises:
        InputError: no such model or option, files missing or other than expected, or the hub cannot be reached.
    """
    model, recipe = parse(spec or "built-in")
    if model == "built-in":
        return TextEncoder(built_in_folder(), _named(BUILT_IN, spec), recipe)
    if model == SMOLLM:
        return TextEncoder(smollm_folder(), _named(SMOLLM, spec), recipe)
    path = Path(model).expanduser()
    if path.exists() or model.startswith((".", "/", "~")):
        return TextEncoder(path, _named(path.resolve().name, spec), recipe)
    return TextEncoder(download(model), _named(model, spec), recipe)


def _named(model: str, spec: str | None) -> str:
    """The model's name with the options as they were typed."""
    _, mark, options = (spec or "").partition("?")
    return model + mark + options


def _in_precision(model: Any, precision: str, device: str) -> Any:
    """The model with its numbers in fp32, bf16, or its linear layers in 8 bits (quantised as they are used)."""
    import torch

    if precision == "bf16":
        return model.bfloat16()
    if precision == "fp32":
        return model
    if device != "cpu":
        raise InputError(f"precision int8 runs on the CPU, the device is {device}; use bf16 there")
    quantise = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
    if quantise is None:
        raise InputError(f"torch {torch.__version__} has no dynamic quantisation any more; use precision=bf16 or fp32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this will move to another package
        return quantise(model, {torch.nn.Linear}, dtype=torch.qint8)


def _batches(rows: list[int], size: int) -> Iterator[list[int]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # An escape such as \ud83c in a JSON file makes half a character. The message is about the text around it.
        around = text[max(0, error.start - 30) : error.start + 30]
        raise InputError(
            f"the text {around!r} is not valid Unicode ({error.reason}); write it again as UTF-8"
        ) from error
