"""The work behind `zsr-sim evaluate ranking`: hide items, let every strategy look for them, say how well it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zsr_sim.agents.protocol import AgentError
from zsr_sim.commands.job import Setup
from zsr_sim.commands.rankers import Ranker, find_rankers, knows_the_log
from zsr_sim.config import MADE_UP, Settings, with_users
from zsr_sim.console import Phases, Screen, aligned
from zsr_sim.envs.population import FittedPopulation
from zsr_sim.errors import InputError
from zsr_sim.evaluation.next_item import Placed, place
from zsr_sim.evaluation.ranking import Bootstrap, accuracy
from zsr_sim.evaluation.ranking_results import protocol_results
from zsr_sim.evaluation.trials import (
    COLD_DRAWS,
    Trials,
    cold_items,
    first_encounters,
    held_out_items,
    leave_one_out,
    of_users,
)  # fmt: skip
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.generation.sequences import training_log
from zsr_sim.interactions import Interactions
from zsr_sim.reporting.numbers import with_interval
from zsr_sim.reporting.ranking_curves import ranking_curves
from zsr_sim.runs import RESULTS, Run, require_free

MADE_UP_USERS = 1000  # on whom strategies are tried where there is no log


@dataclass(frozen=True)
class Question(Setup):
    """What a person asked for.

    cold, warm: the protocols. users: how many are tried at most, None for all; everybody is learned from. draws: of
    held-out items in the cold protocol, 1 .. 5.
    """

    data: str
    agents: Sequence[str]
    warm: bool = True
    cold: bool = True
    min_interactions: int = 5
    users: int | None = None
    draws: int = COLD_DRAWS


@dataclass
class Ground:
    """Whom strategies are tried on: the log of the trials, and what there is to learn from (None: the same log)."""

    log: Interactions
    train: Interactions | None
    notes: list[str]


def evaluate_ranking(question: Question, out: Path | None, screen: Screen) -> dict[str, Any]:
    """Try every agent in every protocol; `out` gets a run folder. Returns results.json, and seconds beside it."""
    if out is not None:
        require_free(out)
    settings = question.settings()
    rankers = find_rankers(question.agents)
    with Phases(screen) as phases:
        # Who is not trained in the loop, now or in a run of its own, needs no users: then none are fitted.
        looped = any(ranker.in_the_loop or ranker.run for ranker in rankers)
        world = settings.world if looped else with_users(settings.world, MADE_UP)
        scene = make_scene(question.data, world, question.encoder, phases.encoding)
    ground = ground_of(scene, question)
    protocols, seconds = try_protocols(scene, ground, rankers, question, settings, screen)
    results: dict[str, Any] = {
        "data": scene.dataset.catalogue.name,
        "data_fingerprint": fingerprint(scene.dataset),
        "encoder": scene.encoder,
        "seed": question.seed,
        "min_interactions": question.min_interactions,
        "protocols": protocols,
        "notes": ground.notes,
    }
    for note in ground.notes:
        screen.line(note)
    if out is not None:
        data = {"name": results["data"], "fingerprint": results["data_fingerprint"]} | dict(scene.dataset.report.counts)
        with Run.create(out, question.command, settings, [question.seed], data) as run:
            run.write_json(RESULTS, results)
            screen.line(f"curves {ranking_curves(protocols, run.figures / 'ranking.png')}")
    return results | {"seconds": seconds} | ({} if out is None else {"run": str(out)})


def try_protocols(
    scene: Scene, ground: Ground, rankers: Sequence[Ranker], question: Question, settings: Settings, screen: Screen
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of each protocol that was asked for, and seconds; raises InputError where none can be tried."""
    chosen = _chosen_users(scene, ground, rankers, question)
    results, seconds = {}, {}
    untried: list[str] = []
    for protocol in [name for name in ("warm", "cold") if getattr(question, name)]:
        able, left_out = _able(rankers, protocol, scene)
        if not able:
            untried += [f"{protocol}: {name} {why}" for name, why in left_out.items()]
            continue
        trials = _trials(protocol, ground, scene, question)
        draws = [_draw(of_users(draw, chosen), scene, settings) for draw in trials]
        found, seconds[protocol], failed = _try_all(protocol, draws, able, settings, question.seed, screen)
        left_out |= {name: f"failed: {error}" for name, error in failed.items()}
        results[protocol] = found | {"left_out": left_out}
        _say(protocol, found, left_out, screen)
    if not results:
        raise InputError(f"--protocol {'; '.join(untried)}; name another agent or --protocol warm")
    ground.notes += untried
    return results, seconds


def ground_of(scene: Scene, question: Question) -> Ground:
    """Whom strategies are tried on; made-up users' own choices where the data have no log."""
    log = scene.dataset.interactions
    if log is not None:
        return Ground(first_encounters(log, question.min_interactions), None, [])
    tried = training_log(scene.test, None, users=MADE_UP_USERS)
    note = (
        f"{scene.dataset.catalogue.name} has no log: what is learned from and what is found are the own choices of "
        "made-up users (other users for each), so this shows how strategies do in this world, not among people."
    )
    return Ground(first_encounters(tried, question.min_interactions), scene.log, [note])


def _chosen_users(scene: Scene, ground: Ground, rankers: Sequence[Ranker], question: Question) -> np.ndarray[Any, Any]:
    """Codes of the users who are tried; adds to the notes why they are not all."""
    users = np.flatnonzero(np.diff(ground.log.starts) > 0)
    knowing = [ranker.label for ranker in rankers if knows_the_log(ranker, scene)]
    if knowing and isinstance(scene.test, FittedPopulation):
        users = np.intersect1d(users, scene.test.codes)
        ground.notes.append(
            f"{', '.join(knowing)} learned from the training users of this log, so only its {len(users):,} test users "
            "are tried, by every agent."
        )
    if question.users is not None and question.users < len(users):
        some = np.random.default_rng([question.seed, len(users)]).choice(users, question.users, replace=False)
        ground.notes.append(f"{question.users:,} of {len(users):,} users are tried (--users); all are learned from.")
        users = np.sort(some)
    if len(users) < 2:
        raise InputError(f"{len(users)} users are left to try, at least 2 are needed; lower --min-interactions")
    return users


def _trials(protocol: str, ground: Ground, scene: Scene, question: Question) -> list[Trials]:
    n = len(scene.vectors)
    if protocol == "warm":
        return [leave_one_out(ground.log, n, ground.train)]
    held_out = [held_out_items(ground.log, n, draw, question.seed) for draw in range(question.draws)]
    return [cold_items(ground.log, items, ground.train) for items in held_out]


def _able(rankers: Sequence[Ranker], protocol: str, scene: Scene) -> tuple[list[Ranker], dict[str, str]]:
    """The agents that this protocol can be asked of, and why the others cannot."""
    if protocol == "warm":
        return list(rankers), {}
    left_out = {
        ranker.label: "knows items by their id: a cold item is nothing to it" if ranker.id_based else
        "has been trained with these items, so they are not cold for it"
        for ranker in rankers
        if ranker.id_based or knows_the_log(ranker, scene)
    }  # fmt: skip
    return [ranker for ranker in rankers if ranker.label not in left_out], left_out


class Draw(NamedTuple):
    """Trials, and the scene that strategies learn in: its log is what may be learned from, and nothing else."""

    trials: Trials
    scene: Scene


def _draw(trials: Trials, scene: Scene, settings: Settings) -> Draw:
    return Draw(trials, scene.learning_from(trials.train).reading(settings.history))


def _try_all(
    protocol: str, draws: Sequence[Draw], rankers: Sequence[Ranker], settings: Settings, seed: int, screen: Screen
) -> tuple[dict[str, Any], dict[str, Any], dict[str, AgentError]]:
    """The results, seconds, and why an agent is not among them; raises AgentError where the first one fails."""
    placed: dict[str, list[Placed]] = {}
    seconds: dict[str, dict[str, float]] = {}
    failed: dict[str, AgentError] = {}
    weights = Bootstrap(np.concatenate([draw.trials.users for draw in draws]), seed, 1).weights  # users count alike
    with Phases(screen, len(rankers), 24) as phases:
        for ranker in rankers:
            show = partial(phases.show, f"{protocol}: {ranker.label}")
            try:
                parts = [_try(ranker, draw, settings, seed, show) for draw in draws]
            except AgentError as error:
                if ranker is rankers[0]:
                    raise
                failed[ranker.label] = error
                show(1, 1, "failed")
                continue
            placed[ranker.label] = [part for part, _, _ in parts]
            learning, ranking = sum(part[1] for part in parts), sum(part[2] for part in parts)
            count = sum(len(draw.trials) for draw in draws)
            hits = np.concatenate([accuracy(part.standings, (10,))["hr@10"] for part in placed[ranker.label]])
            rate = float(hits @ weights)
            show(1, 1, f"HR@10 {rate:.3f} of {count:,}, learned in {learning:.1f} s, ranked in {ranking:.1f} s")
            seconds[ranker.label] = {"learning": round(learning, 2), "ranking": round(ranking, 2)}
    results = protocol_results([draw.trials for draw in draws], placed, draws[0].scene.vectors, seed)
    return results, seconds, failed


def _try(
    ranker: Ranker, draw: Draw, settings: Settings, seed: int, show: Callable[[int, int, str], None]
) -> tuple[Placed, float, float]:
    """What an agent made of one draw, and the seconds of its learning and of its ranking."""

    def learning(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
        show(done, total, ", ".join(["learning", *(f"{name} {value:.3g}" for name, value in figures.items())])[:60])

    begin = time.perf_counter()
    show(0, 1, "learning")
    agent = ranker.build(draw.scene, settings, seed, learning)
    learned = time.perf_counter()
    try:
        placed = place(agent, draw.trials, seed, lambda done, total: show(done, total, f"{done:,} of {total:,} ranked"))
    except AgentError as error:
        raise error.known_as(
            {row: draw.trials.log.user_ids[user] for row, user in enumerate(draw.trials.users)}
        ) from error
    return placed, learned - begin, time.perf_counter() - learned


def _say(protocol: str, found: dict[str, Any], left_out: dict[str, str], screen: Screen) -> None:
    if protocol == "warm":
        told = (
            f"warm: the last item of {found['users']:,} users, among all {found['candidates']:,} that are new to them"
        )
    else:
        told = (
            f"cold: {found['trials']:,} interactions of {found['users']:,} users with held-out items, "
            f"among about {found['candidates']:,} such items, {found['draws']} draw{'s' * (found['draws'] > 1)}"
        )
    for line in ["", f"{told} (95 % intervals)", *ranking_table(found), *(f"{n}: {w}" for n, w in left_out.items())]:
        screen.line(line)
    screen.line()


def ranking_table(found: dict[str, Any]) -> list[str]:
    """The lines of a table of strategies; everything else is in the results."""
    header = ("strategy", "HR@10", "NDCG@10", "HR@5", "HR@20", "MRR", "ROC AUC", "PR AUC", "coverage", "novelty",
              "diversity")  # fmt: skip
    rows = [header]
    for name, agent in found["agents"].items():
        metrics = agent["metrics"]
        plain = [f"{metrics[key]['mean']:.3f}" for key in ("hr@5", "hr@20", "mrr", "roc_auc")]
        plain += [f"{metrics['pr_auc']['mean']:.4f}", f"{agent['coverage']['coverage@10']:.3f}"]
        plain += [f"{metrics['novelty@10']['mean']:.1f}", f"{metrics['diversity@10']['mean']:.2f}"]
        rows.append((name, with_interval(metrics["hr@10"], 3), with_interval(metrics["ndcg@10"], 3), *plain))
    return aligned(rows, "<<<>")
