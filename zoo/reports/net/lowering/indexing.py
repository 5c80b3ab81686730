"""Looking up, writing at places, and putting tensors together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from zoo.reports.net.lowering.pointwise import Lowering, Operand
from zoo.reports.net.lowering.rows import as_rows, axes_of
from zoo.reports.net.tracing import Tracer, UnsupportedError, Value, meta


def embedding(t: Tracer, table: Value, index: Value, *_: object, **__: object) -> Value:
    return t.reshape(t.apply("take", table, index), (*index.shape, *table.shape[1:]))


def embedding_bag(
    t: Tracer,
    table: Value,
    index: Value,
    offsets: Value,
    scale_grad: bool = False,
    mode: int = 0,
    sparse: bool = False,
    weights: Value | None = None,
    include_last: bool = False,
    padding: int = -1,
) -> tuple[Value | None, ...]:
    """Sums or means of looked-up rows, of bags of the same size."""
    bags = offsets.tensor.numel() - include_last
    size = index.tensor.numel() // max(1, bags)
    alike = torch.equal(offsets.tensor[:bags], torch.arange(bags).to(offsets.dtype) * size)
    if offsets.number is not None or not alike or mode not in (0, 1) or weights is not None or padding >= 0:
        raise UnsupportedError("computes embedding_bag of bags of different sizes")
    found = t.reshape(t.apply("take", table, index), (bags, size, table.shape[1]))
    rows, _ = as_rows(t, found, [1])
    summed = t.reshape(t.apply("sum", rows), (bags, table.shape[1]))
    return (t.binary("div", summed, size) if mode == 1 else summed), None, None, None


def index(t: Tracer, x: Value, indices: Sequence[Value | None]) -> Value:
    axes = [axis for axis, one in enumerate(indices) if one is not None]
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    places, shape = _places(t, x, indices, axes)
    rest = [x.shape[axis] for axis in kept]
    table = t.reshape(t.permute(x, [*axes, *kept]), (math.prod(x.shape[axis] for axis in axes), math.prod(rest)))
    found = t.reshape(t.apply("take", table, places), (*shape, *rest))
    if axes != list(range(axes[0], axes[0] + len(axes))):
        return found
    before = list(range(len(shape), len(shape) + axes[0]))
    return t.permute(found, [*before, *range(len(shape)), *range(len(shape) + axes[0], len(found.shape))])


def _places(t: Tracer, x: Value, indices: Sequence[Value | None], axes: Sequence[int]) -> tuple[Value, tuple[int, ...]]:
    """Where indices into several axes point to in these flattened into one, and the shape of what is looked up."""
    given = [one for one in indices if one is not None]
    if any(one.dtype in (torch.bool, torch.uint8) for one in given):
        raise UnsupportedError("indexes with a mask")
    shape = tuple(torch.broadcast_shapes(*(one.shape for one in given)))  # type: ignore[no-untyped-call]
    if len(given) == 1:  # operations count negative ones from the end
        return t.cast(given[0], torch.int64), shape
    places: Value | None = None
    for axis, one in zip(axes, given, strict=True):
        one = t.cast(one, torch.int64)
        inside = t.apply("where", t.binary("lt", one, 0), t.binary("add", one, x.shape[axis]), one)
        places = inside if places is None else t.binary("add", t.binary("mul", places, x.shape[axis]), inside)
    assert places is not None
    return t.expand(places, shape), shape


def index_put(
    t: Tracer, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False, *_: object
) -> Value:
    axes = [axis for axis, one in enumerate(indices) if one is not None]
    if axes != list(range(len(axes))):
        raise UnsupportedError("writes at indices of axes that are not the first ones")
    places, shape = _places(t, x, indices, axes)
    rest = x.shape[len(axes) :]
    inner = t.reshape(Value(torch.arange(math.prod(rest))), rest)
    flat = t.binary("add", t.reshape(t.binary("mul", places, math.prod(rest)), (*shape, *[1] * len(rest))), inner)
    values = t.expand(t.cast(values, x.dtype), flat.shape)
    row = t.apply("put", *(t.reshape(y, (1, y.tensor.numel())) for y in (x, flat, values)), attributes=[accumulate])
    return t.reshape(row, x.shape)


def index_select(t: Tracer, x: Value, dim: int, places: Value) -> Value:
    return index(t, x, [*[None] * (dim % max(1, len(x.shape))), t.reshape(places, (places.tensor.numel(),))])


def gather(t: Tracer, x: Value, dim: int, places: Value, **_: object) -> Value:
    (axis,) = axes_of(x, dim)
    view = meta(x.shape)
    for other in range(len(x.shape)):
        if other != axis:
            view = view.narrow(other, 0, places.shape[other])
    rows, _kept = as_rows(t, t.view(x, view), [axis])
    wanted, kept = as_rows(t, places, [axis])
    return _back(t, t.apply("pick", rows, wanted), places.shape, kept, axis)


def scatter(
    t: Tracer, x: Value, dim: int, places: Value, source: Operand, *, add: bool = False, reduce: str | None = None
) -> Value:
    (axis,) = axes_of(x, dim)
    others = [other for other in range(len(x.shape)) if other != axis]
    if reduce is not None or any(x.shape[other] != places.shape[other] for other in others):
        raise UnsupportedError("scatters in a way that is not known")
    if isinstance(source, Value):
        view = meta(source.shape)
        for other in range(len(x.shape)):
            view = view.narrow(other, 0, places.shape[other])
        source = t.view(t.cast(source, x.dtype), view)
    else:
        source = t.expand(t.number(source, x.dtype), places.shape)
    (rows, kept), (at, _), (new, _) = (as_rows(t, y, [axis]) for y in (x, places, source))
    return _back(t, t.apply("put", rows, at, new, attributes=[add]), x.shape, kept, axis)


def scatter_add(t: Tracer, x: Value, dim: int, places: Value, source: Value) -> Value:
    return scatter(t, x, dim, places, source, add=True)


def index_copy(t: Tracer, x: Value, dim: int, places: Value, source: Value, *, add: bool = False) -> Value:
    (axis,) = axes_of(x, dim)
    shape = [n if other == axis else 1 for other, n in enumerate(source.shape)]
    return scatter(t, x, dim, t.expand(t.reshape(places, shape), source.shape), source, add=add)


def index_add(t: Tracer, x: Value, dim: int, places: Value, source: Value, *, alpha: float = 1) -> Value:
    return index_copy(t, x, dim, places, source if alpha == 1 else t.binary("mul", source, alpha), add=True)


def _back(t: Tracer, rows: Value, shape: Sequence[int], kept: Sequence[int], axis: int) -> Value:
    """Rows of an axis as a tensor of a shape again."""
    order = [*kept, axis]
    moved = t.reshape(rows, [shape[other] for other in order])
    return t.permute(moved, [order.index(other) for other in range(len(order))])


def cat(t: Tracer, parts: Sequence[Value], dim: int = 0) -> Value:
    parts = [part for part in parts if part.shape != (0,)]
    (axis,) = axes_of(parts[0], dim)
    dtype = parts[0].dtype
    for part in parts:
        dtype = torch.promote_types(dtype, part.dtype)
    before, after = math.prod(parts[0].shape[:axis]), parts[0].shape[axis + 1 :]
    rows = [t.reshape(t.cast(part, dtype), (before, part.tensor.numel() // max(1, before))) for part in parts]
    length = sum(part.shape[axis] for part in parts)
    return t.reshape(t.apply("join", *rows), (*parts[0].shape[:axis], length, *after))


def stack(t: Tracer, parts: Sequence[Value], dim: int = 0) -> Value:
    axis = dim % (len(parts[0].shape) + 1)
    shape = [*parts[0].shape[:axis], 1, *parts[0].shape[axis:]]
    return cat(t, [t.reshape(part, shape) for part in parts], axis)


def constant_pad_nd(t: Tracer, x: Value, pad: Sequence[int], value: float = 0) -> Value:
    count = len(x.shape)
    sides = [(0, 0)] * (count - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    view = meta(x.shape)
    for axis, (low, high) in enumerate(sides):
        view = view.narrow(axis, max(0, -low), x.shape[axis] + min(0, low) + min(0, high))
    x = t.view(x, view)
    shape = [n + max(0, low) + max(0, high) for n, (low, high) in zip(x.shape, sides, strict=True)]
    inside = meta(shape)
    for axis, (low, _) in enumerate(sides):
        inside = inside.narrow(axis, max(0, low), x.shape[axis])
    whole = t.expand(t.number(value, x.dtype), shape)
    where = [list(inside.shape), list(inside.stride()), inside.storage_offset()]
    return t.reshape(t.apply("strided_write", whole, x, attributes=where), shape)


def repeat(t: Tracer, x: Value, times: Sequence[int]) -> Value:
    shape = [1] * (len(times) - len(x.shape)) + list(x.shape)
    view = meta([part for n in shape for part in (1, n)])
    view = view.expand([part for n, count in zip(shape, times, strict=True) for part in (count, n)])
    return t.reshape(t.view(x, view), [n * count for n, count in zip(shape, times, strict=True)])


def flip(t: Tracer, x: Value, dims: Sequence[int]) -> Value:
    stride, offset = list(meta(x.shape).stride()), 0
    for axis in axes_of(x, dims):
        offset += stride[axis] * (x.shape[axis] - 1)
        stride[axis] *= -1
    return t.strided(x, x.shape, stride, offset)


def roll(t: Tracer, x: Value, shifts: Sequence[int], dims: Sequence[int] = ()) -> Value:
    if not dims:
        return t.reshape(roll(t, t.reshape(x, (x.tensor.numel(),)), shifts, [0]), x.shape)
    for shift, axis in zip(shifts, dims, strict=True):
        axis %= len(x.shape)
        start = -shift % x.shape[axis]
        view = meta(x.shape)
        parts = [view.narrow(axis, start, x.shape[axis] - start), view.narrow(axis, 0, start)]
        x = cat(t, [t.view(x, part) for part in parts], axis)
    return x


def _triangle(lower: bool) -> Lowering:
    def triangle(t: Tracer, x: Value, diagonal: int = 0) -> Value:
        ones = torch.ones(x.shape[-2:], dtype=torch.bool)
        kept = ones.tril(diagonal) if lower else ones.triu(diagonal)
        return t.apply("where", Value(kept), x, t.number(0, x.dtype))

    return triangle


def searchsorted(
    t: Tracer,
    x: Value,
    queries: Value,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Value | None = None,
) -> Value:
    if len(x.shape) != 1 or sorter is not None:
        raise UnsupportedError("searches several sorted rows")
    found = t.apply("searchsorted", *t.together(x, queries), attributes=[right or side == "right"])
    return t.cast(found, torch.int32) if out_int32 else found


def bucketize(t: Tracer, queries: Value, x: Value, **given: Any) -> Value:
    return searchsorted(t, x, queries, **given)


def pack_padded_sequence(t: Tracer, x: Value, lengths: Value, batch_first: bool) -> tuple[Value | None, ...]:
    """Of one sequence, which has no padding: that is checked whenever the program runs."""
    axis = 0 if batch_first else 1
    length = x.shape[1 - axis]
    if x.shape[axis] != 1 or int(lengths.tensor[0]) != length:
        raise UnsupportedError("packs sequences of different lengths")
    if lengths.number is not None:
        t.guards.append((lengths, length))
    return t.reshape(x, (length, *x.shape[2:])), Value(torch.ones(length, dtype=torch.int64))


LOWERINGS: dict[str, Lowering] = {
    "_embedding_bag_forward_only": embedding_bag,
    "_embedding_bag": embedding_bag,
    "tril": _triangle(True),
    "triu": _triangle(False),
    "_pack_padded_sequence": pack_padded_sequence,
    "_index_put_impl": index_put,
    **{
        function.__name__: function
        for function in (
            *(embedding, index, index_put, index_select, gather, scatter, scatter_add, index_copy, index_add),
            *(cat, stack, constant_pad_nd, repeat, flip, roll, searchsorted, bucketize),
        )
    },
}
