"""Reductions, softmax, norms and sorting: what is computed along axes, which are moved to the end as rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch

from zoo.reports.net.lowering.pointwise import Lowering, clamp, floating, where
from zoo.reports.net.tracing import Tracer, UnsupportedError, Value, meta


def axes_of(x: Value, dim: int | Sequence[int] | None) -> list[int]:
    """The axes that an argument of torch means, from 0."""
    if dim is None or (not isinstance(dim, int) and not dim):
        return list(range(len(x.shape)))
    return [axis % max(1, len(x.shape)) for axis in ([dim] if isinstance(dim, int) else dim)] if x.shape else []


def as_rows(t: Tracer, x: Value, axes: Sequence[int]) -> tuple[Value, list[int]]:
    """`x` as (R, N) with the axes as rows, and the axes that are left."""
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    return t.reshape(t.permute(x, [*kept, *axes]), (math.prod(x.shape[axis] for axis in kept), count)), kept


def reduced(t: Tracer, operation: str, x: Value, dim: int | Sequence[int] | None, keepdim: bool) -> Value:
    """Axes reduced to one number each."""
    axes = axes_of(x, dim)
    rows, kept = as_rows(t, x, axes)
    if not rows.shape[1]:
        raise UnsupportedError(f"computes {operation} of nothing")
    shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)] if keepdim else [x.shape[a] for a in kept]
    return t.reshape(t.apply(operation, rows), shape)


def along(t: Tracer, operation: str, x: Value, dim: int) -> Value:
    """One axis, which keeps its length."""
    axes = axes_of(x, dim)
    rows, kept = as_rows(t, x, axes)
    found = t.apply(operation, rows)
    order = [*kept, *axes]
    moved = t.reshape(found, [x.shape[axis] for axis in order])
    return t.permute(moved, [order.index(axis) for axis in range(len(order))])


def _whole(t: Tracer, x: Value) -> Value:
    return x if x.dtype.is_floating_point else t.cast(x, torch.int64)


def total(
    t: Tracer,
    x: Value,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Value:
    return reduced(t, "sum", _whole(t, x) if dtype is None else t.cast(x, dtype), dim, keepdim)


def mean(
    t: Tracer,
    x: Value,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Value:
    count = math.prod(x.shape[axis] for axis in axes_of(x, dim))
    return t.binary("div", total(t, x, dim, keepdim, dtype=dtype), count)


def prod(
    t: Tracer, x: Value, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Value:
    return reduced(t, "prod", _whole(t, x) if dtype is None else t.cast(x, dtype), dim, keepdim)


def _extreme(name: str, t: Tracer, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Value:
    return reduced(t, name, x, dim, keepdim)


def _with_place(
    name: str, t: Tracer, x: Value, dim: Value | int | None = None, keepdim: bool = False
) -> Value | tuple[Value, ...]:
    """`max` and `min`: of all, with their places along an axis, or of two tensors."""
    if isinstance(dim, Value):
        return t.binary({"amax": "maximum", "amin": "minimum"}[name], x, dim)
    if dim is None:
        return reduced(t, name, x, None, False)
    return reduced(t, name, x, dim, keepdim), reduced(t, "arg" + name[1:], x, dim, keepdim)


def aminmax(t: Tracer, x: Value, *, dim: int | None = None, keepdim: bool = False) -> tuple[Value, ...]:
    return reduced(t, "amin", x, dim, keepdim), reduced(t, "amax", x, dim, keepdim)


def _truths(name: str, t: Tracer, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Value:
    found = reduced(t, name, t.cast(t.binary("ne", x, 0), torch.int64), dim, keepdim)
    return t.cast(found, torch.bool)


def var(
    t: Tracer,
    x: Value,
    dim: int | Sequence[int] | None = None,
    *,
    correction: float | None = 1,
    keepdim: bool = False,
) -> Value:
    count = math.prod(x.shape[axis] for axis in axes_of(x, dim))
    centered = t.apply("sub", x, mean(t, x, dim, True))
    squares = total(t, t.apply("mul", centered, centered), dim, keepdim)
    return t.binary("div", squares, float(max(0, count - (1 if correction is None else correction))))


def std(
    t: Tracer,
    x: Value,
    dim: int | Sequence[int] | None = None,
    *,
    correction: float | None = 1,
    keepdim: bool = False,
) -> Value:
    return t.apply("sqrt", var(t, x, dim, correction=correction, keepdim=keepdim))


def var_mean(
    t: Tracer,
    x: Value,
    dim: int | Sequence[int] | None = None,
    *,
    correction: float | None = 1,
    keepdim: bool = False,
) -> tuple[Value, ...]:
    return var(t, x, dim, correction=correction, keepdim=keepdim), mean(t, x, dim, keepdim)


def linalg_vector_norm(
    t: Tracer,
    x: Value,
    order: float = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Value:
    x = t.apply("abs", floating(t, x) if dtype is None else t.cast(x, dtype))
    if math.isinf(order):
        return reduced(t, "amax" if order > 0 else "amin", x, dim, keepdim)
    if order == 1:
        return reduced(t, "sum", x, dim, keepdim)
    if order == 2:
        return t.apply("sqrt", reduced(t, "sum", t.apply("mul", x, x), dim, keepdim))
    raise UnsupportedError(f"computes the norm of order {order}")


def softmax(t: Tracer, x: Value, dim: int, half_to_float: bool = False) -> Value:
    return along(t, "softmax", x, dim)


def log_softmax(t: Tracer, x: Value, dim: int, half_to_float: bool = False) -> Value:
    return along(t, "log_softmax", x, dim)


def safe_softmax(t: Tracer, x: Value, dim: int, dtype: torch.dtype | None = None) -> Value:
    """Softmax that is 0 where everything is masked."""
    x = x if dtype is None else t.cast(x, dtype)
    masked = t.binary("eq", reduced(t, "amax", x, dim, True), -math.inf)
    return where(t, masked, 0.0, softmax(t, x, dim))


def logsumexp(t: Tracer, x: Value, dim: int | Sequence[int], keepdim: bool = False) -> Value:
    x = floating(t, x)
    largest = clamp(t, reduced(t, "amax", x, dim, True), torch.finfo(x.dtype).min, torch.finfo(x.dtype).max)
    sums = reduced(t, "sum", t.apply("exp", t.apply("sub", x, largest)), dim, keepdim)
    return t.apply("add", t.apply("log", sums), t.reshape(largest, sums.shape))


def cumsum(t: Tracer, x: Value, dim: int, *, dtype: torch.dtype | None = None) -> Value:
    return along(t, "cumsum", _whole(t, x) if dtype is None else t.cast(x, dtype), dim)


def _place(name: str, t: Tracer, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    return reduced(t, name, x, dim, keepdim)


def layer_norm(
    t: Tracer, x: Value, shape: Sequence[int], weight: Value | None, bias: Value | None, eps: float
) -> tuple[Value, ...]:
    """Ba, Kiros, Hinton, "Layer Normalization", 2016."""
    axes = list(range(len(x.shape) - len(shape), len(x.shape)))
    centered, scale, center = normalizing(t, x, axes, eps)
    return affine(t, t.apply("mul", centered, scale), weight, bias), center, scale


def normalizing(t: Tracer, x: Value, axes: Sequence[int], eps: float) -> tuple[Value, Value, Value]:
    """`x` minus its mean, one over its standard deviation, and the mean."""
    center = mean(t, x, axes, True)
    centered = t.apply("sub", x, center)
    spread = t.binary("add", mean(t, t.apply("mul", centered, centered), axes, True), eps)
    return centered, t.binary("div", 1.0, t.apply("sqrt", spread)), center


def affine(t: Tracer, x: Value, weight: Value | None, bias: Value | None) -> Value:
    """`x` times a weight plus a bias, as far as there are any."""
    x = x if weight is None else t.binary("mul", x, weight)
    return x if bias is None else t.binary("add", x, bias)


def sort(
    t: Tracer, x: Value, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> tuple[Value, ...]:
    axes = axes_of(x, dim)
    rows, kept = as_rows(t, x, axes)
    order = [*kept, *axes]
    back = [order.index(axis) for axis in range(len(order))]
    places = t.apply("argsort", rows, attributes=[descending])
    found = (t.apply("pick", rows, places), places)
    return tuple(t.permute(t.reshape(y, [x.shape[axis] for axis in order]), back) for y in found)


def topk(t: Tracer, x: Value, k: int, dim: int = -1, largest: bool = True, is_sorted: bool = True) -> tuple[Value, ...]:
    (axis,) = axes_of(x, dim)
    return tuple(t.view(y, meta(y.shape).narrow(axis, 0, k)) for y in sort(t, x, dim, largest))


LOWERINGS: dict[str, Lowering] = {
    "sum": total,
    "_softmax": softmax,
    "_log_softmax": log_softmax,
    "_safe_softmax": safe_softmax,
    "native_layer_norm": layer_norm,
    **{name: partial(_extreme, name) for name in ("amax", "amin")},
    **{name: partial(_with_place, f"a{name}") for name in ("max", "min")},
    **{name: partial(_place, name) for name in ("argmax", "argmin")},
    "any": partial(_truths, "amax"),
    "all": partial(_truths, "amin"),
    **{
        function.__name__: function
        for function in (mean, prod, aminmax, var, std, var_mean, linalg_vector_norm, logsumexp, cumsum)
    },
    "sort": sort,
    "topk": topk,
}
