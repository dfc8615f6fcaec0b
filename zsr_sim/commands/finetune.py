"""The work behind `zsr-sim finetune`: an encoder adapted to a log, as a folder that `--encoder` takes."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.console import Phases, Screen
from zsr_sim.datasets import load
from zsr_sim.encoders.adapting import Lesson, Look, adapt
from zsr_sim.encoders.models import POOLING_FILE, gguf_file, quiet
from zsr_sim.encoders.text import TextEncoder, load_encoder
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.errors import InputError
from zsr_sim.evaluation.trials import first_encounters, held_out_items
from zsr_sim.experiment import fingerprint
from zsr_sim.interactions import Interactions, id_keys
from zsr_sim.runs import write_whole

ADAPTATION = "adaptation.json"
MIN_INTERACTIONS = 5  # as in `evaluate ranking`
_HELD_OUT = 0.2  # of the users who are learned from
_FEWEST = 10  # users


@dataclass(frozen=True)
class Request:
    """What a person asked for. users_share: of the log's users, 0..1. hold_out: leave out a fifth of the items."""

    data: str
    out: Path
    users_share: float = 1.0
    hold_out: bool = True
    encoder: str | None = None
    seed: int = 0
    lesson: Lesson = field(default_factory=Lesson)


def finetune(request: Request, screen: Screen) -> dict[str, Any]:
    """Adapt an encoder to some users of a log and write it to a new folder; returns what `adaptation.json` holds.

    Never learned from: the last item of each user, which the warm protocol of `evaluate ranking` hides, and with
    `hold_out` a fifth of the items, those that its cold protocol hides in its first draw with the same seed.

    Raises InputError, before anything is written, for a log or an encoder that cannot be.
    """
    if request.out.exists():
        raise InputError(f"--out {request.out} is there already; name a new folder")
    dataset = load(request.data)
    if dataset.interactions is None:
        raise InputError(f"{dataset.catalogue.name} has no log to learn from; add interactions.csv or name other data")
    encoder = _adaptable(request.encoder)
    n = len(dataset.catalogue)
    log = first_encounters(dataset.interactions, MIN_INTERACTIONS)
    hidden = held_out_items(log, n, 0, request.seed) if request.hold_out else np.zeros(n, dtype=np.bool_)
    learn, held_out = _users(log, hidden, request)
    screen.line(
        f"{dataset.catalogue.name}: learning from {sum(map(len, learn)):,} interactions of {len(learn):,} users, "
        f"{len(held_out):,} others held out; encoder {encoder.name}"
    )
    with Phases(screen) as phases:

        def report(look: Look, loss: float) -> None:
            said = "zero-shot" if math.isnan(loss) else f"loss {loss:.3f}"
            words = f"{said}, held-out loss {look.loss:.3f}, hit rate {look.hit_rate:.3f}"
            phases.show("adapting", look.step, request.lesson.steps, words)

        allowed = np.flatnonzero(~hidden).astype(np.int32)
        model, curve = adapt(
            encoder, dataset.catalogue.texts, learn, held_out, allowed, request.seed, request.lesson, report
        )
    best = min(curve, key=lambda look: look.loss)
    told: dict[str, Any] = {
        "encoder": encoder.name,
        "data": dataset.catalogue.name,
        "data_fingerprint": fingerprint(dataset),
        "users_share": request.users_share,
        "users": len(learn) + len(held_out),
        "interactions": sum(map(len, learn)),
        "items_held_out": int(hidden.sum()),
        "seed": request.seed,
        "lesson": asdict(request.lesson),
        "curve": [look._asdict() for look in curve],
        "best_step": best.step,
    }
    write_encoder(encoder, model, request.out, told)
    screen.line(
        f"held-out loss {curve[0].loss:.3f} -> {best.loss:.3f}, hit rate {curve[0].hit_rate:.3f} -> "
        f"{best.hit_rate:.3f} after {best.step} steps; use it with --encoder {request.out}"
    )
    if best.step == 0:
        screen.line("Nothing was better than zero-shot: the folder holds the encoder as it was.")
    return told | {"out": str(request.out)}


def _adaptable(spec: str | None) -> TextEncoder:
    encoder = load_encoder(spec)
    recipe = encoder.recipe
    if recipe.precision != "fp32" or recipe.dimensions or recipe.prefix or recipe.pooling == "summary":
        raise InputError(
            f"--encoder {spec!r}: adapting takes a model with pooling mean, cls or last, and no other option"
        )
    if gguf_file(encoder.folder):
        raise InputError(f"--encoder {spec!r}: a .gguf file cannot be adapted; name a model with safetensors weights")
    return encoder


def _users(
    log: Interactions, hidden: NDArray[np.bool_], request: Request
) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
    """What users consumed, but for the last item and hidden ones: of those to learn from, and of those held out.

    Who is who is a draw of each user's own, whatever other users there are.
    """
    codes = np.flatnonzero(np.diff(log.starts) > 0)
    keys = id_keys([log.user_ids[code] for code in codes])
    luck = uniforms(request.seed, keys, 5, Purpose.SAMPLE_USERS, 2)  # (users, 2)
    parts: tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]] = ([], [])
    for code, (chosen, side) in zip(codes, luck, strict=True):
        items = log.items[log.starts[code] : log.starts[code + 1] - 1]
        items = items[~hidden[items]]
        if chosen < request.users_share and len(items) >= 2:
            parts[int(side < _HELD_OUT)].append(items)
    if sum(map(len, parts)) < _FEWEST or not all(parts):
        raise InputError(
            f"--users-share {request.users_share} leaves {sum(map(len, parts))} users with {MIN_INTERACTIONS} "
            f"interactions or more, at least {_FEWEST} are needed; raise it, or use a longer log"
        )
    return parts


def write_encoder(encoder: TextEncoder, model: Any, out: Path, told: dict[str, Any]) -> None:
    """The adapted model as a folder: weights, tokenizer, pooling, and how it came to be; whole or absent."""
    aside = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with quiet():
        model.save_pretrained(aside)
        encoder.tokenizer.save_pretrained(aside)
    modes = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
    flags = {f"pooling_mode_{name}": mode == encoder.recipe.pooling for mode, name in modes.items()}
    (aside / POOLING_FILE).parent.mkdir()
    size = {"word_embedding_dimension": encoder.dimensions}
    (aside / POOLING_FILE).write_text(json.dumps(size | flags), encoding="utf-8")
    (aside / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": encoder.max_length}), encoding="utf-8"
    )
    write_whole(aside / ADAPTATION, (json.dumps(told, indent=2) + "\n").encode())
    aside.rename(out)
