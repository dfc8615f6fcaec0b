"""What the discriminator says, by torch: what the compiled judge is held against."""

import torch
from torch import Tensor

from zsr_sim.generation.networks import Discriminator, ItemTable


def plausibility(discriminator: Discriminator, table: ItemTable, pooled: Tensor, items: Tensor) -> Tensor:
    """Probability that each sequence int64 (n, length) is real, (n,): the sigmoid of its mean logit over positions."""
    return torch.sigmoid(discriminator(pooled, table.vectors[items]).mean(dim=1))
