"""LLM users distilled: numeric users whose tastes and click levels are fitted to a language model's answers.

Asking costs tens of milliseconds a page, the laws a microsecond: so a strategy is trained among the distilled users and
tried on the model itself. How well they agree is measured on answers that nothing was fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from zsr_sim.encoders.history import pooled
from zsr_sim.encoders.space import unit
from zsr_sim.envs.items import WorldItems
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.population import Population
from zsr_sim.envs.traits import Trait, Traits
from zsr_sim.envs.world import Users
from zsr_sim.errors import InputError
from zsr_sim.readers.model import Progress
from zsr_sim.readers.users import LlmUsers

PEOPLE, ITEMS_EACH = 64, 40
_FIT, _TUNE = 0.6, 0.8  # of a user's answers: fitted to, then tuned on; the rest tells how well it agrees
_RIDGES = (0.1, 1.0, 10.0, 100.0, 1000.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Distilled users against the model, on held-out answers.

    correlation: of the log-odds within a user, -1..1. auc: chance that, of an item that the model likes more than the
    user's median and one that it likes less, the distilled user prefers the former, 0..1. answers: held out.
    """

    correlation: float
    auc: float
    answers: int

    def sentence(self) -> str:
        """For a person."""
        return (
            f"distilled users agree with the model on {self.answers:,} held-out answers with correlation "
            f"{self.correlation:.2f} and AUC {self.auc:.2f}"
        )


@dataclass(frozen=True)
class DistilledPopulation:
    """The people of another population, with the tastes and levels that a language model's answers show.

    base: who they are otherwise: histories and all other traits. ids: int64 (people,), their ids there. tastes: float32
    (people, 1, d). levels: float32 (people, 3), click bias, weight of affinity, weight of appeal.
    """

    base: Population
    ids: NDArray[np.int64]
    tastes: NDArray[np.float32]
    levels: NDArray[np.float32]

    @property
    def traits(self) -> Traits:
        """Those of the base."""
        return self.base.traits

    @property
    def people(self) -> int | None:
        """How many people were asked about."""
        return len(np.unique(self.base.visit(self.ids).people))

    def visit(self, ids: NDArray[np.int64]) -> Users:
        """Visit i is by person i mod people; visits of one person differ in luck only."""
        ids = np.asarray(ids, dtype=np.int64)
        rows = ids % len(self.ids)
        users = self.base.visit(self.ids[rows])
        traits = users.traits.copy()
        traits[:, [Trait.CLICK_BIAS, Trait.AFFINITY_WEIGHT, Trait.APPEAL_WEIGHT]] = self.levels[rows]
        return replace(users, ids=ids, tastes=self.tastes[rows], traits=traits)

    def split(self, share: float, seed: int) -> tuple[DistilledPopulation, DistilledPopulation]:
        """People are told apart by a draw of their own. Raises InputError where a part would be empty."""
        second = uniforms(seed, self.base.visit(self.ids).people, 0, Purpose.SAMPLE_USERS, 1)[:, 0] < share
        if second.all() or not second.any():
            raise InputError(f"a share of {share} of {len(self.ids)} people leaves a part without anybody")
        return self._only(~second), self._only(second)

    def _only(self, rows: NDArray[np.bool_]) -> DistilledPopulation:
        return replace(self, ids=self.ids[rows], tastes=self.tastes[rows], levels=self.levels[rows])


def distil(
    asked: LlmUsers, base: Population, items: WorldItems, seed: int, people: int = PEOPLE,
    items_each: int = ITEMS_EACH, progress: Progress | None = None,
) -> tuple[DistilledPopulation, Agreement]:  # fmt: skip
    """Numeric users for the first `people` of a population, from the model's answers about random items.

    The log-odds of user u about item x are taken for b_u + a appeal_x + (g + s h_u + t_u) x: h_u is the pooled history,
    g, s and a are shared, t_u is the user's own; ridge regression, each on what the ones before leave. The length of
    the vector in brackets becomes the weight of affinity, its direction the taste.
    """
    ids = np.arange(min(people, base.people or people), dtype=np.int64)
    users = base.visit(ids)
    luck = uniforms(seed, users.ids, 4, Purpose.SAMPLE_USERS, items_each)
    rows = np.minimum((luck * len(items)).astype(np.int32), len(items) - 1)  # (n, items_each)
    told = asked.log_odds(users, rows, progress=progress).astype(np.float64) + asked.shift
    asked.flush()
    fit, tune = round(_FIT * items_each), round(_TUNE * items_each)
    sample = _Sample(items.vectors[rows].astype(np.float64), items.appeal[rows].astype(np.float64), told)
    histories = pooled(users.histories, items.vectors).astype(np.float64)  # (n, d)
    tries = [_fitted(sample.part(0, fit), histories, ridge) for ridge in _RIDGES]
    best = min(tries, key=lambda model: sample.part(fit, tune).error(model))
    population = DistilledPopulation(
        base,
        ids,
        unit(best.tastes)[:, None, :].astype(np.float32),
        np.stack([best.bias, np.linalg.norm(best.tastes, axis=1), np.full(len(ids), best.appeal)], axis=1).astype(
            np.float32
        ),
    )
    return population, _agreement(sample.part(tune, items_each), best)


@dataclass(frozen=True)
class _Linear:
    """bias (n,), tastes (n, d), appeal: one number, at least 0."""

    bias: Floats
    tastes: Floats
    appeal: float

    def log_odds(self, vectors: Floats, appeal: Floats) -> Floats:
        found = self.bias[:, None] + self.appeal * appeal + np.einsum("nd,nmd->nm", self.tastes, vectors)
        return np.asarray(found)


@dataclass(frozen=True)
class _Sample:
    """Answers about items: vectors (n, m, d), appeal (n, m), told (n, m)."""

    vectors: Floats
    appeal: Floats
    told: Floats

    def part(self, begin: int, end: int) -> _Sample:
        return _Sample(self.vectors[:, begin:end], self.appeal[:, begin:end], self.told[:, begin:end])

    def error(self, model: _Linear) -> float:
        return float(((self.told - model.log_odds(self.vectors, self.appeal)) ** 2).mean())


def _fitted(sample: _Sample, histories: Floats, ridge: float) -> _Linear:
    """Shared parts first, over all users at once, then each user's own on what is left."""
    n, m, d = sample.vectors.shape
    centre = sample.told.mean(axis=1, keepdims=True)
    cosine = np.einsum("nd,nmd->nm", histories, sample.vectors)
    shared = np.concatenate([sample.vectors, cosine[:, :, None], sample.appeal[:, :, None]], axis=2)
    weights = _ridge((shared - shared.mean(axis=1, keepdims=True)).reshape(n * m, -1), sample.told - centre, ridge)
    appeal = max(float(weights[d + 1]), 0.0)
    tastes = weights[:d] + weights[d] * histories  # (n, d)
    left = sample.told - centre - _centred(np.einsum("nd,nmd->nm", tastes, sample.vectors) + appeal * sample.appeal)
    for user in range(n):
        own = sample.vectors[user] - sample.vectors[user].mean(axis=0)
        tastes[user] += _ridge(own, left[user], ridge)
    explained = np.einsum("nd,nmd->nm", tastes, sample.vectors) + appeal * sample.appeal
    return _Linear((sample.told - explained).mean(axis=1), tastes, appeal)


def _ridge(features: Floats, target: Floats, strength: float) -> Floats:
    gram = features.T @ features + strength * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, features.T @ target.ravel()))


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def _agreement(sample: _Sample, model: _Linear) -> Agreement:
    told, said = _centred(sample.told), _centred(model.log_odds(sample.vectors, sample.appeal))
    spread = float(np.sqrt((told**2).sum() * (said**2).sum()))
    above: NDArray[Any] = told > np.median(told, axis=1, keepdims=True)
    auc = float(roc_auc_score(above.ravel(), said.ravel())) if above.any() and not above.all() else 0.5
    return Agreement(float((told * said).sum()) / spread if spread > 0 else 0.0, auc, told.size)
