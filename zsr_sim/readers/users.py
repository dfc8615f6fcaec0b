"""LLM users: a language model answers for each user and item; answers are calibrated, kept, and given again.

Calibration: what a model says of a content-free item under the same persona is taken off (Zhao, Wallace, Feng, Klein
and Singh 2021, "Calibrate before use", section 3), and one constant sets the click level, which no model knows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from zsr_sim.encoders.cache import VectorCache, text_digests
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.world import Users
from zsr_sim.readers.model import Answering, Progress
from zsr_sim.readers.prompts import (
    CLICK_ANSWERS,
    GOOD,
    NO_ITEM,
    RATE_ANSWERS,
    VERSION,
    Personas,
    click_line,
    persona_prefix,
    rate_line,
)

_UNWRITTEN = 512  # answers that a kill can lose
_SPREAD = 0.05  # logits: below this a model tells nothing apart
_AGREEABLE = 2.0  # times the declared level

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Agreeableness:
    """How far a model's own answers can be taken for a user's.

    positive: mean probability of a yes about random items, as the model says it. declared: the click level of the log
    or of the settings. spread: standard deviation of the calibrated log-odds over the items of one user, in logits.
    shift: logits by which answers are moved to the declared level. asked: how many answers this rests on.
    """

    model: str
    positive: float
    declared: float
    spread: float
    shift: float
    asked: int

    @property
    def agreeable(self) -> bool:
        """Whether it says yes more than twice as often as people do."""
        return self.positive > _AGREEABLE * self.declared

    @property
    def indifferent(self) -> bool:
        """Whether its answers hardly depend on the item."""
        return self.spread < _SPREAD

    def sentence(self) -> str:
        """For a person: the figures, and what follows from them."""
        said = (
            f"LLM users ({self.model}): yes to {100 * self.positive:.0f} % of {self.asked:,} random items, declared "
            f"click level {100 * self.declared:.1f} %; answers shifted by {self.shift:+.2f} logits; spread between a "
            f"user's items {self.spread:.2f} logits"
        )
        if self.agreeable:
            said += "; WARNING: agreeable, it says yes far more often than people click"
        if self.indifferent:
            said += "; WARNING: it answers the same whatever the item, such users tell no strategies apart"
        return said

    def to_json(self) -> dict[str, object]:
        """The figures by name."""
        names = ("model", "positive", "declared", "spread", "shift", "asked", "agreeable", "indifferent")
        return {name: getattr(self, name) for name in names}


@dataclass
class LlmUsers:
    """Answers of a language model in the users' place (`zsr_sim.envs.asked.Asked`).

    personas: who the users are. cache: keeps answers on disk; None: in memory alone. shift: logits added to every
    click's log-odds (`levelled`).
    """

    model: Answering
    personas: Personas
    cache: VectorCache | None = None
    shift: float = 0.0
    _known: dict[tuple[str, bytes], Floats] = field(default_factory=dict, repr=False)
    _unwritten: dict[str, list[tuple[bytes, Floats]]] = field(default_factory=dict, repr=False)

    def clicks(self, users: Users, slates: NDArray[np.int32]) -> Floats:
        """Calibrated log-odds of a click, with the shift, float32 (n, slate)."""
        return self.log_odds(users, slates) + np.float32(self.shift)

    def likes(self, users: Users, items: NDArray[np.int32]) -> Floats:
        """Probability that the model calls the item good or great, float32 (n,).

        Of each answer's likelihood that after the content-free item is taken off: in two fifths of the cases whatever
        the item, for a model that does not tell items apart.
        """
        titles = [self.personas.titles[item] for item in items.tolist()]
        personas = self.personas.of(users)
        lines = [rate_line(title) for title in [*titles, *[NO_ITEM] * len(titles)]]
        told, free = np.split(self._asked(personas * 2, lines, RATE_ANSWERS), 2)  # (n, answers) each
        told = told - free
        odds = np.exp(told - told.max(axis=1, keepdims=True))  # (n, answers)
        return np.asarray(odds[:, GOOD].sum(axis=1) / odds.sum(axis=1), dtype=np.float32)

    def log_odds(
        self, users: Users, slates: NDArray[np.int32], calibrated: bool = True, progress: Progress | None = None
    ) -> Floats:
        """Take log P(yes) - log P(no) of each item, less that of the content-free item where calibrated: (n, slate)."""
        n, slate = slates.shape
        personas = self.personas.of(users)
        asked = [persona for persona in personas for _ in range(slate)]
        lines = [click_line(self.personas.titles[item]) for item in slates.ravel().tolist()]
        free = personas if calibrated else []  # asked together with the items: one pass for both
        told = self._asked(asked + free, lines + [click_line(NO_ITEM)] * len(free), CLICK_ANSWERS, progress)
        odds = told[:, 0] - told[:, 1]
        found = odds[: n * slate].reshape(n, slate)
        if calibrated:
            found = found - odds[n * slate :, None]
        return np.asarray(found, dtype=np.float32)

    def _asked(
        self, personas: list[str], lines: list[str], answers: tuple[str, ...], progress: Progress | None = None
    ) -> Floats:
        """Log-likelihoods of the answers, float32 (n, answers): known ones, or the model's."""
        kind = f"{VERSION}:{'|'.join(answers)}"
        questions = [(persona_prefix(persona), line) for persona, line in zip(personas, lines, strict=True)]
        digests = text_digests(["\x00".join(question) for question in questions])  # (n, 4)
        keys = [(kind, digest.tobytes()) for digest in digests]
        distinct = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
        self._recall(kind, distinct, digests, len(answers))
        missing = [(key, row) for key, row in distinct.items() if key not in self._known]
        step = 4096
        for at in range(0, len(missing), step):
            some = missing[at : at + step]
            told = self.model.answer([questions[row] for _, row in some], answers)
            for (key, _), likelihoods in zip(some, told, strict=True):
                self._known[key] = likelihoods
                self._unwritten.setdefault(kind, []).append((key[1], likelihoods))
            if len(self._unwritten.get(kind, ())) >= _UNWRITTEN:
                self.flush()
            if progress:
                progress(at + len(some), len(missing))
        return np.array([self._known[key] for key in keys], dtype=np.float32).reshape(len(keys), len(answers))

    def _recall(
        self, kind: str, wanted: dict[tuple[str, bytes], int], digests: NDArray[np.uint64], answers: int
    ) -> None:
        if self.cache is None or not wanted:
            return
        rows = list(wanted.values())
        kept, found = self.cache.get(self._shelf(kind), digests[rows], answers)
        for key, likelihoods, there in zip(wanted, kept, found, strict=True):
            if there:
                self._known[key] = likelihoods

    def flush(self) -> None:
        """Write the answers that are not yet on disk."""
        for kind, rows in self._unwritten.items():
            if self.cache is not None and rows:
                digests = np.frombuffer(b"".join(digest for digest, _ in rows), dtype="<u8").reshape(-1, 4)
                self.cache.put(self._shelf(kind), digests, np.array([told for _, told in rows], dtype=np.float32))
        self._unwritten.clear()

    def _shelf(self, kind: str) -> str:
        return hashlib.sha256(f"{self.model.fingerprint}:{kind}".encode()).hexdigest()


def levelled(
    asked: LlmUsers, users: Users, n_items: int, declared: float, seed: int, items_each: int = 16,
    progress: Progress | None = None,
) -> Agreeableness:  # fmt: skip
    """Set the shift so that these users click `declared` of the random items they look at; the agreeableness check."""
    luck = uniforms(seed, users.ids, 3, Purpose.SAMPLE_USERS, items_each)
    items = np.minimum((luck * n_items).astype(np.int32), n_items - 1)  # (n, items_each)
    raw = asked.log_odds(users, items, calibrated=False, progress=progress).astype(np.float64)
    odds = asked.log_odds(users, items).astype(np.float64)
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(odds + middle).mean() < declared else (low, middle)
    asked.shift = low
    asked.flush()
    spread = float(odds.std(axis=1).mean())
    return Agreeableness(asked.model.name, float(expit(raw).mean()), declared, spread, low, items.size)
