"""Vectors of float32 for functions that numba compiles, and matrix products made of them.

numba leaves it to LLVM to find vectors in loops over single numbers. Here they are LLVM's own, as wide as the registers
of this processor: loaded from flat arrays, computed with, stored, and transposed in registers.

All functions are for compiled functions; called from Python, they raise.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}  # of all compiled functions
SOURCE = zlib.crc32(Path(__file__).read_bytes())  # for numba's cache, see `cpu_kernel.train_steps`

_features = llvm.get_host_cpu_features()
WIDTH = 16 if _features.get("avx512f") else 8 if _features.get("avx") else 4  # float32 lanes of a vector
# The rows of a tile: with two vectors per row, the most fit into the registers. The others are for the last rows, each
# at most once.
ROWS = {16: (8, 4, 3, 2, 1), 8: (6, 4, 3, 2, 1), 4: (4, 3, 2, 1)}[WIDTH]
LANES = 2 * WIDTH

_INT, _INT32 = ir.IntType(64), ir.IntType(32)
_VECTOR, _INTS = ir.VectorType(ir.FloatType(), WIDTH), ir.VectorType(_INT32, WIDTH)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_ZERO = ir.Constant(_VECTOR, [0.0] * WIDTH)


def _int(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)


def _broadcast(builder: Any, scalar: Any) -> Any:
    first = builder.insert_element(_UNDEFINED, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(_INTS, [0] * WIDTH))


# Vectors in compiled functions


class _VectorType(types.Type):
    """The type of LLVM's vectors; compiled functions add, subtract, multiply and divide them, also with a float32."""

    def __init__(self) -> None:
        super().__init__(name=f"{WIDTH} x float32")


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


_vector = _VectorType()


def larger(x: Any, y: Any) -> Any:
    """The larger one, in each lane; y where one is NaN. For compiled functions, as all operations with vectors."""
    raise NotImplementedError


def smaller(x: Any, y: Any) -> Any:
    """The smaller one, in each lane; y where one is NaN."""
    raise NotImplementedError


def times_power(x: Any, n: Any) -> Any:
    """x times 2 ** n; n is in the last bits of a float32."""
    raise NotImplementedError


def _generatetimes_power(builder: Any, x: Any, n: Any) -> Any:
    x, n = builder.bitcast(x, _INTS), builder.bitcast(n, _INTS)
    exponent = builder.shl(n, ir.Constant(_INTS, [23] * WIDTH))
    return builder.bitcast(builder.add(x, exponent), _VECTOR)


def _define(operation: Callable[..., Any], generate: Callable[..., Any]) -> None:
    """Let compiled functions apply `operation` to two vectors, or to a vector and a scalar."""

    def lower(_: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        pairs = zip(signature.args, values, strict=True)
        return generate(builder, *(value if kind == _vector else _broadcast(builder, value) for kind, value in pairs))

    kinds = [(_vector, _vector), (_vector, types.float32), (types.float32, _vector)]
    for pair in kinds:
        lower_builtin(operation, *pair)(lower)
    cases = [_vector(*pair) for pair in kinds]
    infer_global(operation)(type("Operation", (ConcreteTemplate,), {"cases": cases}))


_define(operator.add, lambda builder, x, y: builder.fadd(x, y))
_define(operator.sub, lambda builder, x, y: builder.fsub(x, y))
_define(operator.mul, lambda builder, x, y: builder.fmul(x, y))
_define(operator.truediv, lambda builder, x, y: builder.fdiv(x, y))
_define(larger, lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))
_define(smaller, lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), x, y))
_define(times_power, _generatetimes_power)


def _vector_at(builder: Any, start: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(start, [offset]), _VECTOR.as_pointer())


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


@intrinsic
def broadcast(_: Any, scalar: Any) -> Any:
    return _vector(types.float32), lambda context, builder, signature, values: _broadcast(builder, *values)


@intrinsic
def load(_: Any, array: Any, start: Any) -> Any:
    """The vector from array[start] on."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        data = _data(context, builder, signature.args[0], values[0])
        return builder.load(_vector_at(builder, data, values[1]), align=4)

    return _vector(array, types.intp), generate


@intrinsic
def store(_: Any, array: Any, start: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        data = _data(context, builder, signature.args[0], values[0])
        builder.store(values[2], _vector_at(builder, data, values[1]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), generate


@intrinsic
def transpose_square(_: Any, a: Any, a_start: Any, a_row: Any, c: Any, c_start: Any, c_row: Any) -> Any:
    """Transpose WIDTH rows of WIDTH numbers: halves off the diagonal change places, then quarters, and so on."""
    size = types.intp

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        def places(i: int) -> list[Any]:
            array, start, row = values[i : i + 3]
            first = builder.gep(_data(context, builder, signature.args[i], array), [start])
            return [_vector_at(builder, first, builder.mul(row, _int(j))) for j in range(WIDTH)]

        rows = [builder.load(place, align=4) for place in places(0)]
        half = WIDTH // 2
        while half:
            left = [j if not j & half else j - half + WIDTH for j in range(WIDTH)]
            right = [j + half if not j & half else j + WIDTH for j in range(WIDTH)]
            for i in (i for i in range(WIDTH) if not i & half):
                pair = rows[i], rows[i + half]
                rows[i] = builder.shuffle_vector(*pair, ir.Constant(_INTS, left))
                rows[i + half] = builder.shuffle_vector(*pair, ir.Constant(_INTS, right))
            half //= 2
        for row, place in zip(rows, places(3), strict=True):
            builder.store(row, place, align=4)
        return context.get_dummy_value()

    return types.void(a, size, size, c, size, size), generate


def product(then: Any) -> Any:
    """A compiled function `product(m, n, k, a, a_row, a_column, b, b_row, c, c_row, d)`.

    It computes `c[m, n] = then(a[m, k] @ b[k, n], d[m, n])`; n is a multiple of the width of a vector. All arrays are
    flat: a[i, p] is at `i * a_row + p * a_column`, b[p, j] at `p * b_row + j`, c[i, j] and d[i, j] at `i * c_row + j`.

    Args:
        then: a compiled function of two vectors, which stay in registers.
    """
    finish = types.Dispatcher(then)

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        # a copy for each call, and loops that LLVM unrolls, would take more time to compile and save none
        builder.function.attributes.update(("noinline", "optsize"))
        m, n, k, _, a_row, a_column, _, b_row, _, c_row, _ = values
        a, b, c, d = (_data(context, builder, signature.args[i], values[i]) for i in (3, 6, 8, 10))
        apply = context.get_function(finish, finish.get_call_type(context.typing_context, (_vector, _vector), {}))

        def tile(rows: int, vectors: int, i: Any, j: Any) -> None:
            corner = builder.add(builder.mul(i, c_row), j)
            from_row, from_column = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(b, [j])
            sums = _sums(builder, (rows, vectors), k, (from_row, a_row, a_column), (from_column, b_row))
            for row, totals in enumerate(sums):
                for vector, total in enumerate(totals):
                    at = builder.add(corner, builder.add(builder.mul(c_row, _int(row)), _int(vector * WIDTH)))
                    before = builder.load(_vector_at(builder, d, at), align=4)
                    builder.store(apply(builder, [total, before]), _vector_at(builder, c, at), align=4)

        in_pairs = builder.mul(builder.sdiv(n, _int(LANES)), _int(LANES))
        _each_tile(builder, m, (_int(0), in_pairs), 2, tile)
        _each_tile(builder, m, (in_pairs, n), 1, tile)
        return context.get_dummy_value()

    @intrinsic
    def multiply(
        _: Any,
        m: Any,
        n: Any,
        k: Any,
        a: Any,
        a_row: Any,
        a_column: Any,
        b: Any,
        b_row: Any,
        c: Any,
        c_row: Any,
        d: Any,
    ) -> Any:
        size = types.intp
        return types.void(size, size, size, a, size, size, b, size, c, size, d), generate

    @njit(**OPTIONS)
    def product(*arguments: Any) -> None:
        multiply(*arguments)

    return product


def _each_tile(builder: Any, m: Any, columns: tuple[Any, Any], vectors: int, tile: Callable[..., None]) -> None:
    """Code for the tiles of all m rows, in columns from one to another."""
    most, *fewer = ROWS
    with cgutils.for_range_slice(builder, *columns, _int(vectors * WIDTH), inc=True) as (j, _):
        row: Any = builder.sub(m, builder.srem(m, _int(most)))
        with cgutils.for_range_slice(builder, _int(0), row, _int(most), inc=True) as (i, _):
            tile(most, vectors, i, j)
        for rows in fewer:
            after = builder.add(row, _int(rows))
            fits = builder.icmp_signed("<=", after, m)
            with builder.if_then(fits):
                tile(rows, vectors, row, j)
            row = builder.select(fits, after, row)


def _sums(builder: Any, shape: tuple[int, int], k: Any, a: tuple[Any, Any, Any], b: tuple[Any, Any]) -> list[list[Any]]:
    """LLVM code for a[rows, k] @ b[k, vectors], with sums in registers; a and b have a start and steps.

    The sums start from zero, so that small updates are added up before the one rounding with a large weight.
    """
    (a_start, a_row, a_column), (b_start, b_row) = a, b
    before, head, body, done = builder.block, *(builder.append_basic_block(name) for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    step = builder.phi(_INT)
    step.add_incoming(_int(0), before)
    sums = [[builder.phi(_VECTOR) for _ in range(shape[1])] for _ in range(shape[0])]
    builder.cbranch(builder.icmp_signed("<", step, k), body, done)

    builder.position_at_end(body)
    b_step, a_step = builder.mul(step, b_row), builder.gep(a_start, [builder.mul(step, a_column)])
    places = [_vector_at(builder, b_start, builder.add(b_step, _int(j * WIDTH))) for j in range(shape[1])]
    vectors = [builder.load(place, align=4) for place in places]
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{WIDTH}f32")
    for i, row in enumerate(sums):
        scalar = _broadcast(builder, builder.load(builder.gep(a_step, [builder.mul(a_row, _int(i))])))
        for vector, total in zip(vectors, row, strict=True):
            total.add_incoming(_ZERO, before)
            total.add_incoming(builder.call(multiply_add, [scalar, vector, total]), body)
    step.add_incoming(builder.add(step, _int(1)), body)
    builder.branch(head)
    builder.position_at_end(done)
    return sums
