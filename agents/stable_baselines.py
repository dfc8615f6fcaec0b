"""Algorithms of stable-baselines3 (SB3) as strategies: trained on the batched environment, asked like any agent."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from torch import Tensor

from zsr_sim.agents.sb3_algorithms import ALGORITHMS, ENVIRONMENTS
from zsr_sim.config import AgentSettings
from zsr_sim.envs.choices import Choices
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.stage import Arrays, Stage
from zsr_sim.envs.vector import VisitVectorEnv
from zsr_sim.errors import InputError, nearest

_POLICY = "MultiInputPolicy"
_STEPS = 20  # of an update in each row, where visits have no time limit
_NEVER = 2**31


class Flat(BaseFeaturesExtractor):
    """All observations side by side, in the precision of the network that reads them.

    SB3 casts observations to single precision; an acting network is in double, so that rounding, which depends on the
    batch, does not change a choice.
    """

    precision: Tensor

    def __init__(self, observation_space: spaces.Dict[Any]) -> None:
        super().__init__(observation_space, spaces.flatdim(observation_space))
        self.register_buffer("precision", torch.zeros(()), persistent=False)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Features (n, sum of all sizes)."""
        parts = [observations[name].flatten(1) for name in sorted(observations)]
        return torch.cat(parts, dim=1).to(self.precision.dtype)


def _network_arguments(hidden: int) -> dict[str, Any]:
    return {"net_arch": [hidden, hidden], "features_extractor_class": Flat}


class StableBaselines:
    """Does what a trained SB3 policy prefers, without exploration.

    algorithm: one of ALGORITHMS. weights: of its policy, by the policy's own names. choices: what it chooses among (one
    of `zsr_sim.envs.choices`), of the same kind and size, in an item space of as many dimensions, as in training.
    hidden: width of the networks.
    """

    def __init__(self, algorithm: str, weights: dict[str, Tensor], choices: Choices, hidden: int) -> None:
        self.algorithm, self.weights, self.choices, self.hidden = algorithm, weights, choices, hidden
        policy_class = _algorithm(algorithm).policy_aliases[_POLICY]
        with torch.random.fork_rng(devices=[]):  # weights are drawn, then replaced
            policy = policy_class(
                choices.observed,
                choices.space,
                lambda _: 0.0,  # learning rate of an optimiser that is not used
                **_network_arguments(hidden),
            )
        policy.load_state_dict(weights)
        self._policy: BasePolicy = policy.double()

    def act(self, observation: Observation) -> Decision:
        """The page that the preferred action means for each user."""
        seen = self.choices.offer(observation)
        actions = np.asarray(self._policy.predict(dict(seen), deterministic=True)[0])  # (n, ...)
        chosen = self.choices.chosen(actions)
        sources = chosen.facts.get("source")
        return Decision(chosen.slates, None if sources is None else tuple(sources.tolist()))

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `restore` needs beside a stage: weights, and facts that JSON can hold."""
        environment = next(name for name, env in ENVIRONMENTS.items() if env.meaning is type(self.choices))
        facts = {"algorithm": self.algorithm, "hidden": self.hidden, "environment": environment}
        return self.weights, facts | _sizes(self.choices)

    @classmethod
    def restore(cls, weights: dict[str, Tensor], facts: dict[str, Any], stage: Stage) -> StableBaselines:
        """The agent of a `checkpoint`, choosing among what the stage offers.

        Raises InputError where that does not fit what the agent was trained for.
        """
        choices = ENVIRONMENTS[facts["environment"]].meaning(stage)
        for name, found in _sizes(choices).items():
            if facts[name] != found:
                raise InputError(
                    f"sb3:{facts['algorithm']} was trained with {name} = {facts[name]}, here there are {found}; "
                    "use the same number"
                )
        return cls(facts["algorithm"], weights, choices, facts["hidden"])


def _sizes(choices: Choices) -> dict[str, Any]:
    return {"actions": str(choices.space), "dimensions": choices.stage.dimensions}


def _algorithm(name: str) -> type[Any]:
    """SB3's class, a `BaseAlgorithm`."""
    if name not in ALGORITHMS:
        raise InputError(f"unknown algorithm sb3:{name}{nearest(name, ALGORITHMS)}; known: {', '.join(ALGORITHMS)}")
    algorithm: type[Any] = getattr(stable_baselines3, name)
    return algorithm


def environment_of(algorithm: str, settings: AgentSettings) -> str:
    """Where this algorithm is trained, a name of ENVIRONMENTS. Raises InputError where it cannot choose there."""
    known = ALGORITHMS[algorithm]
    name = known.environment if settings.environment == "auto" else settings.environment
    kind = {"candidates": spaces.Discrete, "slate": spaces.MultiDiscrete, "proto": spaces.Box}[name]
    if kind not in known.actions:
        raise InputError(
            f"sb3:{algorithm} cannot choose where agent.environment is {name} (its actions are {kind.__name__}); "
            f"--set agent.environment={known.environment} fits it"
        )
    return name


class StableBaselinesTrainer:
    """Trains an SB3 algorithm on a batched environment; all randomness comes from `seed`.

    One update plays as many pages in each row as a visit has at most. SB3 draws from Python's, NumPy's and torch's
    global generators: the trainer lends it states of its own and puts the process's back.
    """

    def __init__(self, algorithm: str, env: VisitVectorEnv, settings: AgentSettings, seed: int) -> None:
        self.algorithm, self.settings, self.env = algorithm, settings, Batched(env)
        steps = env.max_episode_steps or _STEPS
        self.steps_per_update = steps * env.num_envs
        if self.steps_per_update < 2:
            raise InputError("an update of one page cannot be learned from; use more environments or longer visits")
        self._states: tuple[Any, Any, Tensor] | None = None
        with self._own_generators():
            self.model: BaseAlgorithm = _algorithm(algorithm)(
                _POLICY,
                VecMonitor(self.env),
                policy_kwargs=_network_arguments(settings.hidden),
                seed=seed * env.num_envs % 2**32,  # SB3 seeds row i with seed + i: no row in two trainings
                stats_window_size=self.steps_per_update,
                device="cpu",
                **ALGORITHMS[algorithm].arguments(settings, steps, env.num_envs),
            )
        self.model.set_logger(Logger(folder=None, output_formats=[]))  # SB3's own makes a folder among temporary files

    def step(self) -> dict[str, float]:
        """One update. Returns the curves' figures, `return` and others as means over the visits that ended in it."""
        self.env.pages = self.env.generated = 0
        if self.model.ep_info_buffer is not None:
            self.model.ep_info_buffer.clear()
        with self._own_generators():
            self.model.learn(self.steps_per_update, log_interval=_NEVER, reset_num_timesteps=False)
        visits = list(self.model.ep_info_buffer or ())
        logged = self.model.logger.name_to_value
        figures = {
            name: float(logged[key]) for name, key in ALGORITHMS[self.algorithm].figures.items() if key in logged
        }
        if "entropy" in figures:
            figures["entropy"] *= -1  # SB3 logs the loss
        figures["generated_share"] = self.env.generated / self.env.pages
        if visits:
            returns, lengths = sum(float(v["r"]) for v in visits), sum(int(v["l"]) for v in visits)
            figures["return"], figures["visit_length"] = returns / len(visits), lengths / len(visits)
            figures["click_rate"] = returns / (lengths * self.env.env.stage.world.slate_size)
        return figures

    @property
    def agent(self) -> StableBaselines:
        """The agent as it is now; further updates do not change it."""
        weights = {name: value.detach().clone() for name, value in self.model.policy.state_dict().items()}
        choices = type(self.env.env).meaning(self.env.env.stage)
        return StableBaselines(self.algorithm, weights, choices, self.settings.hidden)

    @contextlib.contextmanager
    def _own_generators(self) -> Iterator[None]:
        outside = _generator_states()
        if self._states:
            _set_generator_states(self._states)
        try:
            yield
        finally:
            self._states = _generator_states()
            _set_generator_states(outside)


def _generator_states() -> tuple[Any, Any, Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # SB3 draws from it


def _set_generator_states(states: tuple[Any, Any, Tensor]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002  # SB3 draws from it
    torch.set_rng_state(states[2])


class Batched(VecEnv):
    """Our vector environment as SB3's: a visit's end and the next one's beginning fall into the same step.

    pages, generated: pages shown, and how many of them the generator wrote.
    """

    def __init__(self, env: VisitVectorEnv) -> None:
        self.env = env
        self.pages = self.generated = 0
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Arrays:
        """First observations; seeds set by `seed` are used once."""
        observation, _ = self.env.reset(seed=self._seeds)
        self._reset_seeds()
        return observation

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions (num_envs,) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Arrays, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Observations, rewards, ends, and infos with `TimeLimit.truncated` and, at an end, `terminal_observation`."""
        observation, rewards, terminated, truncated, info = self.env.step(self._actions)
        self.pages += self.num_envs
        self.generated += int((info["source"] == "generator").sum()) if "source" in info else 0
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(cut)} for cut in truncated & ~terminated]
        for row in np.flatnonzero(done):
            infos[row]["terminal_observation"] = {name: values[row] for name, values in observation.items()}
        if done.any():
            observation, _ = self.env.reset(options={"reset_mask": done})
        return observation, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The environment's attribute, once for each row: rows have none of their own."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Rows have no attributes of their own."""
        raise NotImplementedError("rows of a batched environment have no attributes of their own to set")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Rows have no methods of their own."""
        raise NotImplementedError("rows of a batched environment have no methods of their own to call")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Rows are never wrapped one by one."""
        return [False] * len(list(self._get_indices(indices)))
