"""Classes of a person's own, `module:Class`, as agents: found by name, made, and trained where they learn."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from zsr_sim.agents.lesson import NEEDS, Lesson
from zsr_sim.agents.protocol import Agent, AgentError, told
from zsr_sim.config import Settings
from zsr_sim.errors import InputError, nearest
from zsr_sim.experiment import Scene
from zsr_sim.progress import OnProgress, Progress, under
from zsr_sim.runs import METRIC_KEYS
from zsr_sim.trained import Learner, Trained, facts, space_tensors

_TO_LEARN = ("learn", "checkpoint", "restore")


def is_own(spec: str) -> bool:
    """Whether a name has the form `module:Class`."""
    module, colon, name = spec.partition(":")
    return bool(colon) and module.replace(".", "").isidentifier() and name.isidentifier()


def own_class(spec: str) -> Any:
    """The class that `module:Class` names, importable from the current folder; it can be constructed and acts.

    Raises InputError where there is none, or one that offers less than `zsr_sim.agents.protocol` asks for.
    """
    module_name, _, class_name = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a command's path begins with the script's folder; a person's module lies beside them
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"agent {spec}: {error}; looked in {here} and among the installed packages") from error
    except (Exception, SystemExit) as error:  # a module may do anything
        raise InputError(f"agent {spec}: {module_name} cannot be imported: {told(error)}") from error
    kind = _class(spec, module, class_name)
    _require_shape(spec, class_name, kind)
    return kind


def learns(kind: Any) -> bool:
    """Whether a class of one's own is trained before it acts (`zsr_sim.agents.lesson.Learning`)."""
    return callable(getattr(kind, "learn", None))


def make_own(spec: str, kind: Any, scene: Scene) -> Agent:
    """An agent of the class for a scene; AgentError where it cannot be made."""
    try:
        agent: Agent = kind(retrieval=scene.retrieval, slate_size=scene.world.slate_size)
    except (Exception, SystemExit) as error:  # a person's own code may do anything
        raise AgentError(spec, f"it cannot be made: {told(error)}") from error
    return agent


def own_learner(spec: str) -> Learner:
    """How an agent of one's own is trained, kept and made again. Raises InputError as `own_class` does."""
    kind = own_class(spec)
    in_the_loop = "loop" in kind.needs

    def train(scene: Scene, settings: Settings, seed: int, report: OnProgress, _: Progress) -> Trained:
        agent, own = make_own(spec, kind, scene), settings.agent

        def note(played: int, figures: dict[str, float]) -> None:
            report("policy", played, max(played, own.updates), figures)

        lesson = Lesson(
            spec, scene.log, seed, own.updates, own.users, scene.world, scene.train, settings.world.horizon, note
        )
        figures = _learned(spec, agent, lesson)
        if in_the_loop and not lesson.played:
            raise AgentError(spec, f"it says that it needs {kind.needs!r}, and learn() never called lesson.play(self)")
        tensors, known = _checkpoint(spec, agent)
        if not in_the_loop:
            report("log", 1, 1, figures)
        meta = facts(spec, scene, settings, seed) | {"agent": known}
        agent = restore(tensors, meta, settings, scene)  # what is not kept does not act, now or later
        return Trained(agent, tensors | space_tensors(scene), meta, {"policy" if in_the_loop else "log": figures})

    def restore(tensors: dict[str, Tensor], meta: dict[str, Any], _: Settings, scene: Scene) -> Agent:
        agent: Any = make_own(spec, kind, scene)
        try:
            agent.restore(under("agent", tensors), meta["agent"])
        except (Exception, SystemExit) as error:
            raise AgentError(spec, f"restore() failed: {told(error)}") from error
        return agent  # type: ignore[no-any-return]  # it acts: `own_class`

    return Learner("a class of your own", kind.needs, in_the_loop, train, restore)


def _learned(spec: str, agent: Any, lesson: Lesson) -> dict[str, float]:
    try:
        figures = agent.learn(lesson)
    except AgentError:
        raise  # it says already who failed whom
    except (Exception, SystemExit) as error:
        raise AgentError(spec, f"learn() failed: {told(error)}") from error
    good = isinstance(figures, dict) and all(
        isinstance(name, str) and isinstance(value, (int, float, np.number)) and math.isfinite(value)
        for name, value in figures.items()
    )
    if not good:
        raise AgentError(spec, f"learn() gave {str(figures)[:100]}; a dict of finite numbers by name expected")
    if taken := sorted(set(METRIC_KEYS) & figures.keys()):
        raise AgentError(
            spec, f"learn() calls figures {', '.join(taken)}, as lines of metrics.jsonl do; other names expected"
        )
    return {name: float(value) for name, value in figures.items()}


def _checkpoint(spec: str, agent: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an agent gives to keep, its tensors under "agent."."""
    try:
        given = agent.checkpoint()
    except (Exception, SystemExit) as error:
        raise AgentError(spec, f"checkpoint() failed: {told(error)}") from error
    if not (isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, Mapping) for part in given)):
        raise AgentError(
            spec, f"checkpoint() gave {type(given).__name__}; a tuple of two dicts, tensors and facts, expected"
        )
    arrays, known = given
    try:
        tensors = {
            f"agent.{name}": (value.detach() if isinstance(value, Tensor) else torch.from_numpy(value)).contiguous()
            for name, value in arrays.items()
        }
        safetensors.torch.save(tensors)  # tried out before a run is written
        return tensors, dict(json.loads(json.dumps(known, allow_nan=False)))
    except Exception as error:
        expected = "tensors or arrays of real numbers by name, and facts for JSON, expected"
        raise AgentError(spec, f"checkpoint() gave what cannot be kept: {error}; {expected}") from error


def _class(spec: str, module: ModuleType, name: str) -> Any:
    kind = getattr(module, name, None)
    if not inspect.isclass(kind):
        classes = [known for known, value in vars(module).items() if inspect.isclass(value)]
        hint = nearest(name, classes) or f"; it has {', '.join(classes) or 'no class'}"
        raise InputError(f"agent {spec}: module {module.__name__} has no class {name!r}{hint}")
    return kind


def _require_shape(spec: str, name: str, kind: Any) -> None:
    if not callable(getattr(kind, "act", None)):
        raise InputError(f"agent {spec}: the class has no method act(self, observation) (zsr_sim.agents.protocol)")
    try:
        inspect.signature(kind).bind(retrieval=None, slate_size=1)
    except TypeError as error:
        raise InputError(
            f"agent {spec}: cannot be constructed as {name}(retrieval=..., slate_size=...) ({error})"
        ) from None
    if not learns(kind):
        return
    if not spec.isascii():
        raise InputError(f"agent {spec}: a folder is called like it; letters from a to z expected in both names")
    missing = [method for method in _TO_LEARN if not callable(getattr(kind, method, None))]
    if missing or getattr(kind, "needs", None) not in NEEDS:
        lacks = f"no method {missing[0]}()" if missing else f"needs = {getattr(kind, 'needs', None)!r}"
        raise InputError(
            f"agent {spec}: the class learns, and has {lacks}; learn, checkpoint and restore, and needs = "
            f"{', '.join(map(repr, NEEDS))} expected (zsr_sim.agents.lesson)"
        )
