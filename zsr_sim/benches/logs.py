"""`zsr-sim bench --log`: how long the evaluation of a strategy on a large log takes, with all estimators."""

from __future__ import annotations

import math
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zsr_sim.commands.logs import LogJob, write_log
from zsr_sim.commands.policy import Question, evaluate_policy
from zsr_sim.console import Screen

AGENT, TARGET, EXPLORE, DRAWS = "similarity", "bayes", 0.2, 1000
PILOT = 200  # users whose visits say how many users it takes


def bench_log(data: str, impressions: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Write a log of about so many impressions, then time `evaluate policy` on it: reading, models, estimates, draws.

    wall_seconds, cpu_seconds: of the evaluation alone; of all threads. peak_gib: of the whole process, the writing of
    the log included.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lines").open("w", encoding="utf-8") as file:
        path, screen = Path(folder) / "log.parquet", Screen(file)
        pilot = write_log(LogJob(data, AGENT, PILOT, EXPLORE), path, screen)
        users = math.ceil(1.01 * PILOT * impressions / pilot["impressions"])
        tell(f"writing a log of about {impressions:,} impressions: {users:,} users")
        written = write_log(LogJob(data, AGENT, users, EXPLORE), path, screen)
        tell(f"evaluating {TARGET} on {written['impressions']:,} impressions, {DRAWS:,} bootstrap draws")
        begin, cpu = time.perf_counter(), time.process_time()
        found = evaluate_policy(Question(path, TARGET, draws=DRAWS), None, screen)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    estimators = len(found["targets"][TARGET]["estimates"]) + len((found["visits"] or {}).get("estimates", {}))
    return {
        "log": {
            "impressions": found["impressions"],
            "users": found["users"],
            "estimators": estimators,
            "draws": DRAWS,
            "wall_seconds": round(wall, 2),
            "cpu_seconds": round(cpu, 2),
            "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
    }
