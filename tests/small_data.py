"""A data set and settings so small that a whole training takes a second."""

import csv
from pathlib import Path

import numpy as np

from zsr_sim.config import Settings, load_settings

TOPICS = ("space travel", "cooking soup", "football", "old castles", "violin music", "the deep sea")
KINDS = ("a story of", "a guide to", "a poem about", "a history of", "a quarrel over", "a song of", "a map of",
         "a dream of", "a game of", "a letter on")  # fmt: skip
N_ITEMS = len(TOPICS) * len(KINDS)
N_USERS = 60
ASSIGNMENTS = [
    *("world.slate_size=4", "world.horizon=4", "world.dimensions=16", "world.topics=6"),
    *("agent.updates=2", "agent.users=24", "generator.likelihood_steps=10", "generator.adversarial_steps=2"),
    *("generator.feedback_interval=1", "hybrid.steps=10", "few_shot.steps=10"),
]


def small_settings(*more: str) -> Settings:
    """The settings of ASSIGNMENTS, and more."""
    return load_settings(None, [*ASSIGNMENTS, *more])


def write_items(folder: Path, topics: tuple[str, ...] = TOPICS) -> None:
    """Sixty items: ten kinds of text on each of six topics."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(f"i{t}{k}", f"{kind} {topic}") for t, topic in enumerate(topics) for k, kind in enumerate(KINDS)]
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("item_id", "text"), *rows])


def write_log(folder: Path) -> None:
    """Sixty users: eight items of the user's own topic, and four of any."""
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = [("user_id", "item_id", "timestamp")]
    for user in range(N_USERS):
        own = [f"i{user % len(TOPICS)}{k}" for k in rng.permutation(len(KINDS))[:8]]
        others = [f"i{row // 10}{row % 10}" for row in rng.permutation(N_ITEMS)[:4]]
        rows += [(f"u{user}", item, 1_600_000_000 + 60 * i) for i, item in enumerate(rng.permutation(own + others))]
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_impressions(folder: Path, decay: float = 1.0) -> None:
    """Pages of four random items; the first is clicked by one in three, the second by as many / 2 ** decay, ..."""
    rng = np.random.default_rng(0)
    rows = ["user_id,timestamp,slate_id,item_id,position,feedback"]
    for page in range(4000):
        for place, item in enumerate(rng.permutation(60)[:4]):
            feedback = "click" if rng.random() < (place + 1) ** -decay / 3 else ""
            rows.append(f"v{page % 500},{page},s{page},i{item // 10}{item % 10},{place + 1},{feedback}")
    (folder / "impressions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
