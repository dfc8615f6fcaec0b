"""How fast texts become vectors, and vectors come back from the cache.

Where sentence-transformers can be imported, it encodes the same texts in between, and the ratio of the rates is told;
a ratio taken in one run bears the load of a shared machine that a rate does not.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsr_sim.benches.rates import spread
from zsr_sim.datasets import load
from zsr_sim.encoders.cache import VectorCache, encode_texts
from zsr_sim.encoders.models import built_in_folder
from zsr_sim.encoders.text import Progress, Vectors, load_encoder

TEXTS, WORDS = 10_000, 7  # the first words of item texts: about 12 tokens
CACHED = 1_000_000
VARIANTS = ("built-in", "built-in?precision=int8", "built-in?precision=bf16")
THEIRS = "sentence-transformers"

Encode = Callable[[Sequence[str]], Vectors]


def bench_encoders(
    data: str, repetitions: int, tell: Callable[[str], None], texts: int = TEXTS, cached: int = CACHED
) -> dict[str, Any]:
    """Short texts per second of each precision, in turn, `repetitions` times over; and reading `cached` vectors.

    Each rate is a median, its minimum and maximum beside it. `difference`: the largest of any coordinate to the same
    vector in single precision; of sentence-transformers, which is run as it is, ours is the same to 1e-5.
    """
    catalogue = [" ".join(text.split()[:WORDS]) for text in load(data).catalogue.texts]
    some = [catalogue[row % len(catalogue)] for row in range(texts)]
    encoders: dict[str, Encode] = {spec: load_encoder(spec).encode for spec in VARIANTS}
    if importlib.util.find_spec(THEIRS.replace("-", "_")):
        encoders[THEIRS] = _theirs()
    rates: dict[str, list[float]] = {name: [] for name in encoders}
    vectors = {name: encode(some[:64]) for name, encode in encoders.items()}  # also warms up
    for repetition in range(repetitions):
        tell(f"encoding, repetition {repetition + 1} of {repetitions}")
        for name, encode in encoders.items():
            begin = time.perf_counter()
            encode(some)
            rates[name].append(texts / (time.perf_counter() - begin))
    tokens = statistics.mean(load_encoder().count_tokens(some))
    found: dict[str, Any] = {"texts": texts, "tokens_per_text": round(tokens, 1), "repetitions": repetitions}
    for name, values in rates.items():
        ratios = [ours / plain for ours, plain in zip(values, rates["built-in"], strict=True)]
        found[name] = spread("texts_per_second", values) | {
            "times_built_in": statistics.median(ratios),
            "difference": float(np.abs(vectors[name] - vectors["built-in"]).max()),
        }
    tell(f"reading {cached:,} cached vectors")
    return found | {"cache": _cache(cached, repetitions)}


def _theirs() -> Encode:
    module: Any = importlib.import_module("sentence_transformers")
    whole = module.SentenceTransformer(str(built_in_folder()), device="cpu")
    model = module.SentenceTransformer(modules=[whole[0], whole[1]], device="cpu")  # without its normalising module

    def encode(texts: Sequence[str]) -> Vectors:
        found: Vectors = model.encode(list(texts), show_progress_bar=False)
        return found

    return encode


class _Drawn:
    """An encoder that draws its vectors, at no cost."""

    name, fingerprint, dimensions, truncated = "drawn", "bench", 384, 0

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        return self.rng.standard_normal((len(texts), self.dimensions), dtype=np.float32)


class _Never(_Drawn):
    """The same, of whose vectors all are cached."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        raise AssertionError(f"{len(texts)} texts are not in the cache")


def _cache(count: int, repetitions: int) -> dict[str, Any]:
    """Seconds to read `count` vectors of 384 numbers by their texts, from a cache that was filled before."""
    texts = [f"text {number} of a large catalogue" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        cache = VectorCache(Path(folder))
        encode_texts(texts, _Drawn(), cache)
        seconds, cpu = [], []
        for _ in range(repetitions):
            begin_wall, begin_cpu = time.perf_counter(), time.process_time()
            encode_texts(texts, _Never(), cache)
            seconds.append(time.perf_counter() - begin_wall)
            cpu.append(time.process_time() - begin_cpu)
    return {"vectors": count, "cpu_seconds": statistics.median(cpu)} | spread("seconds", seconds)
