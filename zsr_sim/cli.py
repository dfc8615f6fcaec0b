"""The command line: what can be asked for. The work is done elsewhere and imported only when it is asked for."""

from __future__ import annotations

import errno
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from zsr_sim.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import; --help answers at once
    from zsr_sim.commands.experiments import Outcome
    from zsr_sim.console import Screen


_WRONG_PATH = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


class Group(TyperGroup):
    """Says what a person can put right in a line or two, exit code 2; a bug keeps its traceback, exit code 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # of typer's own copy of click
        """Run the command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"zsr-sim: {error}", err=True)
            raise typer.Exit(2) from None
        except OSError as error:
            if error.errno not in _WRONG_PATH or error.filename is None:
                raise
            typer.echo(f"zsr-sim: {str(error.filename)[:200]}: {error.strerror}; name another file or folder", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("zsr-sim: interrupted", err=True)
            raise typer.Exit(130) from None


class Protocol(StrEnum):
    """What `evaluate ranking` hides."""

    warm = "warm"
    cold = "cold"
    both = "both"


class ManyValues(TyperCommand):
    """A command whose options may take several values after one flag: `--agents a b` is `--agents a --agents b`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Write the flag of a repeatable option before each further value; note the command line for the manifest."""
        ctx.meta["command"] = [*ctx.command_path.split(), *args]
        many = {flag for option in self.params if getattr(option, "multiple", False) for flag in option.opts}
        return super().parse_args(ctx, repeat_flags(args, many))


def repeat_flags(args: list[str], many: set[str]) -> list[str]:
    """`args` with the flag repeated before each further value, for the flags in `many`.

    >>> repeat_flags(["--agents", "a", "b", "--users", "9"], {"--agents"})
    ['--agents', 'a', '--agents', 'b', '--users', '9']
    """
    repeated: list[str] = []
    flag, values = "", 0
    for position, word in enumerate(args):
        if word == "--":
            return repeated + args[position:]
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            flag, values = (name if name in many else ""), int(bool(equals))
        elif flag:
            values += 1
            if values > 1:
                repeated.append(flag)
        repeated.append(word)
    return repeated


class BareWorld(ManyValues):
    """`--world` without a name is `--world everything`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Write the name after a `--world` that has none."""
        named = list(args)
        for place in reversed([place for place, word in enumerate(args) if word == "--world"]):
            if place + 1 == len(args) or args[place + 1].startswith("-"):
                named.insert(place + 1, "everything")
        return super().parse_args(ctx, named)


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A wind tunnel for recommendation strategies: simulated users, strategies trained among them, and a verdict.",
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
list_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
evaluate_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluate_app, name="evaluate", help="Hold a strategy or a world against a log: ranking | policy.")
app.add_typer(data_app, name="data", help="Data sets: check | describe | fetch.")
app.add_typer(list_app, name="list", help="What there is: agents | envs | data.")

Data = Annotated[str, typer.Option("--data", help="films, books, or a folder (items.csv, MovieLens, MovieTweetings)")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="of what is learned and of the luck that users meet")]
Users = Annotated[int, typer.Option(min=2, help="visits per strategy, of users never trained on")]
Encoder = Annotated[str | None, typer.Option(help="a hub id or a folder of a language model [default: built in]")]
Config = Annotated[Path | None, typer.Option(help="settings, a YAML file", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE ...", help="settings, after --config")]
WorldName = Annotated[
    str | None,
    typer.Option("--world", help="a named world: zsr-sim list envs [default: standard]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object, and nothing else, on stdout")]
BatchSize = Annotated[int, typer.Option(min=1, help="users at once; results do not depend on it")]
Folder = Annotated[str, typer.Argument(metavar="D", help="a name (zsr-sim list data) or a folder")]


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

    job = Job("films", users, seed, assignments=assignments or [], command=ctx.meta["command"], follow=True)
    _print(comparing.demo(job, out, _screen(as_json)), as_json)


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
        data, users, seeds[0], encoder, config, assignments or [], batch_size, command=ctx.meta["command"], world=world
    )
    _print(experiments.train(job, agent, seeds, out, _screen(as_json)), as_json)


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

    job = Job(data, users, seed, encoder, config, assignments or [], batch_size, other_luck, ctx.meta["command"], world)
    if plan:
        _say(comparing.pilot(job, agents, _screen(as_json)), [], as_json)
        return
    manner = comparing.Manner(until_decided=until_decided, worlds=worlds)
    _print(comparing.compare(job, agents, out, _screen(as_json), manner), as_json)


@app.command(cls=ManyValues)
def recommend(
    data: Data,
    agent: Annotated[str, typer.Option(help="a name (zsr-sim list agents), a run folder, module:Class")],
    histories: Annotated[Path, typer.Option(help="user_id, item_id, timestamp; of anybody (.csv .parquet .jsonl)")],
    out: Annotated[Path, typer.Option(help="user_id, item_id, rank, score (.csv .parquet .jsonl)")],
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
    """The best items for given histories, also of people and items that no log has seen."""
    from zsr_sim.commands import recommend as command

    request = command.Request(
        data, agent, histories, out, k, keep_seen, candidates, explain, seed, encoder, config, assignments or []
    )
    found = command.recommend(request, _screen(as_json))
    _say(found if as_json else {}, [], as_json)


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
        data, agent, users, explore, value_of or [], minari, seed, encoder, config, assignments or [], world
    )
    found = logs.write_log(job, out, _screen(as_json))
    _say(found if as_json else {}, [], as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run folders")],
    as_json: Json = False,
) -> None:
    """Write the report of a run again: one self-contained HTML page in its folder."""
    from zsr_sim.reporting.page import write_report

    paths = [str(write_report(folder)) for folder in runs]
    _say({"reports": paths}, paths, as_json)


@app.command(cls=BareWorld)
def bench(
    data: Annotated[str, typer.Option(help="what the users read")] = "films",
    world: Annotated[
        str | None,
        typer.Option(metavar="[NAME]", help="measure the users alone, in a named world [everything]"),
    ] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="of each measurement")] = 5,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """User-steps per second, encoder texts per second, on this machine."""
    screen = _screen(as_json)
    if world is not None:
        from zsr_sim.world_bench import bench_world

        found = bench_world(world, repetitions, screen.line)
    else:
        from zsr_sim.bench import bench as measure
        from zsr_sim.config import load_settings

        settings = load_settings(config, assignments)
        found = measure(data, settings, repetitions, lambda name: screen.line(f"measuring {name}"))
    _say(found, _indented(found), as_json)


@evaluate_app.command("ranking", cls=ManyValues)
def evaluate_ranking(
    ctx: typer.Context,
    data: Data,
    agents: Annotated[
        list[str], typer.Option("--agents", "--agent", metavar="A B ...", help="differences: to the 1st")
    ],
    protocol: Annotated[Protocol, typer.Option(help="next items, held-out items, or both")] = Protocol.both,
    min_interactions: Annotated[int, typer.Option(min=3, help="different items of a user who takes part")] = 5,
    users: Annotated[int | None, typer.Option(min=2, help="tried at most [default: all]", show_default=False)] = None,
    draws: Annotated[int, typer.Option(min=1, max=5, help="of held-out items")] = 5,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="run folder, a new one, with a figure")] = None,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Which strategy ranks hidden items of a log highest: each user's last one, and items that nobody consumed.

    Beside the agents there are peers that know items by their ids: item-knn, sasrec, gru4rec.
    """
    from zsr_sim.commands import ranking

    question = ranking.Question(
        data, agents, protocol != Protocol.cold, protocol != Protocol.warm, min_interactions, users, draws, seed,
        encoder, config, assignments or [], ctx.meta["command"],
    )  # fmt: skip
    found = ranking.evaluate_ranking(question, out, _screen(as_json))
    _say(found if as_json else {}, [], as_json)


@evaluate_app.command("policy", cls=ManyValues)
def evaluate_policy(
    ctx: typer.Context,
    log: Annotated[Path, typer.Option(help="impressions: a file, or a folder that holds them")],
    agent: Annotated[str, typer.Option(help="the strategy whose value is asked for (target)")],
    baseline: Annotated[str | None, typer.Option(help="another one to compare with [default: the log's own]")] = None,
    data: Annotated[str | None, typer.Option(help="catalogue of the log [default: as the log says]")] = None,
    histories: Annotated[Path | None, typer.Option(help="interactions from before the log, a file")] = None,
    reward: Annotated[list[str] | None, typer.Option(metavar="KIND ...", help="feedback that counts as 1")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="take the page an agent shows, not what it draws from")] = (
        False
    ),
    draws: Annotated[int, typer.Option(min=100, help="bootstrap resamples")] = 1000,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="run folder, a new one")] = None,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """What a strategy would have earned, estimated from a log: diagnostics, all estimators, a verdict."""
    from zsr_sim.commands import policy

    question = policy.Question(
        log, agent, baseline, data, histories, tuple(reward or ()), greedy, draws, seed, encoder, config,
        assignments or [], ctx.meta["command"],
    )  # fmt: skip
    found = policy.evaluate_policy(question, out, _screen(as_json))
    _say(found if as_json else {}, [], as_json)


@data_app.command("check")
def data_check(data: Folder, as_json: Json = False) -> None:
    """Read a data set and say what was found and what was left out."""
    from zsr_sim.datasets import load

    found = load(data).report
    payload = {"source": found.source, "layout": found.layout, "counts": found.counts, "notes": list(found.notes)}
    _say(payload, found.lines(), as_json)


@data_app.command("describe")
def data_describe(data: Folder, as_json: Json = False) -> None:
    """A data set in numbers."""
    from zsr_sim.datasets import describe, load

    payload = describe(load(data))
    _say(payload, _indented(payload), as_json)


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
        _say_names({known: source.words for known, source in SOURCES.items()}, as_json)
        return
    with Phases(_screen(as_json)) as phases:
        folder = fetch(
            name,
            out or Path("data") / name,
            lambda done, total: phases.show("fetching", done, max(total, done), f"{done / 1e6:,.1f} MB"),
        )
    _say({"folder": str(folder)}, [f"{name}: {folder} (zsr-sim data describe {folder})"], as_json)


@list_app.command("agents")
def list_agents(as_json: Json = False) -> None:
    """Strategies, by the names that --agent takes: what each does, and what it needs for it."""
    from zsr_sim.agents.registry import known_agents

    known = known_agents()
    if as_json:
        _say(known, [], as_json)
    else:
        _say_names({name: f"{row['does']}; needs {row['needs']}" for name, row in known.items()}, as_json)


@list_app.command("envs")
def list_envs(as_json: Json = False) -> None:
    """Gymnasium environments, and the named worlds that they and --world take."""
    from zsr_sim.envs.registration import known_envs
    from zsr_sim.envs.worlds import WORLDS

    _say_names(known_envs() | {f"world {name}": world.words for name, world in WORLDS.items()}, as_json)


@list_app.command("data")
def list_data(as_json: Json = False) -> None:
    """Built-in data sets, and the layouts of folders that can be read."""
    from zsr_sim.datasets import known, layouts

    _say_names(known() | {f"a folder: {name}": files for name, files in layouts().items()}, as_json)


def _screen(as_json: bool) -> Screen:
    from zsr_sim.console import Screen

    return Screen(sys.stderr if as_json else sys.stdout)


def _print(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        _say(outcome.to_json(), [], as_json)


def _say(payload: dict[str, Any], lines: list[str], as_json: bool) -> None:
    for line in [json.dumps(payload, ensure_ascii=False, allow_nan=False)] if as_json else lines:
        typer.echo(line)


def _say_names(names: dict[str, str], as_json: bool) -> None:
    width = max(len(name) for name in names)
    _say(dict(names), [f"{name:<{width}}   {words}" for name, words in names.items()], as_json)


def _indented(tree: dict[str, Any], depth: int = 0) -> list[str]:
    """A nested object as lines, two blanks for each level."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += ["  " * depth + f"{key}:", *_indented(value, depth + 1)]
        else:
            lines.append("  " * depth + f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return lines


def main() -> None:
    """The command `zsr-sim`."""
    # Before torch and numba load their OpenMP: threads that wait must not spin, or training takes seven times as long
    # on a machine where other programs run, too (measured: 207 s against 28 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="zsr-sim")
