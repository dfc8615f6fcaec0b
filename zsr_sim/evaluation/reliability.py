"""Ranking reliability: the simulator's order of strategies beside their order by off-policy estimate in a reality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zsr_sim.envs.visits import Visits
from zsr_sim.evaluation.off_policy.estimators import ASSUMES, PREFERRED, Table
from zsr_sim.evaluation.off_policy.intervals import Resampled
from zsr_sim.evaluation.off_policy.terms import Terms, number_clusters
from zsr_sim.evaluation.order import Ordered, agreement

CLICKS, RETURN = "clicks per page", "return per visit"
SIMULATED, ESTIMATED, TRUE = "simulated", "off-policy", "true"
SEPARATE = (
    "Realism (does the simulated traffic look like the log?) and ranking reliability (does the simulator order "
    "strategies as reality does?) are two questions, and published evidence says that the one hardly predicts the "
    "other. So each is reported by itself: a realistic simulator may order strategies wrongly, an unrealistic one "
    "rightly."
)


def reliability(
    simulated: Mapping[str, Visits], tables: Mapping[str, Table], true: Mapping[str, Visits] | None, draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """How three sources order the same strategies; JSON-ready.

    simulated: visits here. tables: the estimates of each strategy on one log of the reality. true: visits in the
    reality, None where it is not simulated. Users are resampled `draws` times in each source, the same for all
    strategies of a source.

    strategies: for each, values with 95 % intervals by source and unit, and `faults`, what the diagnostics of its
    weights found. estimator: the same for all, that whose diagnostics fault the fewest strategies; of equals the
    one that assumes least. agreement: `zsr_sim.evaluation.order.agreement` of pairs of sources, over the strategies
    that the log supports; None for fewer than three of them.
    """
    names = list(tables)
    best = _best(list(tables.values()))
    estimated = (ESTIMATED, tables[names[0]].unit)
    sources = {(SIMULATED, unit): _of_visits(simulated, names, unit, draws, seed) for unit in (CLICKS, RETURN)}
    sources[estimated] = Resampled.of_sums({n: tables[n].found[best].sums for n in names}, draws, seed + 1)
    if true is not None:
        sources |= {(TRUE, unit): _of_visits(true, names, unit, draws, seed + 2) for unit in (CLICKS, RETURN)}
    faults = {n: tables[n].diagnostics[tables[n].found[best].level].faults for n in names}
    supported = [n for n in names if np.isfinite(sources[estimated].draws[n]).all()]
    told = {key: _ordered(found, supported) for key, found in sources.items()} if len(supported) else {}
    pairs = [((SIMULATED, CLICKS), estimated), ((SIMULATED, RETURN), estimated)]
    if true is not None:
        pairs += [((SIMULATED, RETURN), (TRUE, RETURN)), (estimated, (TRUE, CLICKS))]
    return {
        "estimator": best,
        "assumes": ASSUMES[tables[names[0]].found[best].level],
        "draws": draws,
        "strategies": {
            n: {f"{source}, {unit}": _figures(found, n) for (source, unit), found in sources.items()}
            | {"faults": faults[n]}
            for n in names
        },
        "unsupported": [n for n in names if n not in supported],
        "agreement": [
            {"first": ", ".join(a), "second": ", ".join(b), "found": agreement(told[a], told[b]) if told else None}
            for a, b in pairs
        ],
    }


def _best(tables: Sequence[Table]) -> str:
    """Of the levels that the log knows, that with the fewest faulty strategies; of equals, what assumes least."""
    levels = [level for level in PREFERRED if all(level in table.diagnostics for table in tables)]
    return PREFERRED[min(levels, key=lambda level: sum(bool(table.diagnostics[level].faults) for table in tables))]


def _of_visits(visits: Mapping[str, Visits], names: Sequence[str], unit: str, draws: int, seed: int) -> Resampled:
    """Means over visits, or clicks over pages (a ratio of sums); all visits of a person are resampled together."""
    terms = {
        n: Terms.mean(visits[n].returns) if unit == RETURN else Terms.ratio(visits[n].clicks, visits[n].pages)
        for n in names
    }
    people, groups = number_clusters(visits[names[0]].people)
    return Resampled.of(terms, people, groups, draws, seed)


def _ordered(found: Resampled, names: Sequence[str]) -> Ordered:
    values = np.array([found.estimate(n).value for n in names])
    return Ordered(values, np.stack([found.draws[n] for n in names], axis=1))


def _figures(found: Resampled, name: str) -> dict[str, Any] | None:
    estimate = found.estimate(name)
    if not np.isfinite([estimate.value, *estimate.ci95]).all():
        return None
    return {"mean": estimate.value, "ci95": list(estimate.ci95)}


def reliability_words(found: Mapping[str, Any] | None) -> list[str]:
    """Sentences for a person: the answer, what the truth says of it where it is known, and what weakens it."""
    if not found:
        return []
    first, _, *audit = found["agreement"]
    said = [
        f"Order of {len(found['strategies'])} strategies, simulated here against off-policy estimate in "
        f"{found['where']}: {_agreement_words(first['found'])}"
    ]
    if audit:
        told = (f"{entry['first'].split(',')[0]} {_coefficient(entry['found'], 'spearman')}" for entry in audit)
        said.append(f"Audit, against the true order there, Spearman: {', '.join(told)}")
    faulty = [name for name, entry in found["strategies"].items() if entry["faults"]]
    if found["unsupported"]:
        said.append(f"WARNING: nothing in the log supports {', '.join(found['unsupported'])}, left out of the order")
    if faulty:
        said.append(f"WARNING: the log says little of {', '.join(faulty)} (diagnostics in results.json)")
    return said


def _agreement_words(found: Mapping[str, Any] | None) -> str:
    """What `zsr_sim.evaluation.order.agreement` found, in a clause."""
    if found is None:
        return "fewer than three strategies that can be told apart, so there is no order to compare"
    return (
        f"Spearman {_coefficient(found, 'spearman')}, Kendall {_coefficient(found, 'kendall')}; {found['same']} of "
        f"{found['pairs']} pairs stand in the same order, {found['clear_same']} of the {found['clear']} that both tell "
        "apart"
    )


def _coefficient(found: Mapping[str, Any] | None, name: str) -> str:
    if found is None:
        return "unknown"
    low, high = found[name]["ci95"]
    return f"{found[name]['value']:.2f} (95 % interval {low:.2f} to {high:.2f})"
