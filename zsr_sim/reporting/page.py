"""One page about a run: the verdict first, then what it rests on, then everything that is needed to repeat it.

The page is one file without scripts that asks the network for nothing. All text from data or from people is escaped.
"""

from __future__ import annotations

import base64
import itertools
import shlex
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from zsr_sim.errors import InputError
from zsr_sim.evaluation.findings import findings, remarks
from zsr_sim.evaluation.planning import plan_words
from zsr_sim.evaluation.verdict import VERDICT_RULE, verdict_sentence
from zsr_sim.reporting.bars import metric_bars, segment_bars, world_bars
from zsr_sim.reporting.evidence import Section, policy_sentence, sections
from zsr_sim.reporting.figures import (
    GENERATOR_PANELS,
    POLICY_PANELS,
    Curves,
    Metrics,
    Panel,
    comparison_plot,
    generator_curves,
    policy_curves,
    reward_curve,
)
from zsr_sim.reporting.numbers import against, decimals, p_value, relative_to, signed, with_interval
from zsr_sim.reporting.style import DPI
from zsr_sim.runs import METRICS, read_manifest, read_metrics, read_results, read_walks, write_whole

REPORT = "report.html"
_RETURN = Panel("return", "return per visit")
_CSS_DPI = 96
_MORE_METRICS = {"satisfaction": "satisfaction", "diversity": "diversity", "generated_share": "generated pages"}


class Findings(NamedTuple):
    """What a run folder holds. results and walks: empty where nothing was compared; metrics: where nothing learned."""

    manifest: dict[str, Any]
    metrics: Metrics
    results: Mapping[str, Any]
    walks: Mapping[str, Any]

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """Each candidate against the baseline."""
        return list(self.results.get("comparisons", []))


class Picture(NamedTuple):
    """A figure of the run: when there is something to draw, how, and what it shows in a caption and in words."""

    needs: Callable[[Findings], bool]
    draw: Callable[[Findings, Path], Path]
    caption: str
    alternative: Callable[[Findings], str]


def _pictures(run: Findings) -> dict[str, Picture]:
    """The standard figures by file name, in the order of the page; a set of them for each strategy that learned."""
    learners = dict.fromkeys(line["phase"].partition(", ")[2] for line in run.metrics)
    curves = {name: _learning_pictures(name) for name in learners or [""]}
    first = {file: picture for sets in curves.values() for file, picture in list(sets.items())[:1]}
    comparison = {
        "comparison.png": Picture(
            lambda run: bool(run.comparisons),
            lambda run, path: comparison_plot(run.results, path),
            "Return of each strategy on users never trained on. The intervals are those of the strategies; the "
            "differences on the right are taken user by user, which makes them narrower.",
            lambda run: "Return with 95 % interval: " + _strategies_told(run.results),
        )
    }
    return first | comparison | {file: picture for sets in curves.values() for file, picture in sets.items()}


def _learning_pictures(name: str) -> dict[str, Picture]:
    """How a strategy learned; `name` is empty where only one did."""
    of, file = f" of {name}" if name else "", f"_{name.replace(':', '-')}" if name else ""
    policy, generator = (f"{phase}, {name}" if name else phase for phase in ("policy", "generator"))

    def has(phase: str, panels: tuple[Panel, ...]) -> Callable[[Findings], bool]:
        return lambda run: any(Curves.of(run.metrics, phase, panel.name) for panel in panels)

    return {
        f"reward_curve{file}.png": Picture(
            has(policy, (_RETURN,)),
            lambda run, path: reward_curve(run.metrics, path, name=name or "in training", phase=policy),
            f"Return per visit while the strategy{f' {name}' if name else ''} learns, on users it trains with.",
            lambda run: f"Curves{of} over policy updates: " + _told(run.metrics, policy, (_RETURN,)),
        ),
        f"generator{file}.png": Picture(
            has(generator, GENERATOR_PANELS),
            lambda run, path: generator_curves(run.metrics, path, generator),
            f"How the sequence generator{of} learned: likelihood first, then against the discriminator.",
            lambda run: f"Curves{of} over training steps: " + _told(run.metrics, generator, GENERATOR_PANELS),
        ),
        f"policy{file}.png": Picture(
            has(policy, POLICY_PANELS),
            lambda run, path: policy_curves(run.metrics, path, policy),
            f"How the policy{of} learned.",
            lambda run: f"Curves{of} over policy updates: " + _told(run.metrics, policy, POLICY_PANELS),
        ),
    }


def write_report(folder: Path, others: Sequence[Path] = ()) -> Path:
    """Write folder/report.html about the run in a folder, whatever it has come to; figures it lacks are drawn.

    Every PNG in folder/figures is shown, the standard ones first. others: runs of `evaluate` (policy, ranking, realism)
    whose evidence and figures stand on the same page. Raises InputError where a folder holds no run, one of its files
    is broken, or one of the others holds a comparison: a page speaks of one.
    """
    run, beside = _read(folder), {other: _read(other) for other in others}
    for other, found in beside.items():
        if found.comparisons or found.metrics:
            raise InputError(
                f"report {other}: a run of train, compare or demo; one page speaks of one, and beside it stand runs of "
                "evaluate. Name it first, or give it a report of its own"
            )
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    pictures = _pictures(run)
    for name, picture in pictures.items():
        if picture.needs(run) and not (figures / name).exists():
            picture.draw(run, figures / name)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zsr_sim.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = _content(folder.resolve().name, run, figures, pictures)
    for other, found in beside.items():
        _join(content, other, found)
    write_whole(folder / REPORT, environment.get_template(REPORT).render(content).encode(errors="backslashreplace"))
    return folder / REPORT


def _read(folder: Path) -> Findings:
    metrics = read_metrics(folder) if (folder / METRICS).exists() else []
    return Findings(read_manifest(folder), metrics, read_results(folder) or {}, read_walks(folder))


def _join(content: dict[str, Any], folder: Path, run: Findings) -> None:
    """Put the evidence of another run on the page."""
    content["verdicts"] += _verdicts(run)
    content["evidence"] += _evidence(run)
    content["pictures"] += [_inlined(path, run, None) for path in _ordered(folder / "figures", {})]
    content["commands"].append(shlex.join(run.manifest["command"]))


def _verdicts(run: Findings) -> list[tuple[str, str]]:
    """What each source of evidence says, and the sentence."""
    said = [(c["verdict"], _unbroken(verdict_sentence(run.results, c["candidate"]))) for c in run.comparisons]
    if "targets" in run.results:
        said.append((run.results["verdict"], _unbroken(policy_sentence(run.results))))
    return said


def _evidence(run: Findings) -> list[Section]:
    return list(sections(run.results))


def _content(name: str, run: Findings, figures: Path, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """What the template shows: strings only, in lists and pairs."""
    learners = dict.fromkeys(line["phase"].partition(", ")[2] for line in run.metrics)
    manifest = {key: value for key, value in run.manifest.items() if key not in ("config", "command")}
    world = {key: value for key, value in run.results.get("world", {}).items() if key != "trust"}
    return {
        "name": name,
        "status": run.manifest["status"],
        "verdicts": _verdicts(run),
        "evidence": _evidence(run),
        "rule": _unbroken(VERDICT_RULE),
        "summary": "" if run.results and not run.comparisons else _summary(run.metrics),
        "trust": run.results.get("world", {}).get("trust"),
        "baselines": ", ".join(sorted({c["baseline"] for c in run.comparisons})),
        "users": f"{run.results['users']:,}" if run.comparisons else "",
        "people": f"{people:,}" if (people := run.results.get("world", {}).get("people")) else "",
        "luck": "other" if any(c["luck"] == "independent" for c in run.comparisons) else "the same",
        "worth": _worth(run.manifest["config"]["world"]),
        "strategies": _strategy_rows(run),
        "more_metrics": _more_rows(run.results),
        "more_names": list(_MORE_METRICS.values()),
        "comparisons": [_comparison_row(c) for c in run.comparisons],
        "guardrails": [row for c in run.comparisons for row in _guardrail_rows(c, run.results["strategies"])],
        "pictures": [_inlined(path, run, pictures.get(path.name)) for path in _ordered(figures, pictures)],
        "learning": [row for learner in learners for row in _learned(run.metrics, learner)],
        "found": [
            (c["candidate"], [_unbroken(f"{said}.") for said in findings(run.results, c["candidate"])])
            for c in run.comparisons
        ],
        "remarks": [_unbroken(f"{said}.") for said in remarks(run.results)],
        "plan": [_unbroken(line) for line in plan_words(run.results.get("plan", {}))],
        "effects": metric_bars(run.results) if run.comparisons else [],
        "worlds": world_bars(run.results),
        "segments": segment_bars(run.results) if run.comparisons else [],
        "support": _support_rows(run.results),
        "states": _state_rows(run.results),
        "walk": _walk(run),
        "world": list(_flat(world)),
        "settings": list(_flat(run.manifest["config"])),
        "manifest": list(_flat(manifest)),
        "commands": [shlex.join(run.manifest["command"])],
    }


def _worth(world: Mapping[str, Any]) -> str:
    """What a return counts, in words: "1 a click, 10 a purchase"."""
    kinds = {"click": "a click", "like": "a like", "purchase": "a purchase", "dwell": "a second on a clicked item"}
    worths = {words: world[f"reward_{kind}"] for kind, words in kinds.items()}
    return ", ".join(f"{worth:g} {words}" for words, worth in worths.items() if worth)


def _learned(metrics: Metrics, learner: str) -> Iterator[tuple[str, str, str]]:
    of = f", {learner}" if learner else ""
    for phase, panels in (("generator", GENERATOR_PANELS), ("policy", (_RETURN, *POLICY_PANELS))):
        for title, first, last in _course(metrics, phase + of, panels):
            yield title + of, first, last


def _support_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """What lies outside the log, where there is an outside."""
    return [
        [
            name,
            *(f"{100 * found['shown_outside'][side]:.1f} %" for side in ("baseline", "candidate")),
            *(f"{100 * found['return_outside'][side]:.1f} %" for side in ("baseline", "candidate")),
            f"{found['distance']['candidate']:.3f}",
            "no gain" if found["gain_outside"] is None else f"{100 * found['gain_outside']:.0f} %",
        ]
        for name, found in results.get("support", {}).items()
        if found["items_outside"] > 0
    ]


def _state_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """The same for states."""
    return [
        [
            name,
            *(f"{100 * states[key][side]:.1f} %" for key in ("visited_outside", "return_outside")
              for side in ("baseline", "candidate")),
            f"{states['distance']['candidate']:.3f}",
            f"{states['reach']:.3f}",
            "no gain" if states["gain_outside"] is None else f"{100 * states['gain_outside']:.0f} %",
        ]
        for name, found in results.get("support", {}).items()
        if (states := found.get("states"))
    ]  # fmt: skip


def _walk(run: Findings) -> dict[str, Any] | None:
    """Three visits under the baseline and one candidate: the first that ships, or the first."""
    order = sorted((c for c in run.comparisons if c["candidate"] in run.walks), key=lambda c: c["verdict"] != "ship")
    if not order:
        return None
    baseline, candidate = order[0]["baseline"], order[0]["candidate"]
    return {"baseline": baseline, "candidate": candidate, "visits": [_visit(v) for v in run.walks[candidate]]}


def _visit(walk: Mapping[str, Any]) -> dict[str, Any]:
    sides = [walk["baseline"], walk["candidate"]]
    clicks = [sum(clicked for page in side for _, clicked in page["items"]) for side in sides]
    return {
        "title": f"User {walk['user']}: {clicks[0]} clicks on {len(sides[0])} pages; {clicks[1]} on {len(sides[1])}",
        "pages": list(enumerate(itertools.zip_longest(*sides), 1)),
    }


def _summary(metrics: Metrics) -> str:
    learned = [f"In training, {name} went from {a} to {b}. " for name, a, b in _course(metrics, "policy", (_RETURN,))]
    return "".join(learned) + "Nothing was compared on users never trained on, so there is no verdict."


def _strategy_rows(run: Findings) -> list[list[str]]:
    compared = {c["candidate"]: against(c) for c in run.comparisons}
    baselines = {c["baseline"] for c in run.comparisons}
    return [
        [
            name,
            with_interval(metrics["return"]),
            f"{metrics['click_rate']['mean']:.3f}",
            f"{metrics['visit_length']['mean']:.1f}",
            compared.get(name, "baseline" if name in baselines else ""),
        ]
        for name, metrics in run.results.get("strategies", {}).items()
    ]


def _more_rows(results: Mapping[str, Any]) -> list[list[str]]:
    return [
        [name, *(with_interval(metrics[m], 3) if metrics[m] else "no source named" for m in _MORE_METRICS)]
        for name, metrics in results.get("strategies", {}).items()
    ]


def _comparison_row(comparison: dict[str, Any]) -> list[str]:
    low, high = comparison["ci95"]
    d = decimals(low, high, 2)
    factors = [f"{f:.1f}" for f in (comparison["pairing_factor"], comparison["adjusted_factor"]) if f is not None]
    needed = comparison["users_needed"]
    return [
        comparison["candidate"],
        f"{signed(comparison['difference'], d)} [{low:.{d}f}, {high:.{d}f}]",
        _plainly(comparison["plain"]),
        f"{p_value(comparison['p_value'])} / {p_value(comparison['p_value_holm'])}",
        f"{comparison['minimum_detectable_effect']:.{d}f}",
        " / ".join(factors) or "no spread",
        comparison["verdict"] + (f" ({needed:,} users would settle it)" if needed else ""),
    ]


def _plainly(plain: Mapping[str, Any]) -> str:
    low, high = plain["ci95"]
    d = decimals(low, high, 2)
    return f"{signed(plain['difference'], d)} [{low:.{d}f}, {high:.{d}f}]"


def _guardrail_rows(comparison: dict[str, Any], strategies: Mapping[str, Any]) -> Iterator[list[str]]:
    for guardrail in comparison["guardrails"]:
        metric = guardrail["metric"]
        mean = strategies[comparison["baseline"]][metric]["mean"]
        outcome = "worse" if guardrail["worse"] else "not shown to be harmless" if guardrail["fails"] else "holds"
        limit = guardrail["margin"] if guardrail["less_is_better"] else -guardrail["margin"]
        allowed = f"{100 * limit / abs(mean):+.1f} %" if mean else f"{limit:+.3f}"
        difference = relative_to(mean, guardrail["difference"], guardrail["ci95"])
        yield [comparison["candidate"], metric.replace("_", " "), difference, allowed, outcome]


def _course(metrics: Metrics, phase: str, panels: tuple[Panel, ...]) -> Iterator[tuple[str, str, str]]:
    """Name, first and last value of each figure that was measured; means over seeds."""
    for panel in panels:
        curves = Curves.of(metrics, phase, panel.name)
        if curves:
            first, last = panel.scale * curves.first, panel.scale * curves.last
            digits = 1 if panel.scale == 100 else 2
            yield panel.title.replace("\n", " "), f"{first:.{digits}f}", f"{last:.{digits}f}"


def _told(metrics: Metrics, phase: str, panels: tuple[Panel, ...]) -> str:
    return "; ".join(f"{name} from {first} to {last}" for name, first, last in _course(metrics, phase, panels))


def _strategies_told(results: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {with_interval(metrics['return'])}" for name, metrics in results["strategies"].items())


def _ordered(figures: Path, pictures: Mapping[str, Picture]) -> list[Path]:
    order = {name: place for place, name in enumerate(pictures)}
    return sorted(figures.glob("*.png"), key=lambda path: (order.get(path.name, len(order)), path.name))


def _inlined(path: Path, run: Findings, picture: Picture | None) -> dict[str, Any]:
    content = path.read_bytes()
    width, height = (round(side * _CSS_DPI / DPI) for side in struct.unpack(">II", content[16:24]))  # PNG, IHDR
    named = path.stem.replace("_", " ")
    known = picture if picture and picture.needs(run) else None
    return {
        "source": "data:image/png;base64," + base64.b64encode(content).decode("ascii"),
        "caption": known.caption if known else named,
        "alternative": known.alternative(run) if known else named,
        "width": width,
        "height": height,
    }


def _unbroken(text: str) -> str:
    """No line ends between a number and its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values of nested settings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif isinstance(value, list):
            yield above + key, ", ".join(str(part) for part in value)
        else:
            yield above + key, f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
