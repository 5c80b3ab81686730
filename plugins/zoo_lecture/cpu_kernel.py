"""Training steps of the lecture's net, compiled by numba for this processor's vector instructions.

Why it comes close to the processor's peak (a step of the lecture's size has 2.2 million operations in its six
matrix products):

- A panel of L examples of the batch fills the lanes of two vectors, and activations are stored as (features, lanes). So
  all six products have the same form (rows of scalars, each broadcast, times two vectors), weights are never
  transposed, and softmax and tanh need no sums across the lanes of a vector.
- The products are generated with LLVM's vector types: a tile of sums stays in registers during the inner loop. What
  follows a product, such as tanh, is applied to the tile before it is stored.
- Rows of the embedding table are copied as vectors, and (examples, features) becomes (features, lanes) in registers,
  because single numbers, one after the other, take as long as half a product.
- The gradient of the loss is scaled by the negative learning rate, so that the result of backpropagation is the update
  itself. For a batch of one panel it is added to the weights directly.
- b1 is a column of W1 with the constant input 1, and b2 a row of W2 with a constant hidden unit, so that their updates
  are computed with those of W1 and W2.

Axes: K steps, B examples, T characters of context, E embedding dimensions, D = T * E, H hidden units, V characters, L
lanes of two vectors. Dp, Ep and Vp are D + 1, E and V, rounded up to full vectors; no result depends on what is there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from zoo_lecture.cpu_vectors import (
    LANES,
    OPTIONS,
    SOURCE,
    WIDTH,
    broadcast,
    larger,
    load,
    product,
    smaller,
    store,
    times_power,
    transpose_square,
)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_f = np.float32

_compiled = njit(cache=True, **OPTIONS)
_part = njit(**OPTIONS)  # of `train_steps`, with which it is cached


@_part
def tanh(x: Any) -> Any:
    """tanh with an error below 2e-7: (y - 1) / (y + 1), where y is e ** 2x, computed as 2 ** n times 2 ** r.

    The rounding of 2x / ln 2, and a polynomial of 2 ** r that is shorter than that of `exp`, cost little: where y is
    large, tanh is flat.
    """
    x = larger(_f(-10), smaller(_f(10), x))  # from 9.1 on it is 1; NaN stays NaN
    shifted = x * _f(2 / math.log(2)) + _f(1.5 * 2**23)  # n is in its last bits
    r = x * _f(2 / math.log(2)) - (shifted - _f(1.5 * 2**23))
    p = _f(0.0013264537) * r + _f(0.00967113)  # with the least relative error for r from -0.5 to 0.5, which is 9.2e-8
    p = p * r + _f(0.055507272)
    p = p * r + _f(0.24022241)
    p = p * r + _f(0.693147)
    p = p * r + _f(1)
    y = times_power(p, shifted)
    return (y - _f(1)) / (y + _f(1))


@_part
def exp(x: Any) -> Any:
    """e ** x with a relative error below 2e-7 for x up to 80; e ** -80 for smaller x than -80.

    It is 2 ** n times the Taylor series of e ** r. NaN stays NaN.
    """
    x = larger(_f(-80), x)
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
    return times_power(p, shifted)


@_part
def _alone(total: Any, _: Any) -> Any:
    return total


@_part
def _added(total: Any, before: Any) -> Any:
    return before + total


@_part
def _tanh(total: Any, _: Any) -> Any:
    return tanh(total)


@_part
def _times_slope(total: Any, h: Any) -> Any:
    """times the derivative of tanh where that is h"""
    return total * (_f(1) - h * h)


store_product, add_product, tanh_of_product, product_times_slope = map(product, (_alone, _added, _tanh, _times_slope))


@_part
def cross_entropy(logits: Floats, y: Ints, V: int, scale: float, buffer: Floats) -> float:
    """The summed loss of a panel; the logits (V, L) are replaced by -scale times their gradient.

    Args:
        logits: (V, L).
        y: targets, (n), of the first n lanes.
        V: the number of characters.
        scale: learning rate / B.
        buffer: (2, L).
    """
    targets, tops, totals = 0.0, 0.0, 1.0
    for lane in range(len(y)):
        targets += logits[y[lane] * LANES + lane]
    for lanes in range(0, len(y), WIDTH):
        top = load(logits, lanes)
        for v in range(1, V):
            top = larger(load(logits, v * LANES + lanes), top)
        total = broadcast(_f(0))
        for v in range(V):
            p = exp(load(logits, v * LANES + lanes) - top)
            store(logits, v * LANES + lanes, p)
            total = total + p
        factor = broadcast(_f(-scale)) / total
        for v in range(V):
            store(logits, v * LANES + lanes, load(logits, v * LANES + lanes) * factor)
        store(buffer, lanes, top)
        store(buffer, LANES + lanes, total)
    for lane in range(len(y)):
        tops += buffer[lane]
        totals *= buffer[LANES + lane]  # at most V ** 32, which a float64 holds
        logits[y[lane] * LANES + lane] += _f(scale)
    return math.log(totals) + tops - targets


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
    source: int = SOURCE,
) -> None:
    """Train on K batches.

    Args:
        x, y: contexts (K, B, T) and targets (K, B).
        scales: learning rate / B of each step, (K).
        losses: output: the loss of each step, (K).
        weights: C, W1, W2, flat: (V, Ep); (H, Dp), W1 transposed with b1 as its column D; (H + 1, Vp) with b2 as row H.
        sums: buffers for the updates of the weights, of the same shapes; if B <= L, the weights themselves, except C.
        work: inputs (L, Dp) and (Dp, L); activations (H + 1, L) with 1 in row H; their gradients (H, L); logits, then
            their gradients (Vp, L) and (L, Vp); gradients of inputs (Dp, L) and (L, Dp); (2, L). Another vector fits
            behind both (L, Dp).
        T, E: sizes.
        source: not to be given. numba caches for the modification time of this file, and for the types of the
            arguments, of which a default value is part: so what the other file generates is not taken from the cache
            after a change there.
    """
    C, W1, W2 = weights
    sum_C, sum_W1, sum_W2 = sums
    emb, embT, hT, dhT, logitsT, dlogits, dembT, demb, buffer = work
    K, B = y.shape
    H, D = len(dhT) // LANES, T * E
    Dp, Ep, Vp = len(W1) // H, padded(E), len(W2) // (H + 1)
    V = len(C) // Ep
    for k in range(K):
        loss = 0.0
        for start in range(0, B, LANES):
            contexts, targets = x[k, start : start + LANES], y[k, start : start + LANES]
            n = len(targets)
            lanes = padded(n)
            # forward pass
            look_up(C, contexts, E, emb, Dp)  # (L, Dp)
            transpose(lanes, Dp, emb, Dp, embT, LANES)  # (Dp, L)
            tanh_of_product(H, lanes, D + 1, W1, Dp, 1, embT, LANES, hT, LANES, hT)  # (H, L)
            store_product(V, lanes, H + 1, W2, 1, Vp, hT, LANES, logitsT, LANES, logitsT)  # (V, L)
            loss += cross_entropy(logitsT, targets, V, scales[k], buffer)
            # backward pass; weights are updated after their last use
            product_times_slope(H, lanes, V, W2, Vp, 1, logitsT, LANES, dhT, LANES, hT)  # (H, L)
            store_product(D, lanes, H, W1, 1, Dp, dhT, LANES, dembT, LANES, dembT)  # (D, L)
            transpose(Vp, lanes, logitsT, LANES, dlogits, Vp)  # (L, Vp)
            add_product(H + 1, Vp, n, hT, LANES, 1, dlogits, Vp, sum_W2, Vp, sum_W2)  # (H + 1, Vp)
            add_product(H, Dp, n, dhT, LANES, 1, emb, Dp, sum_W1, Dp, sum_W1)  # (H, Dp)
            transpose(Dp, lanes, dembT, LANES, demb, Dp)  # (L, Dp)
            add_rows(demb, Dp, contexts, E, sum_C)
        add(sum_C, C)
        if B > LANES:
            add(sum_W1, W1)
            add(sum_W2, W2)
        losses[k] = loss / B


@_part
def padded(size: int) -> int:
    """The size, rounded up to full vectors."""
    return (size + WIDTH - 1) // WIDTH * WIDTH


@_part
def look_up(C: Floats, contexts: Ints, E: int, emb: Floats, Dp: int) -> None:
    """Look up the embeddings of contexts (n, T), as rows of `emb`, each with 1 behind its D numbers.

    A vector is longer than the rest of an embedding: what it writes beyond that is overwritten by what comes next.
    """
    n, T = contexts.shape
    Ep = padded(E)
    for lane in range(n):
        row = lane * Dp
        for t in range(T):
            for e in range(0, E, WIDTH):
                store(emb, row + t * E + e, load(C, contexts[lane, t] * Ep + e))
        store(emb, row + T * E, broadcast(_f(1)))


@_part
def add_rows(demb: Floats, Dp: int, contexts: Ints, E: int, C: Floats) -> None:
    """Add the rows of `demb` to the embeddings of the characters of contexts (n, T)."""
    n, T = contexts.shape
    Ep = padded(E)
    for lane in range(n):
        for t in range(T):
            for e in range(0, E, WIDTH):
                row = contexts[lane, t] * Ep + e
                store(C, row, load(C, row) + load(demb, lane * Dp + t * E + e))


@_part
def transpose(m: int, n: int, a: Floats, a_row: int, c: Floats, c_row: int) -> None:
    """c[n, m] = a[m, n] in flat arrays, with so many numbers from row to row; m and n are multiples of the width."""
    for i in range(0, m, WIDTH):
        for j in range(0, n, WIDTH):
            transpose_square(a, i * a_row + j, a_row, c, j * c_row + i, c_row)


@_part
def add(sums: Floats, weights: Floats) -> None:
    """Add sums to weights, and reset the sums to zero."""
    for i in range(0, len(weights), WIDTH):
        store(weights, i, load(weights, i) + load(sums, i))
        store(sums, i, broadcast(_f(0)))
