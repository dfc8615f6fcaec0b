"""What a comparison's promises come to among simulated users: false alarms, also under peeking, and power.

    python -m zsr_sim.false_alarms --repetitions 1000

A strategy against itself (A/A), the same users with other luck under each arm: at 5 %, 5 % of comparisons should find
something; with looks as `--until-decided` has them, all looks together at most 5 %. Then a difference is added that is
as large as each comparison says it could find: 80 % should find it. No two repetitions share a user.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from zsr_sim.agents.registry import find_agent
from zsr_sim.commands.job import luck_of
from zsr_sim.config import Settings
from zsr_sim.envs.visits import Visits, simulate
from zsr_sim.errors import told_in_a_line
from zsr_sim.evaluation.comparison import Arm, Looks, Pair
from zsr_sim.evaluation.estimates import Estimate
from zsr_sim.evaluation.metrics import PRIMARY
from zsr_sim.experiment import make_scene

LOOKS = 10


class Share(NamedTuple):
    """How often something was found: of so many tries."""

    found: float
    tries: int


def promises(repetitions: int, users: int, data: str = "films", agent: str = "random") -> dict[str, Share]:
    """Shares of comparisons that found something; `users` in each, and between two looks."""
    settings = Settings()
    scene = make_scene(data, settings.world)
    strategy = find_agent(agent).build(scene, settings)
    ids = np.arange(repetitions * users, dtype=np.int64)
    arms = [
        simulate(scene.world, scene.test, ids, strategy, luck_of(0, arm), settings.world.horizon, 4096)
        for arm in range(2)
    ]
    found: dict[str, list[bool]] = {}
    for first in range(0, len(ids), users):
        pair = _pair(arms, first, first + users)
        for words, estimate in (
            ("as it came", pair.plain_difference(PRIMARY)),
            ("known luck taken out", pair.difference(PRIMARY)),
        ):
            found.setdefault(f"A/A, {words}", []).append(_finds(estimate))
            found.setdefault(f"at the stated effect, {words}", []).append(_finds(_shifted(estimate)))
    for first in range(0, len(ids) - LOOKS * users + 1, LOOKS * users):
        ends = [first + users * (look + 1) for look in range(LOOKS)]
        looks = Looks(first=users, planned=LOOKS * users / 2)
        for words, manner in ((f"A/A, {LOOKS} looks, fixed test", None), (f"A/A, {LOOKS} looks, as it peeks", looks)):
            seen = [_pair(arms, first, end, manner).difference(PRIMARY) for end in ends]
            found.setdefault(words, []).append(any(map(_finds, seen)))
    return {name: Share(float(np.mean(tries)), len(tries)) for name, tries in found.items()}


def _pair(arms: list[Visits], first: int, end: int, looks: Looks | None = None) -> Pair:
    rows = np.arange(first, end)
    return Pair(Arm.of("a", arms[0].take(rows)), Arm.of("b", arms[1].take(rows)), looks)


def _finds(estimate: Estimate) -> bool:
    return estimate.p_value < 0.05


def _shifted(estimate: Estimate) -> Estimate:
    return replace(estimate, mean=estimate.mean + estimate.minimum_detectable_effect)


def main(arguments: list[str]) -> None:
    """Print the shares, each with its own 95 % reach."""
    parser = argparse.ArgumentParser(description="false alarms and power of comparisons among simulated users")
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--users", type=int, default=400, help="of each comparison; 400 are the fewest adjusted for")
    parser.add_argument("--data", default="films")
    parser.add_argument("--agent", default="random")
    chosen = parser.parse_args(arguments)
    with told_in_a_line():
        found = promises(chosen.repetitions, chosen.users, chosen.data, chosen.agent)
    for name, share in found.items():
        reach = 196 * np.sqrt(share.found * (1 - share.found) / share.tries)
        print(f"{name:<46}{100 * share.found:5.1f} % -+{reach:4.1f}   of {share.tries:,}")


if __name__ == "__main__":
    main(sys.argv[1:])
