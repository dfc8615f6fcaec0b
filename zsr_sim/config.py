"""Settings of a run: typed, complete, and strict about names."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zsr_sim.errors import InputError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WorldSettings(_Strict):
    """The simulated users and their pages."""

    slate_size: int = Field(10, ge=1, description="items on a page")
    horizon: int = Field(20, ge=1, description="pages after which a visit is cut off")
    dimensions: int = Field(64, ge=2, description="dimensions of the item space")
    topics: int = Field(16, ge=1, description="topics that a user can be bored with")
    interests: int = Field(3, ge=1, description="interests of a user")
    base_click_rate: float = Field(0.06, gt=0, lt=1, description="clicks on a random item that is looked at")
    quality_weight: float = Field(0.5, ge=0, description="logits per standard deviation of quality")
    affinity_weight: float = Field(
        16.0, ge=0, description="logits per unit of cosine; for made-up users, a log fits it"
    )
    examination_decay: float = Field(0.5, ge=0, description="position bias: position j is looked at j ** -decay")
    boredom: float = Field(1.5, ge=0, description="logits that a click on a topic costs its next items")
    boredom_memory: float = Field(0.8, ge=0, le=1, description="share of boredom left after a page")
    drift_rate: float = Field(0.05, ge=0, le=1, description="how far a click moves an interest")
    leave_bias: float = Field(-1.0, description="log-odds of leaving when wholly dissatisfied")
    leave_slope: float = Field(5.0, ge=0, description="logits by which satisfaction holds a user")


class GeneratorSettings(_Strict):
    """The sequence GAN."""

    likelihood_steps: int = Field(800, ge=1, description="steps of likelihood pre-training")
    adversarial_steps: int = Field(100, ge=0, description="steps of adversarial training")
    batch_size: int = Field(128, ge=2, description="sequences in a step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam, likelihood; adversarial steps use a tenth")
    real_acceptance: float = Field(
        0.9, gt=0, lt=1, description="share of real held-out sequences that the gate accepts"
    )
    temperature: float = Field(
        0.3, gt=0, description="of the draws in the loop; below 1 likelier items come more often"
    )
    candidates: int = Field(3, ge=0, description="places for generated candidates; 0 trains without a generator")
    feedback_interval: int = Field(10, ge=0, description="policy updates between updates from feedback; 0: never")


class AgentSettings(_Strict):
    """The policy gradient (PPO)."""

    candidates: int = Field(8, ge=2, description="pages to choose from")
    updates: int = Field(30, ge=1, description="policy updates")
    users: int = Field(256, ge=2, description="visits per update")
    learning_rate: float = Field(1e-3, gt=0, description="Adam")
    discount: float = Field(0.99, ge=0, le=1, description="of the next page's reward")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="generalised advantage estimation")
    clip: float = Field(0.2, gt=0, description="PPO's clipping of the probability ratio")
    entropy: float = Field(0.01, ge=0, description="weight of the entropy bonus")
    epochs: int = Field(4, ge=1, description="passes over an update's pages")
    minibatch: int = Field(1024, ge=2, description="pages in a gradient step")
    hidden: int = Field(64, ge=1, description="width of the networks")


class SimilaritySettings(_Strict):
    """The nearest items in meaning."""

    temperature: float = Field(0.1, gt=0, description="of the probabilities; lower ones favour the nearest items more")
    threshold: float = Field(-1.0, ge=-1, le=1, description="least cosine of an item that is near enough")


class Settings(_Strict):
    """All settings; `--config file.yaml` first, then `--set world.horizon=10`."""

    world: WorldSettings = WorldSettings()  # type: ignore[call-arg]  # all fields have defaults
    generator: GeneratorSettings = GeneratorSettings()  # type: ignore[call-arg]
    agent: AgentSettings = AgentSettings()  # type: ignore[call-arg]
    similarity: SimilaritySettings = SimilaritySettings()  # type: ignore[call-arg]


def load_settings(config: Path | None = None, assignments: list[str] | None = None) -> Settings:
    """Defaults, overridden by a YAML file, overridden by `section.name=value` assignments.

    Raises InputError for an unknown name (with the nearest known one), a value out of range, or an unreadable file.
    """
    tree = _read_yaml(config) if config else {}
    for assignment in assignments or []:
        path, equals, value = assignment.partition("=")
        section, dot, name = path.strip().partition(".")
        if not (equals and dot):
            raise InputError(f"--set {assignment!r}: expected section.name=value, such as agent.learning_rate=1e-3")
        branch = tree.setdefault(section, {})
        if not isinstance(branch, dict):
            raise InputError(
                f"--set {assignment!r}: {section!r} is no section; known: {', '.join(Settings.model_fields)}"
            )
        branch[name] = _scalar(value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise InputError("; ".join(_explain(e) for e in error.errors()[:3])) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path}: cannot be read ({error.strerror}); expected a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path}: no valid YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(
            f"--config {path}: expected sections ({', '.join(Settings.model_fields)}), found {type(tree).__name__}"
        )
    return tree


def _scalar(text: str) -> Any:
    try:
        return float(text) if any(mark in text for mark in ".eE") else int(text)
    except ValueError:
        return text.strip()


def _explain(error: Any) -> str:
    """One pydantic error as a sentence."""
    path = [str(part) for part in error["loc"]]
    name = ".".join(path)
    if error["type"] != "extra_forbidden":
        return f"setting {name}: {error['msg'].lower()}, found {error['input']!r}"
    known = [*Settings.model_fields, *(f"{s}.{f}" for s, m in Settings() for f in type(m).model_fields)]
    near = difflib.get_close_matches(name, known, 1, 0.0)
    return f"unknown setting {name!r}; the nearest known one is {near[0]!r}"
