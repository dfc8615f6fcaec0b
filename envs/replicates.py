"""Other logs that the same people might have left: what `fit` makes of them shows how far a verdict rests on luck.

A gain in one fitted world may vanish in the next (Wang et al. 2023, "RL4RS", section 5), so a verdict is asked for in
several: worlds of bootstrap samples of the users, or of the two halves of the users.
"""

import numpy as np
from scipy.stats import poisson

from zsr_sim.envs.noise import Purpose, uniforms
from zsr_sim.errors import InputError
from zsr_sim.interactions import Interactions, id_keys


def bootstrap(log: Interactions, seed: int, replicate: int) -> Interactions:
    """The log of a bootstrap sample of the users: each user is there 0, 1, 2, ... times, Poisson(1).

    How often is a function of (seed, replicate, user id) alone, whoever else is in the log (the Poisson bootstrap of
    Chamandy et al. 2012, "Estimating uncertainty for massive data streams"). Copies of a user keep the id, so they
    stay on one side of a split by people and count as one person in an interval. Replicates count from 0.

    Raises InputError where nobody is left.
    """
    own = uniforms(seed, id_keys(log.user_ids), replicate, Purpose.RESAMPLE, 1)[:, 0]
    times = poisson.ppf(own, 1.0).astype(np.int64)  # (n_users,)
    if not times.any():
        raise InputError(f"a bootstrap sample of {log.n_users} users came out empty; use a log with more users")
    return log.of_users(np.repeat(np.arange(log.n_users), times))


def halves(log: Interactions, seed: int) -> tuple[Interactions, Interactions]:
    """The logs of two halves of the users, whom chance tells apart: a world of each shares no user with the other."""
    return log.split_users(0.5, seed)
