"""What a language model is asked: who the user is, what lies before the user, and the fixed answers to choose from.

Texts of catalogues and logs are untrusted: each becomes one line of bounded length, without control characters. What an
item's title asks of the model can change that item's answer at most: answers are compared by likelihood, never parsed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.world import Users

VERSION = "2"  # of these prompts: part of what an answer is kept under
TITLE, PROFILE = 60, 240  # characters at most
LIKED = 4  # titles that make a persona

CLICK_ANSWERS = (" yes", " no")
RATE_ANSWERS = (" terrible", " bad", " okay", " good", " great")
GOOD = (3, 4)  # the answers that are a like
NO_ITEM = "something"  # the content-free item: what a model says of it, it says of everything

_YEAR = re.compile(r"\s*\([12]\d{3}\)\s*$")


def one_line(text: str, most: int) -> str:
    r"""A text on one line: control and format characters are blanks, blanks are single, at most so many characters.

    >>> one_line("Heat\n\n(1995)\x00", 60)
    'Heat (1995)'
    """
    plain = "".join(" " if unicodedata.category(mark)[0] == "C" else mark for mark in text)
    words = " ".join(plain.split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def short_title(title: str) -> str:
    """A title as it stands in a prompt: without a year in brackets at its end, which costs as much as four words.

    >>> short_title("Heat (1995)")
    'Heat'
    """
    return one_line(_YEAR.sub("", title) or title, TITLE)


def persona_prefix(persona: str) -> str:
    """What comes before every line: the same for all items, so that it is read once for a user.

    The question comes first: it is the same for all users, and read once for all of them.
    """
    return f"Would this person also choose the following? Answer yes or no.\n{persona}\n"


def click_line(title: str) -> str:
    """The line after which yes or no is expected."""
    return f"{short_title(title)}:"


def rate_line(title: str) -> str:
    """The line after which one of RATE_ANSWERS is expected."""
    return f"{short_title(title)}: yes. Afterwards this person called it"


@dataclass(frozen=True)
class Personas:
    """Who the users are, as texts.

    titles: of the catalogue. profiles: what a users file says of a person, by the person's key (`Users.people`). liked:
    what a person of the log liked, rows of the catalogue, most recent last, by the same key. Who is in neither is
    described by the history that the visit begins with.
    """

    titles: Sequence[str]
    profiles: Mapping[int, str] = field(default_factory=dict)
    liked: Mapping[int, NDArray[np.int32]] = field(default_factory=dict)

    def of(self, users: Users) -> list[str]:
        """One text for each user."""
        return [
            self._of(int(key), history[history >= 0])
            for key, history in zip(users.people, users.histories, strict=True)
        ]

    def _of(self, key: int, history: NDArray[np.int32]) -> str:
        parts = []
        if self.profiles.get(key, "").strip():
            parts.append(f"About a person: {one_line(self.profiles[key], PROFILE)}.")
        chosen = self.liked.get(key, history)[-LIKED:]
        if len(chosen):
            parts.append("This person liked: " + "; ".join(short_title(self.titles[row]) for row in chosen) + ".")
        return " ".join(parts) or "A person of whom nothing is known."
