"""What a person asks of a text encoder: which model, and how its hidden states become one vector.

`--encoder` takes a model, and options after a question mark as in a web address:
`BAAI/bge-small-en?pooling=cls&prefix=query:+`, `built-in?precision=int8`, `smollm2?pooling=summary`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import parse_qsl

from zsr_sim.errors import InputError, nearest

POOLINGS = {
    "mean": "the mean over all tokens",
    "cls": "the first token",
    "last": "the last token",
    "summary": "the last token of a prompt that asks a causal model for the text in one word",
}
PRECISIONS = {"fp32": "single precision", "bf16": "half as long numbers", "int8": "linear layers in 8 bits, CPU only"}
SUMMARY = 'This text : "{text}" means in one word:"'
"""Prompt of Jiang et al. 2023, "Scaling sentence embeddings with large language models" (PromptEOL)."""


@dataclass(frozen=True)
class Recipe:
    """How a text becomes a vector.

    pooling: one of POOLINGS, or None for what the model's own folder declares (`1_Pooling/config.json`; else mean).
    prefix: an instruction before every text, for models that want one. precision: one of PRECISIONS. dimensions: only
    so many of the leading coordinates (Kusupati et al. 2022, "Matryoshka representation learning"), None for all.
    device: where the model runs, as torch names it: cpu, cuda, cuda:1.
    """

    pooling: str | None = None
    prefix: str = ""
    precision: str = "fp32"
    dimensions: int | None = None
    device: str = "cpu"

    def to_json(self) -> dict[str, str | int]:
        """What differs from a plain mean in single precision: part of the fingerprint of the vectors."""
        plain = Recipe(pooling="mean")
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value != getattr(plain, name)}

    def prompt(self, text: str) -> str:
        """The text as the model reads it."""
        return self.prefix + (SUMMARY.format(text=text) if self.pooling == "summary" else text)


PLAIN = Recipe()


def parse(spec: str) -> tuple[str, Recipe]:
    """Split `model?option=value&...` into the model and a recipe.

    Raises InputError for an unknown option (with the nearest known one) or value.
    """
    model, _, query = spec.partition("?")
    known = {field.name for field in fields(Recipe)}
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known or name in values:
            what = "occurs twice" if name in values else f"is unknown{nearest(name, known)}"
            raise InputError(f"--encoder {spec!r}: option {name!r} {what}; known: {', '.join(sorted(known))}")
        values[name] = value
    for name, choices in (("pooling", POOLINGS), ("precision", PRECISIONS)):
        if name in values and values[name] not in choices:
            hint = nearest(values[name], choices)
            raise InputError(f"--encoder {spec!r}: {name} is {values[name]!r}{hint}; expected {', '.join(choices)}")
    size = values.pop("dimensions", None)
    if size is not None and not (size.isdecimal() and int(size) >= 2):
        raise InputError(f"--encoder {spec!r}: dimensions is {size!r}; a whole number of at least 2 expected")
    return model, Recipe(**values, dimensions=None if size is None else int(size))
