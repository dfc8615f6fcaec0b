"""A world whose users are asked: what attracts them is somebody's answer, a language model's; the laws do the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zsr_sim.envs.feedback import KINDS, Feedback
from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.envs.world import Users, World, WorldState


class Asked(Protocol):
    """Who answers in the users' place; a pure function of each user and item, so that a visit can be played again."""

    def clicks(self, users: Users, slates: NDArray[np.int32]) -> NDArray[np.float32]:
        """Log-odds that a user who looks at an item clicks it, float32 (n, slate), for slates (n, slate)."""

    def likes(self, users: Users, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Probability that each user likes the item, float32 (n,), for items (n,)."""


@dataclass(frozen=True)
class AskedWorld(World):
    """A `World` in which `asked` says what is clicked, what is skipped, and what is liked.

    Its answer stands in place of taste and appeal; position, boredom, repetition, season, satisfaction and leaving are
    the world's laws, with the same luck as for other users: where the answers are what the laws would have said, the
    visit is the same. Whoever is asked is asked about users who are present alone, and about likes only where an item
    was clicked or likes are rewarded.
    """

    asked: Asked = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rules", self.rules._replace(like=0.0))  # what likes are worth is added below

    def step(
        self, state: WorldState, slates: NDArray[np.int32], answers: NDArray[np.float32] | None = None
    ) -> Feedback:
        """As `World.step`; answers that are given are taken and not asked for."""
        self.check(slates, len(state.steps))
        here = np.flatnonzero(state.present)
        if answers is None:
            answers = np.zeros(slates.shape, dtype=np.float32)
            answers[here] = self.asked.clicks(state.users.take(here), slates[here])
        steps = state.steps.copy()
        feedback = super().step(state, slates, answers)
        self._like(state, slates, steps, feedback, here)
        return feedback

    def _like(
        self, state: WorldState, slates: NDArray[np.int32], steps: NDArray[np.int64], feedback: Feedback,
        here: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Likes by answer in place of those by law, drawn with the same luck; the reward follows."""
        wanted = feedback.clicks.copy()  # (n, slate)
        if self.rewards.like:
            wanted[here] = True
        rows, places = np.nonzero(wanted)
        if not len(rows):
            return
        probability = np.zeros(slates.shape)  # (n, slate)
        probability[rows, places] = self.asked.likes(state.users.take(rows), slates[rows, places])
        luck = uniforms(state.seeds, state.users.ids, steps, Purpose.REACTION, 4 * self.slate_size)[:, ::4]
        feedback.likes[:] = feedback.clicks & (luck < probability)
        feedback.amounts[:, KINDS.index("like")] = feedback.likes.sum(axis=1)
        feedback.reward[:] += self.rewards.like * feedback.likes.sum(axis=1)
        feedback.expected_reward[:] += self.rewards.like * (feedback.probabilities * probability).sum(axis=1)
