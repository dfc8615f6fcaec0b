"""The work behind `zsr-sim demo`, `train` and `compare`: a scene, strategies in it, a comparison, a run folder."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.agents.registry import checked, find_agent
from zsr_sim.commands.job import Job, luck_of
from zsr_sim.commands.trial import Trial
from zsr_sim.config import Settings
from zsr_sim.console import Phases, Screen, comparison_table, generator_words, log_words, policy_words
from zsr_sim.envs.visits import decide, simulate
from zsr_sim.errors import InputError
from zsr_sim.evaluation.findings import findings, remarks
from zsr_sim.evaluation.verdict import verdict_sentence
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.learning import POLICY_GRADIENT, count_phases, learner_of, learners, require_trainable, train_strategy
from zsr_sim.progress import Progress
from zsr_sim.reporting.figures import reward_curve
from zsr_sim.reporting.page import write_report
from zsr_sim.runs import (
    PROGRESS,
    RESULTS,
    Run,
    holds_progress,
    holds_run,
    load_checkpoint,
    read_manifest,
    read_metrics,
    require_free,
)
from zsr_sim.trained import Trained

DEMO_BASELINE = "similarity"
DEMO_AGENTS = ("random", DEMO_BASELINE, POLICY_GRADIENT, "popularity")
TRAIN_BASELINES = (DEMO_BASELINE, "popularity", "random")
CURVE_USERS = 1000  # training users on whom the dashed lines of the reward curve are measured
_WORDS = {"generator": generator_words, "log": log_words, "policy": policy_words}


@dataclass(frozen=True)
class Outcome:
    """What a run found (results.json), and where it lies."""

    folder: Path
    results: dict[str, Any]
    report: Path
    reward_curve: Path | None

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        curve = None if self.reward_curve is None else str(self.reward_curve)
        return self.results | {"run": str(self.folder), "report": str(self.report), "reward_curve": curve}

    def paths(self) -> str:
        """Where a person finds report and reward curve, on one line."""
        curve = "" if self.reward_curve is None else f"    reward curve {self.reward_curve}"
        return f"report {self.report}{curve}"


def train(job: Job, agent: str, seeds: Sequence[int], out: Path, screen: Screen, resume: bool = False) -> Outcome:
    """Train an agent once for each seed; then try all of them, and the baselines, on users never trained on.

    resume: go on with the run in `out`, if there is one, where it was stopped: so that one command both begins and
    goes on.
    """
    if resume and not holds_run(out):
        screen.line(f"--resume: {out} holds no run yet, so this one begins")
        resume = False
    if resume:
        _require_same_agent(out, agent)
    else:
        require_free(out)
    settings = job.settings()
    if not find_agent(agent).learns:
        known = ", ".join(learners())
        raise InputError(
            f"agent {agent!r} has nothing to learn; train takes {known}, and classes of your own that learn"
        )
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {' '.join(map(str, seeds))}: a seed occurs twice; give different ones")
    scene = open_scene(job, settings, screen)
    require_trainable(agent, scene, settings)
    strategies = {name: find_agent(name).build(scene, settings) for name in TRAIN_BASELINES}
    training = {}
    with (
        Run.resume(out, settings, list(seeds), described(scene))
        if resume
        else Run.create(out, job.command, settings, list(seeds), described(scene)) as run,
        Phases(screen, 1 + len(seeds) * count_phases(agent, settings), 15 if len(seeds) == 1 else 24) as phases,
    ):
        for seed in seeds:
            suffix = "" if len(seeds) == 1 else f", seed {seed}"
            progress = progress_of(run, agent, seed)
            trained = train_into(agent, scene, settings, seed, run, phases, said=suffix, progress=progress)
            trained.save(run, f"seed-{seed}")
            strategies[agent + suffix] = checked(agent + suffix, trained.agent, scene)
            training[str(seed)] = trained.final_figures()
        trial = Trial(scene.world, scene.test, strategies, TRAIN_BASELINES[0], job, settings.world.horizon)
        trial.run(job.users, phases)
        results = trial.results(scene.describe()) | {"training": {agent: training}}
        run.write_json(RESULTS, results)
        curves = reward_curves(run, scene, settings, job.seed, [agent])
    return conclude(out, results, curves, [name for name in strategies if name not in TRAIN_BASELINES], scene, screen)


def _require_same_agent(out: Path, agent: str) -> None:
    """Raise InputError where the command that began a run names another agent."""
    words = read_manifest(out)["command"]
    named = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--agent"]
    named += [word.partition("=")[2] for word in words if word.startswith("--agent=")]
    if named and agent not in named:
        raise InputError(f"--resume: {out} trains another agent ({named[0]}); name that one, or another --out")


def next_free(out: Path) -> Path:
    """The folder itself, or with the first number from 2 on that holds no run yet."""
    names = (out.with_name(f"{out.name}-{number}") for number in itertools.count(2))
    return next(folder for folder in itertools.chain([out], names) if not holds_run(folder))


def open_scene(job: Job, settings: Settings, screen: Screen) -> Scene:
    """Read and encode the data, make the users, and say what they are."""
    with Phases(screen) as phases:
        scene = make_scene(job.data, settings.world, job.encoder, phases.encoding, asking=phases.asking).reading(
            settings.history
        )
    if scene.test.people is not None and scene.test.people < 2:
        raise InputError(
            f"the log of {scene.dataset.catalogue.name} leaves {scene.test.people} user to compare on, at least 2 are "
            "needed; use a log with more users"
        )
    encoded = f"{scene.encoded.encoded:,} texts encoded" if scene.encoded.encoded else "cached"
    name, items = scene.dataset.catalogue.name, len(scene.dataset.catalogue)
    screen.line(f"{name}: {items:,} items, encoder {scene.encoder} ({encoded}), users {scene.describe()['users']}")
    return scene


def probed(agent: CheckedAgent, scene: Scene) -> CheckedAgent:
    """The agent, after it has answered two users once: one that cannot is known before a run begins."""
    state = scene.world.start(scene.test.visit(np.arange(2, dtype=np.int64)), 0)
    decide(agent, state, np.arange(2))
    return agent


def described(scene: Scene) -> dict[str, Any]:
    """What the data are, for the manifest."""
    return {"name": scene.dataset.catalogue.name, "fingerprint": fingerprint(scene.dataset)} | dict(
        scene.dataset.report.counts
    )


def train_into(
    name: str, scene: Scene, settings: Settings, seed: int, run: Run, phases: Phases, logged: str = "", said: str = "",
    progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Train; updates go to metrics.jsonl, with `logged` after the phase's name, and to the screen, with `said`."""
    first: dict[str, dict[str, float]] = {}

    def report(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
        run.log(done, figures, seed, phase + logged)
        begin = first.setdefault(phase, dict(figures))
        phases.show(phase + said, done, total, _WORDS[phase](begin, figures))

    return train_strategy(name, scene, settings, seed, report, progress)


def progress_of(run: Run, agent: str, seed: int) -> Progress:
    """Where the training of a seed writes how far it has come; what an earlier one wrote, if the run goes on."""
    kind = agent.replace(":", "-")
    others = [path.name for path in (run.folder / PROGRESS).glob("[!.]*") if not path.name.startswith(f"{kind}-seed-")]
    if others:
        raise InputError(f"--resume: {run.folder} trains another agent ({others[0]}); name that one, or another --out")
    name = f"{kind}-seed-{seed}"
    found = load_checkpoint(run.folder, name, PROGRESS) if holds_progress(run.folder, name) else ({}, {})
    return Progress(partial(run.save_progress, name), *found)


def reward_curves(
    run: Run, scene: Scene, settings: Settings, seed: int, names: Sequence[str], failed: Collection[str] = ()
) -> list[Path]:
    """A curve for each agent that learned in the loop, beside what the baselines earn from the same kind of users."""
    in_the_loop = [name for name in names if name not in failed and learner_of(name).in_the_loop]
    if not in_the_loop:
        return []
    ids = np.arange(CURVE_USERS, dtype=np.int64)
    levels = {}
    for baseline in TRAIN_BASELINES:
        agent = find_agent(baseline).build(scene, settings)
        visits = simulate(scene.world, scene.train, ids, agent, luck_of(seed), settings.world.horizon)
        levels[baseline] = float(visits.returns.mean())
    metrics, alone = read_metrics(run.folder), len(names) == 1
    return [
        reward_curve(
            metrics,
            run.figures / ("reward_curve.png" if alone else f"reward_curve_{name.replace(':', '-')}.png"),
            levels,
            name=name,
            visits_per_update=settings.agent.users,
            phase="policy" if alone else f"policy, {name}",
        )
        for name in in_the_loop
    ]


def conclude(
    out: Path, results: dict[str, Any], curves: Sequence[Path], told: Iterable[str], scene: Scene, screen: Screen
) -> Outcome:
    """Write the report and say what the run found; `told` are the strategies whose verdict a person waits for."""
    outcome = Outcome(out, results, write_report(out), next(iter(curves), None))
    screen.line()
    for line in comparison_table(results):
        screen.line(line)
    screen.line()
    for candidate in told:
        screen.line(verdict_sentence(results, candidate))
        for sentence in findings(results, candidate):
            screen.line(f"  {sentence}.")
    for sentence in remarks(results):
        screen.line(f"{sentence}.")
    screen.line(f"How far to trust it: {scene.trust[0].lower()}{scene.trust[1:]}")
    screen.line(outcome.paths())
    return outcome
