"""Settings of a run: typed, complete, and strict about names."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from zsr_sim.envs.traits import Traits
from zsr_sim.envs.worlds import WORLDS, NamedWorld
from zsr_sim.errors import InputError, nearest

HISTORY_ENCODERS = {
    "pooled": "the mean of the items' vectors, later ones weigh more",
    "attention": "a network over the items' vectors that learns from the log, or from made-up users, what counts",
    "text": "the latest items' texts written down as one, which the encoder reads",
    "causal": "a causal model (--encoder) that goes on reading where it stopped; what it knows of each user is kept",
}
"""What each history encoder makes of a history, for a person."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WorldSettings(Traits):
    """The simulated users and their pages: what users are like (`Traits`), and what holds for all of them.

    `name` is one of the named worlds (`zsr_sim.envs.worlds`), whose settings are the defaults of the others.
    """

    name: str = "standard"
    """Named world."""
    users: Annotated[str, Field(pattern="^(laws|made-up|(llm|distilled)(:.+)?)$")] = "laws"
    """What attracts them: laws, fitted where there is a log ("laws") or made up in any case ("made-up"), a language
    model's answers ("llm", "llm:MODEL"), or laws distilled from these ("distilled")."""
    choice: Literal["position", "cascade", "logit"] = "position"
    """How a page is looked at: each place on its own, from top to bottom until a click, or one item of all."""
    slate_size: Annotated[int, Field(ge=1)] = 10
    """Items on a page."""
    horizon: Annotated[int, Field(ge=1)] = 20
    """Pages after which a visit is cut off."""
    dimensions: Annotated[int, Field(ge=2)] = 64
    """Dimensions of the item space."""
    centred: bool = True
    """Whether the catalogue's mean is taken out of the text vectors."""
    normalised: bool = True
    """Whether strategies see item vectors of length 1."""
    topics: Annotated[int, Field(ge=1)] = 16
    """Topics that a user can be bored with."""
    interests: Annotated[int, Field(ge=1)] = 3
    """Interests of a user."""
    quality_correlation: Annotated[float, Field(ge=-1, le=1)] = 1.0
    """Of what satisfies with what draws clicks, over items; 1: they are the same."""
    item_lifetime: Annotated[int, Field(ge=0)] = 0
    """Pages for which an item can be had; 0: always."""
    season_period: Annotated[int, Field(ge=1)] = 40
    """Pages in which topics come into season in turn."""
    max_gap: Annotated[int, Field(ge=1)] = 30
    """Days away after which a user is taken to have left."""
    reward_click: float = 1.0
    """What a click is worth."""
    reward_like: float = 0.0
    """What a like is worth."""
    reward_purchase: float = 0.0
    """What a purchase is worth."""
    reward_dwell: float = 0.0
    """What a second on a clicked item is worth."""

    @classmethod
    def named(cls, name: str, **changes: Any) -> WorldSettings:
        """A named world, but for these settings. Raises InputError for a name that is not known."""
        known_world(name)
        return cls.model_validate({"name": name} | changes)

    @model_validator(mode="before")
    @classmethod
    def _of_named_world(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("name", ""), str):
            return given
        return known_world(given.get("name", "standard")).settings | given


def known_world(name: str) -> NamedWorld:
    """The world of this name; raises InputError where there is none."""
    if name not in WORLDS:
        raise InputError(f"world {name!r} is not known; one of {', '.join(WORLDS)} expected{nearest(name, WORLDS)}")
    return WORLDS[name]


class HistorySettings(_Strict):
    """What a user consumed so far, as one vector."""

    encoder: str = Field("pooled", description="what reads the history: zsr-sim list histories")
    decay: float | None = Field(
        None, ge=0, le=1, description="of an item's weight, pooled and causal; none: 0.9, and 0.95 for lasting tastes"
    )
    items: int = Field(5, ge=1, description="latest items that text and causal read; causal up to twice as many")
    template: str = Field("{items}", description="what text writes; {items}: the items' texts, the latest first")
    memory: int = Field(1024, ge=1, description="MiB for what text and causal have read; the oldest are read again")
    steps: int = Field(400, ge=1, description="gradient steps of attention")
    batch_size: int = Field(128, ge=1, description="histories in a step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam")
    hidden: int = Field(64, ge=4, multiple_of=4, description="width of attention")

    @field_validator("encoder")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in HISTORY_ENCODERS:
            known = ", ".join(HISTORY_ENCODERS)
            raise ValueError(f"history.encoder is {name!r}; one of {known} expected{nearest(name, HISTORY_ENCODERS)}")
        return name

    @field_validator("template")
    @classmethod
    def _names_items(cls, template: str) -> str:
        if "{items}" not in template:
            raise ValueError(f"history.template is {template!r}; the place of the items, {{items}}, expected in it")
        return template


MADE_UP = "made-up"  # users who are not fitted, whether there is a log or not
POOLED = HistorySettings()  # type: ignore[call-arg]  # all fields have defaults


def with_users(settings: WorldSettings, users: str) -> WorldSettings:
    """The same world, but for what attracts its users. Raises InputError for users that are not known."""
    try:
        return WorldSettings.model_validate(settings.model_dump() | {"users": users})
    except ValidationError:
        known = "'laws', 'made-up', 'llm', 'distilled', or a model after a colon such as 'llm:smollm2'"
        raise InputError(f"users is {users!r}; one of {known} expected") from None


class GeneratorSettings(_Strict):
    """The sequence GAN."""

    likelihood_steps: int = Field(800, ge=1, description="steps of likelihood pre-training")
    adversarial_steps: int = Field(100, ge=0, description="steps of adversarial training")
    batch_size: int = Field(64, ge=2, description="sequences in a step")
    learning_rate: float = Field(4e-3, gt=0, description="Adam, likelihood; adversarial steps use a twentieth")
    real_acceptance: float = Field(
        0.9, gt=0, lt=1, description="share of real held-out sequences that the gate accepts"
    )
    temperature: float = Field(
        0.3, gt=0, description="of the draws in the loop; below 1 likelier items come more often"
    )
    top_k: int = Field(0, ge=0, description="draw among that many likeliest items; 0: all of the shortlist")
    nucleus: float = Field(1.0, gt=0, le=1, description="draw among the likeliest items of this joint probability")
    diversity: float = Field(0.0, ge=0, description="logits per unit of cosine with the nearest item already written")
    windows: int = Field(1, ge=1, description="overlapping pages cut from one sequence, each a candidate")
    window_step: int = Field(5, ge=1, description="items from the start of one window to the next")
    candidates: int = Field(3, ge=0, description="places for generated candidates; 0 trains without a generator")
    feedback_interval: int = Field(10, ge=0, description="policy updates between updates from feedback; 0: never")


class AgentSettings(_Strict):
    """What learns in the loop: the policy gradient, and the algorithms of stable-baselines3."""

    algorithm: Literal["ppo", "reinforce", "top-k"] = Field("ppo", description="how policy-gradient learns")
    log: str = Field("", description="impressions with propensities that top-k learns from; none: it makes its own")
    environment: Literal["auto", "candidates", "slate", "proto"] = Field(
        "auto", description="where sb3 is trained: candidate pages, items one by one, points in item space"
    )
    candidates: int = Field(8, ge=2, description="pages to choose from")
    composed: int = Field(
        4, ge=0, le=4, description="of these, how many policy-gradient's click model composes item by item"
    )
    updates: int = Field(30, ge=1, description="policy updates")
    users: int = Field(256, ge=2, description="visits per update")
    learning_rate: float = Field(1e-3, gt=0, description="Adam")
    discount: float = Field(0.99, ge=0, le=1, description="of the next page's reward")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="generalised advantage estimation")
    clip: float = Field(0.2, gt=0, description="PPO's clipping of the probability ratio")
    entropy: float = Field(0.01, ge=0, description="weight of the entropy bonus")
    epochs: int = Field(4, ge=1, description="passes over an update's pages")
    gradient_steps: int = Field(
        40, ge=1, description="policy-gradient's most in an update: fewer passes where there are more, but one at least"
    )
    minibatch: int = Field(1024, ge=2, description="pages in a gradient step")
    hidden: int = Field(64, ge=1, description="width of the networks")


class SimilaritySettings(_Strict):
    """The nearest items in meaning."""

    temperature: float = Field(0.1, gt=0, description="of the probabilities; lower ones favour the nearest items more")
    threshold: float = Field(-1.0, ge=-1, le=1, description="least cosine of an item that is near enough")
    words: float = Field(0.0, ge=0, le=1, description="share of the words that texts have in common; 0: vectors alone")


class BayesSettings(_Strict):
    """Votes of the history items."""

    temperature: float = Field(0.1, gt=0, description="of the votes; lower ones favour the nearest items more")
    prior: Literal["interest", "popularity"] = Field("interest", description="what gives a history item more to say")
    items: int = Field(0, ge=0, description="latest items of the history that vote; 0: all")
    likelihood: str = Field("", description="causal model that says p(y | x), such as smollm2; none: item vectors")


class HybridSettings(_Strict):
    """Collaborative part plus text part."""

    text_weight: float | None = Field(None, ge=0, description="lambda, the weight of the text part; none: validation")
    factors: int = Field(32, ge=1, description="length of the collaborative embeddings")
    steps: int = Field(400, ge=1, description="gradient steps, for each lambda that is tried")
    batch_size: int = Field(512, ge=1, description="interactions in a step")
    learning_rate: float = Field(1e-2, gt=0, description="Adam")


class FewShotSettings(_Strict):
    """The sequence model over frozen text vectors, and people like you."""

    network: Literal["lstm", "transformer"] = Field("lstm", description="what reads the history")
    hidden: int = Field(64, ge=2, multiple_of=2, description="width of the network")
    steps: int = Field(600, ge=1, description="gradient steps")
    batch_size: int = Field(64, ge=1, description="users in a step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam")
    neighbours: int = Field(50, ge=1, description="people like you whose taste counts")


class BanditSettings(_Strict):
    """LinUCB and Thompson sampling; `agent.updates` and `agent.users` say how much they see."""

    exploration: float = Field(0.3, ge=0, description="width of the confidence bound, or of what is drawn")
    penalty: float = Field(1.0, gt=0, description="of the ridge regression")
    shortlist: int = Field(100, ge=1, description="items among which a page is made")


class HttpSettings(_Strict):
    """Recommenders that are asked over HTTP."""

    timeout: float = Field(10.0, gt=0, description="seconds to wait for an answer")
    retries: int = Field(2, ge=0, description="further tries where none comes")
    batch: int = Field(256, ge=1, description="users in a request at most")


class OracleSettings(_Strict):
    """The reference that looks ahead."""

    depth: int = Field(8, ge=1, description="pages that it looks ahead")
    rollouts: int = Field(4, ge=1, description="futures that each plan is tried in")
    repeats: bool = Field(False, description="whether it may show what the user has had; other strategies may not")


class Settings(_Strict):
    """All settings; `--config file.yaml` first, then `--set world.horizon=10`."""

    world: WorldSettings = WorldSettings()
    history: HistorySettings = POOLED
    generator: GeneratorSettings = GeneratorSettings()  # type: ignore[call-arg]  # all fields have defaults
    agent: AgentSettings = AgentSettings()  # type: ignore[call-arg]
    similarity: SimilaritySettings = SimilaritySettings()  # type: ignore[call-arg]
    bayes: BayesSettings = BayesSettings()  # type: ignore[call-arg]
    hybrid: HybridSettings = HybridSettings()  # type: ignore[call-arg]
    few_shot: FewShotSettings = FewShotSettings()  # type: ignore[call-arg]
    bandit: BanditSettings = BanditSettings()  # type: ignore[call-arg]
    http: HttpSettings = HttpSettings()  # type: ignore[call-arg]
    oracle: OracleSettings = OracleSettings()  # type: ignore[call-arg]


def known_settings() -> dict[str, str]:
    """Every setting by the name that --set takes, with its default and what it is, for a person."""
    found = {}
    for section, chosen in Settings():
        for name, field in type(chosen).model_fields.items():
            words = " ".join((field.description or f"spread of {name.removesuffix('_sd')} over users").split())
            found[f"{section}.{name}"] = f"{getattr(chosen, name)}: {words}"
    return found


def load_settings(
    config: Path | None = None, assignments: list[str] | None = None, world: str | None = None
) -> Settings:
    """Defaults, overridden by a YAML file, by the name of a world, and by `section.name=value` assignments, in turn.

    Raises InputError for an unknown name (with the nearest known one), a value out of range, or an unreadable file.
    """
    tree = _read_yaml(config) if config else {}
    for assignment in [*([f"world.name={world}"] if world else []), *(assignments or [])]:
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
        raise InputError("; ".join(explain(e) for e in error.errors()[:3])) from None


_Section = TypeVar("_Section", bound=_Strict)


def with_options(section: _Section, options: str, spec: str) -> _Section:
    """A section of the settings with those of `setting=value&...`, what follows a question mark in `spec`.

    Raises InputError for an unknown setting (with the nearest known one) or value.
    """
    changes, known = dict(parse_qsl(options, keep_blank_values=True)), type(section).model_fields
    unknown = next((key for key in changes if key not in known), None)
    if unknown is not None:
        raise InputError(f"{spec}: {unknown!r} is no setting{nearest(unknown, known)}")
    try:
        return type(section).model_validate(section.model_dump() | changes)
    except ValidationError as error:
        raise InputError(f"{spec}: {explain(error.errors()[0])}") from None


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


def explain(error: Any) -> str:
    """One pydantic error as a sentence."""
    path = [str(part) for part in error["loc"]]
    name = ".".join(path)
    if error["type"] == "value_error":  # raised by a validator of ours, in words of its own
        return str(error["ctx"]["error"])
    if error["type"] != "extra_forbidden":
        return f"setting {name}: {error['msg'].lower()}, found {error['input']!r}"
    known = [*Settings.model_fields, *(f"{s}.{f}" for s, m in Settings() for f in type(m).model_fields)]
    near = difflib.get_close_matches(name, known, 1, 0.0)
    return f"unknown setting {name!r}; the nearest known one is {near[0]!r}"
