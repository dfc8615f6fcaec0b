"""Sequences as the networks read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zsr_sim.generation.gan import pooled_views
from zsr_sim.generation.networks import ItemTable
from zsr_sim.generation.sequences import Sequences


@dataclass(frozen=True)
class Batch:
    """Pairs of history and continuation.

    items: int64 (n, slate), rows of the catalogue, 0 where the mask, bool (n, slate), says that nothing stands there.
    consumed: int64 (n, length), the history, padded left with -1. pooled: (n, 2 d), the same as the discriminator reads
    it.
    """

    items: Tensor
    mask: Tensor
    consumed: Tensor
    pooled: Tensor

    @classmethod
    def of(cls, sequences: Sequences, table: ItemTable) -> Batch:
        """The pairs, all of them."""
        targets = torch.from_numpy(sequences.targets.astype(np.int64))
        consumed = torch.from_numpy(sequences.histories.astype(np.int64))
        return cls(targets.clamp(min=0), targets >= 0, consumed, pooled_views(sequences.histories, table))

    def batch(self, size: int, rng: torch.Generator) -> Batch:
        """`size` pairs drawn evenly."""
        return self.take(torch.randint(len(self.items), (size,), generator=rng))

    def take(self, rows: Tensor) -> Batch:
        """The pairs at these rows."""
        return Batch(self.items[rows], self.mask[rows], self.consumed[rows], self.pooled[rows])
