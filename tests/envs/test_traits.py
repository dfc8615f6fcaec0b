"""Traits: what a user's row holds is distributed as the settings say, and what is off is off for everybody."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from scipy.special import logit

from zsr_sim.envs.traits import N_TRAITS, TRAIT_NAMES, Trait, Traits, draw_traits

IDS = np.arange(4000) * 7
SPREAD = Traits.model_validate(
    {name: 0.5 for name in Traits.model_fields if name.endswith("_sd")}
    | {"aversion_rate": 0.2, "season_weight": 1.0, "continue_after_click": 0.4, "patience": 5.0, "return_rate": 0.3}
    | {"quality_share": 0.5, "purchase_delay": 2.0, "leave_mood": 1.5, "return_mood": 1.5}
)
SHARES = {trait for trait, name in enumerate(TRAIT_NAMES) if 0 < getattr(SPREAD, name, 9.0) < 1} - {
    Trait.EXAMINATION_DECAY, Trait.LIKE_SLOPE, Trait.PURCHASE_SLOPE, Trait.APPEAL_WEIGHT, Trait.DWELL_NOISE,
    Trait.DWELL_SLOPE, Trait.PATIENCE_GAIN,
}  # fmt: skip


def test_every_trait_has_its_distribution_and_all_are_independent() -> None:
    rows = draw_traits(SPREAD, 3, IDS, -4.0).astype(float)
    assert rows.shape == (4000, N_TRAITS)
    z = np.empty_like(rows)
    for trait, name in enumerate(TRAIT_NAMES):
        typical = -4.0 if name == "click_bias" else getattr(SPREAD, name)
        link = logit if trait in SHARES else np.log
        if trait in (Trait.CLICK_BIAS, Trait.LEAVE_BIAS):
            link = np.asarray
        z[:, trait] = (link(rows[:, trait]) - link(typical)) / 0.5
        assert stats.kstest(z[:, trait], "norm").pvalue > 1e-3, name
    correlations = np.corrcoef(z.T)[np.triu_indices(N_TRAITS, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4000)


def test_a_row_is_a_function_of_the_key_and_traits_do_not_move_each_other() -> None:
    rows = draw_traits(SPREAD, 3, IDS, -4.0)
    np.testing.assert_array_equal(draw_traits(SPREAD, 3, IDS[[7, 2]], -4.0), rows[[7, 2]])
    other = draw_traits(SPREAD.replace(drift_rate_sd=0.0), 3, IDS, -4.0)
    assert (other != rows).any(axis=0).nonzero()[0].tolist() == [Trait.DRIFT_RATE]
    np.testing.assert_array_equal(other[:, Trait.DRIFT_RATE], np.float32(0.05))


def test_what_is_switched_off_is_off_for_every_user() -> None:
    signed = {Trait.CLICK_BIAS, Trait.LEAVE_BIAS}
    off = SPREAD.replace(**{name: 0.0 for trait, name in enumerate(TRAIT_NAMES) if trait not in signed})
    rows = draw_traits(off, 3, IDS, -4.0)
    assert not np.delete(rows, sorted(signed), axis=1).any()
    full = draw_traits(SPREAD.replace(satisfaction_memory=1.0), 3, IDS, -4.0)
    np.testing.assert_array_equal(full[:, Trait.SATISFACTION_MEMORY], 1.0)


def test_every_trait_has_a_typical_value_and_a_spread() -> None:
    names = set(TRAIT_NAMES) - {"click_bias"} | {"base_click_rate"}
    spreads = {name + "_sd" for name in TRAIT_NAMES}
    assert set(Traits.model_fields) == names | spreads
    assert Traits().typical().keys() == names - {"base_click_rate"}
    assert all(field.description for name, field in Traits.model_fields.items() if name in names)


def test_values_that_cannot_be_are_refused() -> None:
    for name, value in (("drift_rate", 1.5), ("boredom", -1.0), ("boredom_sd", -0.1), ("purchase_delay", 16.0)):
        with pytest.raises(ValidationError, match=name):
            Traits().replace(**{name: value})
