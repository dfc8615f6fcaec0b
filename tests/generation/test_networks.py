"""The two players: what they may depend on, and the generator's formulas by hand."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.generation.waiting import random_waiting
from zsr_sim.encoders.space import unit
from zsr_sim.errors import InputError
from zsr_sim.generation.gan import DECAYS, pooled_views
from zsr_sim.generation.networks import HEADS, HIDDEN, NOISE, RECENT, Discriminator, Generator, ItemTable, Writing

D, N_ITEMS, USERS, LENGTH = 6, 40, 9, 5
F64 = NDArray[np.float64]


def _table(n: int = N_ITEMS, seed: int = 0) -> ItemTable:
    rng = np.random.default_rng(seed)
    return ItemTable(torch.from_numpy(unit(rng.normal(size=(n, D)))), torch.from_numpy(rng.uniform(size=n)))


def _histories(width: int = 30) -> Tensor:
    return torch.from_numpy(random_waiting(USERS, N_ITEMS, width).histories.astype(np.int64))


def _generator(n_items: int = 0) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Generator(D, n_items).double().eval()
        for hop in made.hops:
            torch.nn.init.normal_(hop.recency)
        torch.nn.init.normal_(made.residual)
        return made


GENERATOR, TABLE = _generator(), _table()


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Discriminator(D).double().eval()


def _noise(m: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(USERS, m, NOISE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _sequences(n: int = N_ITEMS) -> Tensor:
    return torch.randint(n, (USERS, LENGTH), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("width", [RECENT - 5, RECENT, RECENT + 20])
@torch.no_grad()
def test_padding_of_a_history_does_not_matter(width: int) -> None:
    items, histories = GENERATOR.items(TABLE), _histories(8)
    wider = torch.cat([torch.full((USERS, width - 8), -1), histories], dim=1)
    torch.testing.assert_close(GENERATOR(items, wider)[:, -8:], GENERATOR(items, histories), rtol=1e-9, atol=1e-12)
    written = [Writing(GENERATOR, items, h, _noise()).points() for h in (histories, wider)]
    torch.testing.assert_close(written[0], written[1], rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_what_lies_further_back_than_is_read_does_not_matter() -> None:
    items, long = GENERATOR.items(TABLE), torch.arange(RECENT + 7)[None].repeat(USERS, 1) % N_ITEMS
    torch.testing.assert_close(GENERATOR(items, long)[:, -1], GENERATOR(items, long[:, 7:])[:, -1], rtol=1e-9, atol=0)
    other = (long + 1) % N_ITEMS
    before = torch.cat([other[:, :7], long[:, 7:]], dim=1)
    torch.testing.assert_close(GENERATOR(items, before)[:, -1], GENERATOR(items, long)[:, -1], rtol=0, atol=0)


@torch.no_grad()
def test_the_same_weights_write_for_any_catalogue() -> None:
    for n in (N_ITEMS, 3 * N_ITEMS):
        items = GENERATOR.items(_table(n, seed=5))
        assert (GENERATOR(items, _sequences(n)) @ items.points.T).shape == (USERS, LENGTH, n)


@torch.no_grad()
def test_the_order_of_the_catalogue_does_not_matter() -> None:
    order = torch.from_numpy(np.random.default_rng(3).permutation(N_ITEMS))  # new row k holds old row order[k]
    place = torch.argsort(order)
    histories = _histories()
    moved = torch.where(histories >= 0, place[histories.clamp(min=0)], -1)
    items, shuffled = GENERATOR.items(TABLE), GENERATOR.items(ItemTable(TABLE.vectors[order], TABLE.appeal[order]))
    logits = GENERATOR(items, histories) @ items.points.T + items.bias
    moved_logits = GENERATOR(shuffled, moved) @ shuffled.points.T + shuffled.bias
    torch.testing.assert_close(moved_logits, logits[:, :, order], rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_point_follows_all_items_before_it_and_none_after() -> None:
    items, sequences = GENERATOR.items(TABLE), _sequences()
    before = GENERATOR(items, sequences)
    for t in range(LENGTH):
        changed = sequences.clone()
        changed[:, t] = (changed[:, t] + 1) % N_ITEMS
        after = GENERATOR(items, changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=0)
        assert (after[:, t:] != before[:, t:]).any(dim=2).all()


@torch.no_grad()
def test_the_order_of_a_history_matters() -> None:
    one, two = (GENERATOR(GENERATOR.items(TABLE), torch.tensor([h]))[0, -1] for h in ([3, 1, 2], [1, 3, 2]))
    assert (one - two).norm() > 1e-2


@torch.no_grad()
def test_a_residual_belongs_to_one_item_and_can_be_left_out() -> None:
    generator = _generator(N_ITEMS)
    plain, all_of_it = GENERATOR.items(TABLE), generator.items(TABLE)
    torch.testing.assert_close(all_of_it.points - plain.points, generator.residual[:, :HIDDEN])
    torch.testing.assert_close(all_of_it.bias - plain.bias, generator.residual[:, HIDDEN])
    keep = torch.arange(N_ITEMS) % 3 > 0
    some = generator.items(TABLE, keep)
    torch.testing.assert_close(some.points, torch.where(keep[:, None], all_of_it.points, plain.points))
    torch.testing.assert_close(some.memory[~keep], plain.memory[~keep])


def test_residuals_of_another_catalogue_are_refused() -> None:
    with pytest.raises(InputError, match=r"trained on 40 items, the catalogue has 41; use SequenceGan\.moved"):
        _generator(N_ITEMS).items(_table(N_ITEMS + 1))


@torch.no_grad()
def test_points_by_the_formula() -> None:
    """Two hops of attention over the items themselves, one user and position at a time, in numpy."""
    items, sequences = GENERATOR.items(TABLE), _histories(12)
    found = GENERATOR(items, sequences)
    weight = {name: value.numpy() for name, value in GENERATOR.named_parameters()}

    def normed(x: F64, name: str) -> F64:
        return np.asarray((x - x.mean()) / np.sqrt(x.var() + 1e-5) * weight[f"{name}.weight"] + weight[f"{name}.bias"])

    def through(x: F64, name: str) -> F64:
        return np.asarray(weight[f"{name}.weight"] @ x + weight[f"{name}.bias"])

    for user in range(USERS):
        known = [item for item in sequences[user].tolist() if item >= 0]
        for t in range(len(known)):
            past = [items.points[item].numpy() for item in known[: t + 1]]
            state = past[-1]
            for hop in ("first", "second"):
                question = through(normed(state, f"{hop}.norm"), f"{hop}.ask").reshape(HEADS, -1)
                kept = np.stack([through(x, f"{hop}.remember").reshape(2, HEADS, -1) for x in past])
                ago = weight[f"{hop}.recency"][:, t - np.arange(t + 1)].T  # (t + 1, HEADS)
                logits = np.einsum("hd,thd->th", question, kept[:, 0]) / np.sqrt(HIDDEN / HEADS) + ago
                p = np.exp(logits) / np.exp(logits).sum(axis=0)
                answer = np.einsum("th,thd->hd", p, kept[:, 1]).ravel()
                state = state + through(answer, f"{hop}.answer")
                inner = torch.from_numpy(through(normed(state, f"{hop}.think.0"), f"{hop}.think.1"))
                state = state + through(torch.nn.functional.gelu(inner).numpy(), f"{hop}.think.4")
            place = sequences.shape[1] - len(known) + t
            np.testing.assert_allclose(found[user, place], normed(state, "norm"), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("width", [4, 35])
@torch.no_grad()
def test_writing_item_by_item_is_reading_the_whole(width: int) -> None:
    """Three sequences for each history, with noise: every point as `forward` has it for history and sequence."""
    items, histories, noise = GENERATOR.items(TABLE), _histories(width), _noise(3)
    chosen = torch.randint(N_ITEMS, (USERS, 3, LENGTH), generator=torch.Generator().manual_seed(3))
    points, memory = (part.expand(USERS, *part.shape) for part in (items.points, items.memory))
    writing = Writing(GENERATOR, items, histories, noise)
    for t in range(LENGTH):
        found = writing.points()  # (n, 3, HIDDEN)
        for k in range(3):
            whole = torch.cat([histories, chosen[:, k, :t]], dim=1)
            expected = GENERATOR(items, whole, noise[:, k])[:, -1]
            torch.testing.assert_close(found[:, k], expected, rtol=1e-9, atol=1e-11)
        one_hot = torch.nn.functional.one_hot(chosen[:, :, t], N_ITEMS).double()
        writing.blend(one_hot, points, memory)


@torch.no_grad()
def test_histories_of_nobody_are_readable() -> None:
    items, nothing = GENERATOR.items(TABLE), torch.full((2, 7), -1)
    points = GENERATOR(items, nothing)
    assert torch.isfinite(points).all()
    torch.testing.assert_close(points, points[:1, :1].expand_as(points))
    none = Writing(GENERATOR, items, nothing[:, :0], torch.zeros(2, 1, NOISE).double()).points()
    torch.testing.assert_close(none, points[:, -1:])


@torch.no_grad()
def test_the_discriminator_judges_each_position_by_what_came_before(discriminator: Discriminator) -> None:
    past = pooled_views(_histories().numpy().astype(np.int32), TABLE)
    assert past.shape == (USERS, len(DECAYS) * D)
    before = discriminator(past, TABLE.vectors[_sequences()])
    assert before.shape == (USERS, LENGTH)
    for t in range(LENGTH):
        changed = _sequences()
        changed[:, t:] = (changed[:, t:] + 1) % N_ITEMS
        after = discriminator(past, TABLE.vectors[changed])
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=0)
        assert (after[:, t] != before[:, t]).all()
    other = discriminator(past.roll(1, dims=0), TABLE.vectors[_sequences()])
    assert (other != before).all()
