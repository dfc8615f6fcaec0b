"""What `evaluate policy` found: estimates with intervals, diagnostics first, and a verdict by a written rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zsr_sim.evaluation.off_policy.diagnostics import RULE, Diagnostics
from zsr_sim.evaluation.off_policy.estimators import ASSUMES, BEST_RULE, LOGGING, Estimator, Table, visit_estimators
from zsr_sim.evaluation.off_policy.evidence import Evidence, Logged
from zsr_sim.evaluation.off_policy.intervals import Found, Resampled

VERDICT_RULE = (
    "Ship only if the 95 % interval (BCa bootstrap over users, paired on the log) of the best supported estimate minus "
    "the baseline's value lies above zero; do not ship if it lies below; else, or where diagnostics fail, inconclusive."
)


def evaluate(logged: Logged, targets: Mapping[str, Evidence], draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The first of `targets` against the second, or against the logging policy's own value where there is one only.

    The same resamples of users serve every estimator and target, so all differences are paired.
    """
    tables = {name: Table(logged, evidence) for name, evidence in targets.items()}
    target, *others = tables
    sums = {(name, key): e.sums for name, table in tables.items() for key, e in table.found.items()}
    resampled = Resampled.of_sums({"\t".join(pair): value for pair, value in sums.items()}, draws, seed)
    best = tables[target].best
    against = f"{others[0]}\t{best}" if others else f"{target}\t{LOGGING}"
    difference = resampled.difference(f"{target}\t{best}", against)
    faults = {name: _faults(table, best) for name, table in tables.items()}
    verdict, reason = decide(target, others[0] if others else LOGGING, best, difference, faults, tables[target].unit)
    return {
        "unit": tables[target].unit,
        "target": target,
        "baseline": others[0] if others else LOGGING,
        LOGGING.replace(" ", "_"): _found_json(resampled.estimate(f"{target}\t{LOGGING}")),
        "targets": {name: _target_json(name, table, resampled) for name, table in tables.items()},
        "visits": _visits(logged, targets[target], draws, seed),
        "best": best,
        "difference": _found_json(difference),
        "verdict": verdict,
        "reason": reason,
        "rules": {"diagnostics": RULE, "best": BEST_RULE, "verdict": VERDICT_RULE},
        "draws": draws,
    }


def _faults(table: Table, best: str) -> list[str]:
    return table.diagnostics[table.found[best].level].faults


def _target_json(name: str, table: Table, resampled: Resampled) -> dict[str, Any]:
    estimates = {
        key: _estimate_json(resampled.estimate(f"{name}\t{key}"), estimator)
        | {"difference": _found_json(resampled.difference(f"{name}\t{key}", f"{name}\t{LOGGING}"))}
        for key, estimator in table.found.items()
        if key != LOGGING
    }
    return {"diagnostics": _diagnostics_json(table.diagnostics), "estimates": estimates}


def _visits(logged: Logged, evidence: Evidence, draws: int, seed: int) -> dict[str, Any] | None:
    found = visit_estimators(logged, evidence)
    if found is None:
        return None
    estimators, diagnostics = found
    resampled = Resampled.of_sums({name: e.sums for name, e in estimators.items()}, draws, seed)
    return {
        "unit": f"{logged.counted} per visit",
        "diagnostics": _diagnostics_json({"visit": diagnostics}),
        "estimates": {name: _estimate_json(resampled.estimate(name), e) for name, e in estimators.items()},
    }


def decide(
    target: str, baseline: str, best: str, difference: Found, faults: Mapping[str, list[str]], unit: str
) -> tuple[str, str]:
    """Verdict and reason by VERDICT_RULE; faults: what the diagnostics of each policy found."""
    low, high = difference.ci95
    told = f"{best} puts it {difference.value:+.4g} {unit} from {baseline} (95 % interval {low:+.4g} to {high:+.4g})"
    if not math.isfinite(low + high):
        told = f"the interval of {best} has no bounds"
    wrong = [f"{name}: {'; '.join(found)}" for name, found in faults.items() if found]
    if wrong:
        return "inconclusive", f"the log cannot tell ({' | '.join(wrong)}); {told}, not to be believed"
    if not math.isfinite(low + high):
        return "inconclusive", "nothing in the log supports the estimate"
    if low > 0:
        return "ship", told
    return ("do not ship", told) if high < 0 else ("inconclusive", f"{told}, which may be chance")


def _diagnostics_json(diagnostics: Mapping[str, Diagnostics]) -> dict[str, Any]:
    return {level: found.to_json() for level, found in diagnostics.items()}


def _estimate_json(found: Found, estimator: Estimator) -> dict[str, Any]:
    assumes = {"level": estimator.level, "assumes": ASSUMES[estimator.level]}
    parameter = {name: _number(value) for name, value in estimator.parameter.items()}
    return _found_json(found) | assumes | ({"tuned": parameter} if parameter else {})


def _found_json(found: Found) -> dict[str, Any]:
    return {
        "value": _number(found.value),
        "standard_error": _number(found.standard_error),
        "ci95": [_number(bound) for bound in found.ci95],
        "intervals": {name: [_number(bound) for bound in bounds] for name, bounds in found.intervals.items()},
    }


def _number(value: float) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "infinity"


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """The results for a person: warnings and diagnostics before numbers, then all estimates, then the verdict."""
    lines = []
    for name, target in results["targets"].items():
        lines += [f"{name}: {line}" for line in _diagnostic_lines(target["diagnostics"])]
    logging = results["logging_policy"]
    lines += ["", f"{LOGGING}, its own value: {_words(logging)} {results['unit']}"]
    for name, target in results["targets"].items():
        lines += ["", f"{name}, {results['unit']} (95 % intervals, users resampled)"]
        lines += _estimate_lines(target["estimates"], results["best"])
    if results["visits"]:
        lines += ["", f"{results['target']}, {results['visits']['unit']}"]
        lines += _diagnostic_lines(results["visits"]["diagnostics"])
        lines += _estimate_lines(results["visits"]["estimates"], "")
    verdict = f"{results['verdict']}{' for' if results['verdict'] == 'inconclusive' else ''} {results['target']}"
    reason = results["reason"]
    return [*lines, "", f"Verdict: {verdict}. {reason[0].upper()}{reason[1:]}."]


def _diagnostic_lines(diagnostics: Mapping[str, Any]) -> list[str]:
    lines = []
    for level, d in diagnostics.items():
        low, high = d["mean_weight_ci95"]
        quantiles = ", ".join(f"{name} {value:.3g}" for name, value in d["weight_quantiles"].items())
        lines.append(
            f"weights of the {level}: effective sample {d['effective_sample_size']:,.0f} of {d['rows']:,}, mean "
            f"{d['mean_weight']:.3f} ({low:.3f} to {high:.3f}), {quantiles}"
        )
        lines += [f"WARNING, {level}: {fault}" for fault in d["faults"]]
    return lines


def _estimate_lines(estimates: Mapping[str, Any], best: str) -> list[str]:
    width = max(map(len, estimates))
    rows = []
    for name, estimate in estimates.items():
        tuned = "".join(f", {key} {value}" for key, value in estimate.get("tuned", {}).items())
        marked = "  <- best supported" if name == best else ""
        rows.append(f"{name:<{width}}   {_words(estimate):<34}   {estimate['level']}{tuned}{marked}")
    return rows


def _words(found: Mapping[str, Any]) -> str:
    low, high = found["ci95"]
    if found["value"] is None or not isinstance(low, float) or not isinstance(high, float):
        return "not supported by the log"
    return f"{found['value']:.4f} ({low:.4f} to {high:.4f})"
