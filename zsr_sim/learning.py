"""Training of the strategies that learn, in a scene: first the generator, then the policy in the closed loop.

A trained strategy is saved into a run folder and read back for any scene: its networks and its item space know texts
only, so it recommends from a catalogue that it has never seen.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from zsr_sim.agents.gan import Gan
from zsr_sim.agents.policy_gradient import PolicyGradient, PolicyGradientTrainer
from zsr_sim.agents.protocol import Agent
from zsr_sim.agents.sb3_algorithms import ALGORITHMS as SB3_ALGORITHMS
from zsr_sim.agents.sb3_algorithms import ENVIRONMENTS
from zsr_sim.agents.scoring import CandidateScorer
from zsr_sim.agents.stable_baselines import StableBaselines, StableBaselinesTrainer, environment_of
from zsr_sim.config import Settings
from zsr_sim.encoders.features import FeatureSpace
from zsr_sim.encoders.space import ItemSpace
from zsr_sim.envs.stage import Stage
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene
from zsr_sim.generation.candidates import CandidateSource, RetrievalCandidates
from zsr_sim.generation.clicks import ClickModel, ClickTrainer
from zsr_sim.generation.composed import ComposedCandidates
from zsr_sim.generation.gan import Drawing, GeneratedCandidates, SequenceGan, item_table
from zsr_sim.generation.networks import RECENT, Discriminator, Generator
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.sequences import Sequences, continuations, last_pages, stretches
from zsr_sim.generation.training import GanTrainer
from zsr_sim.log_learners import LOG_LEARNERS
from zsr_sim.loop_learners import LOOP_LEARNERS, restore_top_k, train_top_k
from zsr_sim.own_agents import own_learner
from zsr_sim.progress import Keeps, OnProgress, Progress, run_updates, under
from zsr_sim.runs import load_checkpoint
from zsr_sim.trained import Learner, Trained, facts, item_keys, kept, space_tensors

POLICY_GRADIENT, GAN = "policy-gradient", "gan"
STABLE_BASELINES = "sb3:"
HELD_OUT_SHARE = 0.05  # of the users, whose last page the generator does not learn from
FEWEST_HELD_OUT, MOST_HELD_OUT = 20, 300  # users, but no more than half of them
FEWEST_SEQUENCES = 20


def learners() -> dict[str, Learner]:
    """The strategies that can be trained."""
    sb3 = {f"{STABLE_BASELINES}{name}": _stable_baselines(name) for name in SB3_ALGORITHMS}
    return {
        POLICY_GRADIENT: Learner(
            "learns in the loop which page to show: written by the GAN, or retrieved", "the loop, a log", True,
            train_policy_gradient, _restore_policy_gradient, _require_policy_gradient,
            lambda settings: 2 if settings.generator.candidates and settings.agent.algorithm != "top-k" else 1,
        ),
        GAN: Learner(
            "the page written by the GAN's generator that its discriminator finds most plausible", "a log", False,
            _train_gan, _restore_gan, _require_gan,
        ),
    } | LOG_LEARNERS | LOOP_LEARNERS | sb3  # fmt: skip


def learner_of(name: str) -> Learner:
    """One of `learners`, or how a class of a person's own learns, `module:Class` (`own_learner`)."""
    known = learners()
    return known[name] if name in known else own_learner(name)


def _stable_baselines(algorithm: str) -> Learner:
    def train(scene: Scene, settings: Settings, seed: int, report: OnProgress, _: Progress) -> Trained:
        return train_stable_baselines(algorithm, scene, settings, seed, report)

    where = {"candidates": "among retrieved pages", "proto": "with points in item space as actions"}
    does = f"{algorithm} of stable-baselines3, {where[SB3_ALGORITHMS[algorithm].environment]}"
    return Learner(
        does, "the loop", True, train, _restore_stable_baselines,
        lambda _, settings: _require_environment(algorithm, settings),
    )  # fmt: skip


def _require_environment(algorithm: str, settings: Settings) -> None:
    environment_of(algorithm, settings.agent)


def count_phases(name: str, settings: Settings) -> int:
    """How many phases the training of this strategy has."""
    return learner_of(name).phases(settings)


def train_strategy(
    name: str, scene: Scene, settings: Settings, seed: int, on_progress: OnProgress | None = None,
    progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Train one of `learners`, or a class of a person's own.

    All randomness comes from `seed`; `on_progress` is told of every update.

    progress: how far an earlier training of the same came, and where this one is kept: it ends with the same numbers
    as one that was never stopped. What does not learn in updates of its own (sb3, learners from a log) begins again.

    Raises InputError where settings or scene do not allow it (`require_trainable`).
    """
    require_trainable(name, scene, settings)
    return learner_of(name).train(scene, settings, seed, on_progress or _tell_nobody, progress or Progress())


def require_trainable(name: str, scene: Scene, settings: Settings) -> None:
    """Raise InputError where training in this scene with these settings cannot begin; costs next to nothing."""
    learner_of(name).require(scene, settings)


def _require_policy_gradient(scene: Scene, settings: Settings) -> None:
    if settings.agent.algorithm == "top-k":
        return
    own, written = settings.agent, settings.generator.candidates
    if written + own.composed >= own.candidates:
        raise InputError(
            f"generator.candidates is {written}, agent.composed {own.composed}, agent.candidates {own.candidates}; "
            "some candidates must be retrieved: raise the last or lower one of the others"
        )
    if settings.generator.candidates:
        _sequences(scene, 0)


def train_policy_gradient(
    scene: Scene, settings: Settings, seed: int, report: OnProgress, progress: Progress
) -> Trained:
    """Train the generator on what the scene's training users consumed, then the policy among these users.

    With `agent.algorithm` "top-k" there is no generator: the policy composes its page item by item.

    The arguments are those of `train_strategy`.
    """
    if settings.agent.algorithm == "top-k":
        return train_top_k(POLICY_GRADIENT, scene, settings, seed, report, progress)
    gan_trainer, figures = None, {}
    if settings.generator.candidates:
        scene = scene.told()
        gan_trainer, figures["generator"] = _train_generator(scene, settings, seed, report, progress)
    policy, clicks, figures["policy"] = _train_policy(scene, settings, seed, gan_trainer, report, progress, figures)
    gan = None if gan_trainer is None else gan_trainer.gan
    gate = None if gan is None else gan.threshold
    tensors = _weights("scorer", policy.scorer) | ({} if gan is None else _gan_weights(gan, scene))
    if clicks is not None:
        tensors |= _weights("clicks", clicks) | _keys(scene)
    return Trained(
        PolicyGradient(policy.scorer, _proposals(gan, clicks, scene.retrieval, settings)),
        tensors | space_tensors(scene),
        facts(POLICY_GRADIENT, scene, settings, seed) | {"gate": gate},
        figures,
    )


def _weights(name: str, network: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for key, value in network.state_dict().items()}


def _keys(scene: Scene) -> dict[str, Tensor]:
    return {"items.keys": torch.from_numpy(item_keys(scene.dataset.catalogue))}


def _gan_weights(gan: SequenceGan, scene: Scene) -> dict[str, Tensor]:
    return _weights("generator", gan.generator) | _weights("discriminator", gan.discriminator) | _keys(scene)


def _require_gan(scene: Scene, settings: Settings) -> None:
    if not settings.generator.candidates:
        raise InputError("generator.candidates is 0: there is no page to choose; --set generator.candidates=3 has some")
    _sequences(scene, 0)


def _train_gan(scene: Scene, settings: Settings, seed: int, report: OnProgress, _: Progress) -> Trained:
    scene = scene.told()
    trainer, figures = _train_generator(scene, settings, seed, report, Progress())
    return Trained(
        Gan(_written(trainer.gan, scene.retrieval, settings)),
        _gan_weights(trainer.gan, scene) | space_tensors(scene),
        facts(GAN, scene, settings, seed) | {"gate": trainer.gan.threshold},
        {"generator": figures},
    )


def train_gans(scene: Scene, settings: Settings, seed: int) -> tuple[Gan, Gan, GanTrainer]:
    """`gan` of one training, before and after its adversarial steps, and what trained it."""
    scene = scene.told()
    trainer, _ = _train_generator(scene, settings, seed, _tell_nobody, Progress())
    before, after = (Gan(_written(g, scene.retrieval, settings)) for g in (trainer.before_adversary, trainer.gan))
    return before, after, trainer


def _written(gan: SequenceGan, retrieval: Retrieval, settings: Settings) -> GeneratedCandidates:
    """All candidates but one from the generator; the other one, by similarity, for users for whom none passes."""
    places = settings.generator.candidates
    agent = settings.agent.model_copy(update={"candidates": places + 1})
    return _generated(gan, retrieval, settings.model_copy(update={"agent": agent}))


def train_stable_baselines(algorithm: str, scene: Scene, settings: Settings, seed: int, report: OnProgress) -> Trained:
    """Train an algorithm of stable-baselines3 in one of the environments, without a generator.

    Each update plays `agent.users` rows of `world.horizon` pages. The arguments are those of `train_strategy`.
    """
    meaning = ENVIRONMENTS[environment_of(algorithm, settings.agent)]
    env = meaning.on(_stage(scene, settings), settings.agent.users, settings.world.horizon)
    trainer = StableBaselinesTrainer(algorithm, env, settings.agent, seed)
    figures: dict[str, float] = {}
    for update in range(settings.agent.updates):
        figures = trainer.step()
        report("policy", update + 1, settings.agent.updates, figures)
    return kept(f"{STABLE_BASELINES}{algorithm}", trainer.agent, {"policy": figures}, scene, settings, seed)


def _stage(scene: Scene, settings: Settings) -> Stage:
    source = RetrievalCandidates(scene.retrieval, settings.world.slate_size, settings.agent.candidates)
    return Stage.of(scene.world, scene.train, source, scene.dataset.catalogue.item_ids)


def _tell_nobody(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
    pass


def _train_generator(
    scene: Scene, settings: Settings, seed: int, report: OnProgress, progress: Progress
) -> tuple[GanTrainer, dict[str, float]]:
    """The generator after its training, or as it was when the policy's was stopped."""
    trainer = GanTrainer(scene.retrieval, *_sequences(scene, seed), settings.generator, seed)
    if progress.begun:
        progress.restore("generator", trainer)
        return trainer, progress.figures("generator")
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
    scene: Scene, settings: Settings, seed: int, gan_trainer: GanTrainer | None, report: OnProgress,
    progress: Progress, before: dict[str, dict[str, float]],
) -> tuple[PolicyGradientTrainer, ClickModel | None, dict[str, float]]:  # fmt: skip
    beside: dict[str, Keeps] = {} if gan_trainer is None else {"generator": gan_trainer}
    clicks = ClickTrainer(scene.vectors, seed) if settings.agent.composed else None
    if clicks is not None:
        progress.restore("clicks", clicks)
        beside["clicks"] = clicks
    trainer = policy_trainer(scene, settings, seed, gan_trainer, clicks)
    figures = run_updates(trainer, settings.agent.updates, report, progress, beside, before)
    return trainer, None if clicks is None else clicks.model, figures


def policy_trainer(
    scene: Scene, settings: Settings, seed: int, gan_trainer: GanTrainer | None, clicks: ClickTrainer | None
) -> PolicyGradientTrainer:
    """What trains the policy gradient, and the generator and the click model with it, where there are any."""
    gan = None if gan_trainer is None else gan_trainer.gan
    source = _proposals(gan, None if clicks is None else clicks.model, scene.retrieval, settings)
    written = source.rest if isinstance(source, ComposedCandidates) else source

    def learn_from_feedback(histories: NDArray[np.int32], pages: NDArray[np.int32], clicks: NDArray[np.bool_]) -> None:
        if gan_trainer is not None and isinstance(written, GeneratedCandidates):
            gan_trainer.learn_from_feedback(histories, pages, clicks)
            written.renew(gan_trainer.gan)

    def learn_clicks(
        evidence: NDArray[np.float32], pages: NDArray[np.int32], clicked: NDArray[np.bool_], users: NDArray[np.int64]
    ) -> float:
        assert clicks is not None  # or this would not be called
        assert isinstance(source, ComposedCandidates)
        loss = clicks.learn(evidence, pages, clicked, users)
        source.renew(clicks.model)
        return loss

    return PolicyGradientTrainer(
        scene.world, scene.train, source, settings.agent, settings.world.horizon, seed,
        learn_from_feedback if gan_trainer else None, settings.generator.feedback_interval,
        learn_clicks if clicks else None,
    )  # fmt: skip


def load_trained(folder: Path, name: str, scene: Scene) -> Agent:
    """The trained strategy of a run, made ready for a scene, which may be of another catalogue.

    It sees the scene's items in the item space that it was trained in, whatever space the scene's users live in; of
    their profiles it sees what the scene's space holds.

    Raises InputError where the checkpoint is missing, broken, or of another encoder than the scene's.
    """
    tensors, meta = load_checkpoint(folder, name)
    where = f"{folder.name}, checkpoint {name}"
    if meta.get("encoder_fingerprint") != scene.encoder_fingerprint:
        raise InputError(
            f"{where} was trained with the encoder {meta.get('encoder')}, items here are encoded by "
            f"{scene.encoder} (or by other weights of that name); name the same one with --encoder"
        )
    try:
        trained = Settings.model_validate(meta["settings"])
        settings = trained.model_copy(update={"world": scene.settings})
        space = ItemSpace(tensors["space.components"].numpy(), trained.world.centred, trained.world.normalised)
        same = np.array_equal(space.components, scene.space.components)
        retrieval = Retrieval(
            space.project(scene.text_vectors), scene.retrieval.popularity, scene.retrieval.shelf,
            None if same else space.components @ scene.space.components.T,
        )  # fmt: skip
        scene = dataclasses.replace(scene, space=space, vectors=retrieval.vectors, retrieval=retrieval)
        if "features" in meta:
            scene = scene.told(FeatureSpace.restore(under("features", tensors), meta["features"]))
        scene = scene.reading(settings.history, under("history", tensors))
        return learner_of(meta["kind"]).restore(tensors, meta, settings, scene)
    except (KeyError, ValidationError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where} does not fit this version of zsr-sim ({reason}); train it again") from None


def _restore_policy_gradient(
    tensors: dict[str, Tensor], meta: dict[str, Any], settings: Settings, scene: Scene
) -> Agent:
    if settings.agent.algorithm == "top-k":
        return restore_top_k(tensors, settings, scene)
    scorer = CandidateScorer(settings.agent.hidden)
    scorer.load_state_dict(under("scorer", tensors))
    gan = None if meta["gate"] is None else restore_gan(tensors, meta["gate"], scene)
    clicks = _restore_clicks(tensors, scene) if settings.agent.composed else None
    return PolicyGradient(scorer, _proposals(gan, clicks, scene.retrieval, settings))


def _restore_gan(tensors: dict[str, Tensor], meta: dict[str, Any], settings: Settings, scene: Scene) -> Gan:
    return Gan(_written(restore_gan(tensors, meta["gate"], scene), scene.retrieval, settings))


def _restore_stable_baselines(
    tensors: dict[str, Tensor], facts: dict[str, Any], settings: Settings, scene: Scene
) -> StableBaselines:
    return StableBaselines.restore(under("agent", tensors), facts["agent"], _stage(scene, settings))


def restore_gan(tensors: dict[str, Tensor], gate: float, scene: Scene) -> SequenceGan:
    """The GAN of a checkpoint, for any catalogue: items that it learned from keep their residuals, others have none."""
    keys, table = tensors["items.keys"], item_table(scene.retrieval)
    gan = SequenceGan(Generator(table.texts.shape[1], len(keys)), Discriminator(table.vectors.shape[1]), gate)
    gan.generator.load_state_dict(under("generator", tensors))
    gan.discriminator.load_state_dict(under("discriminator", tensors))
    return gan.moved(_rows(keys, scene))


def _restore_clicks(tensors: dict[str, Tensor], scene: Scene) -> ClickModel:
    """The click model of a checkpoint; what each item drew is known of those that it learned from."""
    return ClickModel.restored(under("clicks", tensors), _rows(tensors["items.keys"], scene), scene.vectors)


def _rows(keys: Tensor, scene: Scene) -> NDArray[np.int64]:
    """Where each of the scene's items stood among these keys; -1: it is new."""
    known: pd.Index[int] = pd.Index(keys.numpy())
    return np.asarray(known.get_indexer(pd.Index(item_keys(scene.dataset.catalogue))))


def _proposals(
    gan: SequenceGan | None, clicks: ClickModel | None, retrieval: Retrieval, settings: Settings
) -> CandidateSource:
    """The policy's candidates: composed by the click model, written by the generator, and retrieved."""
    composed = 0 if clicks is None else settings.agent.composed
    agent = settings.agent.model_copy(update={"candidates": settings.agent.candidates - composed})
    rest: CandidateSource = (
        RetrievalCandidates(retrieval, settings.world.slate_size, agent.candidates)
        if gan is None
        else _generated(gan, retrieval, settings.model_copy(update={"agent": agent}))
    )
    return rest if clicks is None else ComposedCandidates(rest, clicks, composed)


def _generated(gan: SequenceGan, retrieval: Retrieval, settings: Settings) -> GeneratedCandidates:
    own, size, count = settings.generator, settings.world.slate_size, settings.agent.candidates
    drawing = Drawing(own.temperature, own.top_k, own.nucleus, own.diversity)
    return GeneratedCandidates(gan, retrieval, size, count, own.candidates, drawing, own.windows, own.window_step)


def _sequences(scene: Scene, seed: int) -> tuple[NDArray[np.int32], Sequences, Sequences]:
    """The generator's sequences: the log to learn from, continuations in it, and how some users went on at its end.

    Of these users no more than the end is held out: the peers of the ranking table learn from everybody, too.
    """
    able = np.flatnonzero(np.diff(scene.log.starts) >= 2)
    share = int(np.clip(math.ceil(HELD_OUT_SHARE * len(able)), FEWEST_HELD_OUT, MOST_HELD_OUT))
    chosen = np.random.default_rng(seed).permutation(able)[: min(share, len(able) // 2)]
    held_out, log = last_pages(scene.log, scene.world.slate_size, np.sort(chosen))
    train = continuations(log, scene.world.slate_size)
    if len(train) < FEWEST_SEQUENCES or not len(held_out):
        raise InputError(
            f"the log of {scene.dataset.catalogue.name} gives {len(train)} sequences to train the generator on and "
            f"{len(held_out)} to hold out; at least {FEWEST_SEQUENCES} and 1 are needed: use a longer log, or "
            f"{POLICY_GRADIENT} without it, --set generator.candidates=0"
        )
    return stretches(log, RECENT + 1), train, held_out
