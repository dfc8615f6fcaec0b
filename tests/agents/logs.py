"""Small logs with a known law, for strategies that learn from them."""

import numpy as np

from zsr_sim.encoders.space import unit
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import Interactions

KINDS, EACH = 6, 10
N_ITEMS = KINDS * EACH


def by_kind(seed: int = 0, texts_tell: bool = True) -> Retrieval:
    """Items 10 k .. 10 k + 9 are of kind k; their texts say so, or say nothing. Of each kind the last one is cold."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.eye(KINDS, 8), EACH, axis=0)  # (60, 8)
    vectors = unit((6.0 if texts_tell else 0.0) * kinds + rng.normal(size=(N_ITEMS, 8))).astype(np.float32)
    popularity = np.where(np.arange(N_ITEMS) % EACH < EACH - 1, 20.0, 0.0)
    return Retrieval(vectors, popularity.astype(np.float32))


def log_of_kinds(users: int = 240, length: int = 7, seed: int = 0) -> Interactions:
    """Each user consumes different items of one kind, never a cold one."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user:03d}", EACH * (user % KINDS) + int(item), float(step))
        for user in range(users)
        for step, item in enumerate(rng.permutation(EACH - 1)[:length])
    ]
    names, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(list(names), list(items), list(times))
