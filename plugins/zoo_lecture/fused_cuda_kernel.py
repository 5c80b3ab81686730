"""The kernel of `zoo_lecture.fused_cuda`: many steps of the lecture's net in one launch of one program.

It is a separate module because importing triton is slow, and `triton.jit` needs `tl` as a global of the module.

Axes: K steps, B examples of a batch, R rows of a block of it, T characters of context, E embedding dimensions, D = T *
E inputs, H hidden units, V characters. In the kernel D, E, H and V are rounded up to powers of two. The padding is
zero, and every update leaves it zero.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _read(at: tl.tensor, row: tl.tensor, column: tl.tensor, rows: tl.constexpr, columns: tl.constexpr) -> tl.tensor:
    """Load the tensor (rows, columns) at `at`, with zeros where `row` or `column` is out of range."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    return tl.load(at + row[:, None] * columns + column[None, :], mask=inside, other=0.0)


@triton.jit
def _write(
    at: tl.tensor, value: tl.tensor, row: tl.tensor, column: tl.tensor, rows: tl.constexpr, columns: tl.constexpr
) -> None:
    """Store a tensor; the inverse of `_read`."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    tl.store(at + row[:, None] * columns + column[None, :], value, mask=inside)


@triton.jit
def _product(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    """`a @ b` in full float32: without "ieee", tensor cores would round the operands to TF32."""
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _tanh(z: tl.tensor) -> tl.tensor:
    """tanh; NaN stays NaN. The exponential cannot overflow; near 0, where 1 - e cancels, a Taylor series is used."""
    e = tl.exp(-2.0 * tl.abs(z))
    large = (1.0 - e) / (1.0 + e)
    q = z * z
    small = z + z * q * (-1 / 3 + q * (2 / 15 + q * (-17 / 315 + q * (62 / 2835))))
    return tl.where(tl.abs(z) < 0.25, small, tl.where(z < 0, -large, large))


@triton.jit
def _cross_entropy(
    logits: tl.tensor, y: tl.tensor, real: tl.tensor, v: tl.tensor, B: tl.constexpr, V: tl.constexpr
) -> tl.tensor:
    """The sum of the losses of the real rows, and the gradient (R, V) of the mean loss of the batch."""
    logits = tl.where(v[None, :] < V, logits, float("-inf"))  # (R, V)
    shifted = logits - tl.max(logits, 1)[:, None]  # (R, V)
    p = tl.exp(shifted)
    total = tl.sum(p, 1)  # (R)
    target = v[None, :] == y[:, None]  # (R, V)
    losses = tl.log(total) - tl.sum(tl.where(target, shifted, 0.0), 1)  # (R)
    dlogits = (p / total[:, None] - tl.where(target, 1.0, 0.0)) / B  # (R, V)
    return tl.sum(tl.where(real, losses, 0.0), 0), tl.where(real[:, None], dlogits, 0.0)


@triton.jit
def _embed(
    C: tl.tensor, x: tl.tensor, row: tl.tensor, d: tl.tensor, B: tl.constexpr, T: tl.constexpr, E: tl.constexpr
) -> tl.tensor:
    """C[x] of these rows, shape (R, D); zero for rows beyond the batch."""
    inside = (row[:, None] < B) & (d[None, :] < T * E)
    character = tl.load(x + row[:, None] * T + d[None, :] // E, mask=inside, other=0)  # (R, D)
    # .cg: from the L2 cache, because C was written in this launch
    return tl.load(C + character * E + d[None, :] % E, mask=inside, other=0.0, cache_modifier=".cg")


@triton.jit
def _add_embedding_gradient(
    dC: tl.tensor, dX: tl.tensor, x: tl.tensor, row: tl.tensor, start: tl.tensor, v: tl.tensor, e: tl.tensor,
    B: tl.constexpr, T: tl.constexpr, E: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """dC (V, E) plus the gradient of these rows, one position of the context at a time.

    A product with a one-hot matrix is deterministic; atomic additions are not.

    Args:
        dX: memory with the gradient (R, T * E) of the embeddings of the rows from `start` on.
    """
    real = row < B
    inside = real[:, None] & (e[None, :] < E)
    for t in range(T):
        character = tl.load(x + row * T + t, mask=real, other=-1)  # (R)
        at = dX + (row - start)[:, None] * (T * E) + t * E + e[None, :]
        part = tl.load(at, mask=inside, other=0.0, cache_modifier=".cg")  # (R, E)
        here = tl.where(v[:, None] == character[None, :], 1.0, 0.0)  # (V, R)
        dC += _product(here, part)
    return dC


@triton.jit(
    # otherwise K = 1 and each alignment would have a kernel of its own, which might not be bit-identical
    do_not_specialize=["K"],
    do_not_specialize_on_alignment=["x", "y", "lrs", "losses", "C_", "W1_", "b1_", "W2_", "b2_", "dX"],
)
def train(
    x: tl.tensor, y: tl.tensor, lrs: tl.tensor, losses: tl.tensor, dX: tl.tensor, K: tl.tensor,
    C_: tl.tensor, W1_: tl.tensor, b1_: tl.tensor, W2_: tl.tensor, b2_: tl.tensor,
    B: tl.constexpr, T: tl.constexpr, E: tl.constexpr, H: tl.constexpr, V: tl.constexpr,
    R: tl.constexpr, D2: tl.constexpr, E2: tl.constexpr, H2: tl.constexpr, V2: tl.constexpr,
) -> None:  # fmt: skip
    """Train on K batches in one program, with the weights in registers from the first step to the last.

    Args:
        x, y: contexts (K, B, T) and targets (K, B), int64; all from 0 to V - 1, which is not checked.
        lrs: learning rates (K).
        losses: output: the mean loss of each step (K).
        dX: work memory, (R, T * E).
        C_, W1_, b1_, W2_, b2_: the weights, changed in place: (V, E), (T * E, H), (H), (H, V), (V). C_ is written in
            every step, because rows are looked up in it; the others at the end.
        R: rows per block of a batch. The weights are updated after the last block.
        D2, E2, H2, V2: T * E, E, H and V rounded up to powers of two, at least 16.
    """
    d, e, hs, v = tl.arange(0, D2), tl.arange(0, E2), tl.arange(0, H2), tl.arange(0, V2)
    C, W1, W2 = _read(C_, v, e, V, E), _read(W1_, d, hs, T * E, H), _read(W2_, hs, v, H, V)
    b1, b2 = tl.load(b1_ + hs, mask=hs < H, other=0.0), tl.load(b2_ + v, mask=v < V, other=0.0)
    for k in range(K):
        dC, dW1, dW2 = tl.zeros_like(C), tl.zeros_like(W1), tl.zeros_like(W2)
        db1, db2 = tl.zeros_like(b1), tl.zeros_like(b2)
        loss = 0.0
        for start in range(0, B, R):
            row = start + tl.arange(0, R)  # (R)
            real = row < B
            X = _embed(C_, x, row, d, B, T, E)  # (R, D)
            h = _tanh(_product(X, W1) + b1[None, :])  # (R, H)
            logits = _product(h, W2) + b2[None, :]  # (R, V)
            target = tl.load(y + row, mask=real, other=0)  # (R)
            part, dlogits = _cross_entropy(logits, target, real, v, B, V)  # (), (R, V)
            loss += part
            db2 += tl.sum(dlogits, 0)
            dW2 += _product(tl.trans(h), dlogits)
            dz = _product(dlogits, tl.trans(W2)) * (1.0 - h * h)  # (R, H)
            db1 += tl.sum(dz, 0)
            dW1 += _product(tl.trans(X), dz)
            _write(dX, _product(dz, tl.trans(W1)), row - start, d, R, T * E)
            tl.debug_barrier()  # other threads read dX
            dC = _add_embedding_gradient(dC, dX, x, row, start, v, e, B, T, E)
            tl.debug_barrier()  # the next block overwrites dX
        tl.store(losses + k, loss / B)
        lr = tl.load(lrs + k)
        C, W1, b1, W2, b2 = C - lr * dC, W1 - lr * dW1, b1 - lr * db1, W2 - lr * dW2, b2 - lr * db2
        _write(C_, C, v, e, V, E)
        tl.debug_barrier()  # the next step reads C_
        x, y = x + B * T, y + B
    _write(W1_, W1, d, hs, T * E, H)
    _write(W2_, W2, hs, v, H, V)
    tl.store(b1_ + hs, b1, mask=hs < H)
    tl.store(b2_ + v, b2, mask=v < V)
