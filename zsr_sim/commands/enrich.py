"""The work behind `zsr-sim data enrich`: a causal language model describes items with little more than a title."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsr_sim.commands.enrich_effect import effect_on_ranking
from zsr_sim.console import Phases, Screen
from zsr_sim.datasets import load
from zsr_sim.datasets.enriched import COLUMNS, FILE
from zsr_sim.encoders.models import SMOLLM
from zsr_sim.encoders.text import load_encoder
from zsr_sim.errors import InputError
from zsr_sim.interactions import id_keys
from zsr_sim.readers.model import CausalModel, load_causal_model
from zsr_sim.readers.prompts import one_line

PROMPT = "Write one sentence that says what the following is about.\nTitle: {text}\nSentence:"
TEXT, DESCRIPTION = 160, 240  # characters at most
TOKENS = 40
_BATCH = 32
_FEWEST_WORDS = 4  # a description with fewer says nothing


@dataclass(frozen=True)
class Request:
    """What a person asked for. shorter_than: words; items: described at most; temperature: 0 takes the likeliest."""

    data: str
    model: str = SMOLLM
    shorter_than: int = 12
    items: int | None = None
    seed: int = 0
    temperature: float = 0.0


def enrich(request: Request, screen: Screen, model: CausalModel | None = None) -> dict[str, Any]:
    """Write `enriched.csv` into the folder of a data set, beside its items; their own file is not touched.

    A run that was stopped goes on where it was: what it wrote stands in a hidden file until all is there. What the
    model says is one line of at most DESCRIPTION characters; where it says nothing that could be a description, none is
    kept and that is counted. What the descriptions do to ranking is measured where there is a log. Raises InputError
    for data without a folder, or with such a file already.
    """
    folder = Path(request.data)
    path = folder / FILE
    if not folder.is_dir():
        raise InputError(f"{request.data} is no folder; descriptions are written beside the items of a folder of yours")
    if path.exists():
        raise InputError(f"{path} is there already; remove it to have descriptions written again")
    plain = load(request.data)
    catalogue = plain.catalogue
    model = model or load_causal_model(request.model)
    bare = [row for row, text in enumerate(catalogue.texts) if len(text.split()) < request.shorter_than][
        : request.items
    ]
    marks = (
        model.name,
        PROMPT,
        str(request.seed) if request.temperature == 0 else f"{request.seed}:{request.temperature}",
    )
    aside = path.with_name(f".{FILE}.unfinished")
    done = _written(aside, marks)
    todo = [row for row in bare if catalogue.item_ids[row] not in done]
    screen.line(
        f"{catalogue.name}: {len(bare):,} of {len(catalogue):,} items have a text of fewer than {request.shorter_than} "
        f"words; {len(bare) - len(todo):,} are described already"
    )
    _write(aside, [COLUMNS, *((item, words, *marks) for item, words in done.items())], "w")
    with Phases(screen) as phases:
        for at in range(0, len(todo), _BATCH):
            rows = todo[at : at + _BATCH]
            items = [catalogue.item_ids[row] for row in rows]
            prompts = [PROMPT.format(text=one_line(catalogue.texts[row], TEXT)) for row in rows]
            said = model.write(prompts, TOKENS, id_keys(items), request.seed, request.temperature)
            words = [described(text, catalogue.titles[row]) for text, row in zip(said, rows, strict=True)]
            done |= dict(zip(items, words, strict=True))
            _write(aside, [(item, word, *marks) for item, word in zip(items, words, strict=True)], "a")
            phases.show("describing", at + len(rows), len(todo), f"{at + len(rows):,} of {len(todo):,} items")
    os.replace(aside, path)
    invalid = sum(not words for words in done.values())
    screen.line(f"{path}: {len(done) - invalid:,} descriptions, {invalid:,} answers that were none and are left empty")
    told = {"file": str(path), "items": len(done), "invalid": invalid, "model": model.name, "seed": request.seed}
    log = plain.interactions
    if log is None:
        screen.line(f"{catalogue.name} has no log, so what this does to ranking cannot be measured")
        return told | {"ranking": {}}
    return told | {"ranking": effect_on_ranking(log, plain, load(folder), load_encoder(), request.seed, screen)}


def described(said: str, title: str) -> str:
    """The first line of what a model said, to its last whole sentence if there is one; "" for no description."""
    line = one_line(said.strip().split("\n")[0], DESCRIPTION)
    end = max(line.rfind(mark) for mark in ".!?")
    line = line[: end + 1] if end > 0 else line
    if len(line.split()) < _FEWEST_WORDS or line.casefold().strip(" .!?") == title.casefold().strip(" .!?"):
        return ""
    return line


def _write(path: Path, rows: list[tuple[str, ...]], mode: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    with path.open(mode, encoding="utf-8", newline="") as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())


def _written(path: Path, marks: tuple[str, ...]) -> dict[str, str]:
    """What a run that was stopped has described with the same model, prompt and seed; its last row may be cut."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    return {row[0]: row[1] for row in rows[1:] if len(row) == len(COLUMNS) and tuple(row[2:]) == marks}
