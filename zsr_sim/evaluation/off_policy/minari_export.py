"""A log as a Minari data set: one episode a visit, for offline reinforcement learning (d3rlpy reads it)."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
from gymnasium import spaces

from zsr_sim.errors import InputError
from zsr_sim.evaluation.off_policy.record import Recording
from zsr_sim.experiment import Scene


def require_minari(name: str) -> None:
    """Raise InputError where Minari is not installed, or already has a data set of this name."""
    if importlib.util.find_spec("minari") is None or importlib.util.find_spec("h5py") is None:
        raise InputError("--minari needs Minari: pip install 'zsr-sim[minari]'")
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    try:
        parse_dataset_id(name)
    except (TypeError, ValueError):  # TypeError: no version
        raise InputError(f"--minari {name}: an id such as films/log-v0 expected") from None
    if get_dataset_path(name).exists():
        raise InputError(f"--minari {name}: there is a data set of that name; take another, or minari delete {name}")


def export(name: str, recording: Recording, scene: Scene, agent: str) -> str:
    """Write the visits and return the data set's name.

    observations: float32 (T + 1, 2 d), lasting and recent taste before each page and after the last, means of the
    history's item vectors with unit length. actions: float32 (T, d), the mean of the shown items' vectors, a point in
    item space as `zsr_sim/ProtoRecommendation-v0` takes it. rewards: clicks. terminations: the user left; truncations:
    the horizon. infos: slate int32 (T, s) and slate_propensity float64 (T,).
    """
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    d = scene.vectors.shape[1]
    users, steps = recording.joined("users"), recording.joined("steps")
    order = np.lexsort((steps, users))
    slates, left = recording.joined("slates")[order], recording.joined("left")[order].astype(np.bool_)
    before, after = recording.joined("taste")[order], recording.joined("taste_after")[order]
    clicks, prefix = recording.joined("clicks")[order], recording.joined("prefix")[order]
    ends = np.append(np.flatnonzero(np.diff(users[order])) + 1, len(users))
    episodes, begin = [], 0
    for number, end in enumerate(ends.tolist()):
        rows = slice(begin, end)
        last = np.arange(end - begin) == end - begin - 1
        episodes.append(EpisodeBuffer(
            id=number,
            observations=np.concatenate([before[rows], after[end - 1 : end]]),  # (T + 1, 2 d)
            actions=scene.vectors[slates[rows]].mean(axis=1),  # (T, d)
            rewards=clicks[rows].sum(axis=1).astype(np.float64).tolist(),
            terminations=left[rows].tolist(),
            truncations=(last & ~left[rows]).tolist(),
            infos={"slate": _with_last(slates[rows]), "slate_propensity": _with_last(prefix[rows, -1])},
        ))  # fmt: skip
        begin = end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no environment goes with the data; spaces are given instead
        minari.create_dataset_from_buffers(
            name, episodes, algorithm_name=agent, observation_space=spaces.Box(-1, 1, (2 * d,), np.float32),
            action_space=spaces.Box(-1, 1, (d,), np.float32), code_permalink="none", author="zsr-sim",
            author_email="none", description=f"simulated visits in {scene.dataset.catalogue.name} under {agent}",
        )  # fmt: skip
    return name


def _with_last(
    column: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Minari keeps an info for the end of an episode, too: the last one again."""
    return np.concatenate([column, column[-1:]])
