"""The work behind `zsr-sim evaluate strategies`: every strategy in several worlds, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsr_sim.agents.protocol import AgentError
from zsr_sim.agents.registry import READY, find_agent
from zsr_sim.commands.job import Configured, luck_of
from zsr_sim.config import GeneratorSettings, Settings
from zsr_sim.console import Phases, Screen
from zsr_sim.envs.visits import Visits, simulate
from zsr_sim.errors import InputError
from zsr_sim.evaluation.aggregate import interquartile_mean, stratified_band
from zsr_sim.evaluation.learnable import PLANNER
from zsr_sim.evaluation.standing import FLOOR, standings
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.learning import GAN, learners, require_trainable
from zsr_sim.runs import RESULTS, Run, require_free, write_whole

WORLDS = ("boredom", "clickbait", "retention")
TABLE = "table.md"
ORACLE_USERS = 50  # planning takes a third of a second for each on a laptop


@dataclass(frozen=True)
class Question(Configured):
    """What a person asked for. agents: None for all that have a name."""

    data: str
    agents: Sequence[str] | None = None
    worlds: Sequence[str] = WORLDS
    seeds: Sequence[int] = (0,)
    users: int = 300
    encoder: str | None = None


def every_strategy() -> list[str]:
    """All that have a name, the oracles last."""
    names = [*READY, *learners()]
    return [name for name in names if not name.startswith("oracle")] + [n for n in names if n.startswith("oracle")]


def evaluate_strategies(question: Question, out: Path, screen: Screen) -> dict[str, Any]:
    """Train what learns, once for each seed and world, and try all on the same users, whom none was trained on.

    Writes results.json and the table as Markdown. A strategy that fails in a world is left out there and listed as
    failed. Raises InputError, before anything is written, for what cannot be.
    """
    require_free(out)
    names = list(dict.fromkeys([FLOOR, *(question.agents or every_strategy())]))
    for name in names:
        find_agent(name)
    settings = {world: question.settings_in(world) for world in question.worlds}
    scenes: dict[str, Scene] = {}
    with Phases(screen) as phases:
        for world, own in settings.items():
            scene = make_scene(question.data, own.world, question.encoder, phases.encoding).reading(own.history)
            for name in (name for name in names if find_agent(name).learns):
                require_trainable(name, scene, _settings(name, question, world))
            scenes[world] = scene
    first = scenes[question.worlds[0]]
    about = {"name": first.dataset.catalogue.name, "fingerprint": fingerprint(first.dataset)}
    results: dict[str, Any] = {"users": question.users, "seeds": list(question.seeds), "worlds": {}}
    with Run.create(out, question.command, settings[question.worlds[0]], list(question.seeds), about) as run:
        with Phases(screen, len(question.worlds) * len(names) * len(question.seeds), 40) as phases:
            for world, scene in scenes.items():
                visits, failed = _try_all(names, scene, world, question, phases)
                results["worlds"][world] = {"strategies": standings(visits), "failed": failed}
        results["over_worlds"] = over_worlds(results["worlds"])
        lines = table(results)
        run.write_json(RESULTS, results)
        write_whole(out / TABLE, ("\n".join(lines) + "\n").encode())
    failures = [
        f"failed in {world}: {why}" for world, own in results["worlds"].items() for why in own["failed"].values()
    ]
    for line in [*lines, *failures]:
        screen.line(line)
    return results | {"run": str(out), "table": str(out / TABLE)}


def _try_all(
    names: Sequence[str], scene: Scene, world: str, question: Question, phases: Phases
) -> tuple[dict[str, dict[int, Visits]], dict[str, str]]:
    visits: dict[str, dict[int, Visits]] = {}
    failed: dict[str, str] = {}
    for name in names:
        found = {}
        try:
            for seed in question.seeds:
                found[seed] = _visits(name, scene, world, seed, question, phases)
        except (AgentError, InputError) as error:
            if name == FLOOR:
                raise
            failed[name] = str(error)
        else:
            visits[name] = found
    return visits, failed


def _settings(name: str, question: Question, world: str) -> Settings:
    """With `generator.candidates=0` the policy gradient learns among retrieved pages; `gan` still writes its own."""
    settings = question.settings_in(world)
    if name != GAN or settings.generator.candidates:
        return settings
    places = {"candidates": GeneratorSettings.model_fields["candidates"].default}
    return settings.model_copy(update={"generator": settings.generator.model_copy(update=places)})


def _visits(name: str, scene: Scene, world: str, seed: int, question: Question, phases: Phases) -> Visits:
    settings = _settings(name, question, world)
    said, count = f"{world}: {name}, seed {seed}", min(question.users, ORACLE_USERS if name == PLANNER else 10**9)

    def learning(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
        phases.show(said, done, 2 * total, f"learning, {phase} {done} of {total}")

    agent = find_agent(name).build(scene, settings, seed, learning)
    ids = np.arange(count, dtype=np.int64)
    visits = simulate(scene.world, scene.test, ids, agent, luck_of(seed), settings.world.horizon)
    phases.show(said, 1, 1, f"return {visits.returns.mean():.2f}")
    return visits


def over_worlds(worlds: Mapping[str, Any]) -> dict[str, Any]:
    """Share of the gap closed over all worlds: interquartile mean over (seeds, worlds), and its stratified band."""
    found: dict[str, Any] = {}
    for name in next(iter(worlds.values()))["strategies"]:
        rows = [world["strategies"].get(name) for world in worlds.values()]
        if all(row is not None and row["gap_closed_by_seed"] is not None for row in rows):
            scores = np.array([row["gap_closed_by_seed"] for row in rows]).T  # (seeds, worlds)
            low, high = stratified_band(scores)
            found[name] = {"interquartile_mean": float(interquartile_mean(scores)), "ci95": [float(low), float(high)]}
    return found


def table(results: Mapping[str, Any]) -> list[str]:
    """The table as Markdown: for each world return, click rate, pages a visit, diversity, share of the gap closed."""
    worlds = results["worlds"]
    names = list(dict.fromkeys(name for world in worlds.values() for name in [*world["strategies"], *world["failed"]]))
    lines = [f"| strategy | {' | '.join(worlds)} | gap, all worlds |", "|---|" + "---|" * (len(worlds) + 1)]
    for name in names:
        cells = [_cell(world["strategies"].get(name)) for world in worlds.values()]
        joined = results["over_worlds"].get(name)
        whole = "" if joined is None else _joined(joined)
        lines.append(f"| `{name}` | {' | '.join(cells)} | {whole} |")
    return lines


def _joined(share: Mapping[str, Any]) -> str:
    low, high = (f"{100 * end:.0f}" for end in share["ci95"])
    band = f" [{low}, {high}]" if share["ci95"][0] < share["ci95"][1] else ""  # one seed has none
    return f"{100 * share['interquartile_mean']:.0f} %{band}"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "failed"
    low, high = row["return"]["ci95"]
    closed = "" if row["gap_closed"] is None else f" · {100 * row['gap_closed']['mean']:.0f} %"
    return (
        f"{row['return']['mean']:.2f} ± {(high - low) / 2:.2f} · {100 * row['click_rate']['mean']:.1f} % · "
        f"{row['visit_length']['mean']:.1f} · {row['diversity']['mean']:.2f}{closed}"
    )
