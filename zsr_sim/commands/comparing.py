"""The work behind `zsr-sim demo` and `compare`: the same users before every strategy, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zsr_sim.agents.protocol import AgentError, CheckedAgent
from zsr_sim.agents.registry import AgentSpec, checked, find_agent
from zsr_sim.commands.experiments import (
    Outcome,
    conclude,
    described,
    next_free,
    open_scene,
    probed,
    reward_curves,
    train_into,
)
from zsr_sim.commands.job import Job
from zsr_sim.commands.reality import order_in_reality, require_reality
from zsr_sim.commands.trial import BLOCK, Trial
from zsr_sim.config import Settings
from zsr_sim.console import Phases, Screen
from zsr_sim.errors import InputError
from zsr_sim.evaluation.across import across_worlds, order_agreement
from zsr_sim.evaluation.planning import plan, plan_words
from zsr_sim.experiment import Scene
from zsr_sim.learning import POLICY_GRADIENT, count_phases, require_trainable
from zsr_sim.other_worlds import agents_in, other_users
from zsr_sim.runs import RESULTS, WALKS, Run, require_free
from zsr_sim.trained import Trained

DEMO_BASELINE = "similarity"
DEMO_AGENTS = ("random", DEMO_BASELINE, POLICY_GRADIENT, "popularity")


@dataclass(frozen=True)
class Manner:
    """How a comparison is made.

    baseline: what the others are held against, by default the first. told: whose verdict is printed, by default
    everybody's. until_decided: look every 1,000 users and stop when every verdict stands. worlds: ask again in so many
    other worlds. reality: a world or a log whose order of the strategies is held against the one here.
    """

    baseline: str | None = None
    told: Sequence[str] | None = None
    until_decided: bool = False
    worlds: int = 0
    reality: str | None = None


def demo(job: Job, out: Path, screen: Screen) -> Outcome:
    """Train on the built-in films and compare; an `out` that holds a run already is left alone, for out-2, -3, ..."""
    return compare(job, DEMO_AGENTS, next_free(out), screen, Manner(DEMO_BASELINE, told=[POLICY_GRADIENT]))


def compare(job: Job, agents: Sequence[str], out: Path | None, screen: Screen, manner: Manner | None = None) -> Outcome:
    """The same simulated users under every agent, a verdict on each against the baseline.

    Agents that learn are trained first and saved. An agent that fails on the way is left out from then on and listed as
    failed, unless it is the baseline. Raises InputError, before anything is written, for what cannot be.
    """
    manner = manner or Manner()
    out = _compare_folder(job.data) if out is None else out
    require_free(out)
    settings = job.settings()
    arms = _arms(agents)
    to_train = list(dict.fromkeys(spec.label for spec in arms.values() if spec.learns))
    scene = open_scene(job, settings, screen)
    for name in to_train:
        require_trainable(name, scene, settings)
    baseline = manner.baseline or next(iter(arms))
    ready, failed = _ready(arms, baseline, scene, settings)
    log = require_reality(manner.reality, len(arms), ready, scene, job.data) if manner.reality else None
    steps = sum(count_phases(name, settings) for name in to_train) + 1 + bool(manner.worlds) + bool(manner.reality)
    with Run.create(out, job.command, settings, [job.seed], described(scene)) as run:
        with Phases(screen, steps) as phases:
            trained, training, untrained = _train_all(to_train, arms, baseline, scene, settings, job.seed, run, phases)
            learned = {arm: trained[spec.label] for arm, spec in arms.items() if spec.label in trained}
            ready |= {arm: checked(arm, own.agent, scene) for arm, own in learned.items()}
            failed |= untrained
            _require_two(ready, baseline, failed)
            ready = {arm: ready[arm] for arm in arms if arm in ready}  # in the order in which they were named
            trial = Trial(scene.world, scene.test, ready, baseline, job, settings.world.horizon)
            trial.failed |= failed
            results = _compared(trial, scene, job, manner, settings, phases, screen)
            if manner.reality:
                results["reality"] = order_in_reality(manner.reality, log, trial, scene, job, out, phases)
        results |= {"training": training}
        run.write_json(RESULTS, results)
        run.write_json(WALKS, trial.walks(scene.dataset.catalogue.titles))
        curves = reward_curves(run, scene, settings, job.seed, to_train, set(to_train) - set(trained))
    told = [c["candidate"] for c in results["comparisons"]] if manner.told is None else manner.told
    return conclude(out, results, curves, [name for name in told if name not in results["failed"]], scene, screen)


def pilot(job: Job, agents: Sequence[str], screen: Screen) -> dict[str, Any]:
    """What a comparison of `job.users` visits would see, told from its first 1,000; writes nothing.

    Raises InputError for agents that have to be trained first.
    """
    settings = job.settings()
    arms = _arms(agents)
    if untrained := [arm for arm, spec in arms.items() if spec.learns]:
        raise InputError(
            f"--plan takes strategies that are ready; train {', '.join(untrained)} first (zsr-sim train) and name the "
            "run folder"
        )
    scene = open_scene(job, settings, screen)
    ready, failed = _ready(arms, next(iter(arms)), scene, settings)
    for error in failed.values():
        screen.line(f"left out: {error}")
    with Phases(screen, 1) as phases:
        trial = Trial(scene.world, scene.test, ready, next(iter(ready)), job, settings.world.horizon)
        trial.run(min(BLOCK, job.users), phases, "pilot")
    planned = plan(trial.visits, trial.baseline, job.users, trial.followed)
    for line in plan_words(planned):
        screen.line(line)
    return {"baseline": trial.baseline, "plan": planned}


def _compared(
    trial: Trial, scene: Scene, job: Job, manner: Manner, settings: Settings, phases: Phases, screen: Screen
) -> dict[str, Any]:
    """What results.json holds of the comparison itself."""
    trial.run(min(BLOCK, job.users), phases)
    planned = plan(trial.visits, trial.baseline, job.users, trial.followed)
    for line in plan_words(planned):
        screen.line(line)
    results = trial.finish(scene.describe(), phases, manner.until_decided)
    return results | {
        "plan": planned,
        "segments": trial.segments(scene),
        "support": trial.support(scene),
        "learnable": trial.learnable(scene, settings),
        "worlds": _other_worlds(manner.worlds, trial, scene, job, phases, results),
        "failed": {name: _failure(error) for name, error in trial.failed.items()},
    }


def _other_worlds(
    count: int, trial: Trial, scene: Scene, job: Job, phases: Phases, here: dict[str, Any]
) -> dict[str, Any] | None:
    """The strategies that are left before the users of other worlds; who fails there is told as failed, too."""
    if not count:
        return None
    found = []
    for replicate in range(count):
        users = other_users(scene, replicate)
        world = replace(scene.world, items=users.items)
        other = Trial(world, users, agents_in(world, trial.agents), trial.baseline, job, trial.horizon)
        other.run(job.users, phases, "other worlds", (replicate, count))
        found.append(other.results({}))
        trial.failed |= other.failed
    return {
        "count": count,
        "users": job.users,
        "candidates": across_worlds(found),
        "order": order_agreement(here, found),
    }


def _ready(
    arms: Mapping[str, AgentSpec], baseline: str, scene: Scene, settings: Settings
) -> tuple[dict[str, CheckedAgent], dict[str, AgentError]]:
    """The agents that need no training, tried on two users, and those that failed them already.

    Raises AgentError where the baseline is among these, InputError, which tells of each, where nobody would be left
    beside it.
    """
    ready, failed = {}, {}
    for arm, spec in arms.items():
        if spec.make is None:
            continue
        try:
            ready[arm] = probed(checked(arm, spec.make(scene, settings), scene), scene)
        except AgentError as error:
            failed[arm] = error
            _require_two([other for other in arms if other not in failed], baseline, failed)
    return ready, failed


def _require_two(left: Collection[str], baseline: str, failed: Mapping[str, AgentError]) -> None:
    """Raise the AgentError of the baseline, or InputError, which tells of each, where nobody is left beside it."""
    if baseline in failed:
        raise failed[baseline]
    if failed and len(left) < 2:
        raise InputError("; ".join(map(str, failed.values())))


def _failure(error: AgentError) -> dict[str, Any]:
    return {"agent": error.agent, "user": error.user, "step": error.step, "error": str(error)}


def _train_all(
    names: Sequence[str], arms: Mapping[str, AgentSpec], baseline: str, scene: Scene, settings: Settings, seed: int,
    run: Run, phases: Phases,
) -> tuple[dict[str, Trained], dict[str, Any], dict[str, AgentError]]:  # fmt: skip
    """Each agent that learns, trained and saved, the figures that its training ended with, and the arms that failed.

    Raises AgentError at once where the baseline is among these.
    """
    trained, training = {}, {}
    failed: dict[str, AgentError] = {}
    for name in names:
        kind = "" if len(names) == 1 else f", {name}"
        try:
            trained[name] = train_into(name, scene, settings, seed, run, phases, kind, kind)
        except AgentError as error:
            failed |= {arm: error for arm, spec in arms.items() if spec.label == name}
            if baseline in failed:
                raise
            continue
        folder = f"seed-{seed}" if len(names) == 1 else f"{name.replace(':', '-')}-seed-{seed}"
        trained[name].save(run, folder)
        training[name] = {str(seed): trained[name].final_figures()}
    return trained, training, failed


def _compare_folder(data: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return next_free(Path("runs") / f"compare-{Path(data).resolve().name}-{stamp}")


def _arms(agents: Sequence[str]) -> dict[str, AgentSpec]:
    """What results call each agent; one that is named again becomes "similarity#2"."""
    if len(agents) < 2:
        raise InputError(f"--agents {' '.join(agents)}: at least two are needed, the first is the baseline")
    arms: dict[str, AgentSpec] = {}
    counts: Counter[str] = Counter()
    for agent in agents:
        spec = find_agent(agent)
        counts[spec.label] += 1
        arms[spec.label if counts[spec.label] == 1 else f"{spec.label}#{counts[spec.label]}"] = spec
    return arms
