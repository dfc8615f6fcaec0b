"""Shortlists through an index: those of a full scoring in a small catalogue, most of them in a large one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.generation.test_index import clustered
from tests.generation.waiting import random_waiting, unseen, waiting
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.tables import F32, I64
from zsr_sim.generation import index as index_module
from zsr_sim.generation.gan import item_table, next_item_logits, shortlist
from zsr_sim.generation.index import ALWAYS, ItemIndex, Shelf
from zsr_sim.generation.networks import Generator, Items
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.shortlists import find
from zsr_sim.generation.writing import Body

D, SIZE = 16, 100


def _generator(n_items: int) -> tuple[Generator, Items]:
    """One that a log of many items taught something about each; popularity as uneven as in a log."""
    rng = np.random.default_rng(2)
    retrieval = Retrieval(clustered(n_items), rng.pareto(1.2, n_items).astype(np.float32))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        generator = Generator(D, n_items).eval()
        generator.residual.normal_(std=0.03)
        return generator, generator.items(item_table(retrieval))


def _found(
    generator: Generator, items: Items, index: ItemIndex, observation: Observation, size: int, shelf: Shelf = ALWAYS
) -> tuple[I64, I64]:
    points, memory = items.points.numpy(), items.memory.numpy()
    return find(Body.of(generator), points, memory, index, observation, shelf, size)


def _index(items: Items, look_at: int) -> ItemIndex:
    return ItemIndex.of_products(items.points.numpy(), items.bias.numpy(), look_at)


def _logits(generator: Generator, items: Items, observation: Observation) -> F32:
    histories = torch.from_numpy(observation.histories.astype(np.int64))
    with torch.inference_mode():
        logits: F32 = next_item_logits(generator, items, histories).numpy()
    return logits


def test_in_a_small_catalogue_it_is_the_full_scoring() -> None:
    generator, items = _generator(300)
    observation = random_waiting(40, 300, length=80)  # some longer than the generator reads
    found, kinds = _found(generator, items, _index(items, 300), observation, SIZE)
    left_out = torch.from_numpy(np.concatenate([observation.histories, observation.shown], axis=1).astype(np.int64))
    histories = torch.from_numpy(observation.histories.astype(np.int64))
    with torch.inference_mode():
        expected = shortlist(generator, items, histories, left_out, 10)
    logits = _logits(generator, items, observation)
    scores = np.take_along_axis(logits, found, axis=1)
    np.testing.assert_allclose(scores, np.take_along_axis(logits, expected.items.numpy(), axis=1), atol=1e-5)
    assert (found == expected.items.numpy()).mean() > 0.99  # neighbours in rank may differ by rounding
    assert not kinds.any()


def test_what_is_left_out_comes_last() -> None:
    """60 items: 20 new ones, 20 that were consumed or shown, 20 that cannot be had."""
    generator, items = _generator(60)
    released = np.repeat(np.array([0, 1], dtype=np.int32), [40, 20])
    shelf = Shelf(released, released + 1)
    observation = waiting(np.tile(np.arange(10, dtype=np.int32), (3, 1)), [list(range(10, 20))] * 3)
    found, kinds = _found(generator, items, _index(items, 60), observation, 60, shelf)
    logits = _logits(generator, items, observation)
    for row in range(3):
        assert kinds[row].tolist() == [0] * 20 + [1] * 20 + [2] * 20
        for part, own in zip(np.split(found[row], 3), (range(20, 40), range(20), range(40, 60)), strict=True):
            assert set(part.tolist()) == set(own)
            assert (np.diff(logits[row, part]) < 1e-5).all()
    later, _ = _found(generator, items, _index(items, 60), replace(observation, steps=observation.steps + 1), 20, shelf)
    assert (np.sort(later, axis=1) == np.arange(40, 60)).all()


@pytest.mark.parametrize(("look_at", "share"), [(600, 0.7), (1500, 0.9)])
def test_in_a_large_catalogue_it_finds_most_of_the_best(look_at: int, share: float) -> None:
    """Of 6,000 items a tenth and a quarter are looked at."""
    generator, items = _generator(6000)
    observation = random_waiting(100, 6000)
    index = _index(items, look_at)
    assert len(index.centres) == 77
    assert index.probes == -(-look_at * 77 // 6000)
    found, _ = _found(generator, items, index, observation, SIZE)
    logits = _logits(generator, items, observation)
    shares = []
    for row in range(100):
        new = np.array(sorted(unseen(observation, row, 6000)))
        best = new[np.argsort(-logits[row, new])[:SIZE]]
        shares.append(len(set(best.tolist()) & set(found[row].tolist())) / SIZE)
        assert set(found[row].tolist()) <= set(new.tolist())
        assert len(set(found[row].tolist())) == SIZE
    assert np.mean(shares) > share


def test_cells_hold_every_item_once_with_its_own_offset() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2000, 8)).astype(np.float32) * rng.uniform(0.1, 3, (2000, 1)).astype(np.float32)
    offsets = rng.normal(size=2000).astype(np.float32)
    index = ItemIndex.of_products(vectors, offsets, 500)
    np.testing.assert_array_equal(np.sort(index.items), np.arange(2000))
    np.testing.assert_array_equal(index.vectors, vectors[index.items])
    np.testing.assert_array_equal(index.offsets, offsets[index.items])
    cells = np.repeat(np.arange(45), np.diff(index.starts))
    inside = _mean_product(index, vectors, cells)
    assert inside > _mean_product(index, vectors, rng.permutation(cells)) + 0.3


def test_in_a_very_large_catalogue_more_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 of 2,000 items are 12 of 45 cells; of a catalogue four times as large as a crowded one, twice as many."""
    vectors = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    assert ItemIndex.of_products(vectors, vectors[:, 0], 500).probes == 12
    monkeypatch.setattr(index_module, "_CROWDED", 500)
    assert ItemIndex.of_products(vectors, vectors[:, 0], 500).probes == 23


def _mean_product(index: ItemIndex, vectors: F32, cells: NDArray[np.int64]) -> float:
    """Of items with the centres of these cells."""
    products = (vectors[index.items] * index.centres[cells]).sum(axis=1) + index.offsets * index.centre_offsets[cells]
    return float(products.mean())
