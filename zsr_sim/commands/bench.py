"""The work behind `zsr-sim bench`: one thing is measured at a time, and what does not bear on it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsr_sim.config import load_settings
from zsr_sim.console import Screen
from zsr_sim.errors import InputError

SETTABLE = ("", "--training", "--histories")  # modes that settings bear on


@dataclass(frozen=True)
class Request:
    """What a person asked for: one of world, proposing, training, histories, encoders, llm_users, log, or the loop."""

    data: str | None
    repetitions: int | None
    world: str | None = None
    proposing: bool = False
    training: bool = False
    histories: bool = False
    encoders: bool = False
    llm_users: str | None = None
    log: int | None = None
    device: str | None = None
    config: Path | None = None
    assignments: list[str] | None = None

    def mode(self) -> str:
        """The option that says what to measure, "" for the whole loop; raises InputError for options that clash."""
        chosen = {
            "--world": self.world is not None, "--proposing": self.proposing, "--training": self.training,
            "--histories": self.histories, "--encoders": self.encoders, "--llm-users": self.llm_users is not None,
            "--log": self.log is not None,
        }  # fmt: skip
        modes = [name for name, asked in chosen.items() if asked]
        if len(modes) > 1:
            raise InputError(f"bench measures one thing at a time, found {' and '.join(modes)}; run it once for each")
        mode = modes[0] if modes else ""
        unused = {
            "--device": self.device is not None and mode != "--world",
            "--data": self.data is not None and mode in ("--world", "--proposing"),
            "--repetitions": self.repetitions is not None and mode in ("--log", "--training"),
            "--config and --set": bool(self.config or self.assignments) and mode not in SETTABLE,
        }
        for name, idle in unused.items():
            if idle:
                raise InputError(f"bench{mode and f' {mode}'} has no use for {name}; leave that out")
        return mode


REPETITIONS = 5
DATA = "films"


def run_bench(request: Request, shown: Screen) -> dict[str, Any]:
    """Measure what was asked for. Raises InputError for options that clash, and what the measurement raises."""
    mode = request.mode()
    data, repetitions = request.data or DATA, request.repetitions or REPETITIONS
    if mode == "--world":
        from zsr_sim.benches.worlds import bench_world

        return bench_world(request.world or "everything", repetitions, shown.line, request.device or "cpu")
    if mode == "--proposing":
        from zsr_sim.benches.proposing import bench_proposing

        return bench_proposing(repetitions, shown.line)
    if mode == "--llm-users":
        from zsr_sim.benches.llm_users import bench_llm_users

        return bench_llm_users(data, request.llm_users or "", repetitions, shown.line)
    if request.log is not None:
        from zsr_sim.benches.logs import bench_log

        return bench_log(data, request.log, shown.line)
    if mode == "--encoders":
        from zsr_sim.benches.encoders import bench_encoders

        return bench_encoders(data, repetitions, shown.line)
    settings = load_settings(request.config, request.assignments)
    if mode == "--training":
        from zsr_sim.benches.trainings import bench_training

        return bench_training(data, settings, shown.line)
    if mode == "--histories":
        from zsr_sim.benches.histories import bench_histories

        return bench_histories(data, settings, repetitions, shown.line)
    from zsr_sim.benches.loop import bench_loop

    return bench_loop(data, settings, repetitions, lambda name: shown.line(f"measuring {name}"))
