"""Several strategies before the same users, block by block; one that fails is left out from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zsr_sim.agents.protocol import AgentError, CheckedAgent
from zsr_sim.agents.registry import find_agent
from zsr_sim.commands.job import Job, luck_of
from zsr_sim.config import Settings
from zsr_sim.console import Phases
from zsr_sim.envs.asked import AskedWorld
from zsr_sim.envs.population import Population
from zsr_sim.envs.visits import Visits, simulate
from zsr_sim.envs.world import World
from zsr_sim.evaluation.comparison import Arm, Looks, Pair, compare_strategies
from zsr_sim.evaluation.following import Followed, follow
from zsr_sim.evaluation.learnable import MYOPIC, PLANNER, learnable
from zsr_sim.evaluation.metrics import concentration
from zsr_sim.evaluation.replay import Replay, replay
from zsr_sim.evaluation.segments import segment_effects, segmentations
from zsr_sim.evaluation.support import log_states, state_support, support_of
from zsr_sim.evaluation.walks import walks
from zsr_sim.experiment import Scene

BLOCK = 1000  # users between two looks
ORACLE_USERS = 30  # planning takes a third of a second for each on a laptop
REPLAYED = 500  # users whose every page is kept


class Trial:
    """Strategies before the users of one world.

    agents: those still in it. failed: why each other one was left out. met: users so far.
    """

    def __init__(
        self, world: World, population: Population, agents: Mapping[str, CheckedAgent], baseline: str, job: Job,
        horizon: int,
    ) -> None:  # fmt: skip
        self.world, self.population, self.baseline, self.horizon = world, population, baseline, horizon
        self.agents = dict(agents)
        self.failed: dict[str, AgentError] = {}
        self.met = 0
        self._job = job
        self._luck = {name: luck_of(job.seed, place if job.other_luck else 0) for place, name in enumerate(agents)}
        self._parts: dict[str, list[Visits]] = {name: [] for name in agents}
        self._followed: dict[str, list[Followed]] = {name: [] for name in agents}
        self._replays: dict[str, Replay] = {}

    @property
    def visits(self) -> dict[str, Visits]:
        """All visits so far."""
        return {name: Visits.joined(self._parts[name]) for name in self.agents}

    @property
    def followed(self) -> dict[str, Followed]:
        """The same users followed to the horizon; empty unless the job asks for it."""
        return {name: Followed.joined(self._followed[name]) for name in self.agents if self._job.follow}

    def run(self, users: int, phases: Phases, phase: str = "comparison", turn: tuple[int, int] = (0, 1)) -> None:
        """Let the next users visit under every strategy. turn: which of how many equal parts of the phase this is."""
        job, arms = self._job, len(self.agents)
        ids = np.arange(self.met, self.met + users, dtype=np.int64)
        words = "other luck for each strategy" if job.other_luck else "the same luck for every strategy"
        before = arms * (turn[0] * job.users + self.met)

        def visit(name: str, agent: CheckedAgent) -> None:
            place = before + list(self.agents).index(name) * users

            def show(done: int, _: int) -> None:
                phases.show(phase, place + done, arms * turn[1] * job.users, f"{job.users:,} users, {words}")

            show(0, 0)
            seed = self._luck[name]
            self._parts[name].append(
                simulate(self.world, self.population, ids, agent, seed, self.horizon, job.batch_size, show)
            )
            if job.follow:
                self._followed[name].append(
                    follow(self.world, self.population, ids, agent, seed, self.horizon, job.batch_size)
                )

        self._each(visit)
        self.met += users

    def results(self, world: dict[str, object], looks: Looks | None = None) -> dict[str, Any]:
        """What `compare_strategies` finds in the visits so far."""
        if not self._replays:
            self._replay()
        shown = {name: {"concentration": concentration(r.slates, len(self.world.items))} for name, r in self._kept()}
        return compare_strategies(
            self.visits, seed=self._job.seed, world=world, baseline=self.baseline, independent=self._job.other_luck,
            extra=shown, looks=looks, followed=self.followed,
        )  # fmt: skip

    def finish(self, world: dict[str, object], phases: Phases, until_decided: bool) -> dict[str, Any]:
        """Meet the rest of the users; with `until_decided` stop as soon as every verdict stands.

        The results say under "looks" how often was looked, or hold None there.
        """
        if not until_decided:
            if self.met < self._job.users:
                self.run(self._job.users - self.met, phases)
            return self.results(world) | {"looks": None}
        looks = Looks(first=self.met, planned=max(self._job.users / 2, self.met))
        for look in range(1, self._job.users // BLOCK + 2):
            results = self.results(world, looks)
            decided = all(c["verdict"] != "inconclusive" for c in results["comparisons"])
            if decided or self.met >= self._job.users:
                return results | {"looks": {"count": look, "every": BLOCK, "most": self._job.users, "decided": decided}}
            self.run(min(BLOCK, self._job.users - self.met), phases)
        raise AssertionError("the last look is at all users")

    def segments(self, scene: Scene) -> list[dict[str, Any]]:
        """The effect in parts of the users (`segment_effects`)."""
        followed = self.followed
        arms = {name: Arm.of(name, visits, None, followed.get(name)) for name, visits in self.visits.items()}
        pairs = {name: Pair(arms[self.baseline], arm) for name, arm in arms.items() if name != self.baseline}
        users = self.population.visit(np.arange(self.met, dtype=np.int64))
        titles = scene.dataset.catalogue.titles
        return segment_effects(pairs, segmentations(users, self.world.items.topics, scene.vectors, titles))

    def support(self, scene: Scene) -> dict[str, Any]:
        """How far each candidate's gain rests on items (`support_of`) and states that the log never saw."""
        kept, known = dict(self._kept()), log_states(scene.log, scene.vectors)
        return {
            name: support_of(kept[self.baseline], candidate, scene.retrieval.popularity, scene.vectors)
            | {"states": state_support(kept[self.baseline], candidate, known)}
            for name, candidate in kept.items()
            if name != self.baseline
        }

    def walks(self, titles: Sequence[str]) -> dict[str, Any]:
        """Three visits under the baseline and each candidate, page by page (`walks`)."""
        kept = dict(self._kept())
        others = {name: candidate for name, candidate in kept.items() if name != self.baseline}
        return {name: walks(kept[self.baseline], candidate, titles) for name, candidate in others.items()}

    def learnable(self, scene: Scene, settings: Settings) -> dict[str, Any] | None:
        """The baseline beside the oracles (`learnable`), on the first users; None where no oracle knows the users."""
        if isinstance(self.world, AskedWorld):
            return None
        ids = np.arange(min(ORACLE_USERS, self.met), dtype=np.int64)
        agents = {self.baseline: self.agents[self.baseline]}
        agents |= {name: find_agent(name).build(scene, settings) for name in (MYOPIC, PLANNER)}
        seed = self._luck[self.baseline]
        return learnable(
            self.baseline,
            {name: simulate(self.world, self.population, ids, a, seed, self.horizon) for name, a in agents.items()},
        )

    def _replay(self) -> None:
        """Let the first users visit again, and keep their pages."""
        ids = np.arange(min(REPLAYED, self.met), dtype=np.int64)

        def keep(name: str, agent: CheckedAgent) -> None:
            self._replays[name] = replay(self.world, self.population, ids, agent, self._luck[name], self.horizon)

        self._each(keep)

    def _kept(self) -> list[tuple[str, Replay]]:
        return [(name, self._replays[name]) for name in self.agents]

    def _each(self, action: Callable[[str, CheckedAgent], None]) -> None:
        """Do it with every strategy; one that fails is out, unless it is the baseline or nobody would be left."""
        for name, agent in list(self.agents.items()):
            try:
                action(name, agent)
            except AgentError as error:
                if name == self.baseline or len(self.agents) == 2:
                    raise
                self.failed[name] = error
                del self.agents[name]
