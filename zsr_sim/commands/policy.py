"""The work behind `zsr-sim evaluate policy`: what a strategy would have earned, estimated from a log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from zsr_sim.agents.distribution import Greedy
from zsr_sim.agents.protocol import Agent
from zsr_sim.commands.logs import companion, ready
from zsr_sim.config import Settings, load_settings
from zsr_sim.console import Phases, Screen
from zsr_sim.datasets import Dataset, load
from zsr_sim.datasets.impressions import read_histories, read_impressions
from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.evidence import Logged, gather
from zsr_sim.evaluation.off_policy.models import Features, estimate_propensities, folds_of
from zsr_sim.evaluation.off_policy.rebuild import histories_before, observations, user_keys
from zsr_sim.evaluation.off_policy.results import evaluate, result_lines
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.impressions import Impressions
from zsr_sim.interactions import Interactions
from zsr_sim.runs import RESULTS, Run, require_free

REWARDS = ("click", "like", "purchase")


@dataclass(frozen=True)
class Question:
    """What a person asked for.

    log: impressions, a file or a folder. data: whose catalogue the log's items are of; None: as the log says. reward:
    kinds of feedback that count as 1. greedy: take agents as they act, not what they draw from.
    """

    log: Path
    agent: str
    baseline: str | None = None
    data: str | None = None
    histories: Path | None = None
    reward: tuple[str, ...] = ()
    greedy: bool = False
    draws: int = 1000
    seed: int = 0
    encoder: str | None = None
    config: Path | None = None
    assignments: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


@dataclass
class Source:
    """A log as it was read. facts: what `zsr-sim log` noted beside it, {} for other logs. notes: for every output."""

    data: str
    dataset: Dataset
    log: Impressions
    facts: dict[str, Any]
    before: Interactions | None
    notes: list[str]


def evaluate_policy(question: Question, out: Path | None, screen: Screen) -> dict[str, Any]:
    """Estimate, print and, in a run folder `out`, keep; returns the results."""
    if out is not None:
        require_free(out)
    settings = load_settings(question.config, question.assignments)
    source = _read(question)
    if "settings" in source.facts and not (question.config or question.assignments):
        settings = _settings_of(source.facts["settings"], question.log)
    size = {"slate_size": source.log.items.shape[1]}
    settings = settings.model_copy(update={"world": settings.world.model_copy(update=size)})
    with Phases(screen) as phases:
        scene = make_scene(source.data, settings.world, question.encoder, phases.encoding)
        scene, log = _to_learn_from(scene, source, question)
        scene = scene.reading(settings.history)
        logged = _logged(scene, log, source, question)
        names = [question.agent] + ([question.baseline] if question.baseline else [])
        targets = {}
        for number, name in enumerate(names):
            label = name if name not in targets else f"{name}#{number + 1}"
            targets[label] = gather(
                logged, _agent(name, scene, settings, question), question.seed,
                lambda done, total, name=name: phases.show(f"asking {name}", done, total, f"{done:,} pages"),  # type: ignore[misc]
            )  # fmt: skip
    results = {
        "log": question.log.name,
        "data": scene.dataset.catalogue.name,
        "data_fingerprint": fingerprint(scene.dataset),
        "pages": len(logged.log),
        "impressions": int(logged.log.shown.sum()),
        "users": logged.groups,
        "notes": source.notes,
    } | evaluate(logged, targets, question.draws, question.seed)
    _add_truth(results, source.facts)
    _say(results, screen)
    if out is not None:
        _keep(results, out, question, settings, source, scene)
    return results | ({} if out is None else {"run": str(out)})


def _settings_of(facts: Any, path: Path) -> Settings:
    """The settings that a log of ours was made with: what strategies know from before depends on them."""
    try:
        return Settings.model_validate(facts)
    except ValidationError as error:
        raise InputError(f"{path} was written by another version ({error.error_count()} settings); log again") from None


def _agent(name: str, scene: Scene, settings: Settings, question: Question) -> Agent:
    agent = ready(name, scene, settings, question.seed)
    return Greedy(agent) if question.greedy else agent


def _read(question: Question) -> Source:
    """The log, its catalogue, and what is known of its users from before."""
    path, notes = question.log, list[str]()
    if path.is_dir():
        dataset = load(question.data or path)
        log = (dataset if not question.data else load(path)).impressions
        if log is None:
            raise InputError(f"{path} holds no impressions; expected an impressions file or the Open Bandit layout")
        facts: dict[str, Any] = {}
        data = question.data or str(path)
    else:
        facts = _facts(path)
        data = question.data or facts.get("data", "")
        if not data:
            raise InputError(f"--log {path}: whose items are these? name their catalogue with --data")
        dataset = load(data)
        log, counts, remarks = read_impressions(path, dataset.catalogue)
        notes += remarks
        if counts["dropped_unknown_pages"]:
            notes.append(f"{counts['dropped_unknown_pages']:,} pages dropped: they show items not in {data}")
    beside = path.parent / facts["histories"] if "histories" in facts else None
    histories = question.histories or (beside if beside and beside.is_file() else None)
    before = read_histories(histories, dataset.catalogue) if histories else dataset.interactions
    if log.n_users < 2:
        raise InputError(f"{path}: pages of {log.n_users} user; intervals need at least 2")
    return Source(data, dataset, log, facts, before, notes)


def _facts(path: Path) -> dict[str, Any]:
    """What `zsr-sim log` wrote beside the log; {} where nothing lies there."""
    beside = companion(path, "json")
    if not beside.is_file():
        return {}
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{beside} is no JSON ({error}); write the log again or remove that file") from None
    return facts if isinstance(facts, dict) and facts.get("log") == path.name else {}


def _to_learn_from(scene: Scene, source: Source, question: Question) -> tuple[Scene, Impressions]:
    """The scene with what strategies may learn from, and the pages that they are judged on.

    Where there are neither interactions nor a simulation behind the log, strategies learn from the clicks of the
    earlier half of its pages and are judged on the later half.
    """
    if source.facts or source.dataset.interactions is not None:
        return scene, source.log
    middle = float(np.median(source.log.timestamps))
    early, late = (np.flatnonzero(part) for part in (source.log.timestamps < middle, source.log.timestamps >= middle))
    if len(early) < 1 or len(late) < 2:
        raise InputError("the log's pages have one time; without interactions its earlier half is to be learned from")
    rows, positions = np.nonzero(source.log.reward((*REWARDS, *question.reward))[early] > 0)
    items = source.log.items[early][rows, positions]
    users = [source.log.user_ids[code] for code in source.log.users[early][rows]]
    learned = Interactions.from_columns(users, items, source.log.timestamps[early][rows])
    source.notes.append(
        f"no interactions beside the log: strategies learn from the {len(items):,} clicks of its earlier half, and are "
        f"judged on the later half ({len(late):,} pages)"
    )
    return scene.learning_from(learned), source.log.take(late)


def _logged(scene: Scene, log: Impressions, source: Source, question: Question) -> Logged:
    clicked = log.reward((*REWARDS, *question.reward)) > 0
    own = bool(source.facts)
    observed = observations(
        log, clicked, histories_before(log, source.before), user_keys(log, own), int(source.facts.get("luck", 0))
    )
    features = Features(scene.retrieval)
    missing = np.isnan(log.propensity) & log.shown
    if missing.any():
        made = estimate_propensities(features, observed, log.items, folds_of(log.users.astype(np.int64)), question.seed)
        position = np.where(missing, made, log.propensity)
        prefix = position.cumprod(axis=1)
        log = replace(log, propensity=position, prefix_propensity=prefix, slate_propensity=prefix[:, -1])
        source.notes.append(
            f"propensities of {int(missing.sum()):,} impressions are not in the log and were ESTIMATED (frequency by "
            "position times a logistic model); positions are taken as independent; intervals do not hold their error"
        )
    return Logged.of(log, log.reward(question.reward or REWARDS), observed, features, question.seed)


def _add_truth(results: dict[str, Any], facts: dict[str, Any]) -> None:
    """What the simulation knows of these strategies, where `zsr-sim log --value-of` asked it."""
    known = facts.get("value_of", {})
    truth = {name: known[name] for name in results["targets"] if name in known}
    if truth:
        results["truth"] = truth


def _say(results: dict[str, Any], screen: Screen) -> None:
    screen.line(f"{results['log']}: {results['impressions']:,} impressions on {results['pages']:,} pages of "
                f"{results['users']:,} users, items of {results['data']}")  # fmt: skip
    for line in [*(f"note: {note}" for note in results["notes"]), *result_lines(results)]:
        screen.line(line)
    for name, value in results.get("truth", {}).items():
        page, visit = value["clicks_per_page"], value["clicks_per_visit"]
        screen.line(
            f"Truth of {name}, by simulation: {page['mean']:.4f} clicks per page of the log ({page['ci95'][0]:.4f} to "
            f"{page['ci95'][1]:.4f}), {visit['mean']:.3f} clicks per visit"
        )


def _keep(
    results: dict[str, Any], out: Path, question: Question, settings: Settings, source: Source, scene: Scene
) -> None:
    data = {"name": results["data"], "fingerprint": results["data_fingerprint"]} | dict(source.dataset.report.counts)
    with Run.create(out, question.command, settings, [question.seed], data) as run:
        run.write_json(RESULTS, results)
