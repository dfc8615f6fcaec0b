"""The click model learns a world with a known answer, and carries what it knows to other catalogues."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zsr_sim.generation.clicks import ClickModel, ClickTrainer
from zsr_sim.generation.evidence import N_EVIDENCE

N_ITEMS, SLATE = 20, 4


def _pages(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    """Clicks of log-odds 2 x_0 - 1, one more for even items and one less for odd ones, position j looked at j^-1/2."""
    evidence = rng.normal(size=(n, SLATE, N_EVIDENCE)).astype(np.float32)
    pages = rng.integers(N_ITEMS, size=(n, SLATE)).astype(np.int32)
    odds = 2 * evidence[:, :, 0] - 1 + np.where(pages % 2 == 0, 1.0, -1.0)
    chance = np.arange(1, SLATE + 1) ** -0.5 / (1 + np.exp(-odds))
    return evidence, pages, rng.random(chance.shape) < chance


@pytest.fixture(scope="module")
def learned() -> ClickTrainer:
    trainer, rng = ClickTrainer(N_ITEMS, 0), np.random.default_rng(0)
    losses = [trainer.learn(*_pages(rng, 4000)) for _ in range(12)]
    assert losses[-1] < 0.85 * losses[0]
    return trainer


@torch.no_grad()
def test_evidence_items_and_positions_are_told_apart(learned: ClickTrainer) -> None:
    model = learned.model
    points = torch.zeros(3, N_EVIDENCE)
    points[:, 0] = torch.tensor([-1.0, 0.0, 1.0])
    slope = (model(points)[2] - model(points)[0]) / 2
    assert float(slope) == pytest.approx(2.0, abs=0.35)
    even, odd = model.attraction[::2], model.attraction[1::2]
    assert float(even.min()) > 0.15 > -0.15 > float(odd.max())
    np.testing.assert_allclose(model.log_looks(SLATE).exp(), np.arange(1, SLATE + 1) ** -0.5, atol=0.06)


def test_what_an_item_drew_is_its_clicks_against_what_was_expected() -> None:
    model = ClickModel(3)
    model.clicks[:] = torch.tensor([0.0, 15.0, 0.0])
    model.expected[:] = torch.tensor([0.0, 5.0, 5.0])
    np.testing.assert_allclose(model.attraction, np.log([1.0, 2.0, 0.5]), rtol=1e-6)


@torch.no_grad()
def test_another_catalogue_keeps_the_items_that_it_shares(learned: ClickTrainer) -> None:
    moved = learned.model.moved(np.array([7, -1, 2], dtype=np.int64))
    own = learned.model.attraction
    np.testing.assert_array_equal(moved.attraction, torch.stack([own[7], torch.tensor(0.0), own[2]]))
    x = torch.randn(5, N_EVIDENCE, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(moved(x), learned.model(x))


def test_the_same_seed_learns_the_same() -> None:
    pages = _pages(np.random.default_rng(1), 300)
    models = []
    for _ in range(2):
        trainer = ClickTrainer(N_ITEMS, 5)
        trainer.learn(*pages)
        models.append(trainer.model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
