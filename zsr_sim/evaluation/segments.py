"""Who gains and who loses: the effect in parts of the users that are told apart by what they were before the visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.traits import Trait
from zsr_sim.envs.world import Users
from zsr_sim.evaluation.comparison import Pair
from zsr_sim.evaluation.estimates import relative_effect
from zsr_sim.evaluation.metrics import PRIMARY
from zsr_sim.evaluation.multiplicity import holm

FEWEST_PEOPLE = 50  # in a segment; fewer say nothing


class Segmentation(NamedTuple):
    """A way to tell users apart: names of the parts, and which of them each user is in, int64 (n,), -1 for none."""

    kind: str
    names: Sequence[str]
    member: NDArray[np.int64]


def segmentations(
    users: Users, topics: NDArray[np.int32], vectors: NDArray[np.float32], titles: Sequence[str]
) -> list[Segmentation]:
    """Users by history (new or old), by level of clicking (light or heavy), and by taste.

    New and light are those at or below the median. Taste is the topic that most of the user's history is of; a user
    without history has none. It is called after the two items nearest to the topic's centre.

    topics: int32 (n_items,). vectors: float32 (n_items, d).
    """
    lengths = (users.histories >= 0).sum(axis=1)
    middle, level = np.median(lengths), users.traits[:, Trait.CLICK_BIAS]
    named = (f"new ({middle:g} items of history or fewer)", f"old (more than {middle:g})")
    return [
        Segmentation("history", named, (lengths > middle).astype(np.int64)),
        Segmentation("clicks", ("light", "heavy"), (level > np.median(level)).astype(np.int64)),
        Segmentation("taste", _topic_names(topics, vectors, titles), _topic_of(users.histories, topics)),
    ]


def _topic_of(histories: NDArray[np.int32], topics: NDArray[np.int32]) -> NDArray[np.int64]:
    counts = np.zeros((len(histories), int(topics.max()) + 1), dtype=np.int64)
    rows, places = np.nonzero(histories >= 0)
    np.add.at(counts, (rows, topics[histories[rows, places]]), 1)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)


def _topic_names(topics: NDArray[np.int32], vectors: NDArray[np.float32], titles: Sequence[str]) -> list[str]:
    names = []
    for topic in range(int(topics.max()) + 1):
        rows = np.flatnonzero(topics == topic)
        nearest = rows[np.argsort(-(vectors[rows] @ vectors[rows].sum(axis=0)), kind="stable")[:2]]
        names.append("such as " + " and ".join(titles[row] for row in nearest))
    return names


def segment_effects(pairs: Mapping[str, Pair], kinds: Sequence[Segmentation]) -> list[dict[str, Any]]:
    """The difference in return within each segment of at least 50 people, worst first, for each candidate.

    p-values are corrected by Holm over all segments of a candidate. JSON-ready: candidate, kind, segment, users,
    difference, ci95, relative, p_value, p_value_holm, harmed (the interval below zero, also after the correction).
    """
    found: list[dict[str, Any]] = []
    for candidate, pair in pairs.items():
        rows = [row for kind in kinds for row in _within(candidate, pair, kind)]
        for row, corrected in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
            row |= {"p_value_holm": corrected, "harmed": row["ci95"][1] < 0 and corrected < 0.05}
        found += sorted(rows, key=lambda row: float(row["difference"]))
    return found


def _within(candidate: str, pair: Pair, kind: Segmentation) -> list[dict[str, Any]]:
    rows = []
    for number, name in enumerate(kind.names):
        chosen = np.flatnonzero(kind.member == number)
        if len(np.unique(pair.baseline.people[chosen])) < FEWEST_PEOPLE:
            continue
        part = Pair(pair.baseline.take(chosen), pair.candidate.take(chosen))
        difference = part.difference(PRIMARY)
        means = part.baseline.mean(PRIMARY), part.candidate.mean(PRIMARY)
        rows.append(
            {
                "candidate": candidate,
                "kind": kind.kind,
                "segment": name,
                "users": len(chosen),
                "difference": difference.mean,
                "ci95": list(difference.ci95),
                "relative": relative_effect(*means, difference)[0],
                "p_value": difference.p_value,
            }
        )
    return rows
