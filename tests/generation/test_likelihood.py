"""The likelihood objective: what it is, whom it compares, and what it leaves out."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zsr_sim.generation import likelihood
from zsr_sim.generation.networks import HIDDEN, Generator, ItemTable

N = 30
KNOWN = torch.arange(N) < 20
BATCH = torch.tensor([[-1, 3, 4, 9], [-1, -1, 7, 19]])


def _table(seed: int = 0) -> ItemTable:
    rng = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(N, 8, generator=rng), dim=1)
    return ItemTable(vectors, torch.rand(N, generator=rng) * KNOWN)


def _generator() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(8, N)
        torch.nn.init.normal_(generator.residual)
        generator.noise.weight.data.zero_()
    return generator


def _loss(generator: Generator, table: ItemTable) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return likelihood.next_item_loss(generator, table, BATCH, KNOWN, KNOWN / 20, rng)


def test_it_is_the_mean_surprise_among_known_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "_RESIDUAL_DROPOUT", 0.0)
    monkeypatch.setattr(likelihood, "_TEXT_ONLY", 0.0)
    generator, table = _generator(), _table()
    items = generator.items(table, KNOWN)
    logits = (generator(items, BATCH) @ items.points.T + items.bias)[:, :, :20].detach().double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    asked = [(0, 0, 3), (0, 1, 4), (0, 2, 9), (1, 1, 7), (1, 2, 19)]
    expected = -np.mean([np.log(p[row, place, item]) for row, place, item in asked])
    assert float(_loss(generator, table).detach()) == pytest.approx(expected, rel=1e-5)


def test_items_that_no_log_has_do_not_matter() -> None:
    generator, table = _generator(), _table()
    other = ItemTable(torch.where(KNOWN[:, None], table.vectors, -table.vectors), table.appeal)
    assert torch.equal(_loss(generator, table), _loss(generator, other))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_texts_alone_teach_no_residual(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "_TEXT_ONLY", share)
    generator = _generator()
    _loss(generator, _table()).backward()
    assert generator.residual.grad is not None
    assert generator.text.weight.grad is not None
    assert generator.text.weight.grad.any()
    assert bool(generator.residual.grad[KNOWN].any()) == (share < 1)
    assert not generator.residual.grad[~KNOWN].any()
    assert bool(generator.appeal_weight.grad) == (share < 1)
    assert generator.residual.shape == (N, HIDDEN + 1)
