"""The command line: what can be asked for. The work is done elsewhere and imported only when it is asked for."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from zsr_sim.cli_data import data_app, list_app
from zsr_sim.cli_evaluate import evaluate_app
from zsr_sim.cli_parts import (
    BareWorld,
    BatchSize,
    Config,
    Data,
    Encoder,
    Group,
    Json,
    ManyValues,
    Seed,
    Set,
    Users,
    WorldName,
    indented,
    say,
    screen,
    tell,
)

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A wind tunnel for recommendation strategies: simulated users, strategies trained among them, and a verdict.",
)
app.add_typer(
    evaluate_app,
    name="evaluate",
    help="Hold a strategy or a world against a log: ranking | policy | realism | encoders.",
)
app.add_typer(data_app, name="data", help="Data sets: check | describe | fetch | enrich.")
app.add_typer(list_app, name="list", help="What there is: agents | envs | data | histories | settings.")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    """Options of the program itself."""
    if version:
        from zsr_sim import __version__

        typer.echo(f"zsr-sim {__version__}")
        raise typer.Exit


@app.command(cls=ManyValues)
def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="run folder; if it holds a run, the next of out-2, out-3, ...")] = Path(
        "runs/demo"
    ),
    seed: Seed = 0,
    users: Users = 4000,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """The main job on the built-in films: train, compare, report."""
    from zsr_sim.commands import comparing
    from zsr_sim.commands.job import Job

    job = Job("films", users, follow=True, seed=seed, assignments=assignments or [], command=ctx.meta["command"])
    tell(comparing.demo(job, out, screen(as_json)), as_json)


@app.command(cls=ManyValues)
def train(
    ctx: typer.Context,
    data: Data,
    agent: Annotated[str, typer.Option(help="one that learns (zsr-sim list agents)")],
    out: Annotated[Path, typer.Option(help="run folder, a new one")],
    seeds: Annotated[
        list[int] | None, typer.Option("--seeds", "--seed", min=0, max=2**32 - 1, help="one training each [default: 0]")
    ] = None,
    users: Users = 2000,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out where it was stopped")] = False,
    encoder: Encoder = None,
    world: WorldName = None,
    config: Config = None,
    assignments: Set = None,
    batch_size: BatchSize = 1024,
    as_json: Json = False,
) -> None:
    """Train a strategy in the closed loop, then try it on users never trained on."""
    from zsr_sim.commands import experiments
    from zsr_sim.commands.job import Job

    seeds = seeds or [0]
    job = Job(
        data, users, batch_size, seed=seeds[0], encoder=encoder, config=config, assignments=assignments or [],
        world=world, command=ctx.meta["command"],
    )  # fmt: skip
    tell(experiments.train(job, agent, seeds, out, screen(as_json), resume), as_json)


@app.command(cls=ManyValues)
def compare(
    ctx: typer.Context,
    data: Data,
    agents: Annotated[list[str], typer.Option(metavar="A B ...", help="the first is the baseline")],
    users: Users = 5000,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="run folder, a new one [default: runs/compare-DATA-TIME]")] = None,
    other_luck: Annotated[bool, typer.Option("--other-luck", help="other random draws for each strategy")] = False,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="look every 1,000 users, stop when decided; honest under peeking")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="follow users to the horizon, pages weighted by the chance to see them")
    ] = False,
    worlds: Annotated[int, typer.Option(min=0, max=1000, help="ask again in so many other worlds")] = 0,
    reality: Annotated[
        str | None,
        typer.Option(help="hold the order against it: drawn (other parameters), a named world, or a log of pages"),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="only say what so many users would find, from the first 1,000")
    ] = False,
    encoder: Encoder = None,
    world: WorldName = None,
    config: Config = None,
    assignments: Set = None,
    batch_size: BatchSize = 1024,
    as_json: Json = False,
) -> None:
    """The same simulated users under every strategy; a verdict for each against the first."""
    from zsr_sim.commands import comparing
    from zsr_sim.commands.job import Job

    job = Job(
        data, users, batch_size, other_luck, follow, seed=seed, encoder=encoder, config=config,
        assignments=assignments or [], world=world, command=ctx.meta["command"],
    )  # fmt: skip
    if plan:
        say(comparing.pilot(job, agents, screen(as_json)), [], as_json)
        return
    manner = comparing.Manner(until_decided=until_decided, worlds=worlds, reality=reality)
    tell(comparing.compare(job, agents, out, screen(as_json), manner), as_json)


@app.command(cls=ManyValues)
def recommend(
    data: Data,
    agent: Annotated[str, typer.Option(help="a name (zsr-sim list agents), a run folder, module:Class")],
    out: Annotated[Path, typer.Option(help="user_id, item_id, rank, score (.csv .parquet .jsonl)")],
    histories: Annotated[
        Path | None, typer.Option(help="user_id, item_id, timestamp; of anybody (.csv .parquet .jsonl)")
    ] = None,
    profiles: Annotated[
        Path | None,
        typer.Option(help="user_id, and text or columns: who has no history is known by it", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="items for each user")] = 20,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="items of the history may come again")] = False,
    candidates: Annotated[
        Path | None,
        typer.Option(help="what may be recommended, item_id; with texts also new items", show_default=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="say which history items spoke for each one")] = False,
    seed: Seed = 0,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """The best items for given histories, also of people and items that no log has seen.

    Who has neither a history nor a profile gets what is most popular.
    """
    from zsr_sim.commands import recommend as command

    request = command.Request(
        data, agent, histories, out, k, keep_seen, candidates, profiles, explain, seed=seed, encoder=encoder,
        config=config, assignments=assignments or [],
    )  # fmt: skip
    found = command.recommend(request, screen(as_json))
    say(found if as_json else {}, [], as_json)


@app.command(cls=ManyValues)
def log(
    data: Data,
    agent: Annotated[str, typer.Option(help="the logging policy (zsr-sim list agents), or a run folder")],
    out: Annotated[Path, typer.Option(help="impressions: .parquet, .csv or .jsonl, each also .gz")],
    users: Users = 5000,
    explore: Annotated[float, typer.Option(min=0, max=1, help="probability of an evenly drawn page instead")] = 0.0,
    value_of: Annotated[list[str] | None, typer.Option(metavar="B ...", help="tell the true value of these")] = None,
    minari: Annotated[str | None, typer.Option(metavar="ID", help="write a Minari data set, too")] = None,
    seed: Seed = 0,
    world: WorldName = None,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Write a log of pages with exact propensities, from simulated users."""
    from zsr_sim.commands import logs

    job = logs.LogJob(
        data, agent, users, explore, value_of or [], minari, seed=seed, encoder=encoder, config=config,
        assignments=assignments or [], world=world,
    )  # fmt: skip
    found = logs.write_log(job, out, screen(as_json))
    say(found if as_json else {}, [], as_json)


@app.command(cls=ManyValues)
def finetune(
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for the adapted encoder, a new one")],
    users_share: Annotated[
        float, typer.Option("--users-share", min=0.0, max=1.0, help="of the log's users, learned from")
    ] = 1.0,
    hold_out: Annotated[
        bool, typer.Option("--hold-out/--all-items", help="leave out the items that evaluate ranking's cold draw hides")
    ] = True,
    steps: Annotated[int, typer.Option(min=1, help="gradient steps at most")] = 240,
    seed: Seed = 0,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Adapt an encoder to a log with LoRA: which texts do people consume one after the other."""
    from zsr_sim.commands import finetune as command
    from zsr_sim.encoders.adapting import Lesson

    request = command.Request(data, out, users_share, hold_out, encoder, seed, Lesson(steps=steps))
    found = command.finetune(request, screen(as_json))
    say(found if as_json else {}, [], as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="a run; then, beside it, runs of evaluate")],
    as_json: Json = False,
) -> None:
    """One self-contained HTML page, in the folder of the first run: its verdict, and the evidence of all of them."""
    from zsr_sim.reporting.page import write_report

    paths = [str(write_report(runs[0], runs[1:]))]
    say({"reports": paths}, paths, as_json)


@app.command(cls=BareWorld)
def bench(
    data: Annotated[str | None, typer.Option(help="what the users read [default: films]", show_default=False)] = None,
    world: Annotated[
        str | None,
        typer.Option(metavar="[NAME]", help="measure the users alone, in a named world [everything]"),
    ] = None,
    proposing: Annotated[
        bool, typer.Option("--proposing", help="measure the generator alone, from 10,000 to 1,000,000 items")
    ] = False,
    training: Annotated[
        bool, typer.Option("--training", help="how long policy-gradient takes to earn what sb3:PPO comes to")
    ] = False,
    histories: Annotated[bool, typer.Option("--histories", help="measure the loop with each history encoder")] = False,
    encoders: Annotated[bool, typer.Option("--encoders", help="measure text encoders and their cache")] = False,
    llm_users: Annotated[
        str | None, typer.Option("--llm-users", metavar="MODEL", help="measure users who are asked: smollm2, a folder")
    ] = None,
    log: Annotated[
        int | None, typer.Option(min=1, metavar="IMPRESSIONS", help="measure `evaluate policy` on a log of so many")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda", help="with --world: where the users are stepped [cpu]")
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="of each measurement [default: 5]", show_default=False)
    ] = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """User-steps per second, encoder texts per second, on this machine; one of the options measures one part alone."""
    from zsr_sim.commands.bench import Request, run_bench

    request = Request(
        data, repetitions, world, proposing, training, histories, encoders, llm_users, log, device, config, assignments
    )
    found = run_bench(request, screen(as_json))
    say(found, indented(found), as_json)


def main() -> None:
    """The command `zsr-sim`."""
    # Before torch and numba load their OpenMP: threads that wait must not spin, or training takes seven times as long
    # on a machine where other programs run, too (measured: 207 s against 28 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):  # titles hold letters that not every terminal's encoding has
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="zsr-sim")
