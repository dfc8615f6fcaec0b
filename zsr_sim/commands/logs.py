"""The work behind `zsr-sim log`: impressions with exact propensities, and the true value of other strategies."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsr_sim.agents.distribution import Sampled, sampled
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.agents.registry import find_agent
from zsr_sim.commands.job import Setup
from zsr_sim.config import Settings
from zsr_sim.console import Phases, Screen
from zsr_sim.envs.visits import simulate
from zsr_sim.errors import InputError
from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.evaluation.off_policy.record import Recording, histories_frame, impressions_frame, record
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.learning import learner_of
from zsr_sim.log_files import companion, histories_path
from zsr_sim.runs import require_file, write_whole

LUCK = 1 << 41
"""Added to the seed: users of a log meet other luck than those of a training or of a comparison."""


@dataclass(frozen=True)
class LogJob(Setup):
    """What a person asked for.

    users: visits, of users never trained on. explore: probability of an evenly drawn page. value_of: strategies whose
    true value is told. minari: the id of a Minari data set to write, too, or None.
    """

    data: str
    agent: str
    users: int
    explore: float = 0.0
    value_of: Sequence[str] = ()
    minari: str | None = None


def write_log(job: LogJob, out: Path, screen: Screen) -> dict[str, Any]:
    """Simulate, then write the impressions, the histories beside them, and what was done as JSON; returns the last.

    Raises InputError, before anything is simulated, for what cannot be.
    """
    facts_path, histories = companion(out, "json"), histories_path(out)
    require_file(out)
    if job.minari:
        from zsr_sim.evaluation.off_policy.minari_export import require_minari

        require_minari(job.minari)
    settings = job.settings()
    with Phases(screen) as phases:
        scene = make_scene(job.data, settings.world, job.encoder, phases.encoding, asking=phases.asking).reading(
            settings.history
        )
        n_items = len(scene.vectors)
        agent = sampled(ready(job.agent, scene, settings, job.seed), n_items, job.explore)
        targets = {
            name: sampled(ready(name, scene, settings, job.seed), n_items) for name in dict.fromkeys(job.value_of)
        }
        ids = np.arange(job.users, dtype=np.int64)
        recording = record(
            scene.world, scene.test, ids, agent, job.seed + LUCK, settings.world.horizon, targets,
            progress=lambda done, total: phases.show("log", done, total, f"{done:,} of {total:,} users"),
        )  # fmt: skip
        values = {name: _true_value(name, target, recording, scene, job, phases) for name, target in targets.items()}
    item_ids = scene.dataset.catalogue.item_ids
    frame = impressions_frame(recording, item_ids)
    write_frame(histories_frame(recording, item_ids), histories)
    write_frame(frame, out)
    facts = {
        "data": job.data, "data_fingerprint": fingerprint(scene.dataset), "agent": job.agent, "explore": job.explore,
        "seed": job.seed, "luck": job.seed + LUCK, "users": job.users, "pages": len(frame) // scene.world.slate_size,
        "impressions": len(frame), "slate_size": scene.world.slate_size, "horizon": settings.world.horizon,
        "encoder": scene.encoder, "settings": settings.model_dump(mode="json"),
        "clicks_per_page": _clicks_per_page(recording), "value_of": values,
        "log": out.name, "histories": histories.name, "trust": scene.trust,
    }  # fmt: skip
    if job.minari:
        from zsr_sim.evaluation.off_policy.minari_export import export

        facts["minari"] = export(job.minari, recording, scene, job.agent)
    write_whole(facts_path, json.dumps(facts, indent=2, allow_nan=False).encode())
    _say(facts, out, screen)
    return facts


def ready(name: str, scene: Scene, settings: Settings, seed: int) -> CheckedAgent:
    """An agent that acts in a scene; one that learns from a log learns from the scene's.

    Raises InputError for an unknown agent and for one that has to be trained in the loop first.
    """
    spec = find_agent(name)
    if spec.learns and learner_of(spec.label).in_the_loop:
        raise InputError(
            f"{name} has to be trained first: zsr-sim train --agent {name} --out runs/NAME, then name that run folder"
        )
    return spec.build(scene, settings, seed)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write csv, parquet or jsonl, by the name (with .gz: zipped); aside first, then renamed."""
    kind = Path(path.name.removesuffix(".gz")).suffix
    buffer = io.BytesIO()
    if kind == ".parquet":
        frame.to_parquet(buffer, index=False)
    elif kind == ".csv":
        frame.to_csv(buffer, index=False)
    else:  # pandas would round to 15 decimals, and a page's propensity may be smaller than that
        rows = (json.dumps(row) for row in frame.to_dict(orient="records"))
        buffer.write("".join(f"{row}\n" for row in rows).encode())
    content = buffer.getvalue()
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _clicks_per_page(recording: Recording) -> dict[str, Any]:
    clicks = recording.joined("clicks").sum(axis=1).astype(np.float64)
    found = estimate_mean(clicks, recording.joined("people").astype(np.int64))
    return found.figures()


def _true_value(
    name: str, target: Sampled, recording: Recording, scene: Scene, job: LogJob, phases: Phases
) -> dict[str, Any]:
    """A target's true value: on the very pages of the log, and in visits of the same users of its own."""
    people = recording.joined("people").astype(np.int64)
    on_pages = estimate_mean(np.concatenate(recording.expected[name]), people)
    visits = simulate(
        scene.world, scene.test, np.arange(job.users, dtype=np.int64), target, job.seed + LUCK, scene.settings.horizon,
        progress=lambda done, total: phases.show(f"value of {name}", done, total, f"{done:,} of {total:,} users"),
    )  # fmt: skip
    found = estimate_mean(visits.clicks, visits.people)
    return {
        "clicks_per_page": on_pages.figures(),
        "clicks_per_visit": found.figures(),
    }


def _say(facts: dict[str, Any], out: Path, screen: Screen) -> None:
    page = facts["clicks_per_page"]
    screen.line(
        f"{out}: {facts['impressions']:,} impressions on {facts['pages']:,} pages of {facts['users']:,} users under "
        f"{facts['agent']}, exploring {100 * facts['explore']:g} %; {page['mean']:.3f} clicks per page "
        f"(95 % interval {page['ci95'][0]:.3f} to {page['ci95'][1]:.3f})"
    )
    for name, value in facts["value_of"].items():
        told = [f"{value[key]['mean']:.3f} {key.replace('_', ' ')} ({value[key]['ci95'][0]:.3f} to "
                f"{value[key]['ci95'][1]:.3f})" for key in ("clicks_per_page", "clicks_per_visit")]  # fmt: skip
        screen.line(f"true value of {name}: {told[0]} on the log's pages, {told[1]} in visits of its own")
    if "minari" in facts:
        screen.line(f"Minari data set {facts['minari']}")
