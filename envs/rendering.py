"""A visit as a person reads it: titles shown, what became of them, and the user's mood."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rich.cells import set_cell_size

from zsr_sim.envs.feedback import Feedback
from zsr_sim.envs.stage import Stage
from zsr_sim.envs.world import WorldState
from zsr_sim.generation.candidates import SOURCES

if TYPE_CHECKING:
    from zsr_sim.envs.audience import Served

_TITLE = 44  # characters
_EVENTS = 28
_BAR = 10


def readable(text: str, width: int = _TITLE) -> str:
    r"""One line of at most `width` characters, without control characters: titles are untrusted text.

    >>> readable("Alien\x1b[2J\n(1979)"), readable("The Umbrellas of Cherbourg", 12)
    ('Alien[2J (1979)', 'The Umbrell…')
    """
    words = " ".join(text.split())
    visible = "".join(letter for letter in words if unicodedata.category(letter)[0] != "C")
    return visible if len(visible) <= width else visible[: width - 1] + "…"


def arrival_text(stage: Stage, state: WorldState, row: int) -> str:
    """Who waits for a first page."""
    history = [item for item in state.histories[row].tolist() if item >= 0]
    last = "; ".join(readable(stage.titles[item], 30) for item in history[:-4:-1])
    known = f"{len(history)} items known, the last ones: {last}" if history else "nothing known yet"
    return f"User {state.users.ids[row]} comes: {known}\n{_mood(state, row)}\n"


def page_text(stage: Stage, state: WorldState, row: int, served: Served) -> str:
    """The page that a user has just seen, a line an item, and how it left the user.

    What stands beside an item: what the user did, if the user looked at it; boredom with its topic, in clicks; the
    proposer.
    """
    feedback, facts = served.feedback, served.chosen.facts
    source = f", from {facts['source'][row]}" if "source" in facts else ""
    origins = facts["sources"][row].tolist() if "sources" in facts else []
    lines = [f"Page {state.steps[row]} of user {state.users.ids[row]}{source}: {_reward(stage, row, served)}"]
    for position, item in enumerate(served.chosen.slates[row].tolist()):
        bored = state.boredom[row, stage.world.items.topics[item]]
        columns = [
            f"{position + 1:4d}  {set_cell_size(readable(stage.titles[item]), _TITLE)}",
            f"{_events(feedback, row, position):<{_EVENTS}}",
            f"{'bored ' + format(bored, '.1f') if bored >= 0.05 else '':<10}",
            f"{SOURCES[origins[position]] if origins else ''}",
        ]
        lines.append("  ".join(columns).rstrip())
    lines.append(_mood(state, row))
    if feedback.left[row]:
        lines.append("The user leaves.")
    elif feedback.gaps[row]:
        lines.append(f"The user goes, and comes back after {feedback.gaps[row]:.0f} days.")
    return "\n".join(lines) + "\n"


def _reward(stage: Stage, row: int, served: Served) -> str:
    parts = served.parts_of(row, stage.world.rewards)
    told = [f"{kind} {value:.4g}" for kind, value in parts.items() if value]
    return f"reward {served.feedback.reward[row]:.4g}" + (f" ({' + '.join(told)})" if len(told) > 1 else "")


def _events(feedback: Feedback, row: int, position: int) -> str:
    at = row, position
    if feedback.unavailable[at]:
        return "not available"
    if not feedback.clicks[at]:
        return "passed over" if feedback.skips[at] else ""
    words = ["clicked"] + ["liked"] * bool(feedback.likes[at]) + ["bought"] * bool(feedback.purchases[at])
    return ", ".join(words) + (f", {feedback.dwell[at]:.0f} s" if feedback.dwell[at] else "")


def _mood(state: WorldState, row: int) -> str:
    satisfaction = float(state.satisfaction[row])
    full = round(_BAR * satisfaction)
    return f"      satisfaction [{'#' * full}{'.' * (_BAR - full)}] {satisfaction:.2f}"
