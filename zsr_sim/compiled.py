"""One place for numba's flags: a typed decorator for the scalar laws and the loops over users.

numba keeps compiled code beside each file and renews it when that file changes, but not when a law changes that it took
from another file: after editing a law in a checkout, delete `*.nb?` in all `__pycache__` folders.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered so that dot products use vector registers; NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz"}
_SMALL = 256  # users


def law(function: F) -> F:
    """Compile a function of one user; it is inlined into the batched loops that call it."""
    return cast(F, numba.njit(cache=True, fastmath=_FASTMATH, error_model="numpy")(function))


def batched(function: F) -> F:
    """Compile a loop over users (`numba.prange`) to run on all cores; users must not read each other's state.

    The last argument must be an array with a row per user: small batches run on one thread, since waking the others
    costs more than they do (and ten times more on a machine that others use, too).
    """
    compiled = numba.njit(cache=True, parallel=True, fastmath=_FASTMATH, error_model="numpy")(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        threads = numba.get_num_threads()
        numba.set_num_threads(1 if len(arguments[-1]) < _SMALL else threads)
        try:
            return compiled(*arguments)
        finally:
            numba.set_num_threads(threads)

    return cast(F, call)
