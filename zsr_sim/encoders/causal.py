"""`causal`: a causal language model that goes on reading a history where it stopped.

What the model's attention keeps of each user, keys and values of every token, stays in memory, so that a step reads
the titles that were consumed since the last one. Kept under the items that were read, not under a user's id: who was
forgotten is read again, and the same history has the same vector whenever it is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.history import Reads
from zsr_sim.encoders.text import TextEncoder
from zsr_sim.errors import InputError

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 4096  # read at once, padding included
END_OF_TITLE = "\n"
_SAMPLE, _SAMPLE_ITEMS = 48, 5  # histories of random items, whose mean is the centre of histories
_LEFT_TO_RIGHT = 1e-3  # by how much, relatively, a first word may change when another follows it: rounding

Items = tuple[int, ...]


@dataclass(frozen=True)
class _Reading:
    """What is kept of one history that was read.

    keys, values: (layers, heads, tokens, d_head). state: float64 (d_text,), pooled so far.
    """

    items: Items
    keys: torch.Tensor
    values: torch.Tensor
    state: NDArray[np.float64]

    @property
    def size(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size() + self.state.nbytes


class CausalHistories:
    """A history encoder over a causal model: the decayed mean of what it thinks at each title, in their context.

    An item's state is the mean of the last hidden states over its title's tokens, read after the titles before it;
    the history's is their mean, each weighing `decay` times the next. Its centre is that of histories of random items.

    Which items are read is a function of the latest 2 `items` of a history. Fewer are read whole. Of more, reading
    begins at one of the older half that its own number makes the lowest (a minimiser: Roberts et al. 2004, "Reducing
    storage requirements for biological sequence comparison"): it mostly stays the same from step to step, and what was
    read goes on being of use, which it would not if reading always began so many items back.

    Args:
        titles: of the catalogue's items; each is cut so that 2 `items` of them fit into the model.
        encoder: of the items' texts, a causal model with pooling mean.
        components: float32 (d, d_text), of the item space.
        items: at least so many of a history are read, if it has them.
        decay: weight of an item relative to the one after it.
        memory: bytes for keys and values; the users asked for longest ago are forgotten.
        centred: whether the mean of histories is taken out.

    Raises:
        InputError: the model also reads from right to left, or pools in another way than the mean.
    """

    def __init__(
        self, titles: Sequence[str], encoder: TextEncoder, components: NDArray[np.float32], items: int, decay: float,
        memory: int, centred: bool = True,
    ) -> None:  # fmt: skip
        require_causal(encoder)
        self.reads = Reads()
        self._titles, self._encoder, self._components = titles, encoder, components
        self._items, self._decay, self._memory = items, decay, memory
        self._head = encoder.first_tokens
        self._tokens: dict[int, list[int]] = {}
        self._kept: OrderedDict[Items, _Reading] = OrderedDict()
        self._centre: NDArray[np.float64] = np.zeros(encoder.dimensions)
        if centred:
            self._centre = self._mean_direction()

    def encode(self, histories: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `HistoryEncoder`."""
        wanted = [self.window(history) for history in histories]
        self.reads.asked += len(wanted)
        self.reads.known += sum(not items or items in self._kept for items in wanted)
        states = self._states(list(dict.fromkeys(items for items in wanted if items)))
        points = np.zeros((len(wanted), len(self._components)), dtype=np.float32)
        for row, items in enumerate(wanted):
            if items:
                points[row] = self._point(states[items])
        return points

    def window(self, history: NDArray[np.int32]) -> Items:
        """The items of a history, int32 (length,), that are read."""
        latest = history[history >= 0][-2 * self._items :]
        if len(latest) < 2 * self._items:
            return tuple(latest.tolist())
        lottery = latest[: self._items].astype(np.uint32) * np.uint32(2654435761)  # Knuth's multiplicative hash
        return tuple(latest[int(lottery.argmin()) :].tolist())

    def _states(self, wanted: list[Items]) -> dict[Items, NDArray[np.float64]]:
        """The pooled states of distinct histories; reads those that are not known, many at a time."""
        begun = {items: self._known_part(items) for items in wanted}
        states = {items: part.state for items, part in begun.items() if part is not None and part.items == items}
        unread = [items for items in wanted if items not in states]
        unread.sort(key=lambda items: (self._length(items[_known(begun[items]) :]), items))
        for batch in self._batches(unread):
            for reading in self._go_on([(items, begun.pop(items)) for items in batch]):
                states[reading.items] = reading.state
                self._keep(reading)
        return states

    def _known_part(self, items: Items) -> _Reading | None:
        """The longest beginning of a history that is kept."""
        for end in range(len(items), 0, -1):
            reading = self._kept.get(items[:end])
            if reading is not None:
                self._kept.move_to_end(items[:end])
                return reading
        return None

    def _batches(self, unread: list[Items]) -> list[list[Items]]:
        """Histories that follow each other, so many at once as fit."""
        batches: list[list[Items]] = []
        longest = 0
        for items in unread:
            length = self._length(items)
            longest = max(longest, length)
            if not batches or (len(batches[-1]) + 1) * longest > BATCH_TOKENS:
                batches.append([])
                longest = length
            batches[-1].append(items)
        return batches

    def _go_on(self, parts: list[tuple[Items, _Reading | None]]) -> list[_Reading]:
        """Read what is new in each history: known tokens stand on the left, new ones on the right, both padded."""
        import torch
        from transformers import DynamicCache

        fresh = [[self._title(item) for item in items[_known(part) :]] for items, part in parts]
        heads = [self._head if part is None else [] for _, part in parts]
        new = [head + [token for title in titles for token in title] for head, titles in zip(heads, fresh, strict=True)]
        past = [0 if part is None else part.keys.shape[2] for _, part in parts]
        most_past, most_new = max(past), max(map(len, new))
        ids = torch.zeros((len(parts), most_new), dtype=torch.long)
        there = torch.zeros((len(parts), most_past + most_new), dtype=torch.long)
        for row, tokens in enumerate(new):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            there[row, most_past - past[row] : most_past + len(tokens)] = 1
        places = (there.cumsum(dim=1) - 1).clamp(min=0)[:, most_past:]
        device = self._encoder.device
        known = DynamicCache(_side_by_side([part for _, part in parts], most_past, device)) if most_past else None
        with torch.inference_mode():
            out = self._encoder.model(
                input_ids=ids.to(device), attention_mask=there.to(device), position_ids=places.to(device),
                past_key_values=known, use_cache=True,
            )  # fmt: skip
        hidden = out.last_hidden_state.float().cpu().numpy()  # (batch, new, d_text)
        layers = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
        readings = []
        for row, (items, part) in enumerate(parts):
            kept = slice(most_past - past[row], most_past + len(new[row]))
            keys, values = (torch.stack([pair[side][row, :, kept] for pair in layers]) for side in (0, 1))
            readings.append(_Reading(items, keys, values, self._pool(part, fresh[row], hidden[row, len(heads[row]) :])))
        return readings

    def _pool(self, part: _Reading | None, titles: list[list[int]], hidden: NDArray[np.float32]) -> NDArray[np.float64]:
        state = np.zeros(hidden.shape[1]) if part is None else part.state
        begin = 0
        for title in titles:
            state = self._decay * state + hidden[begin : begin + len(title)].mean(axis=0, dtype=np.float64)
            begin += len(title)
        return np.asarray(state)

    def _keep(self, reading: _Reading) -> None:
        """Keep what was read in place of the shorter part that it goes on from; forget the oldest for lack of room."""
        for end in range(len(reading.items) - 1, 0, -1):
            shorter = self._kept.pop(reading.items[:end], None)
            if shorter is not None:
                self.reads.kept -= shorter.size
                break
        self._kept[reading.items] = reading
        self.reads.kept += reading.size
        while self.reads.kept > self._memory and self._kept:
            self.reads.kept -= self._kept.popitem(last=False)[1].size
            self.reads.forgotten += 1

    def _point(self, state: NDArray[np.float64]) -> NDArray[np.float32]:
        direction = state / max(float(np.linalg.norm(state)), 1e-12) - self._centre
        point = self._components @ direction
        return np.asarray(point / max(float(np.linalg.norm(point)), 1e-12), dtype=np.float32)

    def _mean_direction(self) -> NDArray[np.float64]:
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, len(self._titles), (_SAMPLE, _SAMPLE_ITEMS))
        states = np.stack(list(self._states([tuple(row) for row in np.unique(drawn, axis=0).tolist()]).values()))
        self._kept.clear()
        self.reads = Reads()
        return np.asarray((states / np.linalg.norm(states, axis=1, keepdims=True)).mean(axis=0))

    def _title(self, item: int) -> list[int]:
        if item not in self._tokens:
            most = max((self._encoder.max_length - len(self._head)) // (2 * self._items), 1)
            self._tokens[item] = self._encoder.plain_tokens(self._titles[item] + END_OF_TITLE)[:most]
            if not self._tokens[item]:
                raise InputError(f"{self._encoder.name} finds no token in the title {self._titles[item][:60]!r}")
        return self._tokens[item]

    def _length(self, items: Items) -> int:
        return sum(len(self._title(item)) for item in items)


def _known(part: _Reading | None) -> int:
    return 0 if part is None else len(part.items)


def _side_by_side(parts: list[_Reading | None], longest: int, device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of each layer, (batch, heads, longest, d_head), padded on the left with zeros."""
    import torch

    (layers, heads, _, d_head), dtype = next((part.keys.shape, part.keys.dtype) for part in parts if part is not None)
    both = torch.zeros((2, layers, len(parts), heads, longest, d_head), dtype=dtype, device=device)
    for row, part in enumerate(parts):
        if part is not None:
            both[0, :, row, :, longest - part.keys.shape[2] :] = part.keys
            both[1, :, row, :, longest - part.keys.shape[2] :] = part.values
    return [(both[0, layer], both[1, layer]) for layer in range(layers)]


def require_causal(encoder: TextEncoder) -> None:
    """Raise an InputError for a model whose first words change when others follow, or with what else is read."""
    import torch

    remedy = "name a causal model, such as --encoder smollm2, or --set history.encoder=text"
    if encoder.recipe.precision == "int8":  # one scale for all that is read together
        raise InputError(
            f"history.encoder=causal: in int8 {encoder.name} reads a history otherwise beside other ones; "
            "use precision=bf16 or fp32"
        )
    if encoder.recipe.pooling != "mean":
        found = f"{encoder.name} by {encoder.recipe.pooling}"
        raise InputError(f"history.encoder=causal pools by the mean, {found}; {remedy}")
    ids = torch.tensor([encoder.plain_tokens("one film and another")], device=encoder.device)
    with torch.inference_mode():
        alone, followed = (encoder.model(input_ids=part).last_hidden_state[0, 0] for part in (ids[:, :1], ids))
    if float((alone - followed).norm() / alone.norm()) > _LEFT_TO_RIGHT:
        raise InputError(f"history.encoder=causal: {encoder.name} reads in both directions at once; {remedy}")
