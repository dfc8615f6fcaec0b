"""One place for numba's flags: a typed decorator for the scalar laws and the loops over users.

numba keeps compiled code beside each file and renews it when that file changes, but not when a law changes that it took
from another file: after editing a law in a checkout, delete `*.nb?` in all `__pycache__` folders.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")

# Sums may be reordered so that dot products use vector registers; NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz"}
_PLAIN: dict[str, Any] = {"cache": True, "fastmath": _FASTMATH, "error_model": "numpy"}
_BARE = _PLAIN | {"_nrt": False}
_THREADS = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # all cores, or what the environment says
_SMALL = 256  # users
_SHARES = 2  # of a batch for each thread: who is done early takes another


def law(function: F) -> F:
    """Compile a function of one user; it is inlined into the batched loops that call it."""
    return cast(F, numba.njit(**_PLAIN)(function))


def bare(function: F) -> F:
    """Compile a law that takes many arrays and allocates nothing; one that allocates does not compile.

    Without numba's memory manager no references are counted: counting them for thirty arrays costs as much as the law,
    and more where two threads count the same ones.
    """
    return cast(F, numba.njit(**_BARE)(function))


def inlined(function: F) -> F:
    """Compile a piece of a `bare` law; it is copied into its caller, for passing it many arrays would cost more.

    `bare` or `law` must stand between it and `batched` loops, so that it is compiled once for all of them.
    """
    return cast(F, numba.njit(forceinline=True, **_BARE)(function))


def batched(function: Callable[Concatenate[int, int, P], None]) -> Callable[P, None]:
    """Compile a loop over the users `begin` to before `end`, its first two arguments, and share it among all cores.

    What is called takes the other arguments. The last one must be an array with a row per user, and users must not read
    each other's state. Small batches run on the caller's thread, since waking the others costs more than they do. The
    code is the same in any batch and on any thread, and so is a user's result, to the bit. Plain threads around a plain
    loop, since numba's parallel loops compile three times as long, and would have to be compiled beside the plain ones.
    """
    compiled: Callable[..., None] = numba.njit(nogil=True, **_PLAIN)(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **nothing: P.kwargs) -> None:
        n = len(cast("Sequence[Any]", arguments[-1]))
        if n < _SMALL or _THREADS == 1:
            compiled(0, n, *arguments)
            return
        parts = _SHARES * _THREADS
        bounds = [n * part // parts for part in range(parts + 1)]
        for _ in _threads().map(lambda begin, end: compiled(begin, end, *arguments), bounds[:-1], bounds[1:]):
            pass  # asked for, so that what one of them raises is raised here

    return call


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "zsr-sim")


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not come along
