"""Training steps of the lecture's net, compiled by numba for this processor's vector instructions.

Why it comes close to the processor's peak (a step of the lecture's size has 2.2 million operations):

- A panel of L examples of the batch fills the lanes of two vectors, and activations are stored as (features, lanes). So
  all six matrix products have the same form (rows of scalars, each broadcast, times two vectors), weights are never
  transposed, and softmax and tanh need no sums across the lanes of a vector.
- The products are generated with LLVM's vector types: a tile of sums stays in registers during the inner loop.
- The gradient of the loss is scaled by the negative learning rate, so that the result of backpropagation is the update
  itself. For a batch of one panel it is added to the weights directly.
- b1 is a column of W1 with the constant input 1, so that its gradient is a column of that of W1.

All code is in this one file, because numba's cache depends on the modification time of the file.

Axes: K steps, B examples, T characters of context, E embedding dimensions, D = T * E, H hidden units, V characters, L
lanes of two vectors. Dp and Vp are D + 1 and V, rounded up to full vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_features = llvm.get_host_cpu_features()
WIDTH = 16 if _features.get("avx512f") else 8 if _features.get("avx") else 4  # float32 lanes of a vector
ROWS = {16: 8, 8: 6, 4: 4}[WIDTH]  # of a tile; with two vectors per row it fits into the registers
LANES = 2 * WIDTH

_INT, _INT32 = ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_EVERY_LANE = ir.Constant(ir.VectorType(_INT32, WIDTH), [0] * WIDTH)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_ZERO = ir.Constant(_VECTOR, [0.0] * WIDTH)


def _int(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)


@intrinsic
def _multiply(
    _: Any, m: Any, n: Any, k: Any, a: Any, a_row: Any, a_column: Any, b: Any, b_row: Any, c: Any, c_row: Any, add: Any
) -> Any:
    """`c[m, n] (+)= a[m, k] @ b[k, n]` as LLVM code, for the types of the arguments of `product`."""
    size = types.intp
    signature = types.void(size, size, size, a, size, size, b, size, c, size, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        builder.function.attributes.add("noinline")  # six inlined copies would take six times as long to compile
        m, n, k, _, a_row, a_column, _, b_row, _, c_row, add = values
        a, b, c = (context.make_array(signature.args[i])(context, builder, values[i]).data for i in (3, 6, 8))
        in_tiles = builder.mul(builder.sdiv(m, _int(ROWS)), _int(ROWS))  # rows in full tiles

        def tile(rows: int, vectors: int, i: Any, j: Any) -> None:
            corner = builder.gep(c, [builder.add(builder.mul(i, c_row), j)])
            from_row, from_column = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(b, [j])
            sums = _Tile(builder, rows, vectors, corner, c_row, add)
            sums.multiply(k, from_row, a_row, a_column, from_column, b_row)

        def columns(start: Any, end: Any, vectors: int) -> None:
            with cgutils.for_range_slice(builder, start, end, _int(vectors * WIDTH), inc=True) as (j, _):
                with cgutils.for_range_slice(builder, _int(0), in_tiles, _int(ROWS), inc=True) as (i, _):
                    tile(ROWS, vectors, i, j)
                after = builder.append_basic_block("after")
                rest = builder.switch(builder.sub(m, in_tiles), after)
                for rows in range(1, ROWS):
                    block = builder.append_basic_block(f"rows{rows}")
                    rest.add_case(_int(rows), block)
                    builder.position_at_end(block)
                    tile(rows, vectors, in_tiles, j)
                    builder.branch(after)
                builder.position_at_end(after)

        pairs = builder.mul(builder.sdiv(n, _int(LANES)), _int(LANES))
        columns(_int(0), pairs, 2)
        columns(pairs, n, 1)
        return context.get_dummy_value()

    return signature, generate


class _Tile:
    """LLVM code for a tile of c, `rows` by `vectors`, with sums in registers."""

    def __init__(self, builder: Any, rows: int, vectors: int, corner: Any, c_row: Any, add: Any) -> None:
        self._builder, self._vectors, self._add, self._before = builder, vectors, add, builder.block
        self._pointers = [
            [self._vector_at(corner, builder.mul(c_row, _int(i)), j) for j in range(vectors)] for i in range(rows)
        ]
        self._head, self._body, self._done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
        builder.branch(self._head)

    def multiply(self, k: Any, a: Any, a_row: Any, a_column: Any, b: Any, b_row: Any) -> None:
        """Compute a[rows, k] @ b[k, vectors] and store it, or add it to c.

        The sums start from zero, so that small updates are added up before the one rounding with a large weight.
        """
        builder = self._builder
        builder.position_at_end(self._head)
        step = builder.phi(_INT)
        step.add_incoming(_int(0), self._before)
        sums = [[self._sum() for _ in row] for row in self._pointers]
        builder.cbranch(builder.icmp_signed("<", step, k), self._body, self._done)

        builder.position_at_end(self._body)
        b_step = builder.mul(step, b_row)
        vectors = [builder.load(self._vector_at(b, b_step, j), align=4) for j in range(self._vectors)]
        a_step = builder.gep(a, [builder.mul(step, a_column)])
        for i, row in enumerate(sums):
            scalar = self._broadcast(builder.load(builder.gep(a_step, [builder.mul(a_row, _int(i))])))
            for vector, total in zip(vectors, row, strict=True):
                total.add_incoming(self._multiply_add(scalar, vector, total), self._body)
        step.add_incoming(builder.add(step, _int(1)), self._body)
        builder.branch(self._head)

        builder.position_at_end(self._done)
        for row, pointers in zip(sums, self._pointers, strict=True):
            for total, pointer in zip(row, pointers, strict=True):
                before = builder.select(self._add, builder.load(pointer, align=4), _ZERO)
                builder.store(builder.fadd(before, total), pointer, align=4)

    def _vector_at(self, start: Any, offset: Any, j: int) -> Any:
        builder = self._builder
        return builder.bitcast(builder.gep(start, [builder.add(offset, _int(j * WIDTH))]), _VECTOR.as_pointer())

    def _sum(self) -> Any:
        total = self._builder.phi(_VECTOR)
        total.add_incoming(_ZERO, self._before)
        return total

    def _broadcast(self, scalar: Any) -> Any:
        first = self._builder.insert_element(_UNDEFINED, scalar, ir.Constant(_INT32, 0))
        return self._builder.shuffle_vector(first, _UNDEFINED, _EVERY_LANE)

    def _multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        function = cgutils.get_or_insert_function(self._builder.module, kind, f"llvm.fmuladd.v{WIDTH}f32")
        return self._builder.call(function, [x, y, z])


_compiled = njit(cache=True, error_model="numpy", fastmath={"contract"}, nogil=True)
_f = np.float32
_FLAT = types.Array(types.float32, 1, "C")
_PRODUCT = types.void(*[types.intp] * 3, _FLAT, *[types.intp] * 2, _FLAT, types.intp, _FLAT, types.intp, types.boolean)


@njit(_PRODUCT, cache=True, error_model="numpy", nogil=True)
def product(
    m: int, n: int, k: int, a: Floats, a_row: int, a_col: int, b: Floats, b_row: int, c: Floats, c_row: int, add: bool
) -> None:
    """`c[m, n] = a[m, k] @ b[k, n]`, or `+=` with `add`; n is a multiple of the width of a vector.

    All arrays are flat: a[i, p] is at `i * a_row + p * a_col`, b[p, j] at `p * b_row + j`, c[i, j] at `i * c_row + j`.
    """
    _multiply(m, n, k, a, a_row, a_col, b, b_row, c, c_row, add)


@_compiled
def exp(x: Any) -> Any:
    """e ** x with a relative error below 2e-7 for x up to 80; e ** -80 for smaller x than -80.

    It is 2 ** n times the Taylor series of e ** r. NaN stays NaN.
    """
    x = _f(-80) if x < _f(-80) else x  # false for NaN
    shifted = x * _f(1 / math.log(2)) + _f(1.5 * 2**23)  # n is in its last bits
    n = shifted - _f(1.5 * 2**23)
    r = x - n * _f(0.693359375)  # ln 2 in two parts, of which the first has so few bits that the product is exact
    r = r - n * _f(math.log(2) - 0.693359375)
    p = _f(1 / 5040)
    p = p * r + _f(1 / 720)
    p = p * r + _f(1 / 120)
    p = p * r + _f(1 / 24)
    p = p * r + _f(1 / 6)
    p = p * r + _f(1 / 2)
    p = p * r + _f(1)
    p = p * r + _f(1)
    exponent = np.int32(_f(shifted).view(np.int32) << np.int32(23))
    return np.int32(_f(p).view(np.int32) + exponent).view(np.float32)


@_compiled
def tanh(h: Floats, n: int) -> None:
    """tanh of the first n elements, in place, with an error below 2e-7: 1 - 2 / (e ** 2|x| + 1)."""
    for i in range(n):
        x = h[i]
        size = abs(x)
        size = _f(20) if size > _f(20) else size
        size = _f(1) - _f(2) / (exp(_f(2) * size) + _f(1))
        h[i] = -size if x < _f(0) else size


@_compiled
def tanh_backward(dh: Floats, h: Floats, n: int) -> None:
    for i in range(n):
        dh[i] *= _f(1) - h[i] * h[i]


@_compiled
def cross_entropy(logits: Floats, y: Ints, V: int, scale: float, buffer: Floats) -> float:
    """The summed loss of a panel; the logits (V, L) are replaced by -scale times their gradient."""
    top, total, target = buffer[:LANES], buffer[LANES : 2 * LANES], buffer[2 * LANES :]
    for lane in range(LANES):
        top[lane] = logits[lane]
        total[lane] = _f(0)
    for v in range(1, V):
        for lane in range(LANES):
            logit = logits[v * LANES + lane]
            top[lane] = logit if logit > top[lane] else top[lane]
    for lane in range(len(y)):
        target[lane] = logits[y[lane] * LANES + lane] - top[lane]
    for v in range(V):
        for lane in range(LANES):
            p = exp(logits[v * LANES + lane] - top[lane])
            logits[v * LANES + lane] = p
            total[lane] += p
    loss = 0.0
    for lane in range(len(y)):
        loss += math.log(total[lane]) - target[lane]
    for lane in range(LANES):
        total[lane] = -scale / total[lane]
    for v in range(V):
        for lane in range(LANES):
            logits[v * LANES + lane] *= total[lane]
    for lane in range(len(y)):
        logits[y[lane] * LANES + lane] += scale
    return loss


@_compiled
def train_steps(
    x: Ints,
    y: Ints,
    scales: Floats,
    losses: Floats,
    weights: tuple[Floats, ...],
    sums: tuple[Floats, ...],
    work: tuple[Floats, ...],
    T: int,
    E: int,
) -> None:
    """Train on K batches.

    Args:
        x, y: contexts (K, B, T) and targets (K, B).
        scales: learning rate / B of each step, (K).
        losses: output: the loss of each step, (K).
        weights: C, W1, W2, b2, flat: (V, E); (H, Dp), W1 transposed with b1 as its column D; (H, Vp); (V).
        sums: buffers for the updates of the weights, of the same shapes; if B <= L, the weights themselves, except C.
        work: inputs of a panel (L, Dp) and (D + 1, L), with 1 in column and row D; buffers for activations and
            gradients (H, L), (H, L), (V, L), (L, Vp), (D, L), (3, L).
        T, E: sizes.
    """
    C, W1, W2, b2 = weights
    sum_C, sum_W1, sum_W2, sum_b2 = sums
    emb, embT, hT, dhT, logitsT, dlogits, dembT, buffer = work
    V, H = len(b2), len(hT) // LANES
    K, B = y.shape
    D = T * E
    Dp, Vp = len(W1) // H, len(W2) // H
    for k in range(K):
        loss = 0.0
        for start in range(0, B, LANES):
            contexts, targets = x[k, start : start + LANES], y[k, start : start + LANES]
            n = len(targets)
            lanes = WIDTH if n <= WIDTH else LANES
            # forward pass
            look_up(C, contexts, E, emb, Dp, embT)
            product(H, lanes, D + 1, W1, Dp, 1, embT, LANES, hT, LANES, False)  # (H, L)
            tanh(hT, H * LANES)
            for v in range(V):
                logitsT[v * LANES : (v + 1) * LANES] = b2[v]
            product(V, lanes, H, W2, 1, Vp, hT, LANES, logitsT, LANES, True)  # (V, L)
            loss += cross_entropy(logitsT, targets, V, scales[k], buffer)
            # backward pass; weights are updated after their last use
            product(H, lanes, V, W2, Vp, 1, logitsT, LANES, dhT, LANES, False)  # (H, L)
            tanh_backward(dhT, hT, H * LANES)
            product(D, lanes, H, W1, 1, Dp, dhT, LANES, dembT, LANES, False)  # (D, L)
            by_example(logitsT, n, dlogits, Vp, sum_b2)  # (L, Vp)
            product(H, Vp, n, hT, LANES, 1, dlogits, Vp, sum_W2, Vp, True)  # (H, Vp)
            product(H, Dp, n, dhT, LANES, 1, emb, Dp, sum_W1, Dp, True)  # (H, Dp)
            add_rows(dembT, contexts, E, sum_C)
        add(sum_C, C)
        if B > LANES:
            add(sum_W1, W1)
            add(sum_W2, W2)
            add(sum_b2, b2)
        losses[k] = loss / B


@_compiled
def by_example(logitsT: Floats, n: int, dlogits: Floats, Vp: int, total: Floats) -> None:
    """Transpose the first n columns of (V, L) to rows of (L, Vp), and add their sum to `total` (V)."""
    for v in range(len(total)):
        row = _f(0)
        for lane in range(n):
            value = logitsT[v * LANES + lane]
            dlogits[lane * Vp + v] = value
            row += value
        total[v] += row


@_compiled
def look_up(C: Floats, contexts: Ints, E: int, emb: Floats, Dp: int, embT: Floats) -> None:
    """Look up the embeddings of contexts (n, T), as rows `emb` and as columns `embT`."""
    n, T = contexts.shape
    for lane in range(n):
        for t in range(T):
            row = contexts[lane, t] * E
            for e in range(E):
                value = C[row + e]
                emb[lane * Dp + t * E + e] = value
                embT[(t * E + e) * LANES + lane] = value


@_compiled
def add_rows(dembT: Floats, contexts: Ints, E: int, C: Floats) -> None:
    """Add the updates `dembT` (D, L) to the embeddings of the characters of contexts (n, T)."""
    n, T = contexts.shape
    for lane in range(n):
        for t in range(T):
            row = contexts[lane, t] * E
            for e in range(E):
                C[row + e] += dembT[(t * E + e) * LANES + lane]


@_compiled
def add(sums: Floats, weights: Floats) -> None:
    """Add sums to weights, and reset the sums to zero."""
    for i in range(len(weights)):
        weights[i] += sums[i]
        sums[i] = _f(0)
