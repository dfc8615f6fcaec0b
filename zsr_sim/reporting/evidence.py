"""What a page says beside a comparison: ranking reliability, off-policy estimates, realism, next-item ranking.

Each piece of evidence becomes a `Section`, whichever run it comes from; strings only, in lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zsr_sim.evaluation.off_policy.estimators import ASSUMES, LOGGING
from zsr_sim.evaluation.reliability import RETURN, SEPARATE, reliability_words
from zsr_sim.reporting.numbers import decimals, signed, with_interval


class Table(NamedTuple):
    """A table; the first cell of a row names it. words: cells may be sentences, and break into lines."""

    label: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: bool = False


class Section(NamedTuple):
    """A part of the page. words: paragraphs before the tables; note: what the columns mean."""

    title: str
    words: Sequence[str]
    tables: Sequence[Table] = ()
    note: str = ""


def sections(results: Mapping[str, Any]) -> Iterator[Section]:
    """The evidence that one run's results hold."""
    if "comparisons" in results:
        yield _reliability(results.get("reality"))
    if "targets" in results:
        yield _policy(results)
    if results.get("realism"):
        yield _realism(results)
    if results.get("clicks"):
        yield _clicks(results)
    for protocol, found in results.get("protocols", {}).items():
        yield _ranking(protocol, found)


def _reliability(found: Mapping[str, Any] | None) -> Section:
    if not found:
        missing = (
            "Not measured in this comparison: zsr-sim compare --reality holds the order of three strategies or more "
            "against a log of pages, or against another world."
        )
        return Section("Ranking reliability", [missing, SEPARATE])
    units = [key for key in next(iter(found["strategies"].values())) if key != "faults"]
    units.sort(key=lambda unit: unit.endswith(RETURN))  # what can be compared stands side by side
    order = {unit: _ranks(found["strategies"], unit) for unit in units}
    rows = [
        [name, *(_ranked(entry[unit], order[unit].get(name)) for unit in units)]
        for name, entry in found["strategies"].items()
    ]
    pairs = [_agreed(entry) for entry in found["agreement"]]
    written = f" It was written by {found['written_by']}." if found["written_by"] else ""
    return Section(
        "Ranking reliability",
        [*(f"{said}." for said in reliability_words(found)), *found["notes"], SEPARATE],
        [
            Table("Order of the strategies", ["strategy", *units], rows),
            Table("Agreement", ["of", "Spearman", "Kendall", "same order", "clear pairs"], pairs),
        ],
        f"Rank in brackets, means with 95 % intervals. Clear pairs: in the same order, of those that both sources tell "
        f"apart. Off-policy: {found['estimator']} on {found['pages']:,} pages of "
        f"{found['users']:,} users, in the states that the log was in; it assumes {found['assumes']}.{written} "
        f"Intervals of the coefficients: users of both sources resampled {found['draws']:,} times, these strategies.",
    )


def _agreed(entry: Mapping[str, Any]) -> list[str]:
    found, of = entry["found"], f"{entry['first']} / {entry['second']}"
    if found is None:
        return [of, "no order", "", "", ""]
    coefficients = [
        with_interval({"mean": c["value"], "ci95": c["ci95"]}) for c in (found["spearman"], found["kendall"])
    ]
    return [of, *coefficients, f"{found['same']} of {found['pairs']}", f"{found['clear_same']} of {found['clear']}"]


def _ranks(strategies: Mapping[str, Any], unit: str) -> dict[str, int]:
    means = {name: entry[unit]["mean"] for name, entry in strategies.items() if entry[unit] is not None}
    return {name: 1 + sum(other > mean for other in means.values()) for name, mean in means.items()}


def _ranked(figures: Mapping[str, Any] | None, rank: int | None) -> str:
    return "not supported" if figures is None else f"{with_interval(dict(figures), 3)} ({rank})"


def _policy(results: Mapping[str, Any]) -> Section:
    tables = [
        Table(f"Weights of {name}", ["weights of", "effective sample", "mean", "largest", "faults"],
              [_weights(level, d) for level, d in target["diagnostics"].items()], words=True)
        for name, target in results["targets"].items()
    ]  # fmt: skip
    tables += [
        Table(f"Estimates of {name}", ["estimator", results["unit"], f"against the {LOGGING}", "level"],
              [_estimate(key, found, results["best"]) for key, found in target["estimates"].items()])
        for name, target in results["targets"].items()
    ]  # fmt: skip
    truth = [
        f"Truth of {name}, by simulation: {with_interval(value['clicks_per_page'], 3)} clicks per page of the log."
        for name, value in results.get("truth", {}).items()
    ]
    rules = results["rules"]
    return Section(
        f"Off-policy estimates of {results['target']}",
        [
            policy_sentence(results),
            f"From {results['log']}: {results['impressions']:,} impressions on {results['pages']:,} pages of "
            f"{results['users']:,} users. The {LOGGING} itself earned "
            f"{_value(results[LOGGING.replace(' ', '_')])} {results['unit']}.",
            *truth,
            *results["notes"],
        ],
        tables,
        f"95 % intervals by BCa bootstrap, users resampled {results['draws']:,} times, the same for all estimators. "
        f"Each level assumes: {'; '.join(f'{level}: {words}' for level, words in ASSUMES.items())}. "
        f"{rules['best']} {rules['diagnostics']} {rules['verdict']}",
    )


def policy_sentence(results: Mapping[str, Any]) -> str:
    """The verdict of a log."""
    verdict = f"{results['verdict']}{' for' if results['verdict'] == 'inconclusive' else ''} {results['target']}"
    return f"By the log: {verdict}. {results['reason'][0].upper()}{results['reason'][1:]}."


def _weights(level: str, d: Mapping[str, Any]) -> list[str]:
    effective = f"{d['effective_sample_size']:,.0f} of {d['rows']:,}"
    mean = with_interval({"mean": d["mean_weight"], "ci95": d["mean_weight_ci95"]}, 3)
    return [level, effective, mean, f"{d['weight_quantiles']['max']:.3g}", "; ".join(d["faults"]) or "none"]


def _estimate(name: str, found: Mapping[str, Any], best: str) -> list[str]:
    tuned = "".join(f", {key} {value:.4g}" if isinstance(value, float) else f", {key} {value}"
                    for key, value in found.get("tuned", {}).items())  # fmt: skip
    marked = " (best supported)" if name == best else ""
    return [f"{name}{tuned}{marked}", _value(found), _value(found["difference"], sign=True), found["level"]]


def _value(found: Mapping[str, Any], sign: bool = False) -> str:
    low, high = found["ci95"]
    if not all(isinstance(number, float) for number in (found["value"], low, high)):
        return "not supported by the log"
    d = decimals(low, high, 3)
    mean = signed(found["value"], d) if sign else f"{found['value']:.{d}f}"
    return f"{mean} [{low:.{d}f}, {high:.{d}f}]"


def _realism(results: Mapping[str, Any]) -> Section:
    found, fit = results["realism"], results["fit"]
    lines = found["statistics"]
    inside = sum(line["inside"] for line in lines)
    defaults = ", ".join(line["name"] for line in fit if line["standard_error"] is None)
    asked = [(kind, question) for kind in ("warm", "cold") for question in ("unseen", "liked")]
    preferences = [[row["model"], *(_auc(row[kind][question]) for kind, question in asked)]
                   for row in results["preference"]["rows"]]  # fmt: skip
    return Section(
        f"Realism of users fitted to {results['data']}",
        [
            f"Fitted on {found['earlier']['interactions']:,} interactions, simulated {found['replications']} times, "
            f"held against the {found['later']['interactions']:,} after them: {inside} of {len(lines)} statistics of "
            "the later part lie inside the simulation's 95 % interval. How strategies rank is another question "
            "(ranking reliability).",
            f"Defaults, because such a log cannot show them: {defaults or 'none'}.",
        ],
        [
            _statistics("Statistics of the traffic, misses first", lines),
            Table("Preferences on held-out interactions", ["who", *(f"{k}, {q}" for k, q in asked)], preferences),
            _fitted("What was fitted", fit),
        ],
        "Simulated: mean and 95 % prediction interval. Distance: Kolmogorov-Smirnov, of the distributions, 0 to 1. "
        "Preferences: area under the ROC curve, 0.5 is chance; unseen: what was consumed above random items, liked: "
        "above what was not liked; cold: items that nobody had consumed. Values with their standard errors.",
    )  # fmt: skip


def _clicks(results: Mapping[str, Any]) -> Section:
    found = results["clicks"]
    lines = found["statistics"]
    inside = sum(line["inside"] for line in lines)
    return Section(
        f"Realism of clicks on the pages of {results['data']}",
        [
            f"Fitted on {found['earlier']['pages']:,} logged pages, held against the {found['later']['pages']:,} after "
            f"them: {inside} of {len(lines)} click rates of the later pages lie inside the simulation's 95 % interval."
        ],
        [_statistics("Click rates, misses first", lines), _fitted("What was fitted to the pages", found["fit"])],
        "Simulated: mean and 95 % prediction interval. Values with their standard errors.",
    )


def _statistics(label: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["statistic", "real", "simulated", "distance", "why"]
    return Table(label, heads, [_statistic(line) for line in lines], words=True)


def _fitted(label: str, fit: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [line["name"], f"{line['value']:.3g} \N{PLUS-MINUS SIGN} {line['standard_error']:.2g}", line["how"]]
        for line in fit
        if line["standard_error"] is not None
    ]
    return Table(label, ["parameter", "value", "from what"], rows, words=True)


def _statistic(line: Mapping[str, Any]) -> list[str]:
    low, high = line["interval"]
    simulated = "nobody" if low is None else f"{line['simulated']:.4g} [{low:.4g}, {high:.4g}]"
    distance = "" if line["ks"] is None else f"{line['ks']:.2f}"
    return [f"{line['statistic']}, {line['segment']}", f"{line['real']:.4g}", simulated, distance, line["why"] or ""]


def _auc(cell: Mapping[str, Any] | None) -> str:
    return "cannot be told" if cell is None else with_interval({"mean": cell["auc"], "ci95": cell["ci95"]}, 3)


def _ranking(protocol: str, found: Mapping[str, Any]) -> Section:
    asked = {"warm": "the last item that each user consumed, among all new to them",
             "cold": "items that nobody consumed in training, among each other"}[protocol]  # fmt: skip
    names = ["hr@10", "ndcg@10", "mrr"]
    rows = [
        [name, *(with_interval(agent["metrics"][key], 3) for key in names)] for name, agent in found["agents"].items()
    ]
    left_out = [f"{name}: {why}" for name, why in found.get("left_out", {}).items()]
    return Section(
        f"Next-item ranking, {protocol}",
        [f"To be found: {asked}; {found['users']:,} users.", *left_out],
        [Table(f"Ranking, {protocol}", ["strategy", *(key.upper() for key in names)], rows)],
        "Means over users with 95 % intervals.",
    )
