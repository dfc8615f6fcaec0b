"""How far a training has come: everything that it needs to go on as if it had never been stopped.

A trainer names what of it changes while it learns (`KEPT`): networks, optimisers, generators of random numbers,
tensors, counters. That is written after each update and put back into a trainer that was made anew, so the training
ends with the same numbers (at the same number of threads: sums round differently with another).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

OnProgress = Callable[[str, int, int, dict[str, float]], None]
"""Called with (phase, steps done, steps in all, figures so far); phases are "generator", "log" and "policy"."""


Figures = dict[str, float]


class Keeps(Protocol):
    """Something whose state can be kept. KEPT: names of what changes, "gan.threshold" for what lies deeper."""

    KEPT: ClassVar[tuple[str, ...]]


class Trainer(Keeps, Protocol):
    """Something that learns in updates. update: how many there were."""

    update: int

    def step(self) -> Figures:
        """One update; its figures."""


@dataclass
class Progress:
    """Where a training writes how far it has come, and what it finds there when it is started again.

    write: takes tensors and JSON-ready facts, whole or not at all. tensors, facts: what was written last; no tensors
    where nothing was.
    """

    write: Callable[[dict[str, Tensor], dict[str, Any]], None] = lambda tensors, facts: None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on from."""
        return bool(self.tensors)

    def keep(self, parts: Mapping[str, Keeps], figures: Mapping[str, Figures]) -> None:
        """Write the parts by name, and the figures of each phase so far."""
        tensors: dict[str, Tensor] = {}
        facts: dict[str, Any] = {}
        for name, part in parts.items():
            found, facts[name] = capture(part)
            tensors |= {f"{name}.{key}": value for key, value in found.items()}
        exact = {phase: {key: float(value).hex() for key, value in own.items()} for phase, own in figures.items()}
        self.write(tensors, {"parts": facts, "figures": exact})

    def figures(self, phase: str) -> Figures:
        """What `keep` was told of a phase; {} where nothing."""
        found = self.facts.get("figures", {}).get(phase, {})
        return {key: float.fromhex(value) for key, value in found.items()}

    def restore(self, name: str, part: Keeps) -> None:
        """Put a part back, where there is something to go on from."""
        if self.begun:
            put_back(part, under(name, self.tensors), self.facts["parts"][name])


def run_updates(
    trainer: Trainer, updates: int, report: OnProgress, progress: Progress, beside: Mapping[str, Keeps] | None = None,
    figures: Mapping[str, Figures] | None = None,
) -> Figures:  # fmt: skip
    """Let a trainer learn until it has made so many updates, keeping its state after each; its last figures.

    It goes on from where `progress` has it. beside, figures: other parts that change with it, and the figures of
    earlier phases, kept with it.
    """
    progress.restore("policy", trainer)
    now = progress.figures("policy")
    while trainer.update < updates:
        now = trainer.step()
        report("policy", trainer.update, updates, now)
        progress.keep({"policy": trainer} | dict(beside or {}), dict(figures or {}) | {"policy": now})
    return now


def capture(part: Keeps) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and everything else, ready for JSON."""
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    for name in part.KEPT:
        value = attrgetter(name)(part)
        if isinstance(value, nn.Module):
            tensors |= {f"{name}.{key}": tensor for key, tensor in value.state_dict().items()}
        elif isinstance(value, torch.optim.Optimizer):
            state = value.state_dict()
            tensors |= {f"{name}.{row}.{key}": t for row, own in state["state"].items() for key, t in own.items()}
            facts[name] = state["param_groups"]
        elif isinstance(value, torch.Generator):
            tensors[name] = value.get_state()
        elif isinstance(value, Tensor):
            tensors[name] = value
        elif dataclasses.is_dataclass(value):  # of arrays
            tensors |= {f"{name}.{f.name}": torch.from_numpy(getattr(value, f.name)) for f in dataclasses.fields(value)}
        else:
            facts[name] = value
    return tensors, facts


def put_back(part: Keeps, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """The reverse of `capture`, into a part that was made with the same settings."""
    for name in part.KEPT:
        value, own = attrgetter(name)(part), {key: tensor.clone() for key, tensor in under(name, tensors).items()}
        *above, last = name.split(".")
        holder = attrgetter(".".join(above))(part) if above else part
        if isinstance(value, nn.Module):
            value.load_state_dict(own)
        elif isinstance(value, torch.optim.Optimizer):
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in own.items():
                row, _, what = key.partition(".")
                state.setdefault(int(row), {})[what] = tensor
            value.load_state_dict({"state": state, "param_groups": facts[name]})
        elif isinstance(value, torch.Generator):
            value.set_state(tensors[name])
        elif isinstance(value, Tensor):
            setattr(holder, last, tensors[name].clone())
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            setattr(holder, last, dataclasses.replace(value, **{key: t.numpy() for key, t in own.items()}))
        else:
            setattr(holder, last, facts[name])


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one part, by its own names."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
