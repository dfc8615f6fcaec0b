"""A data set: a catalogue, a log where there is one, and the report of what was read, dropped and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from zsr_sim.catalogue import Catalogue
from zsr_sim.impressions import Impressions
from zsr_sim.interactions import Interactions

COUNT_WORDS = {
    "items": "items",
    "users": "users",
    "interactions": "interactions",
    "items_without_text": "items dropped: they have no text",
    "duplicate_items": "item rows dropped: the id occurred before (the first row counts)",
    "conflicting_items": "of these said something else than the first row",
    "dropped_passed_over": "interactions dropped: their feedback says that the item was passed over (skip)",
    "dropped_unknown_items": "interactions dropped: their item is not in the catalogue",
    "users_without_known_items": "users dropped: none of their items is in the catalogue",
    "impressions": "impressions (items shown)",
    "pages": "logged pages",
    "profiles": "users with a profile",
    "dropped_unknown_pages": "pages dropped: they show an item that is not in the catalogue",
    "dropped_duplicates": "interactions dropped: exact duplicates of another row",
}


@dataclass(frozen=True)
class DataReport:
    """What was read and what was left out.

    Attributes:
        source: the folder, or the name of the built-in data set.
        layout: which of the known layouts it has.
        counts: how many items, users and interactions there are, and how many rows were dropped for which reason; the
            keys are those of `COUNT_WORDS`, users and interactions only where there is a log.
        notes: remarks for a person, one line each.
    """

    source: str
    layout: str
    counts: dict[str, int]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as lines for a person; a reason for dropping is named only where it dropped something."""
        kept = ("items", "users", "interactions")
        shown = [f"{number:>10,} {COUNT_WORDS[key]}" for key, number in self.counts.items() if number or key in kept]
        return [f"{self.source}: {self.layout}", *shown, *(f"note: {note}" for note in self.notes)]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A catalogue, the log of interactions with its items (None where there is no log), and how they were read.

    impressions: logged pages, None where there are none. profiles: user id -> what is known of the user, as a text;
    None where there is no file of users.
    """

    catalogue: Catalogue
    interactions: Interactions | None
    report: DataReport
    impressions: Impressions | None = None
    profiles: dict[str, str] | None = None

    def with_impressions(self, impressions: Impressions, counts: dict[str, int], notes: list[str]) -> Dataset:
        """The same data with logged pages; what was read and dropped joins the report."""
        report = replace(self.report, counts=self.report.counts | counts, notes=(*self.report.notes, *notes))
        return replace(self, report=report, impressions=impressions)

    def with_profiles(self, profiles: dict[str, str]) -> Dataset:
        """The same data with a text on each of some users."""
        report = replace(self.report, counts=self.report.counts | {"profiles": len(profiles)})
        return replace(self, report=report, profiles=profiles)


@dataclass(frozen=True)
class Layout:
    """One way in which a folder can hold a data set.

    Attributes:
        name: what a person calls it.
        files: the files by which it is recognised, in words.
        matches: says whether a folder has this layout.
        read: reads such a folder; the second argument names the text columns, None for the layout's own.
    """

    name: str
    files: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, tuple[str, ...] | None], Dataset]
