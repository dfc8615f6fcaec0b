"""The likelihood of the next item, so that what is learned of known items serves unknown ones, too."""

from __future__ import annotations

import torch
from torch import Tensor

from zsr_sim.generation.networks import NOISE, Generator, ItemTable, take
from zsr_sim.generation.softmax import cross_entropy

_SOFTMAX_ITEMS = 20_000  # of more known items, the batch's own and a sample stand for all
_SAMPLE = 1024
_RESIDUAL_DROPOUT = 0.2
_TEXT_ONLY = 0.15  # share of the batches in which all items are told apart by their texts alone


def next_item_loss(
    generator: Generator, table: ItemTable, batch: Tensor, known: Tensor, share: Tensor, rng: torch.Generator
) -> Tensor:
    """Mean of -log p(next item) at every position of a batch, among the known items.

    batch: int64 (n, length), padded left with -1. known: bool (n_items,), what the log holds. share: (n_items,), of the
    log's interactions. Residual and appeal of items are left out at random, in some batches of all.
    """
    keep = known & (torch.rand(len(known), generator=rng) >= _RESIDUAL_DROPOUT)
    keep &= torch.rand(1, generator=rng) >= _TEXT_ONLY
    items = generator.items(table, keep)
    there, noise = batch[:, 1:] >= 0, torch.randn(len(batch), NOISE, generator=rng)
    points = generator(items, batch[:, :-1], noise)[there]  # (k, HIDDEN)
    targets = batch[:, 1:][there]
    among, chance = _contest(targets, known, share, rng)
    sought = torch.cat([take(items.points, among), (take(items.bias, among) - chance)[:, None]], dim=1)
    points = torch.cat([points, points.new_ones(len(points), 1)], dim=1)  # (k, HIDDEN + 1)
    return cross_entropy(points, sought, torch.searchsorted(among, targets))


def _contest(targets: Tensor, known: Tensor, share: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Among which items the next one is to be told, ascending, and the log of the chance of each to be among them.

    Never items that the log lacks: that they do not come next would be learned of their texts, and is not so.
    """
    items = known.nonzero()[:, 0]
    if len(items) <= _SOFTMAX_ITEMS:
        return items, torch.zeros(len(items))
    sample = items[torch.randint(len(items), (_SAMPLE,), generator=rng)]
    among = torch.unique(torch.cat([targets, sample]))  # sorted, as searchsorted needs
    # Sampled softmax: logits less the log of the chance to be among the sample (Jean et al. 2015, equation 11).
    missed = (1 - share[among]) ** len(targets) * (1 - 1 / len(items)) ** _SAMPLE
    return among, torch.log1p(-missed)
