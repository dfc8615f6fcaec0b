"""What the commands of `zsr_sim.cli` are made of: how words are read, common options, how answers are printed."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from zsr_sim.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import; --help answers at once
    from zsr_sim.commands.experiments import Outcome
    from zsr_sim.console import Screen

_STDOUT: ContextVar[TextIO | None] = ContextVar("stdout", default=None)  # where JSON is printed
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


Data = Annotated[str, typer.Option("--data", help="films, books, or a folder (items.csv, MovieLens, MovieTweetings)")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="of what is learned and of the luck that users meet")]
Users = Annotated[int, typer.Option(min=2, help="visits per strategy, of users never trained on")]
Encoder = Annotated[str | None, typer.Option(help="a hub id or a folder of a language model [default: built in]")]
Config = Annotated[Path | None, typer.Option(help="settings, a YAML file; zsr-sim list settings", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE ...", help="after --config; zsr-sim list settings"),
]
WorldName = Annotated[
    str | None,
    typer.Option("--world", help="a named world: zsr-sim list envs [default: standard]", show_default=False),
]


def _alone(ctx: typer.Context, as_json: bool) -> bool:
    """Beside JSON, whatever a person's own code prints goes to standard error."""
    if as_json:
        _STDOUT.set(sys.stdout)
        ctx.with_resource(redirect_stdout(sys.stderr))
    return as_json


Json = Annotated[
    bool, typer.Option("--json", help="print one JSON object, and nothing else, on stdout", callback=_alone)
]
BatchSize = Annotated[int, typer.Option(min=1, help="users at once; results do not depend on it")]
Folder = Annotated[str, typer.Argument(metavar="D", help="a name (zsr-sim list data) or a folder")]


def screen(as_json: bool) -> Screen:
    """Where a person reads on: standard output, or standard error beside JSON."""
    from zsr_sim.console import Screen

    return Screen(sys.stderr if as_json else sys.stdout)


def tell(outcome: Outcome, as_json: bool) -> None:
    """Print what a run found, as JSON; a person has read it already."""
    if as_json:
        say(outcome.to_json(), [], as_json)


def say(payload: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """Print one JSON object, or lines."""
    for line in [json.dumps(payload, ensure_ascii=False, allow_nan=False)] if as_json else lines:
        typer.echo(line, file=_STDOUT.get() if as_json else None)


def say_names(names: dict[str, str], as_json: bool) -> None:
    """Print names with a line on each."""
    width = max(len(name) for name in names)
    say(dict(names), [f"{name:<{width}}   {words}" for name, words in names.items()], as_json)


def indented(tree: dict[str, Any], depth: int = 0) -> list[str]:
    """A nested object as lines, two blanks for each level."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += ["  " * depth + f"{key}:", *indented(value, depth + 1)]
        else:
            lines.append("  " * depth + f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return lines
