"""The operations of a recorded program, each as torch computes it: `assets/net-operations.js` has the same ones.

They are few, so that a page can have them all: whatever a net computes is lowered to these. Tensors are contiguous and
real; those that an operation computes with elementwise are of one type. Results get the shape and type that torch gives
them, which is recorded with the program.

Axes: R rows, N elements of a row, D elements of a row of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def _places(size: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """Where the elements of a strided tensor are in its flat storage, in their order."""
    places = torch.tensor([offset])
    for n, step in zip(size, stride, strict=True):
        places = (places[:, None] + torch.arange(n) * step).flatten()
    return places


def strided(flat: Tensor, size: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """What a view of storage sees. All of torch's views are this: transposed, sliced, expanded, unfolded."""
    if all(step >= 0 for step in stride):
        return flat.flatten().as_strided(tuple(size), tuple(stride), offset).clone()
    return flat.flatten()[_places(size, stride, offset)].view(tuple(size))


def strided_write(flat: Tensor, x: Tensor, size: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """Storage in which such a view is overwritten with `x`."""
    written = flat.flatten().clone()
    written.as_strided(tuple(size), tuple(stride), offset).copy_(x)
    return written


def join(*parts: Tensor) -> Tensor:
    """Rows (R, N of each) side by side."""
    return torch.cat(parts, 1)


def take(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table (R, D): (index.numel(), D). Negative ones are counted from the end."""
    return table[index.flatten()]


def pick(x: Tensor, index: Tensor) -> Tensor:
    """From each row (R, N) the elements at `index` (R, M): (R, M)."""
    return x.gather(1, torch.where(index < 0, index + x.shape[1], index))


def put(x: Tensor, index: Tensor, values: Tensor, add: bool) -> Tensor:
    """Each row (R, N) with `values` (R, M) written at `index` (R, M), or added."""
    index = torch.where(index < 0, index + x.shape[1], index)
    return x.scatter_add(1, index, values) if add else x.scatter(1, index, values)


def argsort(x: Tensor, descending: bool) -> Tensor:
    """The order of each row (R, N), ties as they are."""
    return x.sort(dim=1, descending=descending, stable=True).indices


def convolution(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Tensor:
    """Of pictures (B, C, H, W), without a bias."""
    return functional.conv2d(x, weight, None, tuple(stride), tuple(padding), tuple(dilation), groups)


def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """The largest elements of windows of pictures (B, C, H, W): (B, C, *size)."""
    for ceil in (False, True):
        y = functional.max_pool2d(x, tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), ceil)
        if list(y.shape[2:]) == list(size):
            break
    return y


def window_mean(x: Tensor, starts: Sequence[Sequence[int]], ends: Sequence[Sequence[int]], by: int) -> Tensor:
    """The sums of windows of pictures (B, C, H, W), divided by `by`, or by their sizes where that is 0.

    Args:
        starts, ends: of the windows' rows, and of their columns.
    """
    rows = [
        torch.stack(
            [
                x[:, :, top:bottom, left:right].sum((2, 3)) / (by or (bottom - top) * (right - left))
                for left, right in zip(starts[1], ends[1], strict=True)
            ],
            -1,
        )
        for top, bottom in zip(starts[0], ends[0], strict=True)
    ]
    return torch.stack(rows, -2)


def _cast(x: Tensor, dtype: str) -> Tensor:
    return x.to(TYPES[dtype])


TYPES = {
    "f4": torch.float32,
    "f8": torch.float64,
    "i8": torch.int64,
    "i4": torch.int32,
    "u1": torch.uint8,
    "b": torch.bool,
}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "not": torch.logical_not,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "floor_div": torch.floor_divide,
    "remainder": torch.remainder,
    "fmod": torch.fmod,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "atan2": torch.atan2,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "xor": torch.logical_xor,
}
ROWS: dict[str, Callable[[Tensor], Tensor]] = {  # of (R, N)
    "sum": lambda x: x.sum(1),
    "prod": lambda x: x.prod(1),
    "amax": lambda x: x.amax(1),
    "amin": lambda x: x.amin(1),
    "argmax": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(1),
    "cumsum": lambda x: x.cumsum(1),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
}
OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    **UNARY,
    **BINARY,
    **ROWS,
    "cast": _cast,
    "where": torch.where,
    "matmul": torch.bmm,
    "strided": strided,
    "strided_write": strided_write,
    "join": join,
    "take": take,
    "pick": pick,
    "put": put,
    "argsort": argsort,
    "searchsorted": lambda x, queries, right: torch.searchsorted(x, queries, right=right),
    "convolution": convolution,
    "max_pool": max_pool,
    "window_mean": window_mean,
}


def compute(name: str, inputs: Sequence[Tensor], attributes: Sequence[Any]) -> Tensor:
    """One operation, contiguous."""
    return OPERATIONS[name](*inputs, *attributes).contiguous()
