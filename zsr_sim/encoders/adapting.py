"""Few-shot adaptation of a text encoder: LoRA adapters learn which texts people consume one after the other.

LoRA: Hu et al. 2022, "Low-rank adaptation of large language models". Loss: InfoNCE (van den Oord, Li and Vinyals 2018)
between what a history becomes here, the recency-decayed mean of its items' vectors (`history.pooled`), and the vector
of the next item; against the other items of the batch, and texts drawn evenly from the catalogue. So the encoder is
taught in the very form in which `similarity` uses it, and whatever it learns is about texts: cold items profit, too.
"""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.text import TextEncoder
from zsr_sim.errors import InputError

if TYPE_CHECKING:
    import torch

Rows = NDArray[np.int32]
_BETTER = 1e-4  # a held-out loss must fall by so much to count as better
_CENTRE = 512  # texts whose mean stands for the catalogue's
_CHUNK = 48  # texts of about one length in a pass


@dataclass(frozen=True)
class Lesson:
    """How an encoder is adapted.

    steps: gradient steps at most. windows: of how many users a step sees a piece; length: items in it. negatives: texts
    of the catalogue that nobody of them consumed. rank: of the adapters. learning_rate: AdamW, falling to 0 in a line.
    temperature: of the loss. decay: weight of an item relative to the one after it. check_every: steps between looks at
    the held-out users; patience: looks without a better loss after which it ends. tokens: of a text that are read.
    """

    steps: int = 240
    windows: int = 16
    length: int = 10
    negatives: int = 64
    rank: int = 16
    learning_rate: float = 5e-4
    temperature: float = 0.07
    decay: float = 0.9
    check_every: int = 20
    patience: int = 4
    tokens: int = 48


class Look(NamedTuple):
    """What the held-out users say after so many steps.

    loss: theirs. hit_rate: how often the next item is among the first ten of their candidates, 0..1.
    """

    step: int
    loss: float
    hit_rate: float


Report = Callable[[Look, float], None]
"""Called with each look and the mean training loss since the last one."""


def adapt(
    encoder: TextEncoder, texts: Sequence[str], learn: Sequence[Rows], held_out: Sequence[Rows], allowed: Rows,
    seed: int, lesson: Lesson, report: Report,
) -> tuple[Any, list[Look]]:  # fmt: skip
    """The encoder's model with adapters learned and merged, and the held-out curve, whose first look is zero-shot.

    texts: of the catalogue. learn, held_out: what users consumed in order, rows of the catalogue. allowed: rows that
    may serve as negatives. The weights with the lowest held-out loss are kept: those of the start where nothing helps.

    Raises InputError where peft is missing or the model has no linear layers to adapt.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _with_adapters(encoder, lesson)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        bench = _Bench(encoder, model, texts, lesson)
        bench.centre(np.random.default_rng([seed, 2]).choice(allowed, min(_CENTRE, len(allowed)), replace=False))
        exam = [_batch(held_out, allowed, lesson, np.random.default_rng([seed, 1, look]), 48) for look in range(2)]
        optimiser = torch.optim.AdamW(trained, lr=lesson.learning_rate)
        curve = [_examined(bench, exam, 0)]
        report(curve[0], float("nan"))
        best, kept, losses = curve[0], copy.deepcopy([weight.data for weight in trained]), list[float]()
        for step in range(1, lesson.steps + 1):
            batch = _batch(learn, allowed, lesson, np.random.default_rng([seed, 0, step]), lesson.windows)
            losses.append(_learn(bench, batch, optimiser, trained, lesson, step))
            if step % lesson.check_every and step != lesson.steps:
                continue
            curve.append(_examined(bench, exam, step))
            report(curve[-1], float(np.mean(losses)))
            losses.clear()
            if curve[-1].loss < best.loss - _BETTER:
                best, kept = curve[-1], copy.deepcopy([weight.data for weight in trained])
            elif step - best.step >= lesson.patience * lesson.check_every:
                break
        for weight, value in zip(trained, kept, strict=True):
            weight.data.copy_(value)
    return model.merge_and_unload(), curve


class _Batch(NamedTuple):
    """windows: rows of the catalogue. known: what each of their users consumed, never a negative. negatives: rows."""

    windows: list[Rows]
    known: list[set[int]]
    negatives: Rows


def _batch(users: Sequence[Rows], allowed: Rows, lesson: Lesson, rng: np.random.Generator, count: int) -> _Batch:
    """Pieces of the histories of some users, each of two items at least."""
    chosen = rng.choice(len(users), min(count, len(users)), replace=False).tolist()
    windows = []
    for user in chosen:
        begin = int(rng.integers(0, max(len(users[user]) - lesson.length, 0) + 1))
        windows.append(users[user][begin : begin + lesson.length])
    negatives = rng.choice(allowed, min(lesson.negatives, len(allowed)), replace=False)
    return _Batch(windows, [set(users[user].tolist()) for user in chosen], negatives)


class _Bench:
    """The model at work: texts in, vectors with gradients out."""

    def __init__(self, encoder: TextEncoder, model: Any, texts: Sequence[str], lesson: Lesson) -> None:
        self._encoder, self._model, self._texts, self._lesson = encoder, model, texts, lesson
        self._mean: torch.Tensor | float = 0.0

    def centre(self, rows: Rows) -> None:
        """From now on take off the mean of these texts as they are read now: the item space is centred, too."""
        import torch

        with torch.no_grad():
            self._mean = self._unit(rows.tolist()).mean(dim=0)

    def vectors(self, rows: Sequence[int]) -> torch.Tensor:
        """Centred vectors of unit length (n, d)."""
        import torch

        return torch.nn.functional.normalize(self._unit(rows) - self._mean, dim=1)

    def _unit(self, rows: Sequence[int]) -> torch.Tensor:
        import torch

        ids = [self._encoder.tokens(self._texts[row], self._lesson.tokens) for row in rows]
        order = sorted(range(len(rows)), key=lambda place: len(ids[place]))
        parts = [self._read([ids[place] for place in order[at : at + _CHUNK]]) for at in range(0, len(rows), _CHUNK)]
        found = torch.cat(parts)[torch.tensor(np.argsort(order))]  # (n, d)
        return torch.nn.functional.normalize(found, dim=1)

    def _read(self, tokens: list[list[int]]) -> torch.Tensor:
        import torch

        width = max(len(line) for line in tokens)
        mask = torch.tensor([[1] * len(line) + [0] * (width - len(line)) for line in tokens])
        ids = torch.tensor([line + [0] * (width - len(line)) for line in tokens])
        with torch.autocast("cpu", dtype=torch.bfloat16):  # three times as fast; the adapters stay in single precision
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        hidden = hidden.float()  # (batch, width, d)
        if self._encoder.recipe.pooling == "mean":
            weights = mask[:, :, None].float()
            pooled: torch.Tensor = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        elif self._encoder.recipe.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = hidden[torch.arange(len(tokens)), mask.sum(dim=1) - 1]
        return pooled

    def logits(self, batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine of each history with each candidate over the temperature, (m, n), and which one was next, (m,)."""
        import torch

        rows = list(dict.fromkeys(np.concatenate([batch.negatives, *batch.windows]).tolist()))
        place = {row: at for at, row in enumerate(rows)}
        vectors = self.vectors(rows)  # (n, d)
        histories, targets, barred = [], [], []
        for window, known in zip(batch.windows, batch.known, strict=True):
            pool = torch.zeros_like(vectors[0])
            own = [place[row] for row in known if row in place]
            for item, after in zip(window[:-1].tolist(), window[1:].tolist(), strict=True):
                pool = self._lesson.decay * pool + vectors[place[item]]
                histories.append(pool)
                targets.append(place[after])
                barred.append([at for at in own if at != place[after]])
        logits = torch.nn.functional.normalize(torch.stack(histories), dim=1) @ vectors.T / self._lesson.temperature
        mask = torch.zeros_like(logits, dtype=torch.bool)
        for line, places in enumerate(barred):
            mask[line, places] = True
        return logits.masked_fill(mask, -1e4), torch.tensor(targets)


def _learn(bench: _Bench, batch: _Batch, optimiser: Any, trained: list[Any], lesson: Lesson, step: int) -> float:
    import torch

    logits, targets = bench.logits(batch)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    for group in optimiser.param_groups:
        group["lr"] = lesson.learning_rate * min(step / 10, 1.0) * (1 - (step - 1) / lesson.steps)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimiser.step()
    return float(loss.detach())


def _examined(bench: _Bench, exam: Sequence[_Batch], step: int) -> Look:
    import torch

    losses, hits = [], []
    with torch.no_grad():
        for batch in exam:
            logits, targets = bench.logits(batch)
            losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
            own = logits.gather(1, targets[:, None])
            hits.append(((logits > own).sum(dim=1) < 10).float())
    return Look(step, float(torch.cat(losses).mean()), float(torch.cat(hits).mean()))


def _with_adapters(encoder: TextEncoder, lesson: Lesson) -> Any:
    if importlib.util.find_spec("peft") is None:
        raise InputError("adapting an encoder needs peft; run: pip install 'zsr-sim[finetune]', or pip install peft")
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=lesson.rank, lora_alpha=2 * lesson.rank, target_modules="all-linear")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft asks transformers in a way that will go; nothing a person can act on
            return get_peft_model(encoder.model, config)
    except ValueError as error:
        raise InputError(f"encoder {encoder.name} cannot be adapted ({str(error).splitlines()[0][:200]})") from error
