"""The commands `zsr-sim data ...` and `zsr-sim list ...`: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zsr_sim.cli_parts import Folder, Json, Seed, indented, say, say_names, screen

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
list_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@data_app.command("check")
def data_check(data: Folder, as_json: Json = False) -> None:
    """Read a data set and say what was found and what was left out."""
    from zsr_sim.datasets import load

    found = load(data).report
    payload = {"source": found.source, "layout": found.layout, "counts": found.counts, "notes": list(found.notes)}
    say(payload, found.lines(), as_json)


@data_app.command("describe")
def data_describe(data: Folder, as_json: Json = False) -> None:
    """A data set in numbers."""
    from zsr_sim.datasets import describe, load

    payload = describe(load(data))
    say(payload, indented(payload), as_json)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="D", help="a public data set; without a name, those there are")] = "",
    out: Annotated[Path | None, typer.Option(help="folder, a new one [default: data/D]")] = None,
    as_json: Json = False,
) -> None:
    """Download a public data set into a folder that --data takes."""
    from zsr_sim.console import Phases
    from zsr_sim.datasets.fetch import SOURCES, fetch

    if not name:
        say_names({known: source.words for known, source in SOURCES.items()}, as_json)
        return
    with Phases(screen(as_json)) as phases:
        folder = fetch(
            name,
            out or Path("data") / name,
            lambda done, total: phases.show("fetching", done, max(total, done), f"{done / 1e6:,.1f} MB"),
        )
    say({"folder": str(folder)}, [f"{name}: {folder} (zsr-sim data describe {folder})"], as_json)


@data_app.command("enrich")
def data_enrich(
    data: Annotated[str, typer.Argument(metavar="D", help="a folder; enriched.csv is written beside its items")],
    model: Annotated[str, typer.Option(help="a causal language model: smollm2, a folder, a hub id")] = "smollm2",
    shorter_than: Annotated[int, typer.Option(min=1, help="words of a text that is too bare")] = 12,
    items: Annotated[int | None, typer.Option(min=1, help="described at most", show_default=False)] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0: the likeliest words; above, drawn by --seed")] = 0.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Have a language model describe items that have little more than a title; your own files stay as they are."""
    from zsr_sim.commands import enrich

    request = enrich.Request(data, model, shorter_than, items, seed, temperature)
    found = enrich.enrich(request, screen(as_json))
    say(found if as_json else {}, [], as_json)


@list_app.command("agents")
def list_agents(as_json: Json = False) -> None:
    """Strategies, by the names that --agent takes: what each does, and what it needs for it."""
    from zsr_sim.agents.registry import known_agents

    known = known_agents()
    if as_json:
        say(known, [], as_json)
    else:
        say_names({name: f"{row['does']}; needs {row['needs']}" for name, row in known.items()}, as_json)


@list_app.command("envs")
def list_envs(as_json: Json = False) -> None:
    """Gymnasium environments, and the named worlds that they and --world take."""
    from zsr_sim.envs.registration import known_envs
    from zsr_sim.envs.worlds import WORLDS

    say_names(known_envs() | {f"world {name}": world.words for name, world in WORLDS.items()}, as_json)


@list_app.command("data")
def list_data(as_json: Json = False) -> None:
    """Built-in data sets, and the layouts of folders that can be read."""
    from zsr_sim.datasets import known, layouts

    say_names(known() | {f"a folder: {name}": files for name, files in layouts().items()}, as_json)


@list_app.command("settings")
def list_settings(as_json: Json = False) -> None:
    """What --set and --config take: each name with its default, and what it is."""
    from zsr_sim.config import known_settings

    say_names(known_settings(), as_json)


@list_app.command("histories")
def list_histories(as_json: Json = False) -> None:
    """What can read a user's history, by the names that --set history.encoder=... takes."""
    from zsr_sim.config import HISTORY_ENCODERS

    say_names(HISTORY_ENCODERS, as_json)
