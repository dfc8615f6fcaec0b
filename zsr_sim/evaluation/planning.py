"""Before a comparison: what it will be able to see, told from the first users of each strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zsr_sim.envs.visits import Visits
from zsr_sim.evaluation.comparison import Arm, Pair
from zsr_sim.evaluation.estimates import power_factor
from zsr_sim.evaluation.following import Followed
from zsr_sim.evaluation.metrics import PRIMARY

EFFECTS = (0.01, 0.02, 0.05, 0.10)  # of the baseline's return


def plan(
    visits: Mapping[str, Visits], baseline: str, users: int, followed: Mapping[str, Followed] | None = None
) -> dict[str, dict[str, Any]]:
    """What a comparison of `users` visits will see, for each candidate, from the visits of a pilot; JSON-ready.

    minimum_detectable_effect: the difference in return found with 80 % power at 5 %, divided among the candidates
    (Holm's first step). relative: the same as a share of the baseline's return, null where that is 0. users_needed: for
    effects of 1, 2, 5 and 10 % of the baseline's return, by name such as "5 %". Users are taken to be different people.
    """
    arms = {name: Arm.of(name, v, None, (followed or {}).get(name)) for name, v in visits.items()}
    mean = arms[baseline].mean(PRIMARY).mean
    candidates = [name for name in visits if name != baseline]
    factor = power_factor(0.05 / len(candidates))
    found = {}
    for name in candidates:
        pilot = len(visits[name].people)
        spread = Pair(arms[baseline], arms[name]).difference(PRIMARY).standard_error * math.sqrt(pilot)
        effect = factor * spread / math.sqrt(users)
        found[name] = {
            "pilot_users": pilot,
            "users": users,
            "minimum_detectable_effect": effect,
            "relative": effect / abs(mean) if mean else None,
            "users_needed": {
                f"{100 * share:g} %": math.ceil((factor * spread / (share * abs(mean))) ** 2) for share in EFFECTS
            }
            if mean
            else {},
        }
    return found


def plan_words(planned: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for each candidate, for a person."""
    lines = []
    for name, found in planned.items():
        relative, effect = found["relative"], found["minimum_detectable_effect"]
        if effect == 0.0:
            lines.append(
                f"{name}: earned the same as the baseline from all {found['pilot_users']:,} users so far; what "
                "difference more users will find cannot be told"
            )
            continue
        size = f"{100 * relative:.1f} %" if relative is not None else f"{effect:.2g} per visit"
        needed = ", ".join(f"{share}: {users:,}" for share, users in found["users_needed"].items())
        lines.append(
            f"{name}: {found['users']:,} users will find a difference of {size} four times out of five"
            + (f"; users needed to find {needed}" if needed else "")
        )
    return lines
