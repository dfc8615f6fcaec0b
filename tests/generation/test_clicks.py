"""The click model learns a world with a known answer, and carries what it knows to other catalogues."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zsr_sim.encoders.space import unit
from zsr_sim.generation import clicks
from zsr_sim.generation.clicks import ClickModel, ClickTrainer, Shown
from zsr_sim.generation.evidence import N_EVIDENCE

N_ITEMS, SLATE = 20, 4
VECTORS = unit(np.random.default_rng(0).normal(size=(N_ITEMS, 8))).astype(np.float32)

Pages = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64]]


def _pages(rng: np.random.Generator, n: int) -> Pages:
    """Visits of one page: log-odds 2 x_0 - 1, plus 1 for even items, minus 1 for odd ones; place j looked at j^-1/2."""
    evidence = rng.normal(size=(n, SLATE, N_EVIDENCE)).astype(np.float32)
    pages = rng.integers(N_ITEMS, size=(n, SLATE)).astype(np.int32)
    odds = 2 * evidence[:, :, 0] - 1 + np.where(pages % 2 == 0, 1.0, -1.0)
    chance = np.arange(1, SLATE + 1) ** -0.5 / (1 + np.exp(-odds))
    return evidence, pages, rng.random(chance.shape) < chance, np.arange(n)


@pytest.fixture(scope="module")
def learned() -> ClickTrainer:
    trainer, rng = ClickTrainer(VECTORS, 0), np.random.default_rng(0)
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
    model = ClickModel(VECTORS[:3])
    model.clicks[:] = torch.tensor([0.0, 14.0, 0.0])
    model.expected[:] = torch.tensor([0.0, 5.0, 4.0])
    np.testing.assert_allclose(model.attraction, np.log([1.0, 2.0, 0.5]), rtol=1e-6)


@torch.no_grad()
def test_another_catalogue_keeps_the_items_that_it_shares(learned: ClickTrainer) -> None:
    rows = np.array([7, -1, 2], dtype=np.int64)
    moved = ClickModel.restored(learned.model.state_dict(), rows, VECTORS[[7, 0, 2]])
    own = learned.model.attraction
    np.testing.assert_array_equal(moved.attraction, torch.stack([own[7], torch.tensor(0.0), own[2]]))
    x = torch.randn(5, N_EVIDENCE, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(moved(x), learned.model(x))
    shares = learned.model.subjects(torch.tensor([7, 0, 2]))
    np.testing.assert_allclose(moved.subjects(torch.arange(3)), shares, rtol=1e-5)


@torch.no_grad()
def test_tiredness_by_hand() -> None:
    """Two pages of two items; subjects are all but certain, and half of a click is left after a page."""
    model = ClickModel(np.eye(4, dtype=np.float32))
    model.subject.weight.zero_()
    model.subject.weight[:2] = torch.tensor([[50.0, 50.0, 0.0, 0.0], [0.0, 0.0, 50.0, 50.0]])  # items 0 and 1, 2 and 3
    model.memory.zero_()
    items = torch.tensor([[[0, 2], [1, 3], [1, 2]]])
    clicks = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]])
    expected = [[[0.0, 0.0], [1.0, 0.0], [1.5, 1.0]]]
    np.testing.assert_allclose(model.tiredness(items, clicks), expected, atol=1e-4)


def test_what_tires_is_learned_from_who_clicked_what_before() -> None:
    """Four kinds of items, of which two lie side by side; a click costs its kind 2 logits, and a page leaves 0.8."""
    rng = np.random.default_rng(3)
    centres = np.eye(4)[:, [0, 1, 2]] + [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0.8, 0.6, 0]]
    kinds = np.arange(40) % 4
    vectors = unit(centres[kinds] + 0.1 * rng.normal(size=(40, 3))).astype(np.float32)
    trainer = ClickTrainer(vectors, 0)
    for _ in range(8):
        n, pages = 200, 8
        items = rng.integers(40, size=(n, pages, SLATE)).astype(np.int32)
        clicked, tired = np.zeros(items.shape, dtype=np.bool_), np.zeros((n, 4))
        for t in range(pages):
            odds = 0.5 - 2.0 * np.take_along_axis(tired, kinds[items[:, t]], axis=1)
            chance = np.arange(1, SLATE + 1) ** -0.5 / (1 + np.exp(-odds))
            clicked[:, t] = rng.random(chance.shape) < chance
            tired = 0.8 * tired + (clicked[:, t, :, None] * np.eye(4)[kinds[items[:, t]]]).sum(axis=1)
        evidence = np.zeros((n * pages, SLATE, N_EVIDENCE), dtype=np.float32)
        users = np.repeat(np.arange(n), pages)
        trainer.learn(evidence, items.reshape(-1, SLATE), clicked.reshape(-1, SLATE), users)
    model = trainer.model.requires_grad_(False)
    shares = model.subjects(torch.arange(40))
    likeness, same = (shares @ shares.T).numpy(), kinds[:, None] == kinds
    assert likeness[same].mean() > 0.6
    assert likeness[~same].mean() < 0.1
    assert float(torch.sigmoid(model.memory)) == pytest.approx(0.8, abs=0.05)
    x = torch.zeros(2, N_EVIDENCE)
    x[1, -1] = float(likeness[same].mean())  # one click on the same kind
    assert float(model(x)[1] - model(x)[0]) == pytest.approx(-2.0, abs=0.5)


def test_pages_of_earlier_visits_are_kept_whole_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clicks, "_LATEST", 5)
    first, second = (_pages(np.random.default_rng(seed), 6) for seed in (0, 1))
    old = Shown(*first[:3], np.array([0, 0, 0, 1, 1, 1]))
    both = old.followed_by(Shown(*second[:3], np.arange(6)))
    np.testing.assert_array_equal(both.users, [1, 1, 1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(both.pages, np.concatenate([first[1][3:], second[1]]))


def test_the_same_seed_learns_the_same() -> None:
    pages = _pages(np.random.default_rng(1), 300)
    models = []
    for _ in range(2):
        trainer = ClickTrainer(VECTORS, 5)
        trainer.learn(*pages)
        models.append(trainer.model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_evidence_is_read_in_units_of_its_spread() -> None:
    """Of two columns that spread by 10 and by 0.01 around 100, one is read in tens, the other in tenths at least."""
    trainer, rng = ClickTrainer(VECTORS, 0), np.random.default_rng(0)
    evidence, pages, clicked, users = _pages(rng, 4000)
    evidence[..., 0], evidence[..., 1] = 100 + 10 * evidence[..., 0], 100 + 0.01 * evidence[..., 1]
    trainer.learn(evidence, pages, clicked, users)
    model = trainer.model
    np.testing.assert_allclose(model.centre[[0, 1, -1]], [100, 100, 0], rtol=2e-3)
    np.testing.assert_allclose(model.scale[[0, 1, -1]], [10, 0.1, 1], rtol=2e-2)
    again = model.centre.clone()
    trainer.learn(*_pages(rng, 4000))
    np.testing.assert_array_equal(model.centre, again)  # what was learned keeps its meaning
    judge, x = model.judge(SLATE), torch.from_numpy(evidence[:5, 0])
    hidden = np.maximum(x.numpy() @ judge.hidden + judge.bias, 0)
    odds = model(x).detach()
    np.testing.assert_allclose(hidden @ judge.score + x.numpy() @ judge.direct + judge.level, odds, atol=1e-3)
