"""One place for numba's flags: a typed decorator for the scalar laws and the loops over users.

numba keeps compiled code beside each file and renews it when that file changes, but not when a law changes that it took
from another file: after editing a law in a checkout, delete `*.nb?` in all `__pycache__` folders.
"""

import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered so that dot products use vector registers; NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz"}
_BARE: dict[str, Any] = {"cache": True, "fastmath": _FASTMATH, "error_model": "numpy", "_nrt": False}
_SMALL = 256  # users


def law(function: F) -> F:
    """Compile a function of one user; it is inlined into the batched loops that call it."""
    return cast(F, numba.njit(cache=True, fastmath=_FASTMATH, error_model="numpy")(function))


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


def batched(function: F) -> F:
    """Compile a loop over users (`numba.prange`) to run on all cores; users must not read each other's state.

    The last argument must be an array with a row per user: small batches run in a plain loop on one thread, compiled
    apart, since waking the others costs more than they do (and ten times more on a machine that others use, too).
    Sums belong in a `law`, which is compiled once for both: so a user's numbers are the same to the bit in any batch.
    """
    alone = numba.njit(cache=True, fastmath=_FASTMATH, error_model="numpy")(_renamed(function, "_alone"))
    together = numba.njit(cache=True, parallel=True, fastmath=_FASTMATH, error_model="numpy")(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return (alone if len(arguments[-1]) < _SMALL else together)(*arguments)

    return cast(F, call)


def _renamed(function: F, suffix: str) -> F:
    """A twin of a function under a name of its own, which numba's cache goes by."""
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__ + suffix)
    twin.__qualname__, twin.__module__ = function.__qualname__ + suffix, function.__module__
    return cast(F, twin)
