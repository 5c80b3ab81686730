"""Operations on each element. A function `NAME` lowers the operation of ATen of that name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch

from zoo.reports.net.operations import UNARY
from zoo.reports.net.tracing import Tracer, UnsupportedError, Value

Operand: TypeAlias = "Value | float"

_WHOLE = {"neg", "abs", "sign", "floor", "ceil", "round", "trunc"}  # of whole numbers too
_COMPARED = ("eq", "ne", "lt", "le", "gt", "ge")
_LEFT_OUT = {"layout", "device", "pin_memory", "memory_format", "non_blocking"}


def floating(t: Tracer, x: Value) -> Value:
    """`x` in floating point."""
    return x if x.dtype.is_floating_point else t.cast(x, torch.float32)


def _unary(name: str, t: Tracer, x: Value) -> Value:
    if name in _WHOLE and not x.dtype.is_floating_point:
        if name in ("neg", "abs", "sign"):
            return t.apply(name, x)
        return x
    return t.apply(name, floating(t, x))


def _binary(name: str, t: Tracer, a: Operand, b: Operand) -> Value:
    return t.binary(name, a, b)


def _logical(name: str, t: Tracer, a: Value, b: Value) -> Value:
    return t.apply(name, _truth(t, a), _truth(t, b))


def _bitwise(name: str, t: Tracer, a: Value, b: Operand) -> Value:
    both = t.together(a, b)
    if both[0].dtype != torch.bool:
        raise UnsupportedError(f"computes bitwise {name} of whole numbers")
    return t.apply(name, *both)


def _truth(t: Tracer, x: Value) -> Value:
    return x if x.dtype == torch.bool else t.binary("ne", x, 0)


def add(t: Tracer, a: Operand, b: Operand, *, alpha: float = 1) -> Value:
    return t.binary("add", a, _times(t, b, alpha))


def sub(t: Tracer, a: Operand, b: Operand, *, alpha: float = 1) -> Value:
    return t.binary("sub", a, _times(t, b, alpha))


def _times(t: Tracer, x: Operand, factor: float) -> Operand:
    if not isinstance(x, Value):
        return x * factor
    return x if factor == 1 else t.binary("mul", x, factor)


def rsub(t: Tracer, a: Operand, b: Operand, alpha: float = 1) -> Value:
    return sub(t, b, a, alpha=alpha)


def mul_complex(t: Tracer, a: Value, b: Value) -> Value:
    """Of real and imaginary parts (..., 2)."""
    (ar, ai), (br, bi) = (_parts(t, x) for x in (a, b))
    real = t.binary("sub", t.binary("mul", ar, br), t.binary("mul", ai, bi))
    imaginary = t.binary("add", t.binary("mul", ar, bi), t.binary("mul", ai, br))
    count = real.tensor.numel()
    pairs = t.apply("join", *(t.reshape(x, (count, 1)) for x in (real, imaginary)))
    return t.reshape(pairs, (*real.shape, 2))


def _parts(t: Tracer, x: Value) -> list[Value]:
    from zoo.reports.net.tracing import meta

    return [t.view(x, meta(x.shape)[..., part]) for part in range(2)]


def div(t: Tracer, a: Operand, b: Operand, *, rounding_mode: str | None = None) -> Value:
    a, b = t.together(a, b)
    if rounding_mode == "floor":
        return t.apply("floor_div", a, b)
    quotient = t.apply("div", floating(t, a), floating(t, b))
    return quotient if rounding_mode is None else t.cast(t.apply("trunc", quotient), a.dtype)


def clamp(t: Tracer, x: Value, low: Operand | None = None, high: Operand | None = None) -> Value:
    if low is not None:
        x = t.binary("maximum", x, low)
    return x if high is None else t.binary("minimum", x, high)


def clamp_max(t: Tracer, x: Value, high: Operand) -> Value:
    return clamp(t, x, None, high)


def where(t: Tracer, condition: Value, a: Operand, b: Operand) -> Value:
    return t.apply("where", _truth(t, condition), *t.together(a, b))


def masked_fill(t: Tracer, x: Value, mask: Value, value: Operand) -> Value:
    filler = t.cast(value, x.dtype) if isinstance(value, Value) else t.number(value, x.dtype)
    return t.apply("where", mask, filler, x)


def logical_not(t: Tracer, x: Value) -> Value:
    return t.apply("not", _truth(t, x))


def bitwise_not(t: Tracer, x: Value) -> Value:
    if x.dtype != torch.bool:
        raise UnsupportedError("computes bitwise not of whole numbers")
    return t.apply("not", x)


def isnan(t: Tracer, x: Value) -> Value:
    return t.apply("ne", x, x)


def isinf(t: Tracer, x: Value) -> Value:
    return t.binary("eq", t.apply("abs", floating(t, x)), math.inf)


def rsqrt(t: Tracer, x: Value) -> Value:
    return reciprocal(t, t.apply("sqrt", floating(t, x)))


def reciprocal(t: Tracer, x: Value) -> Value:
    return t.binary("div", 1.0, floating(t, x))


def tan(t: Tracer, x: Value) -> Value:
    x = floating(t, x)
    return t.apply("div", t.apply("sin", x), t.apply("cos", x))


def log2(t: Tracer, x: Value) -> Value:
    return t.binary("mul", t.apply("log", floating(t, x)), 1 / math.log(2))


def log10(t: Tracer, x: Value) -> Value:
    return t.binary("mul", t.apply("log", floating(t, x)), 1 / math.log(10))


def exp2(t: Tracer, x: Value) -> Value:
    return t.apply("exp", t.binary("mul", floating(t, x), math.log(2)))


def erfc(t: Tracer, x: Value) -> Value:
    return t.binary("sub", 1.0, t.apply("erf", floating(t, x)))


def relu(t: Tracer, x: Value) -> Value:
    return t.binary("maximum", x, 0)


def silu(t: Tracer, x: Value) -> Value:
    return t.apply("mul", x, t.apply("sigmoid", x))


def gelu(t: Tracer, x: Value, *, approximate: str = "none") -> Value:
    """Hendrycks, Gimpel, "Gaussian Error Linear Units", 2016; the approximation is theirs."""
    if approximate == "none":
        inner = t.apply("erf", t.binary("mul", x, math.sqrt(0.5)))
    else:
        cube = t.apply("mul", t.apply("mul", x, x), x)
        inner = t.binary("mul", t.binary("add", x, t.binary("mul", cube, 0.044715)), math.sqrt(2 / math.pi))
        inner = t.apply("tanh", inner)
    return t.apply("mul", t.binary("mul", x, 0.5), t.binary("add", inner, 1.0))


def softplus(t: Tracer, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    scaled = t.binary("mul", x, beta)
    soft = t.binary("div", t.apply("log1p", t.apply("exp", t.binary("minimum", scaled, threshold))), beta)
    return where(t, t.binary("gt", scaled, threshold), x, soft)


def mish(t: Tracer, x: Value) -> Value:
    return t.apply("mul", x, t.apply("tanh", softplus(t, x)))


def elu(t: Tracer, x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    low = t.apply("expm1", t.binary("minimum", t.binary("mul", x, input_scale), 0.0))
    return t.binary("mul", where(t, t.binary("gt", x, 0), x, t.binary("mul", low, alpha)), scale)


def celu(t: Tracer, x: Value, alpha: float = 1) -> Value:
    return elu(t, x, alpha, 1, 1 / alpha)


def leaky_relu(t: Tracer, x: Value, slope: float = 0.01) -> Value:
    return where(t, t.binary("gt", x, 0), x, t.binary("mul", x, slope))


def prelu(t: Tracer, x: Value, weight: Value) -> Value:
    if weight.tensor.numel() > 1 and len(x.shape) > 1:
        weight = t.reshape(weight, (1, -1, *[1] * (len(x.shape) - 2)))
    return where(t, t.binary("gt", x, 0), x, t.binary("mul", x, weight))


def hardtanh(t: Tracer, x: Value, low: float = -1, high: float = 1) -> Value:
    return clamp(t, x, low, high)


def hardsigmoid(t: Tracer, x: Value) -> Value:
    return t.binary("div", clamp(t, t.binary("add", x, 3.0), 0.0, 6.0), 6.0)


def hardswish(t: Tracer, x: Value) -> Value:
    return t.apply("mul", x, hardsigmoid(t, x))


def log_sigmoid_forward(t: Tracer, x: Value) -> tuple[Value | None, ...]:
    return t.apply("neg", softplus(t, t.apply("neg", x), threshold=40)), None


def addcmul(t: Tracer, x: Value, a: Value, b: Value, *, value: float = 1) -> Value:
    return add(t, x, t.binary("mul", a, b), alpha=value)


def addcdiv(t: Tracer, x: Value, a: Value, b: Value, *, value: float = 1) -> Value:
    return add(t, x, t.binary("div", a, b), alpha=value)


def lerp(t: Tracer, a: Value, b: Value, weight: Operand) -> Value:
    return t.binary("add", a, t.binary("mul", t.binary("sub", b, a), weight))


def clone(_: Tracer, x: Value, **given: Any) -> Value:
    return x


def _to_copy(t: Tracer, x: Value, *, dtype: torch.dtype | None = None, **given: Any) -> Value:
    if given.keys() - _LEFT_OUT:
        raise UnsupportedError("copies to another layout")
    return x if dtype is None else t.cast(x, dtype)


def copy(t: Tracer, x: Value, source: Value, non_blocking: bool = False) -> Value:
    return t.expand(t.cast(source, x.dtype), x.shape)


def fill(t: Tracer, x: Value, value: Operand) -> Value:
    filler = t.cast(value, x.dtype) if isinstance(value, Value) else t.number(value, x.dtype)
    return t.expand(t.reshape(filler, ()), x.shape)


def zero(t: Tracer, x: Value) -> Value:
    return fill(t, x, 0)


Lowering: TypeAlias = "Callable[..., Value | tuple[Value | None, ...] | list[Value]]"

LOWERINGS: dict[str, Lowering] = {
    **{name: partial(_unary, name) for name in UNARY if name != "not"},
    **{
        name: partial(_binary, name) for name in (*_COMPARED, "pow", "remainder", "fmod", "maximum", "minimum", "atan2")
    },
    **{name: partial(_logical, name.partition("_")[2]) for name in ("logical_and", "logical_or", "logical_xor")},
    **{name: partial(_bitwise, name.partition("_")[2]) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    "mul": partial(_binary, "mul"),
    "floor_divide": partial(_binary, "floor_div"),
    "sgn": partial(_unary, "sign"),
    "clamp_min": clamp,
    "contiguous": clone,
    **{
        function.__name__: function
        for function in (
            *(add, sub, rsub, mul_complex, div, clamp, clamp_max, where, masked_fill, lerp, addcmul, addcdiv),
            *(logical_not, bitwise_not, isnan, isinf, rsqrt, reciprocal, tan, log2, log10, exp2, erfc),
            *(relu, silu, gelu, softplus, mish, elu, celu, leaky_relu, hardtanh, hardsigmoid, hardswish),
            *(log_sigmoid_forward, clone, _to_copy, copy, fill, zero),
        )
    },
    "_prelu_kernel": prelu,
}
