"""What updates from feedback add to the generator where users are not as the log has them: with them and without.

    python -m zsr_sim.feedback_updates --data films --users 4000

A GAN learns from the log as `gan` does and goes to a world in which what drew users repels them: the appeal of every
item has changed its sign, tastes and histories stay. There it shows its pages to training users, round by round, and
after each round `GanTrainer.learn_from_feedback` updates both players from the clicks on them, as it does in training.
The generator that it was and the one that it has become then show pages to test users: the same users, meeting the same
luck, which is taken out as `compare` does. In the world of the log the same is done beside it.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.gan import Gan
from zsr_sim.commands.job import luck_of
from zsr_sim.config import Settings, load_settings
from zsr_sim.envs.visits import observe, show, simulate
from zsr_sim.envs.world import World
from zsr_sim.errors import told_in_a_line
from zsr_sim.evaluation.comparison import Arm, Pair
from zsr_sim.evaluation.estimates import Estimate
from zsr_sim.evaluation.metrics import PRIMARY
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.learning import train_gans

WORLDS: dict[str, Callable[[World], World]] = {
    "as in the log": lambda world: world,
    "appeal reversed": lambda world: replace(
        world, items=replace(world.items, appeal=-world.items.appeal, quality=-world.items.quality)
    ),
}

WRITTEN = "written"


class Row(NamedTuple):
    """One figure of `gan` without feedback updates, with them, and the difference, user by user."""

    without: Estimate
    fed: Estimate
    difference: Estimate


class Shown(NamedTuple):
    """Generated pages that users were shown: what `GanTrainer.learn_from_feedback` takes."""

    histories: NDArray[np.int32]
    pages: NDArray[np.int32]
    clicks: NDArray[np.bool_]


def effect(scene: Scene, settings: Settings, seed: int, users: int, rounds: int) -> dict[str, Row]:
    """Rows for each of `WORLDS`: `rounds` updates from `agent.users` visits each, then `users` test visits.

    They are the return a visit, and the share of the pages shown that the generator wrote ("written"): for the others
    its gate let none pass.
    """
    _, gan, trained = train_gans(scene, settings, seed)
    rows = {}
    for name, changed in WORLDS.items():
        world, trainer = changed(scene.world), copy.deepcopy(trained)
        gan.source.renew(trainer.gan)
        without = _visits("without", world, scene, gan, seed, users)
        for round_ in range(rounds):
            ids = np.arange(settings.agent.users, dtype=np.int64) + round_ * settings.agent.users
            seen = shown(world, scene, ids, gan, seed)
            if len(seen.pages) > 1:  # else the gate lets nothing pass that could be learned from
                trainer.learn_from_feedback(*seen)
                gan.source.renew(trainer.gan)
        fed = _visits("fed", world, scene, gan, seed, users)
        pair = Pair(without, fed)
        for figure in (PRIMARY, WRITTEN):
            rows[f"{name}: {figure}"] = Row(without.mean(figure), fed.mean(figure), pair.difference(figure))
    return rows


def shown(world: World, scene: Scene, ids: NDArray[np.int64], gan: Gan, seed: int) -> Shown:
    """What training users are shown in visits under `gan`, and what they click; retrieved pages are left out."""
    state = world.start(scene.train.visit(ids), seed)
    parts = []
    for _ in range(scene.settings.horizon):
        here = np.flatnonzero(state.present)
        if not len(here):
            break
        observation = observe(state).take(here)
        decision = gan.act(observation)
        clicks = show(world, state, here, decision.slates).clicks[here]
        assert decision.sources is not None  # `Gan` names them
        own = np.array([source == "generator" for source in decision.sources])
        parts.append((observation.histories[own], decision.slates[own], clicks[own]))
    return Shown(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _visits(name: str, world: World, scene: Scene, gan: Gan, seed: int, users: int) -> Arm:
    horizon = scene.settings.horizon
    visits = simulate(world, scene.test, np.arange(users), gan, luck_of(seed), horizon)
    return Arm.of(name, visits, {WRITTEN: visits.generated})


def _told(estimate: Estimate) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(estimate.mean, *estimate.ci95)


def main(arguments: list[str]) -> None:
    """Print a table for each seed, 95 % intervals."""
    parser = argparse.ArgumentParser(description="what updates from feedback add to the generator")
    parser.add_argument("--data", default="films")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--users", type=int, default=4000, help="test visits")
    parser.add_argument("--rounds", type=int, default=10, help="updates, each from agent.users visits")
    parser.add_argument("--set", nargs="+", default=[], dest="assignments", metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    for name, least in (("seeds", 0), ("users", 2), ("rounds", 0)):
        if np.min(getattr(chosen, name)) < least:
            parser.error(f"--{name} must be {least} or more, got {np.min(getattr(chosen, name))}")
    with told_in_a_line():
        settings = load_settings(None, chosen.assignments)
        scene = make_scene(chosen.data, settings.world)
        for seed in chosen.seeds:
            print(f"{f'seed {seed}':<26}{'without updates':<26}{'with updates':<26}difference")
            for name, row in effect(scene, settings, seed, chosen.users, chosen.rounds).items():
                print(f"{name:<26}{_told(row.without):<26}{_told(row.fed):<26}{_told(row.difference)}")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
