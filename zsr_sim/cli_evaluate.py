"""The commands `zsr-sim evaluate ...`: a strategy or a world held against a log."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zsr_sim.cli_parts import Config, Data, Encoder, Json, ManyValues, Seed, Set, say, screen

evaluate_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class Protocol(StrEnum):
    """What `evaluate ranking` hides."""

    warm = "warm"
    cold = "cold"
    both = "both"


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
        data, agents, protocol != Protocol.cold, protocol != Protocol.warm, min_interactions, users, draws,
        seed=seed, encoder=encoder, config=config, assignments=assignments or [], command=ctx.meta["command"],
    )  # fmt: skip
    found = ranking.evaluate_ranking(question, out, screen(as_json))
    say(found if as_json else {}, [], as_json)


@evaluate_app.command("realism", cls=ManyValues)
def evaluate_realism(
    ctx: typer.Context,
    data: Data,
    replications: Annotated[int, typer.Option(min=2, help="simulated logs")] = 20,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="run folder, a new one, with figures")] = None,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Do fitted users behave as real ones, and prefer what they prefer? Fit on the earlier part of a log, simulate.

    What was fitted from what; statistics of the later part against simulated ones; preferences on held-out items.
    """
    from zsr_sim.commands import realism

    question = realism.Question(
        data, replications, seed=seed, encoder=encoder, config=config, assignments=assignments or [],
        command=ctx.meta["command"],
    )  # fmt: skip
    found = realism.evaluate_realism(question, out, screen(as_json))
    say(found if as_json else {}, [], as_json)


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
        log, agent, baseline, data, histories, tuple(reward or ()), greedy, draws, seed=seed,
        encoder=encoder, config=config, assignments=assignments or [], command=ctx.meta["command"],
    )  # fmt: skip
    found = policy.evaluate_policy(question, out, screen(as_json))
    say(found if as_json else {}, [], as_json)


@evaluate_app.command("encoders", cls=ManyValues)
def evaluate_encoders(
    ctx: typer.Context,
    data: Data,
    encoders: Annotated[
        list[str] | None, typer.Option("--encoders", "--encoder", metavar="E ...", help="[default: built in]")
    ] = None,
    histories: Annotated[
        list[str] | None, typer.Option(metavar="H ...", help="zsr-sim list histories, as pooled?decay=0.5 [pooled]")
    ] = None,
    users: Annotated[int | None, typer.Option(min=2, help="ranked for at most [default: all]")] = None,
    visits: Annotated[int, typer.Option(min=0, help="in the loop, for each line of the table")] = 256,
    draws: Annotated[int, typer.Option(min=1, max=5, help="of held-out items")] = 1,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="run folder, a new one")] = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Text encoders and history encoders side by side: ranking, return and speed of `similarity` over each."""
    from zsr_sim.commands import encoders as command

    asked = command.EncoderQuestion(
        data, encoders or ["built-in"], histories or ["pooled"], users, visits, draws, seed, config=config,
        assignments=assignments or [], command=ctx.meta["command"],
    )  # fmt: skip
    found = command.evaluate_encoders(asked, out, screen(as_json))
    say(found if as_json else {}, [], as_json)


@evaluate_app.command("strategies", cls=ManyValues)
def evaluate_strategies(
    ctx: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="run folder, a new one")],
    agents: Annotated[list[str] | None, typer.Option(metavar="A B ...", help="[default: all that have a name]")] = None,
    worlds: Annotated[
        list[str] | None, typer.Option(metavar="W ...", help="named worlds [default: boredom clickbait retention]")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(min=0, max=2**32 - 1, help="one training each [default: 0]")
    ] = None,
    users: Annotated[int, typer.Option(min=2, help="visits per strategy, seed and world")] = 300,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Every strategy in several worlds: return, click rate, visit length, diversity, share of the gap closed."""
    from zsr_sim.commands import strategies

    question = strategies.Question(
        data, agents, worlds or strategies.WORLDS, seeds or [0], users, encoder, config=config,
        assignments=assignments or [], command=ctx.meta["command"],
    )  # fmt: skip
    found = strategies.evaluate_strategies(question, out, screen(as_json))
    say(found if as_json else {}, [], as_json)


@evaluate_app.command("few-shot", cls=ManyValues)
def evaluate_few_shot(
    ctx: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="run folder, a new one, with a figure")],
    agents: Annotated[
        list[str] | None, typer.Option(metavar="A B ...", help="[default: popularity similarity hybrid few-shot]")
    ] = None,
    sizes: Annotated[list[int] | None, typer.Option(min=1, help="interactions a user [default: 1 3 10 30]")] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seeds", "--seed", min=0, max=2**32 - 1, help="[default: 0 1 2]")
    ] = None,
    encoder: Encoder = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """How ranking improves with the interactions that are known of each user: curves over 1, 3, 10 and 30."""
    from zsr_sim.commands import few_shot
    from zsr_sim.evaluation.few_interactions import SIZES

    question = few_shot.Question(
        data, agents or few_shot.AGENTS, sizes or SIZES, seeds or (0, 1, 2), encoder, config=config,
        assignments=assignments or [], command=ctx.meta["command"],
    )  # fmt: skip
    found = few_shot.evaluate_few_shot(question, out, screen(as_json))
    say(found if as_json else {}, [], as_json)
