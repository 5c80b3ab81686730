"""Matrix products, convolutions, pooling, and norms with running statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zoo.reports.net.lowering.pointwise import Lowering
from zoo.reports.net.lowering.rows import affine, normalizing
from zoo.reports.net.tracing import Tracer, UnsupportedError, Value


def mm(t: Tracer, a: Value, b: Value) -> Value:
    product = t.apply("matmul", t.reshape(a, (1, *a.shape)), t.reshape(b, (1, *b.shape)))
    return t.reshape(product, product.shape[1:])


def bmm(t: Tracer, a: Value, b: Value) -> Value:
    return t.apply("matmul", a, b)


def addmm(t: Tracer, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    return _sum(t, bias, mm(t, a, b), beta, alpha)


def baddbmm(t: Tracer, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    return _sum(t, bias, bmm(t, a, b), beta, alpha)


def _sum(t: Tracer, bias: Value, product: Value, beta: float, alpha: float) -> Value:
    product = product if alpha == 1 else t.binary("mul", product, alpha)
    if beta == 0:
        return product
    return t.binary("add", product, bias if beta == 1 else t.binary("mul", bias, beta))


def mv(t: Tracer, a: Value, b: Value) -> Value:
    return t.reshape(mm(t, a, t.reshape(b, (*b.shape, 1))), a.shape[:1])


def dot(t: Tracer, a: Value, b: Value) -> Value:
    return t.reshape(mm(t, t.reshape(a, (1, *a.shape)), t.reshape(b, (*b.shape, 1))), ())


def convolution(
    t: Tracer,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Value:
    axes = len(x.shape) - 2
    if transposed or axes not in (1, 2):
        raise UnsupportedError(f"computes a {'transposed ' * transposed}convolution of {axes} axes")
    if axes == 1:
        x, weight = (t.reshape(y, (*y.shape[:2], 1, y.shape[2])) for y in (x, weight))
        stride, padding, dilation = [1, *stride], [0, *padding], [1, *dilation]
    sizes = [list(stride), list(padding), list(dilation), groups]
    y = t.apply("convolution", x, weight, attributes=sizes)
    if bias is not None:
        y = t.binary("add", y, t.reshape(bias, (1, -1, 1, 1)))
    return t.reshape(y, (*y.shape[:2], y.shape[3])) if axes == 1 else y


def _pair(given: Sequence[int]) -> list[int]:
    return list(given) * (2 if len(given) == 1 else 1)


def _as_pictures(t: Tracer, x: Value) -> Value:
    return x if len(x.shape) == 4 else t.reshape(x, (1, *x.shape))


def max_pool(
    t: Tracer,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Value | None, ...]:
    kernel, padding, dilation = _pair(kernel), _pair(padding), _pair(dilation)
    stride = _pair(stride) or kernel
    sizes = [
        _windows(n, dilation[i] * (kernel[i] - 1) + 1, stride[i], padding[i], ceil_mode)
        for i, n in enumerate(x.shape[-2:])
    ]
    y = t.apply("max_pool", _as_pictures(t, x), attributes=[kernel, stride, padding, dilation, sizes])
    return t.reshape(y, (*x.shape[:-2], *sizes)), None


def _windows(n: int, reach: int, step: int, padding: int, ceil_mode: bool) -> int:
    count = (n + 2 * padding - reach + (step - 1 if ceil_mode else 0)) // step + 1
    return count - (ceil_mode and (count - 1) * step >= n + padding)


def avg_pool2d(
    t: Tracer,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    kernel, padding = _pair(kernel), _pair(padding)
    stride = _pair(stride) or kernel
    if ceil_mode:
        raise UnsupportedError("computes avg_pool2d with ceil_mode")
    starts, ends = [], []
    for axis, n in enumerate(x.shape[-2:]):
        count = _windows(n, kernel[axis], stride[axis], padding[axis], False)
        first = [i * stride[axis] - padding[axis] for i in range(count)]
        starts.append([max(0, place) for place in first])
        ends.append([min(n, place + kernel[axis]) for place in first])
    by = divisor_override or (math.prod(kernel) if count_include_pad else 0)
    return _window_mean(t, x, starts, ends, by)


def adaptive_avg_pool2d(t: Tracer, x: Value, sizes: Sequence[int]) -> Value:
    starts = [[i * n // size for i in range(size)] for n, size in zip(x.shape[-2:], sizes, strict=True)]
    ends = [[-(-(i + 1) * n // size) for i in range(size)] for n, size in zip(x.shape[-2:], sizes, strict=True)]
    return _window_mean(t, x, starts, ends, 0)


def _window_mean(t: Tracer, x: Value, starts: list[list[int]], ends: list[list[int]], by: int) -> Value:
    y = t.apply("window_mean", _as_pictures(t, x), attributes=[starts, ends, by])
    return t.reshape(y, (*x.shape[:-2], *y.shape[2:]))


def batch_norm(
    t: Tracer,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Value | None, ...]:
    """With running statistics: Ioffe, Szegedy, "Batch Normalization", ICML 2015."""
    if training or mean is None or variance is None:
        raise UnsupportedError("normalizes a batch by its own statistics")
    shape = (1, -1, *[1] * (len(x.shape) - 2))
    scale = t.binary("div", 1.0, t.apply("sqrt", t.binary("add", variance, eps)))
    scale = scale if weight is None else t.binary("mul", scale, weight)
    y = t.binary("mul", t.binary("sub", x, t.reshape(mean, shape)), t.reshape(scale, shape))
    return (y if bias is None else t.binary("add", y, t.reshape(bias, shape))), None, None


def batch_norm_no_training(
    t: Tracer,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value,
    variance: Value,
    momentum: float,
    eps: float,
) -> tuple[Value | None, ...]:
    return batch_norm(t, x, weight, bias, mean, variance, False, momentum, eps)


def group_norm(
    t: Tracer,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    n: int,
    channels: int,
    size: int,
    groups: int,
    eps: float,
) -> tuple[Value | None, ...]:
    """Wu, He, "Group Normalization", ECCV 2018."""
    rows = t.reshape(x, (n, groups, channels // groups * size))
    centered, scale, _ = normalizing(t, rows, [2], eps)
    y = t.reshape(t.apply("mul", centered, scale), x.shape)
    shape = (1, channels, *[1] * (len(x.shape) - 2))
    return affine(t, y, *(None if one is None else t.reshape(one, shape) for one in (weight, bias))), None, None


LOWERINGS: dict[str, Lowering] = {
    "convolution": convolution,
    "max_pool2d_with_indices": max_pool,
    "_adaptive_avg_pool2d": adaptive_avg_pool2d,
    "avg_pool2d": avg_pool2d,
    "native_batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm_no_training,
    "native_group_norm": group_norm,
    **{function.__name__: function for function in (mm, bmm, addmm, baddbmm, mv, dot)},
}
