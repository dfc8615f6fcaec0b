"""The work behind `zsr-sim evaluate encoders`: text encoders and history encoders side by side, in one table.

Every pair is tried by `similarity`, which adds nothing to what the vectors say: its ranking of hidden items, its return
among the simulated users, and its speed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import numpy as np

from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.agents.registry import find_agent
from zsr_sim.benches.histories import play
from zsr_sim.commands.job import Configured, luck_of
from zsr_sim.commands.rankers import Ranker
from zsr_sim.commands.ranking import Question, ground_of, try_protocols
from zsr_sim.config import HistorySettings, Settings, with_options
from zsr_sim.console import Phases, Screen, aligned
from zsr_sim.encoders.causal import require_causal
from zsr_sim.errors import InputError
from zsr_sim.evaluation.estimates import estimate_mean
from zsr_sim.experiment import Scene, fingerprint, make_scene
from zsr_sim.progress import OnProgress
from zsr_sim.reporting.numbers import with_interval
from zsr_sim.runs import RESULTS, Run, require_free

TEXTS = 256  # of the catalogue, encoded to measure speed


@dataclass(frozen=True)
class EncoderQuestion(Configured):
    """What a person asked for.

    encoders: as `--encoder` takes them. histories: names of history encoders, each with settings of its own after a
    question mark, such as `pooled?decay=0.5`. users: ranked for at most, None for all. visits: in the loop; 0: none.
    """

    data: str
    encoders: Sequence[str]
    histories: Sequence[str]
    users: int | None = None
    visits: int = 256
    draws: int = 1
    seed: int = 0


def evaluate_encoders(asked: EncoderQuestion, out: Path | None, screen: Screen) -> dict[str, Any]:
    """Try every history encoder over every text encoder; `out` gets a run folder. Returns results.json."""
    if out is not None:
        require_free(out)
    settings = asked.settings_in(None)
    histories = {spec: history_of(spec, settings.history) for spec in asked.histories}
    results: dict[str, Any] = {"seed": asked.seed, "rows": [], "left_out": [], "notes": []}
    for spec in asked.encoders:
        with Phases(screen) as phases:
            scene = make_scene(asked.data, settings.world, spec, phases.encoding)
        results |= {"data": scene.dataset.catalogue.name, "data_fingerprint": fingerprint(scene.dataset)}
        able, left_out = _able(scene, histories)
        results["left_out"] += left_out
        if able:
            results["rows"] += _try_histories(scene, spec, able, asked, settings, results["notes"], screen)
    if not results["rows"]:
        raise InputError(results["left_out"][0]["why"])
    for line in [
        "",
        *encoder_table(results["rows"]),
        *against_lines(results["rows"]),
        *(f"{row['label']}: {row['why']}" for row in results["left_out"]),
    ]:
        screen.line(line)
    if out is not None:
        data = {"name": results["data"], "fingerprint": results["data_fingerprint"]}
        with Run.create(out, asked.command, settings, [asked.seed], data) as run:
            run.write_json(RESULTS, results)
    return results | ({} if out is None else {"run": str(out)})


def history_of(spec: str, settings: HistorySettings) -> HistorySettings:
    """The settings with those of `name?setting=value&...`. Raises InputError for a name or value that cannot be."""
    name, _, options = spec.partition("?")
    return with_options(settings, f"{options}&encoder={quote_plus(name)}", f"--histories {spec}")


def _able(
    scene: Scene, histories: dict[str, HistorySettings]
) -> tuple[dict[str, HistorySettings], list[dict[str, str]]]:
    """The history encoders that this text encoder and log allow, and why not the others."""
    able, left_out = {}, []
    for name, history in histories.items():
        try:
            if history.encoder == "causal":
                require_causal(scene.text_encoder)
        except InputError as error:
            left_out.append({"label": f"{scene.encoder}, {name}", "why": str(error)})
        else:
            able[name] = history
    return able, left_out


def _try_histories(
    scene: Scene, spec: str, histories: dict[str, HistorySettings], asked: EncoderQuestion, settings: Settings,
    notes: list[str], screen: Screen,
) -> list[dict[str, Any]]:  # fmt: skip
    rankers = [Ranker(name, partial(_similarity, history)) for name, history in histories.items()]
    question = Question(asked.data, [], users=asked.users, draws=asked.draws, seed=asked.seed, encoder=spec)
    ground = ground_of(scene, question)
    protocols, seconds = try_protocols(scene, ground, rankers, question, settings, screen)
    notes += [note for note in ground.notes if note not in notes]
    texts_per_second = _speed(scene)
    if asked.visits:
        play(scene, asked.visits, luck_of(asked.seed), 1)  # compiles, and builds the index
    rows = []
    for name, history in histories.items():
        row = {
            "encoder": scene.encoder, "history": name, "settings": history.model_dump(),
            "texts_per_second": texts_per_second,
            "ranking": {protocol: found["agents"][name]["metrics"] for protocol, found in protocols.items()},
            "against_first": {protocol: _against_first(found, name) for protocol, found in protocols.items()},
            "seconds": {protocol: times[name] for protocol, times in seconds.items()},
        }  # fmt: skip
        rows.append(row | (_play(scene, history, asked, settings) if asked.visits else {}))
    return rows


def _against_first(found: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """What a history encoder ranks better than the first one, paired by user; {} for the first itself."""
    return {
        row["metric"]: {"mean": row["difference"], "ci95": row["ci95"]}
        for row in found["differences"]
        if row["candidate"] == name
    }


def _similarity(
    history: HistorySettings, scene: Scene, settings: Settings, seed: int, report: OnProgress
) -> CheckedAgent:
    return find_agent("similarity").build(scene.reading(history), settings)


def _speed(scene: Scene) -> float:
    """Texts of the catalogue per second, as long as they are."""
    catalogue = scene.dataset.catalogue.texts
    texts = [catalogue[row] for row in np.linspace(0, len(catalogue) - 1, TEXTS).astype(int)]
    scene.text_encoder.encode(texts[:8])
    begin = time.perf_counter()
    scene.text_encoder.encode(texts)
    return len(texts) / (time.perf_counter() - begin)


def _play(scene: Scene, history: HistorySettings, asked: EncoderQuestion, settings: Settings) -> dict[str, Any]:
    """The return of `similarity` and the speed of its loop, reading included."""
    visits, figures = play(scene.reading(history), asked.visits, luck_of(asked.seed), settings.world.horizon)
    found = estimate_mean(visits.returns, visits.people)
    return {"return": found.figures()} | figures


def against_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How far each history encoder is ahead of the first one over the same text encoder, with 95 % intervals."""
    return [
        f"{row['encoder']}, {row['history']}, {protocol}: HR@10 {with_interval(told['hr@10'], 3)} and NDCG@10 "
        f"{with_interval(told['ndcg@10'], 3)} against the first history encoder"
        for row in rows
        for protocol, told in row["against_first"].items()
        if told
    ]


def encoder_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of the table; intervals are 95 % ones."""
    header = ("encoder", "history", "warm HR@10", "warm NDCG@10", "cold HR@10", "return", "texts/s", "steps/s", "hits")
    cells = [header]
    for row in rows:
        warm, cold = row["ranking"].get("warm"), row["ranking"].get("cold")
        played = "return" in row
        cells.append(
            (
                row["encoder"],
                row["history"],
                with_interval(warm["hr@10"], 3) if warm else "",
                with_interval(warm["ndcg@10"], 3) if warm else "",
                with_interval(cold["hr@10"], 3) if cold else "",
                with_interval(row["return"]) if played else "",
                f"{row['texts_per_second']:,.0f}",
                f"{row['user_steps_per_second']:,.0f}" if played else "",
                f"{100 * row['cache_hits']:.0f} %" if played else "",
            )
        )
    return aligned(cells, "<")
