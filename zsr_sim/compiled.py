"""One place for numba's flags: a typed decorator for the scalar laws and the loops over users.

numba keeps compiled code beside each file and renews it when that file changes, but not when a law changes that it took
from another file: after editing a law in a checkout, delete `*.nb?` in all `__pycache__` folders.
"""

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
Number = TypeVar("Number", bound=np.generic)

LARGE = 2**17
"""Bytes from which on an array is worth huge pages."""
_LINE, _HUGE_PAGE = 64, 2**21  # bytes
_INT32, _INT64, _POINTER = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
_PREFETCH = ir.FunctionType(ir.VoidType(), [_POINTER, _INT32, _INT32, _INT32])

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

    Of a long one: `bare` or `law` must stand between it and `batched` loops, so that it is compiled once for all.
    """
    return cast(F, numba.njit(forceinline=True, **_BARE)(function))


def _fetch(typing: Any, array: types.Array, place: types.UniTuple) -> Any:
    """The types and the code of `fetch`, as numba asks for them."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.ptrtoint(view.data, _INT64)
        strides = [builder.extract_value(view.strides, axis) for axis in range(array.ndim)]
        if array.layout == "C":
            strides[-1] = _INT64(context.get_abi_sizeof(context.get_data_type(array.dtype)))  # known while compiling
        for axis, stride in enumerate(strides):
            address = builder.add(address, builder.mul(stride, builder.extract_value(arguments[1], axis)))
        hint = builder.module.declare_intrinsic("llvm.prefetch", [_POINTER], _PREFETCH)
        builder.call(hint, [builder.inttoptr(address, _POINTER), _INT32(0), _INT32(3), _INT32(1)])  # to read, and keep
        return context.get_dummy_value()

    return types.void(array, types.UniTuple(types.int64, array.ndim)), generate  # type: ignore[no-untyped-call]


fetch = cast("Callable[[NDArray[Any], tuple[int, ...]], None]", intrinsic(_fetch))
"""Within compiled code: have the line of the cache that array[place] lies in brought while other work goes on."""


def aligned(array: NDArray[Number]) -> NDArray[Number]:
    """A copy that begins at a line of the cache, so that no load of rows as long as lines touches two.

    A large one begins at a huge page, which NumPy asks for (on Linux) where an array takes 4 MiB: what lies here and
    there in memory is found sooner where the pages are few. What is not written takes no memory.
    """
    large = array.nbytes >= LARGE
    step, room = (_HUGE_PAGE, max(array.nbytes, 2 * _HUGE_PAGE)) if large else (_LINE, array.nbytes)
    memory = np.empty(room + step, dtype=np.uint8)
    begin = -memory.ctypes.data % step
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def batched(function: Callable[Concatenate[int, int, P], None]) -> Callable[P, None]:
    """Compile a loop over the users `begin` to before `end`, its first two arguments, and share it among all cores.

    What is called takes the other arguments. The last one must be an array with a row per user, and users must not read
    each other's state. Small batches run on the caller's thread, since waking the others costs more than they do; of
    large ones, too, the caller does what nobody has begun. The code is the same in any batch and on any thread, and so
    is a user's result, to the bit. Plain threads around a plain loop, since numba's parallel loops compile three times
    as long, and would have to be compiled beside the plain ones.
    """
    return shared(_SMALL)(function)


def shared(least: int) -> Callable[[Callable[Concatenate[int, int, P], None]], Callable[P, None]]:
    """`batched`, where so many rows are worth waking other threads: rows that stand for more work than a user does."""

    def decorate(function: Callable[Concatenate[int, int, P], None]) -> Callable[P, None]:
        compiled: Callable[..., None] = numba.njit(nogil=True, **_PLAIN)(function)

        @functools.wraps(function)
        def call(*arguments: P.args, **nothing: P.kwargs) -> None:
            n = len(arguments[-1])  # type: ignore[arg-type]  # an array; asking for that takes longer than some loops
            if n < least or _THREADS == 1:
                compiled(0, n, *arguments)
                return
            parts = min(_SHARES * _THREADS, n)
            left = deque(itertools.pairwise(n * part // parts for part in range(parts + 1)))

            def work() -> None:
                while True:
                    try:
                        share = left.popleft()
                    except IndexError:  # all are taken
                        return
                    compiled(*share, *arguments)

            others = [_threads().submit(work) for _ in range(_THREADS - 1)]
            work()
            for other in others:
                if not other.cancel():  # it has begun
                    other.result()  # asked for, so that what it raises is raised here

        return call

    return decorate


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS - 1, "zsr-sim")  # beside the caller's


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not come along
