"""Products of matrices within compiled code: small tiles of the result stay in vector registers until they are whole.

Each element of a result is summed up in the order of the inner axis, whatever tile it falls into: so a row does not
depend on how many others there are, to the bit. (A library's product costs more to call than these take, and sums in an
order that depends on the shape.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils as code_of_numba
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from zsr_sim.compiled import bare

LANES = 16
"""Columns that are worked on at once, as many as the widest registers hold floats; LLVM splits them for others."""
build: Any = code_of_numba  # it has no types
_ROWS, _WIDTH = 4, 2 * LANES  # of a tile: 8 running sums hide the latency of two multipliers
_LENGTH = _ROWS * _WIDTH  # of a tile of one row
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_FIRST = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)

Tile = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], int, int], None]


def tile(rows: int, width: int) -> Tile:
    """Code that adds a (n, k) @ b (k, m) to out (n, m) in so many rows from row i, and columns from column j on.

    Rows of `b` and `out` lie in one piece; `a` may be of any strides. width: a multiple of 16. Nobody checks that the
    tile lies within `out`.
    """

    def typed(typing: Any, a: Any, b: Any, out: Any, i: Any, j: Any) -> Any:
        return types.void(a, b, out, types.int64, types.int64), generate

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a, b, out = (context.make_array(signature.args[n])(context, builder, arguments[n]) for n in range(3))
        i, j = arguments[3:]
        number = context.get_data_type(signature.args[2].dtype)
        size, vector = context.get_abi_sizeof(number), ir.VectorType(number, LANES)
        undefined = ir.Constant(vector, ir.Undefined)
        (along_a, across_a), (along_b, _), (along_out, _) = (
            build.unpack_tuple(builder, array.strides, 2) for array in (a, b, out)
        )

        def place(array: Any, *steps: tuple[ir.Value, ir.Value]) -> ir.Value:
            address = builder.ptrtoint(array.data, _INT64)
            for count, stride in steps:
                address = builder.add(address, builder.mul(count, stride))
            return address

        def vectors(address: ir.Value) -> list[ir.Value]:
            beside = [builder.add(address, _INT64(size * c)) for c in range(0, width, LANES)]
            return [builder.inttoptr(one, vector.as_pointer()) for one in beside]

        lines = [builder.add(i, _INT64(r)) for r in range(rows)]
        goals = [vectors(place(out, (line, along_out), (j, _INT64(size)))) for line in lines]
        sums = [[build.alloca_once(builder, vector) for _ in goal] for goal in goals]  # LLVM makes them registers
        for goal, held in zip(goals, sums, strict=True):
            for pointer, total in zip(goal, held, strict=True):
                builder.store(builder.load(pointer, align=size), total)
        fused = ir.FunctionType(vector, [vector] * 3)
        multiply_add = build.get_or_insert_function(builder.module, fused, f"llvm.fmuladd.v{LANES}f{8 * size}")
        depth = build.unpack_tuple(builder, b.shape, 2)[0]
        with build.for_range(builder, depth, intp=_INT64) as loop:
            right = [
                builder.load(pointer, align=size)
                for pointer in vectors(place(b, (loop.index, along_b), (j, _INT64(size))))
            ]
            for line, held in zip(lines, sums, strict=True):
                address = place(a, (line, along_a), (loop.index, across_a))
                left = builder.load(builder.inttoptr(address, number.as_pointer()))
                left = builder.shuffle_vector(builder.insert_element(undefined, left, _INT32(0)), undefined, _FIRST)
                for part, total in zip(right, held, strict=True):
                    builder.store(builder.call(multiply_add, [left, part, builder.load(total)]), total)
        for goal, held in zip(goals, sums, strict=True):
            for pointer, total in zip(goal, held, strict=True):
                builder.store(builder.load(total), pointer, align=size)
        return context.get_dummy_value()

    return cast(Tile, intrinsic(typed))


_large, _narrow = tile(_ROWS, _WIDTH), tile(_ROWS, LANES)
_long, _low, _small = tile(1, _LENGTH), tile(1, _WIDTH), tile(1, LANES)


@bare
def add_products(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    """Add a (n, k) @ b (k, m) to out (n, m), all of one precision.

    Rows of `b` and `out` must lie in one piece; `a` may be a transposed view.
    """
    n, m = out.shape
    high, wide, whole = n // _ROWS * _ROWS, m // _WIDTH * _WIDTH, m // LANES * LANES
    for j in range(0, wide, _WIDTH):
        for i in range(0, high, _ROWS):
            _large(a, b, out, i, j)
    for i in range(0, high if whole > wide else 0, _ROWS):
        _narrow(a, b, out, i, wide)
    for i in range(high, n):
        long = m // _LENGTH * _LENGTH
        for j in range(0, long, _LENGTH):
            _long(a, b, out, i, j)
        for j in range(long, wide, _WIDTH):
            _low(a, b, out, i, j)
        if whole > wide:
            _small(a, b, out, i, wide)
    for i in range(n if m > whole else 0):
        for k in range(b.shape[0]):
            for j in range(whole, m):
                out[i, j] += a[i, k] * b[k, j]
