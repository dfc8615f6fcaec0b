"""What the adversarial phase adds to the generator: the same generator before and after it.

    python -m zsr_sim.adversary --data my-data --seeds 0 1 2

Everybody's last interaction is hidden; a GAN learns from the rest as `gan` does. Two strategies come of one training:
the likelihood-only generator, whose sequences the discriminator has learned to tell but never changed, and what the
adversarial steps made of it. Ranking is of the hidden items (`evaluate ranking --protocol warm`); Fréchet distance and
diversity are of sequences drawn at temperature 1 for held-out users, beside what these went on with; the return and
the share of the pages that the generator wrote are those of the same users meeting the same luck. Differences are
paired: by user, or by redrawing the same sequences.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.gan import Gan
from zsr_sim.agents.registry import checked
from zsr_sim.commands.job import luck_of
from zsr_sim.commands.ranking import Question, ground_of
from zsr_sim.config import Settings, load_settings
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.visits import simulate
from zsr_sim.errors import told_in_a_line
from zsr_sim.evaluation.comparison import Arm, Pair
from zsr_sim.evaluation.estimates import Estimate, estimate_mean
from zsr_sim.evaluation.metrics import PRIMARY
from zsr_sim.evaluation.next_item import place
from zsr_sim.evaluation.ranking import accuracy, diversity
from zsr_sim.evaluation.trials import Trials, leave_one_out
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.generation.batches import Batch
from zsr_sim.generation.gan import Drawing
from zsr_sim.generation.monitors import features, frechet_distance
from zsr_sim.learning import train_gans

RANKED = ("hr@10", "ndcg@10")
_REDRAWS = 200  # of sequences, for the spread of a Fréchet distance


class Row(NamedTuple):
    """One figure of the likelihood-only generator, of what the adversary made of it, and their difference."""

    likelihood: Estimate
    adversarial: Estimate
    difference: Estimate


def ablation(data: str, settings: Settings, seed: int, users: int, min_interactions: int = 10) -> dict[str, Row]:
    """The rows of the table by name; `users` visits for the return."""
    scene = make_scene(data, settings.world)
    ground = ground_of(scene, Question(data, ["gan"], min_interactions=min_interactions))
    trials = leave_one_out(ground.log, len(scene.vectors), ground.train)
    learner = scene.learning_from(trials.train)
    before, after, trainer = train_gans(learner, settings, seed)
    plain, taught = (_ranked(gan, learner, trials, seed) for gan in (before, after))
    rows = {metric: _paired(plain[metric], taught[metric], trials.users) for metric in RANKED}
    rows |= _written(before, after, trainer.held_out, learner.vectors, seed)
    return rows | _in_the_loop(before, after, learner, settings, seed, users)


def _ranked(gan: Gan, scene: Scene, trials: Trials, seed: int) -> dict[str, NDArray[np.float64]]:
    return accuracy(place(checked("gan", gan, scene), trials, seed).standings)


def _paired(before: NDArray[np.float64], after: NDArray[np.float64], people: NDArray[np.integer]) -> Row:
    return Row(*(estimate_mean(values, people.astype(np.int64)) for values in (before, after, after - before)))


def _written(before: Gan, after: Gan, held_out: Batch, vectors: NDArray[np.float32], seed: int) -> dict[str, Row]:
    """Fréchet distance and diversity of sequences for held-out histories that went on for a full page."""
    full = held_out.mask.all(dim=1)
    observation = Observation.of_histories(held_out.consumed[full].numpy().astype(np.int32), seed)
    pages = []
    for gan in (before, after):
        free = replace(gan.source, drawing=Drawing(), n_generated=1, windows=1)
        pages.append(free.sequences(observation)[:, 0].numpy())  # (n, slate)
    real = features(vectors[held_out.items[full].numpy()])
    written = [features(vectors[page]) for page in pages]
    rng, n = np.random.default_rng(seed), len(real)
    draws = [np.arange(n), *rng.integers(0, n, (_REDRAWS, n))]
    distances = np.array([[frechet_distance(real[rows], one[rows]) for one in written] for rows in draws])
    columns = [*distances.T, distances[:, 1] - distances[:, 0]]
    # Redrawn sequences lie closer together, so only the spread of the redraws is used, not their mean.
    frechet = Row(*(Estimate(float(c[0]), float(c[1:].std(ddof=1)), n - 1) for c in columns))
    plain, taught = (diversity(page.astype(np.int32), vectors) for page in pages)
    return {"frechet": frechet, "diversity": _paired(plain, taught, np.arange(n))}


def _in_the_loop(before: Gan, after: Gan, scene: Scene, settings: Settings, seed: int, users: int) -> dict[str, Row]:
    """Return, and the share of the pages shown that the generator wrote: for the others its gate let none pass."""
    ids, horizon = np.arange(users), settings.world.horizon
    visits = [simulate(scene.world, scene.test, ids, gan, luck_of(seed), horizon) for gan in (before, after)]
    plain, taught = (Arm.of("gan", each) for each in visits)
    earned = Row(plain.mean(PRIMARY), taught.mean(PRIMARY), Pair(plain, taught).difference(PRIMARY))
    return {PRIMARY: earned, "written": _paired(visits[0].generated, visits[1].generated, visits[0].people)}


def _told(estimate: Estimate) -> str:
    return "{:.4f} [{:.4f}, {:.4f}]".format(estimate.mean, *estimate.ci95)


def main(arguments: list[str]) -> None:
    """Print a table for each seed, 95 % intervals."""
    parser = argparse.ArgumentParser(description="what the adversarial phase adds to the generator")
    parser.add_argument("--data", default="films")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--users", type=int, default=2000, help="visits for the return")
    parser.add_argument("--set", nargs="+", default=[], dest="assignments", metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds) < 0:
        parser.error(f"--seeds must be 0 or more, got {min(chosen.seeds)}")
    if chosen.users < 2:
        parser.error(f"--users must be 2 or more, got {chosen.users}")
    with told_in_a_line():
        settings = load_settings(None, chosen.assignments)
        for seed in chosen.seeds:
            found = ablation(chosen.data, settings, seed, chosen.users)
            print(f"{f'seed {seed}':<12}{'likelihood only':<28}{'with the adversary':<28}difference")
            for name, row in found.items():
                print(f"{name:<12}{_told(row.likelihood):<28}{_told(row.adversarial):<28}{_told(row.difference)}")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
