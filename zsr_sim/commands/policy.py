"""The work behind `zsr-sim evaluate policy`: what a strategy would have earned, estimated from a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zsr_sim.agents.distribution import Greedy
from zsr_sim.agents.protocol import Agent
from zsr_sim.commands.job import Setup
from zsr_sim.commands.logged import Source, logged_of, read_source, to_learn_from
from zsr_sim.commands.logs import ready
from zsr_sim.config import Settings
from zsr_sim.console import Phases, Screen
from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.evidence import gather
from zsr_sim.evaluation.off_policy.results import evaluate, result_lines
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.runs import RESULTS, Run, require_free


@dataclass(frozen=True)
class Question(Setup):
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


def evaluate_policy(question: Question, out: Path | None, screen: Screen) -> dict[str, Any]:
    """Estimate, print and, in a run folder `out`, keep; returns the results."""
    if out is not None:
        require_free(out)
    settings = question.settings()
    source = read_source(question.log, question.data, question.histories)
    if "settings" in source.facts and not (question.config or question.assignments):
        settings = _settings_of(source.facts["settings"], question.log)
    size = {"slate_size": source.log.items.shape[1]}
    settings = settings.model_copy(update={"world": settings.world.model_copy(update=size)})
    with Phases(screen) as phases:
        scene = make_scene(source.data, settings.world, question.encoder, phases.encoding)
        scene, log = to_learn_from(scene, source, question.reward)
        scene = scene.reading(settings.history)
        logged = logged_of(scene, log, source, question.seed, question.reward)
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
    if not question.reward:  # the simulation was asked for clicks
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
