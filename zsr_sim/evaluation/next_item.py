"""What a strategy ranks where: its scores of all items, its best items, and where the hidden ones stand among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from zsr_sim.agents.protocol import CheckedAgent, Scoring
from zsr_sim.envs.observation import Observation
from zsr_sim.evaluation.ranking import CUTOFFS, Standings
from zsr_sim.evaluation.trials import Trials

MOST_PAGES = 10  # that an agent without scores is asked for
_CELLS = 1 << 23  # scores at once: 32 MiB in single precision, whatever the size of the catalogue

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Placed:
    """What a strategy made of n trials: where the hidden items stand, and its best items, int32 (n, k), -1 for none."""

    standings: Standings
    lists: NDArray[np.int32]


def place(agent: CheckedAgent, trials: Trials, seed: int, progress: Progress | None = None) -> Placed:
    """Rank all candidates that are new to each user. Raises AgentError for scores that cannot be ranked."""
    known = trials.candidates if trials.candidates.all() else ~trials.candidates  # held-out items are in no history
    observation = Observation.of_histories(trials.histories(known), seed)
    n, step = len(trials), block_rows(len(trials.candidates))
    standings, lists = [], []
    for start in range(0, n, step):
        chosen = slice(start, start + step)
        scores = item_scores(agent, observation.take(chosen))  # (rows, n_items)
        scores[:, ~trials.candidates] = -np.inf
        for row, items in enumerate(trials.seen(chosen)):
            scores[row, items] = -np.inf
        standings.append(_standings(scores, trials.targets[chosen]))
        lists.append(best_items(scores, max(CUTOFFS)))
        if progress:
            progress(min(start + step, n), n)
    return Placed(Standings.join(standings), np.concatenate(lists))


def block_rows(n_items: int) -> int:
    """How many users are scored at once."""
    return max(_CELLS // n_items, 1)


def item_scores(
    agent: CheckedAgent, observation: Observation, enough: Callable[[NDArray[np.float32]], bool] | None = None
) -> NDArray[np.float32]:
    """Scores of all items, float32 (n, n_items), finite and the caller's own; higher is better.

    An agent without scores is asked for pages, each time with what it has answered so far among `shown`: the item that
    comes r-th scores 1 / r, what has not come after MOST_PAGES pages scores 0. `enough` looks at the scores after each
    page and says whether more are not needed.
    """
    if isinstance(agent, Scoring):
        return np.array(agent.scores(observation), dtype=np.float32)  # a copy: the agent may keep its own
    return _scores_of_pages(agent, observation, enough or (lambda _: False))


def _scores_of_pages(
    agent: CheckedAgent, observation: Observation, enough: Callable[[NDArray[np.float32]], bool]
) -> NDArray[np.float32]:
    n = len(observation)
    scores = np.zeros((n, agent.n_items), dtype=np.float32)
    rows = np.arange(n)[:, None]
    for page in range(min(MOST_PAGES, agent.n_items // agent.slate_size)):
        slates = agent.act(observation).slates.astype(np.int32)
        ranks = page * agent.slate_size + np.arange(1, agent.slate_size + 1)
        scores[rows, slates] = np.maximum(scores[rows, slates], (1 / ranks).astype(np.float32))
        if enough(scores):
            break
        shown = np.concatenate([observation.shown, slates], axis=1)
        observation = replace(observation, steps=observation.steps + 1, shown=shown)
    return scores


def best_items(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """The k best items for each user, best first, int32 (n, k); -1 where fewer have a score above minus infinity.

    Items that score the same come in the catalogue's order.
    """
    k_there = min(k, scores.shape[1])
    values, items = (part.numpy() for part in torch.from_numpy(scores).topk(k_there, dim=1))
    items = np.where(np.isneginf(values), -1, items)  # (n, k)
    least = values[:, -1:]
    # Of items that tie at the end of the list topk takes any: take the first of the catalogue.
    cut = ((scores == least).sum(axis=1) > (values == least).sum(axis=1)) & ~np.isneginf(least[:, 0])
    for row in np.flatnonzero(cut):
        tied = values[row] == least[row]
        items[row, tied] = np.flatnonzero(scores[row] == least[row])[: tied.sum()]
    order = np.lexsort((items, -values))
    lists = np.full((len(scores), k), -1, dtype=np.int32)
    lists[:, :k_there] = np.take_along_axis(items, order, axis=1)
    return lists


def _standings(scores: NDArray[np.float32], targets: NDArray[np.int32]) -> Standings:
    own = scores[np.arange(len(targets)), targets][:, None]  # (n, 1)
    above = (scores > own).sum(axis=1)
    tied = (scores == own).sum(axis=1) - 1
    return Standings(above, tied, (scores > -np.inf).sum(axis=1) - 1)
