"""What a person asked for, and the luck that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from zsr_sim.config import Settings, load_settings


@dataclass(frozen=True, kw_only=True)
class Configured:
    """What every command with settings may be told.

    config, assignments: settings, a file and single ones. command: the command line, for the manifest.
    """

    config: Path | None = None
    assignments: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def settings_in(self, world: str | None) -> Settings:
        """All settings, in a named world; raises InputError for what cannot be (`load_settings`)."""
        return load_settings(self.config, self.assignments, world)


@dataclass(frozen=True, kw_only=True)
class Setup(Configured):
    """What every command that works in one scene may be told.

    seed: of what is learned and, in a way of its own, of the luck that users meet. world: a named world.
    """

    seed: int = 0
    encoder: str | None = None
    world: str | None = None

    def settings(self) -> Settings:
        """All settings; raises InputError for what cannot be."""
        return self.settings_in(self.world)


@dataclass(frozen=True)
class Job(Setup):
    """What a person asked for, in `demo`, `train` and `compare` alike.

    users: visits per strategy, of users never trained on. follow: follow users to the horizon
    (`zsr_sim.evaluation.following`).
    """

    data: str
    users: int
    batch_size: int = 1024
    other_luck: bool = False
    follow: bool = False


def luck_of(seed: int, arm: int = 0) -> int:
    """The seed of the users' luck where nothing is learned: never one that is trained with; another for each arm."""
    return seed + (1 << 40) + (arm << 48)
