"""Recommenders that know items by their ids: peers to measure against, not zero-shot. A cold item is nothing to them.

They learn from a log alone and tune themselves on it: each user's last interaction is put aside, and the settings (of
sequence models also the number of epochs) are chosen by NDCG@10 on it, ranked among all items that are new to the user.
Then they learn from the whole log with these settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.neighbours import DECAYS, SHRINKAGES, ItemNeighbours, consumed_together
from zsr_sim.agents.protocol import Agent, Scoring
from zsr_sim.agents.sequential import SequenceModel, SequenceRecommender, train, tune
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions

DROPOUTS = (0.1, 0.3)
_TUNED_ON = 2000  # users at most
_CELLS = 1 << 23  # scores at once

OnProgress = Callable[[str, int, int, dict[str, float]], None]
"""Called with ("log", steps done, steps in all, figures so far)."""


@dataclass(frozen=True)
class Peer:
    """does: one line for a person. learn: from (log, n_items, slate_size, seed)."""

    does: str
    learn: Callable[[Interactions, int, int, int, OnProgress], Agent]


@dataclass(frozen=True)
class PutAside:
    """What is tuned on: the log without each user's last item, and these items.

    histories: int32 (n, HISTORY_LENGTH), padded left with -1. targets: int32 (n,). seen: everything else of each user.
    """

    log: Interactions
    histories: NDArray[np.int32]
    targets: NDArray[np.int32]
    seen: list[NDArray[np.int32]]

    @classmethod
    def of(cls, log: Interactions, seed: int) -> PutAside:
        """Put the last interaction of every user with two or more aside; tune on some of them."""
        counts = np.diff(log.starts)
        last = log.starts[1:][counts > 1] - 1
        if len(last) < 2:
            raise InputError(f"{len(last)} users have two interactions or more; at least 2 are needed to tune on")
        chosen = np.sort(np.random.default_rng(seed).permutation(last)[:_TUNED_ON])
        seen = [log.items[log.starts[log.users[row]] : row] for row in chosen]
        histories = np.full((len(chosen), HISTORY_LENGTH), -1, dtype=np.int32)
        for row, items in zip(histories, seen, strict=True):
            row[max(HISTORY_LENGTH - len(items), 0) :] = items[-HISTORY_LENGTH:]
        return cls(log.take(np.delete(np.arange(len(log)), last)), histories, log.items[chosen], seen)

    def ndcg(self, agent: Scoring, n_items: int) -> float:
        """NDCG@10 of the items put aside; ties count against the agent."""
        observation, total = Observation.of_histories(self.histories), 0.0
        step = max(_CELLS // n_items, 1)
        for start in range(0, len(self.targets), step):
            chosen = slice(start, start + step)
            scores = agent.scores(observation.take(chosen))
            for row, items in enumerate(self.seen[chosen]):
                scores[row, items] = -np.inf
            targets = self.targets[chosen]
            ranks = (scores >= scores[np.arange(len(targets)), targets][:, None]).sum(axis=1)
            total += float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).sum())
        return total / len(self.targets)


def _item_neighbours(log: Interactions, n_items: int, slate_size: int, seed: int, report: OnProgress) -> ItemNeighbours:
    aside = PutAside.of(log, seed)
    together = consumed_together(aside.log, n_items)
    grid = [(decay, shrinkage) for shrinkage in SHRINKAGES for decay in DECAYS]
    best = -1.0, DECAYS[0], SHRINKAGES[0]
    for number, (decay, shrinkage) in enumerate(grid, 1):
        judged = aside.ndcg(ItemNeighbours(together, slate_size, decay, shrinkage), n_items)
        best = max(best, (judged, decay, shrinkage), key=lambda found: found[0])
        report("log", number, len(grid), {"validation_ndcg": best[0], "decay": best[1], "shrinkage": best[2]})
    return ItemNeighbours(consumed_together(log, n_items), slate_size, best[1], best[2])


def _sequence_model(kind: str) -> Callable[[Interactions, int, int, int, OnProgress], SequenceRecommender]:
    def learn(log: Interactions, n_items: int, slate_size: int, seed: int, report: OnProgress) -> SequenceRecommender:
        aside = PutAside.of(log, seed)

        def judge(model: SequenceModel) -> float:
            return aside.ndcg(SequenceRecommender(model, slate_size), n_items)

        def tell(done: int, total: int, figures: dict[str, float]) -> None:
            report("log", done, total, figures)

        tried = [(tune(kind, aside.log, n_items, dropout, seed, judge, tell), dropout) for dropout in DROPOUTS]
        (epochs, _), dropout = max(tried, key=lambda one: one[0][1])
        return SequenceRecommender(train(kind, log, n_items, dropout, seed, epochs, tell), slate_size)

    return learn


PEERS = {
    "item-knn": Peer("what the same people consumed, by item id, recent items counting more", _item_neighbours),
    "sasrec": Peer("self-attention over item ids (Kang and McAuley 2018)", _sequence_model("sasrec")),
    "gru4rec": Peer("recurrent network over item ids (Hidasi et al. 2016)", _sequence_model("gru4rec")),
}
"""Peers by name."""
