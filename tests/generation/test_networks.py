"""The two players: what they may depend on, and the generator's formulas by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.generation.waiting import random_waiting
from zsr_sim.encoders.history import pooled
from zsr_sim.encoders.space import unit
from zsr_sim.generation.networks import DECAYS, NOISE, RECENT, Discriminator, Generator, Past, read_histories

D, N_ITEMS, USERS, LENGTH = 6, 40, 9, 5


def _vectors(n: int = N_ITEMS, seed: int = 0) -> Tensor:
    return torch.from_numpy(unit(np.random.default_rng(seed).normal(size=(n, D))))


def _histories(width: int = 30) -> Tensor:
    return torch.from_numpy(random_waiting(USERS, N_ITEMS, width).histories.astype(np.int64))


def _made(kind: type[Generator] | type[Discriminator]) -> Generator | Discriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(D).double().eval()


@pytest.fixture(scope="module")
def generator() -> Generator:
    made = _made(Generator)
    assert isinstance(made, Generator)
    return made


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    made = _made(Discriminator)
    assert isinstance(made, Discriminator)
    return made


def _noise(seed: int = 1) -> Tensor:
    return torch.randn(USERS, NOISE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _sequences(seed: int = 2, n: int = N_ITEMS) -> Tensor:
    return torch.randint(n, (USERS, LENGTH), generator=torch.Generator().manual_seed(seed))


def test_reading_of_histories() -> None:
    histories, vectors = _histories(), _vectors()
    past = read_histories(histories, vectors)
    assert (past.pooled.shape, past.items.shape) == ((USERS, 2 * D), (USERS, RECENT, D))
    views = [pooled(histories.numpy().astype(np.int32), vectors.float().numpy(), decay) for decay in DECAYS]
    np.testing.assert_allclose(past.pooled, np.concatenate(views, axis=1), rtol=1e-6)
    for row, history in enumerate(histories[:, -RECENT:]):
        known = vectors[history[history >= 0]]
        torch.testing.assert_close(past.items[row, RECENT - len(known) :], known, rtol=0, atol=0)
        assert not past.items[row, : RECENT - len(known)].any()
    some = past.take(torch.tensor([4, 1]))
    torch.testing.assert_close(some.items, past.items[[4, 1]], rtol=0, atol=0)
    torch.testing.assert_close(some.pooled, past.pooled[[4, 1]], rtol=0, atol=0)


@pytest.mark.parametrize("width", [RECENT - 5, RECENT, 50])
@torch.no_grad()
def test_padding_of_a_history_does_not_matter(generator: Generator, width: int) -> None:
    vectors, histories = _vectors(), _histories(8)
    wider = torch.cat([torch.full((USERS, width - 8), -1), histories], dim=1)
    points = [generator(read_histories(h, vectors), _noise(), vectors[_sequences()]) for h in (histories, wider)]
    torch.testing.assert_close(points[0], points[1], rtol=0, atol=0)


@torch.no_grad()
def test_the_same_weights_write_for_any_catalogue(generator: Generator) -> None:
    for n in (N_ITEMS, 3 * N_ITEMS):
        points = generator(read_histories(_histories(), _vectors(n, seed=5)), _noise(), _vectors(n)[_sequences(n=n)])
        assert points.shape == (USERS, LENGTH, D)
        assert (points @ _vectors(n).T).shape == (USERS, LENGTH, n)


@torch.no_grad()
def test_the_order_of_the_catalogue_does_not_matter(generator: Generator) -> None:
    order = torch.from_numpy(np.random.default_rng(3).permutation(N_ITEMS))  # new row k holds old row order[k]
    place = torch.argsort(order)
    vectors, histories, items = _vectors(), _histories(), _sequences()
    moved = torch.where(histories >= 0, place[histories.clamp(min=0)], -1)
    logits = generator(read_histories(histories, vectors), _noise(), vectors[items]) @ vectors.T
    shuffled = vectors[order]
    moved_logits = generator(read_histories(moved, shuffled), _noise(), shuffled[place[items]]) @ shuffled.T
    torch.testing.assert_close(moved_logits, logits[:, :, order], rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_point_is_written_before_its_item(generator: Generator) -> None:
    vectors, past = _vectors(), read_histories(_histories(), _vectors())
    before = generator(past, _noise(), vectors[_sequences()])
    for t in range(LENGTH):
        changed = _sequences()
        changed[:, t:] = (changed[:, t:] + 1) % N_ITEMS
        after = generator(past, _noise(), vectors[changed])
        torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1], rtol=0, atol=0)
        assert (after[:, t + 1 :] != before[:, t + 1 :]).any(dim=2).all()


@torch.no_grad()
def test_points_follow_history_noise_and_order(generator: Generator) -> None:
    vectors, histories = _vectors(), torch.tensor([[3, 1, 2], [2, 1, 3], [3, 1, 4]])
    items, noise = vectors[torch.zeros(3, 1, dtype=torch.int64)], torch.zeros(3, NOISE, dtype=torch.float64)
    same_noise = generator(read_histories(histories, vectors), noise, items)[:, 0]
    assert torch.cdist(same_noise, same_noise)[~torch.eye(3, dtype=torch.bool)].min() > 1e-2
    other = generator(read_histories(histories, vectors), noise + 1, items)[:, 0]
    assert (other - same_noise).norm(dim=1).min() > 1e-3


@torch.no_grad()
def test_points_by_the_formula(generator: Generator) -> None:
    """point = exp(scale) (attention(hidden, history items) + B hidden + C past), one user and position at a time."""
    past = read_histories(_histories(), _vectors())
    read = generator.read(past)
    hidden = torch.randn(USERS, 3, 64, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = generator.points(hidden, read)
    weight = {name: value.numpy() for name, value in generator.named_parameters()}
    for user in range(USERS):
        known = past.items[user][past.items[user].any(dim=1)].numpy()  # (k, d)
        for k in range(3):
            h = hidden[user, k].numpy()
            asked = np.exp(known @ (weight["ask.weight"] @ h + weight["ask.bias"]))
            attended = asked @ known / max(asked.sum(), 1e-12)
            lasting = weight["lasting.weight"] @ read.summary[user].numpy() + weight["lasting.bias"]
            point = attended + weight["point.weight"] @ h + weight["point.bias"] + lasting
            np.testing.assert_allclose(found[user, k], np.exp(1.5) * point, rtol=1e-9)


@torch.no_grad()
def test_first_states_by_the_formula(generator: Generator) -> None:
    read = generator.read(read_histories(_histories(), _vectors()))
    noise = torch.stack([_noise(1), _noise(2)], dim=1)  # (n, 2, NOISE)
    states = generator.start(read, noise)[0].view(USERS, 2, -1)
    for k in range(2):
        expected = torch.tanh(generator.begin(torch.cat([read.summary, noise[:, k]], dim=1)))
        torch.testing.assert_close(states[:, k], expected)


@torch.no_grad()
def test_the_discriminator_judges_each_position_by_what_came_before(discriminator: Discriminator) -> None:
    vectors, past = _vectors(), read_histories(_histories(), _vectors()).pooled
    before = discriminator(past, vectors[_sequences()])
    assert before.shape == (USERS, LENGTH)
    for t in range(LENGTH):
        changed = _sequences()
        changed[:, t:] = (changed[:, t:] + 1) % N_ITEMS
        after = discriminator(past, vectors[changed])
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=0)
        assert (after[:, t] != before[:, t]).all()
    other = discriminator(past.roll(1, dims=0), vectors[_sequences()])
    assert (other != before).all()


def test_histories_of_nobody_are_readable(generator: Generator) -> None:
    past = read_histories(torch.full((2, 7), -1), _vectors())
    assert not past.pooled.any()
    assert not past.items.any()
    points = generator(Past(past.pooled, past.items), torch.zeros(2, NOISE).double(), _vectors()[:2, None])
    assert torch.isfinite(points).all()
    torch.testing.assert_close(points[0, 0], points[1, 0])
