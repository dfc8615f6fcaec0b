"""A causal language model that is asked: the likelihood of fixed answers after a prefix and a line, and short texts.

Prefixes (who the user is) run once, and their key-value caches are kept, so that a line (an item) costs its own tokens
alone. The lines of one user lie side by side in one pass, and each sees the prefix and itself: what it is answered does
not depend on the lines beside it, up to rounding.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.models import (
    SMOLLM,
    download,
    fingerprint,
    hashes,
    read_causal_model,
    require_model_files,
    smollm_folder,
)
from zsr_sim.encoders.recipe import Recipe, parse
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.errors import InputError

if TYPE_CHECKING:
    import torch

PREFIX_TOKENS, LINE_TOKENS = 256, 64  # at most; what is longer loses its beginning
_LINES = 16  # of one prefix that are read side by side
_BATCH_TOKENS = 1024
_MEMORY = 512 << 20  # bytes of key-value caches that are kept
_PRECISION = "bf16"  # four times as fast as fp32 on a CPU that knows it, and answers are uncertain by more than that

Progress = Callable[[int, int], None]
Piece = TypeVar("Piece")


class Answering(Protocol):
    """What LLM users need of a language model."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs whenever answers may differ."""

    def answer(self, questions: Sequence[tuple[str, str]], answers: Sequence[str]) -> NDArray[np.float32]:
        """Log-likelihood of each fixed answer after prefix + line, float32 (n, answers); rows sum to 1 in exp."""


class CausalModel:
    """A causal language model; its weights are read when it is first asked, since answers may all be known already.

    Args:
        folder: config.json, tokenizer and safetensors weights, or one .gguf file.
        name: what a person calls it.
        precision: "fp32" or "bf16".
        device: a torch device.

    Raises:
        InputError: the folder lacks files; when it is first asked: they are no causal language model.
    """

    def __init__(self, folder: Path, name: str, precision: str = _PRECISION, device: str = "cpu") -> None:
        require_model_files(folder)
        self.name, self.folder, self.device, self.precision = name, folder, device, precision
        self.fingerprint = fingerprint(
            hashes(folder), PREFIX_TOKENS, Recipe(pooling="last", precision=precision, device=device)
        )
        self._prefixes: OrderedDict[str, torch.Tensor] = OrderedDict()  # (layers, 2, heads, length, d_head) each

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        return read_causal_model(self.folder, self.precision, self.device)

    def answer(self, questions: Sequence[tuple[str, str]], answers: Sequence[str]) -> NDArray[np.float32]:
        """Log-likelihood of each fixed answer after prefix + line, normalised among the answers, float32 (n, answers).

        An answer is told by its first token. Raises InputError where two answers begin with the same one.
        """
        targets = self._first_tokens(answers)
        found = np.empty((len(questions), len(answers)), dtype=np.float32)
        lines = self._tokens([line for _, line in questions], LINE_TOKENS)
        for block in _blocks(questions, self._prefix_room()):
            caches = self._read_prefixes([questions[rows[0]][0] for rows in block])
            pieces = [rows[at : at + _LINES] for rows in block for at in range(0, len(rows), _LINES)]
            pieces.sort(key=lambda rows: sum(len(lines[row]) for row in rows))
            for some in _within(pieces, lambda rows: sum(len(lines[row]) for row in rows), _BATCH_TOKENS):
                prefixes = [caches[questions[rows[0]][0]] for rows in some]
                told = self._answer_lines(prefixes, [[lines[row] for row in rows] for rows in some], targets)
                found[[row for rows in some for row in rows]] = told
        return found

    def log_likelihoods(self, prefix: str, lines: Sequence[str]) -> NDArray[np.float32]:
        """Log-likelihood of each whole line after a prefix: the sum over its tokens, float32 (n,)."""
        import torch

        (begin,), tokens = self._tokens([prefix], PREFIX_TOKENS), self._tokens(lines, LINE_TOKENS)
        before = self._run([begin[:-1]], None)[0] if len(begin) > 1 else None  # its last token stands before each line
        head, found = self._parts[1].get_output_embeddings(), np.empty(len(lines), dtype=np.float32)
        by_length = sorted(range(len(lines)), key=lambda row: len(tokens[row]))
        for rows in _within(by_length, lambda row: len(tokens[row]), _BATCH_TOKENS // 2):
            sought = _padded([tokens[row] for row in rows], -1)  # (n, width)
            with torch.inference_mode():
                read = self._forward([begin[-1:] + tokens[row][:-1] for row in rows], before)
                logits = head(read.last_hidden_state).float()  # (n, width, vocabulary)
                own = logits.gather(2, sought.clamp(min=0).to(self.device)[:, :, None])[:, :, 0]
                log_p = (own - logits.logsumexp(dim=2)).cpu()  # (n, width)
            found[rows] = torch.where(sought >= 0, log_p, 0.0).sum(dim=1).numpy()
        return found

    def forget(self) -> None:
        """Drop the prefixes that were read."""
        self._prefixes.clear()

    def write(
        self, prompts: Sequence[str], most: int, keys: NDArray[np.int64], seed: int = 0, temperature: float = 0.0
    ) -> list[str]:
        """What the model writes after each prompt, to the end of the line, at most so many tokens.

        temperature: 0 takes the likeliest token each time; above, token t of the text with key k is drawn by the noise
        of (seed, k, t). A prompt that is longer than PREFIX_TOKENS loses its beginning.
        """
        tokenizer, _ = self._parts
        written = [""] * len(prompts)
        by_length: dict[int, list[int]] = defaultdict(list)
        tokens = self._tokens(prompts, PREFIX_TOKENS)
        for row, ids in enumerate(tokens):
            by_length[len(ids)].append(row)
        for rows in by_length.values():
            found = self._continued([tokens[row] for row in rows], most, keys[rows], seed, temperature)
            for row, ids in zip(rows, found, strict=True):
                written[row] = tokenizer.decode(ids, skip_special_tokens=True).strip("\n").split("\n")[0]
        return written

    def _continued(
        self, prompts: list[list[int]], most: int, keys: NDArray[np.int64], seed: int, temperature: float
    ) -> list[list[int]]:
        """The tokens after prompts of one length; a row ends with its first end token, or with a line."""
        import torch

        tokenizer, model = self._parts
        ids = torch.tensor(prompts, device=self.device)  # (n, length)
        cache, found = None, list[NDArray[np.int64]]()
        open_rows = np.ones(len(prompts), dtype=np.bool_)
        for step in range(most):
            with torch.inference_mode():
                out = model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                logits = model.get_output_embeddings()(out.last_hidden_state[:, -1]).float().cpu().numpy()
            tokens = logits.argmax(axis=1)  # (n,)
            if temperature > 0:
                shares = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature).cumsum(axis=1)
                luck = uniforms(seed, keys, step, Purpose.WRITE, 1)  # (n, 1)
                tokens = (shares < luck * shares[:, -1:]).sum(axis=1)
            found.append(np.where(open_rows, tokens, -1))
            ends = [token == tokenizer.eos_token_id or "\n" in tokenizer.decode([token]) for token in tokens.tolist()]
            open_rows &= ~(np.array(ends) & (step > 0))  # a line may begin with a break
            if not open_rows.any():
                break
            ids = torch.tensor(tokens[:, None], device=self.device)
        return [[int(token) for token in row if token >= 0] for row in np.stack(found, axis=1)]

    def _answer_lines(
        self, prefixes: list[torch.Tensor], lines: list[list[list[int]]], targets: list[int]
    ) -> NDArray[np.float32]:
        """For each prefix its lines, side by side in one row: each sees the prefix and itself; (lines, answers)."""
        import torch
        from transformers import DynamicCache

        _, model = self._parts
        n, room = len(prefixes), max(prefix.shape[-2] for prefix in prefixes)
        width = max(sum(map(len, own)) for own in lines)
        layers, two, heads, _, size = prefixes[0].shape
        past = prefixes[0].new_zeros((layers, two, n, heads, room, size))
        sees = torch.zeros((n, 1, width, room + width), dtype=torch.bool)
        ids, places = torch.zeros((n, width), dtype=torch.long), torch.zeros((n, width), dtype=torch.long)
        ends: list[tuple[int, int]] = []
        for row, (prefix, own) in enumerate(zip(prefixes, lines, strict=True)):
            length, at = prefix.shape[-2], 0
            past[:, :, row, :, :length] = prefix
            sees[row, 0, :, :length] = True  # also for the padding, whose rows must not be empty
            for line in own:
                end = at + len(line)
                ids[row, at:end] = torch.tensor(line)
                places[row, at:end] = torch.arange(length, length + len(line))
                sees[row, 0, at:end, room + at : room + end] = torch.ones(len(line), len(line)).tril().bool()
                ends.append((row, end - 1))
                at = end
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(past):
            cache.update(keys, values, layer)
        mask = torch.zeros(sees.shape, dtype=past.dtype).masked_fill(~sees, torch.finfo(past.dtype).min)
        with torch.inference_mode():
            hidden = model.base_model(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                position_ids=places.to(self.device),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state  # (n, width, d)
            rows, columns = torch.tensor(ends).T
            last = hidden[rows, columns].float()  # (lines, d)
            head = model.get_output_embeddings()
            # Summed row by row: a matrix product would round differently in another batch.
            logits = (last[:, None, :] * head.weight[targets].float()).sum(dim=-1)  # (lines, answers)
            if getattr(head, "bias", None) is not None:
                logits = logits + head.bias[targets].float()
            likelihoods: NDArray[np.float32] = torch.log_softmax(logits, dim=1).cpu().numpy()
        return likelihoods

    def _read_prefixes(self, prefixes: Sequence[str]) -> dict[str, torch.Tensor]:
        """Key-value caches of these prefixes; those not kept from before are run, those of about one length at once."""
        wanted = list(dict.fromkeys(prefixes))
        fresh = [prefix for prefix in wanted if prefix not in self._prefixes]
        tokens = dict(zip(fresh, self._tokens(fresh, PREFIX_TOKENS), strict=True))
        fresh.sort(key=lambda prefix: len(tokens[prefix]))
        common = _common_beginning(list(tokens.values()))  # the instruction: read once for all
        shared = self._run([common], None)[0] if common else None
        for some in _within(fresh, lambda prefix: len(tokens[prefix]), _BATCH_TOKENS):
            caches = self._run([tokens[prefix][len(common) :] for prefix in some], shared)
            self._prefixes.update(zip(some, caches, strict=True))
        for prefix in wanted:
            self._prefixes.move_to_end(prefix)
        found = {prefix: self._prefixes[prefix] for prefix in wanted}
        held = sum(kept.nbytes for kept in self._prefixes.values())
        while held > _MEMORY and len(self._prefixes) > len(wanted):
            held -= self._prefixes.popitem(last=False)[1].nbytes
        return found

    def _run(self, tokens: list[list[int]], before: torch.Tensor | None) -> list[torch.Tensor]:
        """Key-value caches of some token rows, all after the same `before`: (layers, 2, heads, length, d_head) each."""
        import torch

        read = self._forward(tokens, before).past_key_values.layers
        layers = [torch.stack([layer.keys, layer.values]) for layer in read]  # (2, batch, heads, length, d_head)
        start = 0 if before is None else before.shape[-2]
        return [
            torch.stack([layer[:, row, :, : start + len(ids)] for layer in layers]) for row, ids in enumerate(tokens)
        ]

    def _forward(self, tokens: list[list[int]], before: torch.Tensor | None) -> Any:
        """What the model makes of some token rows, all after the same `before`; padded at the end, where none looks."""
        import torch
        from transformers import DynamicCache

        _, model = self._parts
        cache = DynamicCache()
        if before is not None:
            for layer, (keys, values) in enumerate(before[:, :, None].expand(-1, -1, len(tokens), -1, -1, -1)):
                cache.update(keys, values, layer)
        with torch.inference_mode():
            return model.base_model(input_ids=_padded(tokens, 0).to(self.device), past_key_values=cache, use_cache=True)

    def _prefix_room(self) -> int:
        """How many prefixes of the greatest length fit into half of the memory."""
        _, model = self._parts
        config = model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        size = 2 if self.precision == "bf16" else 4
        return int(max(1, _MEMORY // 2 // (config.num_hidden_layers * 2 * heads * width * PREFIX_TOKENS * size)))

    def _tokens(self, texts: Sequence[str], most: int) -> list[list[int]]:
        if not texts:
            return []
        tokenizer, _ = self._parts
        found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        if not all(found):
            raise InputError(f"{self.name} finds no token in a text that it is asked about; give every item a title")
        return [ids[-most:] for ids in found]

    def _first_tokens(self, answers: Sequence[str]) -> list[int]:
        first = [ids[0] for ids in self._tokens(answers, LINE_TOKENS)]
        if len(set(first)) < len(first):
            raise InputError(
                f"{self.name} begins two of the answers {', '.join(map(repr, answers))} with the same token; "
                "it cannot be asked this way, name another model"
            )
        return first


def load_causal_model(spec: str = SMOLLM) -> CausalModel:
    """The causal language model that a person names: "smollm2", a folder, or a hub id; options as for `--encoder`.

    Raises InputError for a model or an option that cannot be.
    """
    name, recipe = parse(spec)
    if recipe.pooling or recipe.prefix or recipe.dimensions or recipe.precision == "int8":
        raise InputError(f"language model {spec!r}: a model that answers takes precision=fp32 or bf16 and device alone")
    precision = recipe.precision if "precision=" in spec else _PRECISION
    if name == SMOLLM:
        return CausalModel(smollm_folder(), name, precision, recipe.device)
    path = Path(name).expanduser()
    if path.exists() or name.startswith((".", "/", "~")):
        return CausalModel(path, path.resolve().name, precision, recipe.device)
    return CausalModel(download(name), name, precision, recipe.device)


def _padded(rows: Sequence[list[int]], filler: int) -> torch.Tensor:
    """Token rows side by side, int64 (n, longest), padded at the end."""
    import torch

    batch = torch.full((len(rows), max(map(len, rows))), filler, dtype=torch.long)
    for row, ids in enumerate(rows):
        batch[row, : len(ids)] = torch.tensor(ids)
    return batch


def _blocks(questions: Sequence[tuple[str, str]], most: int) -> Iterator[list[list[int]]]:
    """Rows of the questions by prefix, `most` prefixes at a time."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, (prefix, _) in enumerate(questions):
        rows[prefix].append(row)
    groups = list(rows.values())
    return (groups[at : at + most] for at in range(0, len(groups), most))


def _common_beginning(rows: Sequence[list[int]]) -> list[int]:
    """The tokens that several rows begin with, each row keeping one of its own; [] for one row."""
    if len(rows) < 2:
        return []
    first, last = min(rows), max(rows)  # what these share, all share
    most = min(map(len, rows)) - 1
    return first[: next((at for at in range(most) if first[at] != last[at]), most)]


def _within(pieces: Sequence[Piece], size: Callable[[Piece], int], most: int) -> Iterator[list[Piece]]:
    """Pieces in their order, ascending in size, together as long as the padded sum is within `most`."""
    some: list[Piece] = []
    for piece in pieces:
        if some and (len(some) + 1) * size(piece) > most:
            yield some
            some = []
        some.append(piece)
    if some:
        yield some
