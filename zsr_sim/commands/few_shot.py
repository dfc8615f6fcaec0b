"""The work behind `zsr-sim evaluate few-shot`: how ranking improves with the interactions that are known of a user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsr_sim.agents.registry import find_agent
from zsr_sim.commands.job import Configured
from zsr_sim.console import Phases, Screen
from zsr_sim.evaluation.aggregate import interquartile_mean, stratified_band
from zsr_sim.evaluation.few_interactions import SIZES, LearningCurve, learning_curves
from zsr_sim.experiment import fingerprint, make_scene
from zsr_sim.reporting.few_interactions import learning_curve_figure
from zsr_sim.runs import RESULTS, Run, require_free

AGENTS = ("popularity", "similarity", "hybrid", "few-shot")
FIGURE = "few_interactions.png"


@dataclass(frozen=True)
class Question(Configured):
    """What a person asked for. sizes: interactions a user."""

    data: str
    agents: Sequence[str] = AGENTS
    sizes: Sequence[int] = SIZES
    seeds: Sequence[int] = (0, 1, 2)
    encoder: str | None = None


def evaluate_few_shot(question: Question, out: Path, screen: Screen) -> dict[str, Any]:
    """Learn from 1, 3, 10, ... interactions of each user, rank for others; results.json and a figure.

    An agent that fails is left out and named. Raises InputError: before anything is written for what is not known;
    later for an agent that has no scores; AgentError where all fail.
    """
    require_free(out)
    for name in question.agents:
        find_agent(name)
    settings = question.settings_in(None)
    sizes = tuple(sorted(set(question.sizes)))
    with Phases(screen) as phases:
        scene = make_scene(question.data, settings.world, question.encoder, phases.encoding).reading(settings.history)
    about = {"name": scene.dataset.catalogue.name, "fingerprint": fingerprint(scene.dataset)}
    with Run.create(out, question.command, settings, list(question.seeds), about) as run:
        with Phases(screen, 1) as phases:
            curves, failed = learning_curves(
                scene, settings, question.agents, question.seeds, sizes,
                lambda done, total: phases.show("learning curves", done, total, f"{done} of {total} trainings"),
            )  # fmt: skip
        results = {
            "metric": "ndcg@10",
            "sizes": list(sizes),
            "strategies": {c.strategy: _figures(c) for c in curves},
            "failed": {name: str(error) for name, error in failed.items()},
        }
        run.write_json(RESULTS, results)
        figure = learning_curve_figure(curves, run.figures / FIGURE)
    band = "95 % bootstrap over seeds" if len(question.seeds) > 1 else "one seed, so without a band"
    for line in [f"NDCG at 10 after so many interactions of each user ({band})", *_lines(results)]:
        screen.line(line)
    for error in failed.values():
        screen.line(f"left out: {error}")
    screen.line(f"figure {figure}")
    return results | {"run": str(out), "figure": str(figure)}


def _figures(curve: LearningCurve) -> dict[str, Any]:
    scores = curve.values[:, None]  # (seeds, one task, sizes)
    low, high = stratified_band(scores)
    return {
        "interquartile_mean": interquartile_mean(scores).tolist(),
        "ci95": [low.tolist(), high.tolist()],
        "seeds": curve.values.tolist(),
    }


def _lines(results: dict[str, Any]) -> list[str]:
    width = max(len(name) for name in results["strategies"])
    lines = [" " * width + "".join(f"{size:>24}" for size in results["sizes"])]
    for name, row in results["strategies"].items():
        cells = [f"{mean:.3f}" for mean in row["interquartile_mean"]]
        if len(row["seeds"]) > 1:
            cells = [f"{m} [{low:.3f}, {high:.3f}]" for m, low, high in zip(cells, *row["ci95"], strict=True)]
        lines.append(name.ljust(width) + "".join(f"{cell:>24}" for cell in cells))
    return lines
