"""Interquartile mean and stratified bootstrap: closed forms."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats
from numpy.typing import NDArray
from scipy.stats import trim_mean

from zsr_sim.evaluation.aggregate import interquartile_mean, stratified_band


def test_the_middle_half_of_eight() -> None:
    scores = np.array([[8.0, 1.0], [7.0, 2.0], [6.0, 3.0], [5.0, 400.0]])
    assert interquartile_mean(scores) == np.mean([3, 5, 6, 7])


def test_of_three_it_is_the_mean_and_a_missing_score_is_not_cut_off() -> None:
    assert interquartile_mean(np.array([[1.0], [2.0], [6.0]])) == 3.0
    steps = np.array([[[1.0, 1.0]], [[2.0, np.nan]], [[3.0, 3.0]], [[4.0, 4.0]]])  # (4 runs, 1 task, 2 steps)
    assert interquartile_mean(steps).tolist() == pytest.approx([2.5, np.nan], nan_ok=True)


@settings(deadline=None, max_examples=25)
@given(arrays(np.float64, (5, 3), elements=floats(-100, 100)))
def test_it_is_scipys_trimmed_mean_and_lies_in_its_band(scores: NDArray[np.float64]) -> None:
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None), abs=1e-9)
    low, high = stratified_band(scores, draws=50)
    assert scores.min() - 1e-9 <= low <= high + 1e-9 <= scores.max() + 2e-9


def test_two_runs_give_a_band_from_one_to_the_other_and_its_middle_half_is_their_mean() -> None:
    """The mean of two draws from 0 and 1 is 0, 1/2, 1 with probability 1/4, 1/2, 1/4."""
    scores = np.array([[0.0], [1.0]])
    assert [float(end) for end in stratified_band(scores)] == [0.0, 1.0]
    assert [float(end) for end in stratified_band(scores, level=0.4)] == [0.5, 0.5]


def test_the_band_is_that_of_all_possible_draws() -> None:
    """Four runs of one task: all 256 draws, written out."""
    scores = np.array([0.0, 1.0, 3.0, 10.0])
    all_draws = [float(np.sort(drawn)[1:3].mean()) for drawn in itertools.product(scores, repeat=4)]
    low, high = stratified_band(scores[:, None], level=0.8, draws=20_000)
    assert (low, high) == tuple(np.quantile(all_draws, [0.1, 0.9]))


def test_that_tasks_differ_widens_nothing() -> None:
    """All runs of a task alike: nothing is left to chance, however far apart the tasks are."""
    scores = np.tile([1.0, 2.0, 300.0], (5, 1))
    low, high = stratified_band(scores)
    assert low == high == interquartile_mean(scores)


def test_a_band_along_a_curve_is_pointwise() -> None:
    curve = np.array([[[0.0, 5.0]], [[1.0, 5.0]]])  # (2 runs, 1 task, 2 steps)
    low, high = stratified_band(curve)
    assert low.tolist() == [0.0, 5.0]
    assert high.tolist() == [1.0, 5.0]
