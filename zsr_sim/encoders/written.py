"""`text`: the history written down as one text, which the language model reads as it reads the items' texts."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.history import Reads
from zsr_sim.encoders.text import Encoder, Vectors

logger = logging.getLogger(__name__)

SEPARATOR = ". "
_ENTRY = 200  # bytes of a dictionary's entry beside the vector, about

Placed = Callable[[Vectors], NDArray[np.float32]]
"""Puts text vectors (n, d_text) into the item space, (n, d)."""


class WrittenHistories:
    """A history encoder that writes the texts of the latest items into a template, the latest first.

    The encoder cuts what is too long at its end, where the oldest items stand. A vector is kept under what was read
    (the rows of those items), so only users whose history changed are read again.

    Args:
        texts: of the catalogue's items.
        encoder: of the items' texts.
        place: into the item space, centred as histories are.
        template: what is written around the texts, in place of `{items}`.
        items: of a history that are written, at most.
        memory: bytes for vectors that are kept; the oldest are forgotten.
    """

    def __init__(
        self, texts: Sequence[str], encoder: Encoder, place: Placed, template: str, items: int, memory: int
    ) -> None:
        self.reads = Reads()
        self._texts, self._encoder, self._place = texts, encoder, place
        self._template, self._items, self._memory = template, items, memory
        self._said, self._cut_before = False, encoder.truncated
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    def encode(self, histories: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `HistoryEncoder`."""
        latest = np.ascontiguousarray(histories[:, -self._items :])  # (n, items)
        keys = [row.tobytes() for row in latest]
        new = {key: row for row, key in enumerate(keys) if key not in self._kept}
        self.reads.asked += len(keys)
        self.reads.known += sum(key not in new for key in keys)
        read = dict(zip(new, self._read(latest[list(new.values())]), strict=True)) if new else {}
        found = np.stack([read[key] if key in read else self._kept[key] for key in keys]) if keys else self._nobody()
        for key in keys:
            self._keep(key, read)
        return found

    def write(self, history: NDArray[np.int32]) -> str:
        """The text of one history, int32 (length,), padded with -1 on the left."""
        texts = [self._texts[item] for item in history[history >= 0][::-1]]
        return self._template.replace("{items}", SEPARATOR.join(texts))

    def _read(self, histories: NDArray[np.int32]) -> NDArray[np.float32]:
        somebody = (histories >= 0).any(axis=1)
        texts = [self.write(history) for history in histories[somebody]]
        points = np.zeros((len(histories), self._nobody().shape[1]), dtype=np.float32)
        if texts:
            points[somebody] = self._place(self._encoder.encode(texts))
            self._say_cut(len(texts))
        return points

    def _say_cut(self, read: int) -> None:
        """Say once that texts are cut."""
        if self._encoder.truncated > self._cut_before and not self._said:
            self._said, cut = True, self._encoder.truncated - self._cut_before
            logger.warning(
                "%d of the first %d histories are longer than %s reads; their oldest items are cut off",
                cut, read, self._encoder.name,
            )  # fmt: skip

    def _nobody(self) -> NDArray[np.float32]:
        return self._place(np.zeros((0, self._encoder.dimensions), dtype=np.float32))

    def _keep(self, key: bytes, read: dict[bytes, NDArray[np.float32]]) -> None:
        """Put a vector at the end of those kept; forget the oldest where memory is short."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return
        self._kept[key] = read[key]
        self.reads.kept += len(key) + read[key].nbytes + _ENTRY
        while self.reads.kept > self._memory and len(self._kept) > 1:
            old, vector = self._kept.popitem(last=False)
            self.reads.kept -= len(old) + vector.nbytes + _ENTRY
            self.reads.forgotten += 1
