"""The work behind `zsr-sim evaluate realism`: do fitted users behave, and prefer, as real ones?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsr_sim.commands.job import Setup
from zsr_sim.config import Settings
from zsr_sim.console import Phases, Screen, aligned
from zsr_sim.datasets import Dataset, load
from zsr_sim.encoders.cache import VectorCache, encode_texts
from zsr_sim.encoders.features import features_of
from zsr_sim.encoders.space import ItemSpace
from zsr_sim.encoders.text import load_encoder
from zsr_sim.errors import InputError
from zsr_sim.evaluation.clicks import click_realism
from zsr_sim.evaluation.preference import preference_accuracy
from zsr_sim.evaluation.realism import realism
from zsr_sim.experiment import fingerprint
from zsr_sim.reporting.realism_figures import preference_figure, realism_figure
from zsr_sim.runs import RESULTS, Run, require_free


@dataclass(frozen=True)
class Question(Setup):
    """What a person asked for. replications: simulated logs, at least 2."""

    data: str
    replications: int = 20


def evaluate_realism(question: Question, out: Path | None, screen: Screen) -> dict[str, Any]:
    """Fit, simulate, compare, print; `out` gets a run folder. Returns results.json."""
    if out is not None:
        require_free(out)
    settings = question.settings()
    dataset = load(question.data)
    if dataset.interactions is None and dataset.impressions is None:
        raise InputError(f"{dataset.catalogue.name} has no log to hold a simulation against; name a data set with one")
    with Phases(screen) as phases:
        results = _held_against(dataset, question, settings, phases)
    for line in realism_lines(results):
        screen.line(line)
    if out is not None:
        _keep(results, dataset, question, settings, out, screen)
    return results | ({} if out is None else {"run": str(out)})


def _held_against(dataset: Dataset, question: Question, settings: Settings, phases: Phases) -> dict[str, Any]:
    """results.json; what needs interactions, or logged pages, is None where there are none."""
    log, pages = dataset.interactions, dataset.impressions
    encoder = load_encoder(question.encoder)
    results: dict[str, Any] = {
        "data": dataset.catalogue.name,
        "data_fingerprint": fingerprint(dataset),
        "encoder": encoder.name,
        "seed": question.seed,
        "fit": [],
        "realism": None,
        "preference": None,
        "clicks": None,
    }
    if pages is not None:
        results["clicks"] = click_realism(pages, len(dataset.catalogue), question.seed, question.replications)
    if log is None:
        return results
    texts, _ = encode_texts(dataset.catalogue.texts, encoder, VectorCache(), phases.encoding)
    vectors = ItemSpace.fit(texts, settings.world.dimensions, settings.world.centred).project(texts)
    features = features_of(dataset.catalogue.texts, texts, vectors.shape[1])
    phases.show("fitting", 0, 1, "users to the earlier part of the log")
    found = realism(
        vectors, features, log, settings.world, question.seed, question.replications,
        lambda done, total: phases.show("simulating", done, total, f"{done} of {total} logs"),
    )  # fmt: skip
    phases.show("preferences", 0, 1, "held-out interactions")
    preference = preference_accuracy(vectors, features, log, settings.world, question.seed)
    return results | {"fit": found.pop("fit"), "realism": found, "preference": preference}


def _keep(
    results: dict[str, Any], dataset: Dataset, question: Question, settings: Settings, out: Path, screen: Screen
) -> None:
    data = {"name": results["data"], "fingerprint": results["data_fingerprint"]} | dict(dataset.report.counts)
    with Run.create(out, question.command, settings, [question.seed], data) as run:
        run.write_json(RESULTS, results)
        if results["realism"] is not None:
            screen.line(f"figures {realism_figure(results['realism'], run.figures / 'realism.png')}")
            screen.line(f"        {preference_figure(results['preference'], run.figures / 'preference.png')}")
        if results["clicks"] is not None:
            screen.line(f"figure {realism_figure(results['clicks'], run.figures / 'clicks.png')}")


def realism_lines(results: dict[str, Any]) -> list[str]:
    """What a person reads: where each parameter comes from, the statistics, misses first, and the preferences."""
    lines, found, clicks = [], results["realism"], results["clicks"]
    if found is not None:
        lines += [
            f"{results['data']}: fitted on {found['earlier']['interactions']:,} interactions, simulated "
            f"{found['replications']} times, held against the {found['later']['interactions']:,} after them", "",
            *_fit_lines(results["fit"]), f"share of repeats {found['repeat_share']:.3f}, momentum within a session "
            f"{np.mean(found['momentum']):.1f} logits per unit of cosine", "", *_statistics_lines(found), "",
            *_habit_lines(found["habits"]), "",
            *preference_lines(results["preference"]),
        ]  # fmt: skip
    if clicks is not None:
        lines += [
            "", f"fitted on {clicks['earlier']['pages']:,} logged pages, held against the {clicks['later']['pages']:,} "
            "after them", "", *_fit_lines(clicks["fit"]), "", *_statistics_lines(clicks),
        ]  # fmt: skip
    return lines or [f"{results['data']}: its logged pages hold too few clicks to say how far down a page users look"]


def _statistics_lines(found: dict[str, Any]) -> list[str]:
    rows: list[tuple[str, ...]] = [("statistic", "users", "real", "simulated (95 %)", "KS", "")]
    rows += [_statistic_row(line) for line in found["statistics"]]
    inside = sum(line["inside"] for line in found["statistics"])
    return [f"{inside} of {len(rows) - 1} statistics inside their interval; misses first:", *aligned(rows, "<<>>><", 2)]


def _habit_lines(habits: Sequence[dict[str, Any]]) -> list[str]:
    """The laws that a world fitted to such a log would have; the simulation above resamples sessions and absences."""
    head = ("laws of leaving and coming back", "log-odds", "spread", "KS", "KS of one hazard", "KS of the earlier part")
    rows: list[tuple[str, ...]] = [head]
    for line in habits:
        numbers = (line[key] for key in ("log_odds", "spread", "ks", "ks_one_hazard", "ks_earlier"))
        rows.append((line["statistic"], *(f"{number:.3f}" for number in numbers)))
    return aligned(rows, "<>>>>>", 2)


def _fit_lines(fit: Sequence[dict[str, Any]]) -> list[str]:
    fitted = [line for line in fit if line["standard_error"] is not None]
    rows = [(line["name"], f"{line['value']:.3g} +- {line['standard_error']:.2g}", line["how"]) for line in fitted]
    rest = ", ".join(line["name"] for line in fit if line["standard_error"] is None)
    told = [f"defaults, the log cannot show them: {rest}"] if rest else []
    return ["fitted (with its standard error):", *(aligned(rows, "<", 2) if rows else ["nothing"]), *told]


def _statistic_row(line: dict[str, Any]) -> tuple[str, ...]:
    low, high = line["interval"]
    simulated = "-" if low is None else f"{line['simulated']:.4g} [{low:.4g}, {high:.4g}]"
    ks = "" if line["ks"] is None else f"{line['ks']:.3f}"
    return line["statistic"], line["segment"], f"{line['real']:.4g}", simulated, ks, line["why"] or ""


def preference_lines(preference: dict[str, Any]) -> list[str]:
    """The table of AUCs; "-" where the log has no ratings or nothing to tell apart."""
    rows = [("AUC on held-out interactions (95 %)", *(f"{kind}, {question}" for kind, question in CELLS))]
    for row in preference["rows"]:
        cells = [row[kind][question] for kind, question in CELLS]
        rows.append((row["model"], *("-" if cell is None else _auc(cell) for cell in cells)))
    return aligned(rows, "<>>><", 2)


CELLS = (("warm", "unseen"), ("warm", "liked"), ("cold", "unseen"), ("cold", "liked"))
"""Columns of the table of preferences: which items, and which question (`preference_accuracy`)."""


def _auc(cell: dict[str, Any]) -> str:
    return f"{cell['auc']:.3f} [{cell['ci95'][0]:.3f}, {cell['ci95'][1]:.3f}]"
