"""History encoders by name, made for a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zsr_sim.config import HistorySettings
from zsr_sim.encoders.causal import CausalHistories
from zsr_sim.encoders.history import HistoryEncoder, Pooled
from zsr_sim.encoders.space import ItemSpace, unit
from zsr_sim.encoders.text import TextEncoder, Vectors
from zsr_sim.encoders.written import WrittenHistories
from zsr_sim.interactions import Interactions

if TYPE_CHECKING:
    from torch import Tensor

DECAY = 0.9  # of causal histories where no decay was asked for
_MIB = 1 << 20
_SAMPLE = 48  # histories of random items, whose mean is the centre of written histories
ATTENTION_SEED = 0


@dataclass(frozen=True)
class Items:
    """What history encoders know of the items.

    texts: (n_items,), what was encoded. titles: (n_items,), the same in short. vectors: float32 (n_items, d), in the
    item space. encoder: of the texts.
    """

    texts: Sequence[str]
    titles: Sequence[str]
    vectors: NDArray[np.float32]
    space: ItemSpace
    encoder: TextEncoder


def make_history(
    settings: HistorySettings, items: Items, log: Interactions, tensors: Mapping[str, Tensor] | None = None
) -> HistoryEncoder | None:
    """The history encoder of the settings; None for pooled means with the decay that each strategy asks for.

    log: what attention learns from. tensors: what it has learned already. Raises InputError where encoder or log do
    not allow it.
    """
    if settings.encoder == "attention":
        from zsr_sim.encoders.attention import AttentionHistories  # torch takes seconds to import

        if tensors is not None:
            return AttentionHistories.restore(tensors, items.vectors)
        return AttentionHistories.learn(log, items.vectors, settings, ATTENTION_SEED)
    if settings.encoder == "text":
        return _written(settings, items)
    if settings.encoder == "causal":
        decay = DECAY if settings.decay is None else settings.decay
        return CausalHistories(
            items.titles, items.encoder, items.space.components, settings.items, decay, settings.memory * _MIB,
            items.space.centred,
        )  # fmt: skip
    return None if settings.decay is None else Pooled(items.vectors, settings.decay)


def _written(settings: HistorySettings, items: Items) -> WrittenHistories:
    """Written histories, centred on those of random items: whatever has the form of a list has something in common."""
    space, encoder = items.space, items.encoder

    def place(vectors: Vectors) -> NDArray[np.float32]:
        directions = unit(vectors.astype(np.float64))  # (n, d_text)
        return unit(((directions - centre) @ space.components.T).astype(np.float32))

    centre = np.zeros(encoder.dimensions)
    histories = WrittenHistories(items.texts, encoder, place, settings.template, settings.items, settings.memory * _MIB)
    if space.centred:
        drawn = np.random.default_rng(0).integers(0, len(items.texts), (_SAMPLE, settings.items)).astype(np.int32)
        centre = unit(encoder.encode([histories.write(row) for row in drawn]).astype(np.float64)).mean(axis=0)
    return histories
