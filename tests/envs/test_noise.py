"""Random numbers as a function of (seed, user, step, purpose): known answers, addresses, distributions."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from zsr_sim.envs.noise import Purpose, normals, philox4x32, uniform4, uniforms

Draw = Callable[[int, NDArray[np.int64], int, Purpose, int], NDArray[np.float64]]
typed_uniform4: Any = uniform4  # compiled for the NumPy integers that the world passes
MASK = 0xFFFFFFFF
KNOWN_ANSWERS = [  # kat_vectors of Random123 1.14: philox4x32 10
    ("00000000 00000000 00000000 00000000 00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def reference(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in unbounded integers, from the paper's figure."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        low, high = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (high >> 32) ^ b ^ k0, high & MASK, (low >> 32) ^ d ^ k1, low & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return [a, b, c, d]


@pytest.mark.parametrize(("given_words", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers_of_random123(given_words: str, expected: str) -> None:
    words = [int(word, 16) for word in given_words.split()]
    answer = [int(word, 16) for word in expected.split()]
    assert [int(word) for word in philox4x32(*(np.uint64(word) for word in words))] == answer
    assert reference(words[:4], words[4:]) == answer


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**64 - 1),
    user=st.integers(0, 2**63 - 1),
    step=st.integers(0, 2**32 - 1),
    purpose=st.integers(0, 255),
    block=st.integers(0, 2**24 - 1),
)
def test_every_argument_has_bits_of_its_own(seed: int, user: int, step: int, purpose: int, block: int) -> None:
    """So that two different addresses are two different inputs of a bijection, or lie under two different keys."""
    counter = [user & MASK, user >> 32, block << 8 | purpose, step]
    words = reference(counter, [seed & MASK, seed >> 32])
    draws = typed_uniform4(np.uint64(seed), np.int64(user), np.int64(step), np.int64(purpose), np.int64(block))
    assert draws == tuple((word + 0.5) / 2**32 for word in words)
    assert 0 < min(draws) <= max(draws) < 1


def test_columns_are_the_blocks_in_order() -> None:
    users = np.array([3, 2**62, 17])
    drawn = uniforms(9, users, 5, Purpose.ORGANIC, 11)  # (3, 11)
    for row, user in enumerate(users):
        blocks = [typed_uniform4(np.uint64(9), user, np.int64(5), np.int64(Purpose.ORGANIC), b) for b in np.arange(3)]
        assert drawn[row].tolist() == [draw for block in blocks for draw in block][:11]


@pytest.mark.parametrize("draw", [uniforms, normals])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 192])
def test_a_draw_depends_neither_on_the_batch_nor_on_the_order(draw: Draw, count: int) -> None:
    users = np.arange(10_000 if count < 10 else 1_000, dtype=np.int64) * 7 + 2**40
    together = draw(4, users, 2, Purpose.TASTE, count)
    order = np.random.default_rng(0).permutation(len(users))
    np.testing.assert_array_equal(draw(4, users[order], 2, Purpose.TASTE, count), together[order])
    for size in (1, 2, 7, 64):
        rows = order[:size]
        np.testing.assert_array_equal(draw(4, users[rows], 2, Purpose.TASTE, count), together[rows])
    np.testing.assert_array_equal(draw(4, users[::3], 2, Purpose.TASTE, count), together[::3])


def test_seeds_and_steps_may_differ_by_row() -> None:
    seeds = np.array([1, 2**64 - 1, 1], dtype=np.uint64)
    steps = np.array([0, 5, 2**32 - 1])
    together = uniforms(seeds, np.array([4, 4, 4]), steps, Purpose.CLICK, 6)
    for row in range(3):
        alone = uniforms(int(seeds[row]), np.array([4]), int(steps[row]), Purpose.CLICK, 6)
        np.testing.assert_array_equal(together[row], alone[0])


def test_no_two_addresses_share_a_number() -> None:
    """Equal 32-bit words among m draws are birthdays: m(m-1)/2/2**32 pairs expected, and no address twice."""
    rows = []
    for seed, step, purpose in product((0, 1, 2**32), (0, 1, 255, 256), Purpose):
        rows.append(uniforms(seed, np.array([0, 1, 255, 256, 2**32, 2**40]), step, purpose, 8).reshape(-1, 4))
    blocks = np.concatenate(rows)  # (m / 4, 4)
    assert len(np.unique(blocks, axis=0)) == len(blocks)
    m = blocks.size
    collisions = m - len(np.unique(blocks))
    assert stats.poisson.sf(collisions - 1, m * (m - 1) / 2 / 2**32) > 0.001


def streams() -> dict[str, NDArray[np.float64]]:
    """Streams over 50,000 users that differ in one argument from the first."""
    users = np.arange(50_000, dtype=np.int64)
    found = {f"purpose {p.name}": uniforms(0, users, 0, p, 4) for p in Purpose}
    found |= {f"step {s}": uniforms(0, users, s, Purpose.CLICK, 4) for s in (1, 2)}
    found |= {f"seed {s}": uniforms(s, users, 0, Purpose.CLICK, 4) for s in (1, 2**32)}
    found["next user"] = uniforms(0, users + 1, 0, Purpose.CLICK, 4)
    found["far user"] = uniforms(0, users + 2**40, 0, Purpose.CLICK, 4)
    return found


def test_purposes_steps_seeds_users_and_columns_are_uncorrelated() -> None:
    columns = np.concatenate(list(streams().values()), axis=1)  # (50,000, 4 per stream)
    # "next user" is the first stream shifted by one row, hence independent of it row by row
    correlations = np.asarray(np.corrcoef(columns, rowvar=False))[np.triu_indices(columns.shape[1], 1)]
    z = correlations * np.sqrt(len(columns))
    assert np.abs(z).max() < stats.norm.isf(0.001 / 2 / len(z))  # Bonferroni
    assert z.std() == pytest.approx(1, abs=0.05)


def test_every_stream_is_uniform() -> None:
    found = streams()
    p_values = [stats.kstest(column, "uniform").pvalue for drawn in found.values() for column in drawn.T]
    assert min(p_values) > 0.001 / len(p_values)
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.parametrize("count", [1, 2, 5])
def test_normals_have_the_moments_and_the_shape_of_the_normal_distribution(count: int) -> None:
    n = 40_000
    z = normals(3, np.arange(n), 0, Purpose.QUALITY, count)
    assert z.shape == (n, count)
    for column in z.T:
        assert abs(column.mean()) < 4 / np.sqrt(n)
        assert abs(column.var() - 1) < 4 * np.sqrt(2 / n)
        assert abs(stats.skew(column)) < 4 * np.sqrt(6 / n)
        assert abs(stats.kurtosis(column)) < 4 * np.sqrt(24 / n)
        assert stats.kstest(column, "norm").pvalue > 0.001
    if count > 1:
        z_scores = np.asarray(np.corrcoef(z, rowvar=False))[np.triu_indices(count, 1)] * np.sqrt(n)
        assert np.abs(z_scores).max() < 4


def test_normals_by_box_and_muller() -> None:
    u = uniforms(3, np.arange(4), 1, Purpose.TASTE, 4)
    radius, angle = np.sqrt(-2 * np.log(u[:, :2])), 2 * np.pi * u[:, 2:]
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :3]
    np.testing.assert_allclose(normals(3, np.arange(4), 1, Purpose.TASTE, 3), expected, rtol=1e-12)
