"""The reference numbers of Open Bandit Pipeline in ../shared/cases/ope: every estimate and standard error to 1e-9."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zsr_sim.evaluation.off_policy import bandit, slate
from zsr_sim.evaluation.off_policy.intervals import Resampled, standard_error
from zsr_sim.evaluation.off_policy.terms import Floats, Terms
from zsr_sim.evaluation.off_policy.tuning import LAMBDAS, tune_mse, tune_slope

SLATES = ("slate_independent", "slate_cascade_additive")


@pytest.fixture(scope="module")
def cases(project: Path) -> Path:
    folder = project.parent / "shared" / "cases" / "ope"
    if not folder.is_dir():
        pytest.skip("needs the reference numbers in ../shared/cases/ope, beside the checkout")
    return folder


def expected(path: Path, case: str) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["case"] == case]


def naive_se(terms: Terms) -> float:
    """The normaliser held fixed, as the reference does it."""
    return float(terms.contributions.std() / math.sqrt(len(terms) - 1))


@pytest.fixture(scope="module")
def synth(cases: Path) -> dict[str, Any]:
    z = np.load(cases / "synth_n10000_a10.npz")
    rows, action = np.arange(len(z["reward"])), z["action"]
    pi_e, q = z["pi_e"][:, :, 0], z["q_hat"][:, :, 0]
    weight = pi_e[rows, action] / z["pscore"]
    reward = z["reward"].astype(np.float64)
    return {"r": reward, "w": weight, "q": q[rows, action], "v": (pi_e * q).sum(axis=1)}


def estimators(s: dict[str, Any]) -> dict[str, Terms]:
    r, w, q, v = s["r"], s["w"], s["q"], s["v"]
    return {
        "ips": bandit.ips(r, w),
        "ips_clip": bandit.ips(r, w, clip=5),
        "snips": bandit.snips(r, w),
        "dm": bandit.dm(v),
        "dr": bandit.dr(r, w, q, v),
        "dr_clip": bandit.dr(r, w, q, v, clip=5),
        "sndr": bandit.sndr(r, w, q, v),
        "switch_dr": bandit.switch_dr(r, w, q, v, switch=5),
        "dros": bandit.dros(r, w, q, v, shrinkage=10),
        "sg_ips": bandit.sg_ips(r, w, lam=0.05),
        "sg_dr": bandit.sg_dr(r, w, q, v, lam=0.05),
    }


def test_single_decisions(cases: Path, synth: dict[str, Any]) -> None:
    found = estimators(synth)
    rows = [row for row in expected(cases / "expected_synth.csv", "synth_n10000_a10") if row["estimator"] in found]
    assert len(rows) == len(found) == 11
    rounds = np.load(cases / "synth_n10000_a10_rounds.npz")
    for row in rows:
        terms = found[row["estimator"]]
        assert terms.value == pytest.approx(float(row["estimate"]), abs=1e-9), row["estimator"]
        assert naive_se(terms) == pytest.approx(float(row["se"]), abs=1e-9), row["estimator"]
        np.testing.assert_allclose(terms.contributions, rounds[row["estimator"]], atol=1e-9)


def test_the_delta_method_of_snips(cases: Path, synth: dict[str, Any]) -> None:
    row = next(
        r for r in expected(cases / "expected_synth.csv", "synth_n10000_a10") if r["estimator"].startswith("snips_d")
    )
    n = len(synth["r"])
    influence = bandit.snips(synth["r"], synth["w"]).sums(np.arange(n), n).influence()
    assert standard_error(influence) == pytest.approx(float(row["se"]), abs=1e-9)
    assert standard_error(influence) < naive_se(bandit.snips(synth["r"], synth["w"])) / 3


def test_effective_sample_size_and_weights(cases: Path, synth: dict[str, Any]) -> None:
    row, w = expected(cases / "expected_synth.csv", "synth_n10000_a10")[0], synth["w"]
    assert w.sum() ** 2 / (w @ w) == pytest.approx(float(row["ess"]), rel=1e-12)
    assert (w.mean(), w.max()) == pytest.approx((float(row["iw_mean"]), float(row["iw_max"])), rel=1e-12)


def test_tuned_parameters(cases: Path, synth: dict[str, Any]) -> None:
    r, w, q, v = synth["r"], synth["w"], synth["q"], synth["v"]
    builds: dict[str, tuple[Callable[[float], Terms], Callable[[float], Floats], Floats]] = {
        "ips_tuned": (lambda lam: bandit.ips(r, w, lam), lambda lam: np.minimum(w, lam), r),
        "dr_tuned": (lambda lam: bandit.dr(r, w, q, v, lam), lambda lam: np.minimum(w, lam), r - q),
        "switch_dr_tuned": (lambda lam: bandit.switch_dr(r, w, q, v, lam), lambda lam: np.where(w <= lam, w, 0), r - q),
        "dros_tuned": (lambda lam: bandit.dros(r, w, q, v, lam), lambda lam: bandit.shrink(w, lam), r - q),
    }
    rows = [r for r in expected(cases / "expected_synth.csv", "synth_n10000_a10") if r["estimator"] in builds]
    assert len(rows) == 8
    for row in rows:
        build, used, residual = builds[row["estimator"]]
        if row["params"].startswith("slope"):
            chosen = LAMBDAS[tune_slope([build(lam) for lam in LAMBDAS])]
        else:
            chosen = tune_mse(build, used, w, residual)
        assert chosen == float(row["params"].rpartition("best=")[2]), row["params"]
        assert build(chosen).value == pytest.approx(float(row["estimate"]), abs=1e-9)


@pytest.mark.parametrize("case", SLATES)
def test_slates(cases: Path, case: str) -> None:
    z = np.load(cases / f"{case}.npz")
    n, s = z["pi_e_action_dist"].shape[:2]

    def column(name: str) -> Any:
        return z[name].reshape(n, s)

    reward = column("reward").astype(np.float64)
    page = (column("pi_e_pscore") / column("pscore"))[:, 0]
    position = column("pi_e_pscore_item_position") / column("pscore_item_position")
    prefix = column("pi_e_pscore_cascade") / column("pscore_cascade")
    q, v = z["q_hat"], (z["q_hat"] * z["pi_e_action_dist"]).sum(axis=2)
    q_logged = np.take_along_axis(q, column("action")[:, :, None], axis=2)[:, :, 0]
    found = {
        "sips": slate.sips(reward, page),
        "iips": slate.iips(reward, position),
        "rips": slate.rips(reward, prefix),
        "snsips": slate.snsips(reward, page),
        "sniips": slate.sniips(reward, position),
        "snrips": slate.snrips(reward, prefix),
        "cascade_dr": slate.cascade_dr(reward, prefix, q_logged, v),
    }
    rows = expected(cases / "expected_slate.csv", case)
    assert {row["estimator"] for row in rows} == set(found)
    for row in rows:
        terms = found[row["estimator"]]
        assert terms.value == pytest.approx(float(row["estimate"]), abs=1e-9), row["estimator"]
        assert naive_se(terms) == pytest.approx(float(row["se"]), abs=1e-9), row["estimator"]


def test_intervals_agree_with_the_reference_where_no_normaliser_is_held_fixed(
    cases: Path, synth: dict[str, Any]
) -> None:
    """Percentiles of 1,000 other draws differ by their Monte Carlo error, about 0.08 standard errors each."""
    names = ("ips", "ips_clip", "dm", "dr", "dr_clip", "switch_dr", "dros", "sg_ips", "sg_dr")
    terms = {name: estimators(synth)[name] for name in names}
    n = len(synth["r"])
    resampled = Resampled.of(terms, np.arange(n), n, draws=1000)
    for row in expected(cases / "expected_synth.csv", "synth_n10000_a10"):
        if row["estimator"] in terms:
            low, high = resampled.estimate(row["estimator"]).intervals["percentile"]
            assert low == pytest.approx(float(row["boot_lo"]), abs=0.25 * float(row["se"]))
            assert high == pytest.approx(float(row["boot_hi"]), abs=0.25 * float(row["se"]))
