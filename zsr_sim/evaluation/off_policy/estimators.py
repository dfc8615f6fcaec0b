"""All estimators on one log, side by side, each with what it assumes; and which of them is best supported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zsr_sim.evaluation.off_policy import bandit, slate, visit
from zsr_sim.evaluation.off_policy.diagnostics import Diagnostics, diagnose
from zsr_sim.evaluation.off_policy.evidence import Evidence, Floats, Logged
from zsr_sim.evaluation.off_policy.terms import Sums, Terms
from zsr_sim.evaluation.off_policy.tuning import LAMBDAS, tune_slope

LOGGING = "logging policy"
SUBGAUSSIAN = (0.0, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.5)
MOST_VISIT_PAGES = 100

ASSUMES = {
    "page": "nothing of how positions act on each other",
    "cascade": "a click depends on the items above it and on its own",
    "position": "a click depends on its own item and position alone",
    "model": "the reward model is right",
    "embedding": "items that look alike to the weight model are clicked alike",
    "visit": "nothing; whole visits",
}
PREFERRED = {"page": "page-sndr", "cascade": "cascade-dr", "position": "sndr"}
BEST_RULE = (
    "Best supported is the self-normalised or cascade doubly robust estimator that assumes least among those whose "
    "weights pass the diagnostics: page-sndr (whole page), then cascade-dr, then sndr (each position alone). Where "
    "none passes, sndr is shown under a warning and the verdict is inconclusive."
)


@dataclass(frozen=True)
class Estimator:
    """sums: over users. level: a key of ASSUMES. parameter: tuned, by name; empty where there is none."""

    sums: Sums
    level: str
    parameter: dict[str, float]


class Table:
    """Estimators of one target on one log, in what counts (clicks) per page, or per item where pages are torn apart."""

    def __init__(self, logged: Logged, evidence: Evidence) -> None:
        self.logged, self.evidence = logged, evidence
        shown = logged.log.shown
        self.per_page = logged.log.whole
        self.unit = f"{logged.counted} per page" if self.per_page else f"{logged.counted} per item shown"
        self._scale = float(shown.shape[1]) if self.per_page else 1.0
        self._rows = np.nonzero(shown)
        self._row_clusters = logged.clusters[self._rows[0]]
        self.found: dict[str, Estimator] = {}
        self.diagnostics: dict[str, Diagnostics] = {}
        self._positions()
        if self.per_page and shown.shape[1] > 1:
            self._pages()

    @property
    def best(self) -> str:
        """The best supported estimator, by BEST_RULE."""
        for level, name in PREFERRED.items():
            if level in self.diagnostics and not self.diagnostics[level].faults:
                return name
        return PREFERRED["position"]

    def _add(self, name: str, level: str, terms: Terms, **parameter: float) -> None:
        by_row = level in ("position", "model", "embedding")
        clusters = self._row_clusters if by_row else self.logged.clusters
        scaled = terms.scaled(self._scale) if by_row else terms
        self.found[name] = Estimator(scaled.sums(clusters, self.logged.groups), level, parameter)

    def _tuned(self, name: str, key: str, build: Callable[[float], Terms], grid: tuple[float, ...] = LAMBDAS) -> None:
        chosen = grid[tune_slope([build(value) for value in grid])]
        self._add(name, "position", build(chosen), **{key: chosen})

    def _diagnose(self, level: str, weight: Floats, clusters: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self.diagnostics[level] = diagnose(weight, clusters, self.logged.groups, self.evidence.unsupported)

    def _positions(self) -> None:
        """Each item shown is a decision of its own."""
        e, rows = self.evidence, self._rows
        r, w = self.logged.reward[rows], e.position_weight[rows]
        q, v = self.logged.q_logged[rows], e.q_target[rows]
        self._diagnose("position", w, self._row_clusters)
        self._add(LOGGING, "position", Terms.mean(r))
        if e.agrees is not None:
            self._add("replay", "position", bandit.replay(r, e.agrees[rows]))
        self._add("ips", "position", bandit.ips(r, w))
        self._tuned("clipped-ips", "clip", lambda lam: bandit.ips(r, w, lam))
        self._add("snips", "position", bandit.snips(r, w))
        self._add("dm", "model", bandit.dm(v))
        self._add("dr", "position", bandit.dr(r, w, q, v))
        self._tuned("clipped-dr", "clip", lambda lam: bandit.dr(r, w, q, v, lam))
        self._add("sndr", "position", bandit.sndr(r, w, q, v))
        self._tuned("switch-dr", "switch", lambda lam: bandit.switch_dr(r, w, q, v, lam))
        self._tuned("dros", "shrinkage", lambda lam: bandit.dros(r, w, q, v, lam))
        self._tuned("sg-ips", "lambda", lambda lam: bandit.sg_ips(r, w, lam), SUBGAUSSIAN)
        self._tuned("sg-dr", "lambda", lambda lam: bandit.sg_dr(r, w, q, v, lam), SUBGAUSSIAN)
        self._add("mips", "embedding", bandit.mips(r, e.marginal_weight[rows]))

    def _pages(self) -> None:
        """Whole pages, where the log says their propensities."""
        e, r = self.evidence, self.logged.reward
        self.found["iips"] = self._of_pages("position", slate.iips(r, e.position_weight))
        self.found["sniips"] = self._of_pages("position", slate.sniips(r, e.position_weight))
        if e.prefix_weight is not None and e.q_cascade is not None:
            self._diagnose("cascade", e.prefix_weight.ravel(), np.repeat(self.logged.clusters, r.shape[1]))
            self.found["rips"] = self._of_pages("cascade", slate.rips(r, e.prefix_weight))
            self.found["snrips"] = self._of_pages("cascade", slate.snrips(r, e.prefix_weight))
            self.found["cascade-dr"] = self._of_pages(
                "cascade", slate.cascade_dr(r, e.prefix_weight, self.logged.q_logged, e.q_cascade)
            )
        if e.slate_weight is not None:
            self._diagnose("page", e.slate_weight, self.logged.clusters)
            total, q, v = r.sum(axis=1), self.logged.q_logged.sum(axis=1), e.q_target.sum(axis=1)
            self.found["sips"] = self._of_pages("page", slate.sips(r, e.slate_weight))
            self.found["snsips"] = self._of_pages("page", slate.snsips(r, e.slate_weight))
            self.found["page-dr"] = self._of_pages("page", bandit.dr(total, e.slate_weight, q, v))
            self.found["page-sndr"] = self._of_pages("page", bandit.sndr(total, e.slate_weight, q, v))

    def _of_pages(self, level: str, terms: Terms) -> Estimator:
        return Estimator(terms.sums(self.logged.clusters, self.logged.groups), level, {})


def visit_estimators(logged: Logged, evidence: Evidence) -> tuple[dict[str, Estimator], Diagnostics] | None:
    """Estimators of clicks per visit, a visit being all pages of a user; None where the log cannot tell.

    The model of the rewards from a page on: its own predicted clicks, plus what logged visits earned after that step on
    average.
    """
    log, weight = logged.log, evidence.slate_weight
    steps = int(log.steps.max(initial=0)) + 1
    if weight is None or not 2 <= steps <= MOST_VISIT_PAGES:
        return None
    cell = (log.users, log.steps)
    shape = (log.n_users, steps)
    tables = []
    for column, empty in ((logged.reward.sum(axis=1), 0.0), (weight, 1.0), (logged.q_logged.sum(axis=1), 0.0),
                          (evidence.q_target.sum(axis=1), 0.0)):  # fmt: skip
        table = np.full(shape, empty)
        table[cell] = column
        tables.append(table)
    reward, weights, q, v = tables
    there = np.zeros(shape, dtype=np.bool_)
    there[cell] = True
    after = reward[:, ::-1].cumsum(axis=1)[:, ::-1] - reward  # (users, T), clicks after each page
    future = there * (after.sum(axis=0) / np.maximum(there.sum(axis=0), 1))
    everybody = np.arange(log.n_users)
    terms = {
        LOGGING: Terms.mean(reward.sum(axis=1)),
        "trajectory-is": visit.trajectory_is(reward, weights),
        "sn-trajectory-is": visit.sn_trajectory_is(reward, weights),
        "per-decision-is": visit.per_decision_is(reward, weights),
        "sn-per-decision-is": visit.sn_per_decision_is(reward, weights),
        "visit-dr": visit.visit_dr(reward, weights, q + future, v + future),
    }
    found = {name: Estimator(t.sums(everybody, log.n_users), "visit", {}) for name, t in terms.items()}
    return found, diagnose(weights.prod(axis=1), everybody, log.n_users, evidence.unsupported)
