"""Training of the strategies that learn, in a scene: first the generator, then the policy in the closed loop.

A trained strategy is saved into a run folder and read back for any scene: its networks and its item space know texts
only, so it recommends from a catalogue that it has never seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from zsr_sim.agents.policy_gradient import PolicyGradient, PolicyGradientTrainer
from zsr_sim.agents.protocol import Agent
from zsr_sim.agents.scoring import CandidateScorer
from zsr_sim.agents.stable_baselines import ALGORITHMS, StableBaselines, StableBaselinesTrainer
from zsr_sim.catalogue import Catalogue
from zsr_sim.config import Settings
from zsr_sim.encoders.space import ItemSpace
from zsr_sim.envs.stage import Stage
from zsr_sim.envs.vector import RecommendationVectorEnv
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene
from zsr_sim.generation.candidates import CandidateSource, RetrievalCandidates
from zsr_sim.generation.gan import Drawing, GeneratedCandidates, SequenceGan
from zsr_sim.generation.networks import RECENT, Discriminator, Generator
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import Sequences, continuations, stretches
from zsr_sim.generation.training import GanTrainer
from zsr_sim.runs import Run, load_checkpoint

POLICY_GRADIENT = "policy-gradient"
STABLE_BASELINES = "sb3:"
HELD_OUT_SHARE, MOST_USERS, MOST_HELD_OUT = 0.1, 150, 500  # of the users, of them at most; and of their sequences
FEWEST_SEQUENCES = 20

OnProgress = Callable[[str, int, int, dict[str, float]], None]
"""Called with (phase, steps done, steps in all, figures so far); phases are "generator", "log" and "policy"."""


@dataclass(frozen=True)
class Trained:
    """A strategy after its training: ready to act, and what has to be kept of it.

    tensors: all weights, and the item space it sees texts in. facts: everything else that `load_trained` needs; JSON.
    figures: of each phase, at its end.
    """

    agent: Agent
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    figures: dict[str, dict[str, float]]

    def final_figures(self) -> dict[str, dict[str, float | None]]:
        """The figures at the end of each phase, ready for JSON: None where one is not finite."""
        return {
            phase: {name: value if math.isfinite(value) else None for name, value in figures.items()}
            for phase, figures in self.figures.items()
        }

    def save(self, run: Run, name: str) -> None:
        """Write checkpoints/<name> of a run."""
        run.save_checkpoint(name, self.tensors, self.facts)


@dataclass(frozen=True)
class Learner:
    """A strategy that is trained before it acts.

    does, needs: one line on each, for a person. in_the_loop: whether it learns among the simulated users (its figures
    hold a `return`), or from the scene's log alone. train: with the arguments of `train_strategy`. restore: makes of
    (tensors, facts, settings, scene) the agent that a `Trained` was. require: as `require_trainable`. phases: of the
    training under these settings.
    """

    does: str
    needs: str
    in_the_loop: bool
    train: Callable[[Scene, Settings, int, OnProgress], Trained]
    restore: Callable[[dict[str, Tensor], dict[str, Any], Settings, Scene], Agent]
    require: Callable[[Scene, Settings], None] = lambda scene, settings: None
    phases: Callable[[Settings], int] = lambda settings: 1


def learners() -> dict[str, Learner]:
    """The strategies that can be trained."""
    return {
        POLICY_GRADIENT: Learner(
            "learns in the loop (PPO) which page to show: written by the GAN, or retrieved", "the loop, a log", True,
            train_policy_gradient, _restore_policy_gradient, _require_policy_gradient,
            lambda settings: 2 if settings.generator.candidates else 1,
        ),
    } | {f"{STABLE_BASELINES}{name}": _stable_baselines(name) for name in ALGORITHMS}  # fmt: skip


def _stable_baselines(algorithm: str) -> Learner:
    def train(scene: Scene, settings: Settings, seed: int, report: OnProgress) -> Trained:
        return train_stable_baselines(algorithm, scene, settings, seed, report)

    does = f"{algorithm} of stable-baselines3, in the same loop, among retrieved pages"
    return Learner(does, "the loop", True, train, _restore_stable_baselines)


def count_phases(name: str, settings: Settings) -> int:
    """How many phases the training of this strategy has."""
    return learners()[name].phases(settings)


def train_strategy(
    name: str, scene: Scene, settings: Settings, seed: int, on_progress: OnProgress | None = None
) -> Trained:
    """Train one of `learners`. All randomness comes from `seed`; `on_progress` is told of every update.

    Raises InputError where settings or scene do not allow it (`require_trainable`).
    """
    require_trainable(name, scene, settings)
    return learners()[name].train(scene, settings, seed, on_progress or _tell_nobody)


def require_trainable(name: str, scene: Scene, settings: Settings) -> None:
    """Raise InputError where training in this scene with these settings cannot begin; costs next to nothing."""
    learners()[name].require(scene, settings)


def _require_policy_gradient(scene: Scene, settings: Settings) -> None:
    if settings.generator.candidates >= settings.agent.candidates:
        raise InputError(
            f"generator.candidates is {settings.generator.candidates}, agent.candidates {settings.agent.candidates}; "
            "some candidates must be retrieved: raise the second or lower the first"
        )
    if settings.generator.candidates:
        _sequences(scene, 0)


def train_policy_gradient(scene: Scene, settings: Settings, seed: int, report: OnProgress) -> Trained:
    """Train the generator on what the scene's training users consumed, then the policy among these users.

    The arguments are those of `train_strategy`.
    """
    gan_trainer, figures = None, {}
    if settings.generator.candidates:
        gan_trainer, figures["generator"] = _train_generator(scene, settings, seed, report)
    policy, figures["policy"] = _train_policy(scene, settings, seed, gan_trainer, report)
    networks: dict[str, nn.Module] = {"scorer": policy.scorer}
    gan, gate = None, None
    if gan_trainer is not None:
        gan = gan_trainer.gan
        networks |= {"generator": gan_trainer.gan.generator, "discriminator": gan_trainer.gan.discriminator}
        gate = gan_trainer.gan.threshold
    tensors = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    if gan is not None:
        tensors["items.keys"] = torch.from_numpy(item_keys(scene.dataset.catalogue))
    return Trained(
        PolicyGradient(policy.scorer, _candidates(gan, scene.retrieval, settings)),
        tensors | _space_tensors(scene),
        _facts(POLICY_GRADIENT, scene, settings, seed) | {"gate": gate},
        figures,
    )


def train_stable_baselines(algorithm: str, scene: Scene, settings: Settings, seed: int, report: OnProgress) -> Trained:
    """Train an algorithm of stable-baselines3 in the environment, among retrieved candidates.

    Each update plays `agent.users` rows of `world.horizon` pages. The arguments are those of `train_strategy`.
    """
    source = _candidates(None, scene.retrieval, settings)
    stage = Stage.of(scene.world, scene.train, source, scene.dataset.catalogue.item_ids)
    env = RecommendationVectorEnv.on(stage, settings.agent.users, settings.world.horizon)
    trainer = StableBaselinesTrainer(algorithm, env, settings.agent, seed)
    figures: dict[str, float] = {}
    for update in range(settings.agent.updates):
        figures = trainer.step()
        report("policy", update + 1, settings.agent.updates, figures)
    agent = trainer.agent
    weights, facts = agent.checkpoint()
    return Trained(
        agent,
        {f"policy.{key}": value for key, value in weights.items()} | _space_tensors(scene),
        _facts(f"{STABLE_BASELINES}{algorithm}", scene, settings, seed) | {"policy": facts},
        {"policy": figures},
    )


def _tell_nobody(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
    pass


def _space_tensors(scene: Scene) -> dict[str, Tensor]:
    return {"space.components": torch.from_numpy(scene.space.components)}


def _facts(kind: str, scene: Scene, settings: Settings, seed: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "seed": seed,
        "data": scene.dataset.catalogue.name,
        "dimensions": scene.space.dimensions,
        "slate_size": scene.world.slate_size,
        "encoder": scene.encoder,
        "encoder_fingerprint": scene.encoder_fingerprint,
        "settings": settings.model_dump(mode="json"),
    }


def _train_generator(
    scene: Scene, settings: Settings, seed: int, report: OnProgress
) -> tuple[GanTrainer, dict[str, float]]:
    trainer = GanTrainer(scene.retrieval, *_sequences(scene, seed), settings.generator, seed)
    last: tuple[int, int, dict[str, float]] = (0, 1, {})

    def note(done: int, total: int, figures: dict[str, float]) -> None:
        nonlocal last
        last = done, total, dict(figures)
        report("generator", *last)

    figures = trainer.run(note)
    if figures != last[2]:  # what was kept is not what the last step left
        report("generator", last[0], last[1], figures)
    return trainer, figures


def _train_policy(
    scene: Scene, settings: Settings, seed: int, gan_trainer: GanTrainer | None, report: OnProgress
) -> tuple[PolicyGradientTrainer, dict[str, float]]:
    source = _candidates(gan_trainer.gan if gan_trainer else None, scene.retrieval, settings, torch.float32)

    def learn_from_feedback(histories: NDArray[np.int32], pages: NDArray[np.int32], clicks: NDArray[np.bool_]) -> None:
        if gan_trainer is not None and isinstance(source, GeneratedCandidates):
            gan_trainer.learn_from_feedback(histories, pages, clicks)
            source.renew(gan_trainer.gan)

    trainer = PolicyGradientTrainer(
        scene.world, scene.train, source, settings.agent, settings.world.horizon, seed,
        learn_from_feedback if gan_trainer else None, settings.generator.feedback_interval,
    )  # fmt: skip
    figures: dict[str, float] = {}
    for update in range(settings.agent.updates):
        figures = trainer.step()
        report("policy", update + 1, settings.agent.updates, figures)
    return trainer, figures


def load_trained(folder: Path, name: str, scene: Scene) -> Agent:
    """The trained strategy of a run, made ready for a scene, which may be of another catalogue.

    It sees the scene's items in the item space that it was trained in, whatever space the scene's users live in.

    Raises InputError where the checkpoint is missing, broken, or of another encoder than the scene's.
    """
    tensors, facts = load_checkpoint(folder, name)
    where = f"{folder.name}, checkpoint {name}"
    if facts.get("encoder_fingerprint") != scene.encoder_fingerprint:
        raise InputError(
            f"{where} was trained with the encoder {facts.get('encoder')}, items here are encoded by "
            f"{scene.encoder} (or by other weights of that name); name the same one with --encoder"
        )
    try:
        settings = Settings.model_validate(facts["settings"]).model_copy(update={"world": scene.settings})
        space = ItemSpace(tensors["space.components"].numpy())
        retrieval = Retrieval(space.project(scene.text_vectors), scene.retrieval.popularity)
        scene = dataclasses.replace(scene, space=space, vectors=retrieval.vectors, retrieval=retrieval)
        return learners()[facts["kind"]].restore(tensors, facts, settings, scene)
    except (KeyError, ValidationError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where} does not fit this version of zsr-sim ({reason}); train it again") from None


def _restore_policy_gradient(
    tensors: dict[str, Tensor], facts: dict[str, Any], settings: Settings, scene: Scene
) -> PolicyGradient:
    dimensions, gate = scene.vectors.shape[1], facts["gate"]
    scorer = CandidateScorer(settings.agent.hidden)
    scorer.load_state_dict(_under("scorer", tensors))
    gan = None
    if gate is not None:
        gan = restore_gan(tensors, gate, dimensions, scene.dataset.catalogue)
    return PolicyGradient(scorer, _candidates(gan, scene.retrieval, settings))


def _restore_stable_baselines(
    tensors: dict[str, Tensor], facts: dict[str, Any], settings: Settings, scene: Scene
) -> StableBaselines:
    source = _candidates(None, scene.retrieval, settings)
    return StableBaselines.restore(_under("policy", tensors), facts["policy"], source)


def restore_gan(tensors: dict[str, Tensor], gate: float, dimensions: int, catalogue: Catalogue) -> SequenceGan:
    """The GAN of a checkpoint, for any catalogue: items that it learned from keep their residuals, others have none."""
    keys = tensors["items.keys"].numpy()
    gan = SequenceGan(Generator(dimensions, len(keys)), Discriminator(dimensions), gate)
    gan.generator.load_state_dict(_under("generator", tensors))
    gan.discriminator.load_state_dict(_under("discriminator", tensors))
    row = {key: i for i, key in enumerate(keys.tolist())}
    return gan.moved(np.array([row.get(key, -1) for key in item_keys(catalogue).tolist()], dtype=np.int64))


def item_keys(catalogue: Catalogue) -> NDArray[np.int64]:
    """By what an item is known again in another catalogue, where its id alone means nothing: a hash of id and text."""
    pairs = zip(catalogue.item_ids, catalogue.texts, strict=True)
    digests = (hashlib.sha256(f"{name}\0{text}".encode()).digest()[:8] for name, text in pairs)
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one network, by its own names."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


def _candidates(
    gan: SequenceGan | None, retrieval: Retrieval, settings: Settings, dtype: torch.dtype = torch.float64
) -> CandidateSource:
    size, count = settings.world.slate_size, settings.agent.candidates
    if gan is None:
        return RetrievalCandidates(retrieval, size, count)
    own = settings.generator
    drawing = Drawing(own.temperature, own.top_k, own.nucleus, own.diversity)
    return GeneratedCandidates(
        gan, retrieval, size, count, own.candidates, drawing, own.windows, own.window_step, dtype
    )


def _sequences(scene: Scene, seed: int) -> tuple[NDArray[np.int32], Sequences, Sequences]:
    """The generator's sequences: the log to learn from, continuations in it, and continuations of held-out users."""
    share = min(HELD_OUT_SHARE, MOST_USERS / max(scene.log.n_users, 1))
    parts = scene.log.split_users(share, seed)  # by user: one user's sequences share items
    held_out, train = (continuations(part, scene.world.slate_size) for part in parts)
    log = stretches(parts[1], RECENT + 1)
    if len(train) < FEWEST_SEQUENCES or not len(held_out):
        raise InputError(
            f"the log of {scene.dataset.catalogue.name} gives {len(train)} sequences to train the generator on and "
            f"{len(held_out)} to hold out; at least {FEWEST_SEQUENCES} and 1 are needed: use a longer log, or "
            "--set generator.candidates=0 to go without"
        )
    order = np.random.default_rng(seed).permutation(len(held_out))
    return log, train, held_out.take(order[:MOST_HELD_OUT])
