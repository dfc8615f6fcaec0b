"""What a person asked for, and the luck that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """What a person asked for, in `demo`, `train` and `compare` alike.

    users: visits per strategy, of users never trained on. seed: of what is learned and, in a way of its own, of the
    luck that users meet. command: the command line, for the manifest. world: a named world. follow:
    follow users to the horizon (`zsr_sim.evaluation.following`).
    """

    data: str
    users: int
    seed: int = 0
    encoder: str | None = None
    config: Path | None = None
    assignments: list[str] = field(default_factory=list)
    batch_size: int = 1024
    other_luck: bool = False
    command: list[str] = field(default_factory=list)
    world: str | None = None
    follow: bool = False


def luck_of(seed: int, arm: int = 0) -> int:
    """The seed of the users' luck where nothing is learned: never one that is trained with; another for each arm."""
    return seed + (1 << 40) + (arm << 48)
