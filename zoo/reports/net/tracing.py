"""Writing a program down while it is computed: values, and the operations that make them of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.reports.net.operations import TYPE_NAMES, compute

_SMALL = 1024  # numbers that a constant may have, whatever it is made of


class UnsupportedError(ZooError):
    """The net cannot run in a page; the text says what it does that a page cannot: `computes fft_rfft`."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the net, contiguous and real.

    Attributes:
        tensor: what it is for the input that is recorded; of a complex one, its real and imaginary parts (..., 2).
        number: where it is made in the program: 0 is the input; None for a constant.
    """

    tensor: Tensor
    number: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.tensor.dtype


@dataclass(frozen=True)
class Instruction:
    """An operation with what it is applied to, and what it makes."""

    operation: str
    inputs: Sequence[Value]
    attributes: Sequence[Any]
    result: Value


@dataclass
class Tracer:
    """The program so far. Its methods make values as torch makes tensors; what depends on constants only is one."""

    instructions: list[Instruction] = field(default_factory=list)
    guards: list[tuple[Value, float]] = field(default_factory=list)

    def apply(self, operation: str, *inputs: Value, attributes: Sequence[Any] = ()) -> Value:
        """Add an operation.

        Raises:
            UnsupportedError: the type of its result is one that programs do not have.
        """
        result = compute(operation, [value.tensor for value in inputs], attributes)
        check_type(result.dtype)
        known = max(_SMALL, sum(value.tensor.numel() for value in inputs))
        if all(value.number is None for value in inputs) and result.numel() <= known:
            return Value(result)
        made = Value(result, len(self.instructions) + 1)
        self.instructions.append(Instruction(operation, inputs, attributes, made))
        return made

    def number(self, value: float | bool, dtype: torch.dtype) -> Value:
        """A constant of shape ()."""
        return Value(torch.tensor(value, dtype=dtype))

    def cast(self, x: Value, dtype: torch.dtype) -> Value:
        """`x` as another type."""
        check_type(dtype)
        return x if x.dtype == dtype else self.apply("cast", x, attributes=[TYPE_NAMES[dtype]])

    def together(self, *operands: Value | float | bool, dtype: torch.dtype | None = None) -> list[Value]:
        """Operands in the type that torch computes with, or a given one."""
        if dtype is None:
            dtype = _result_type([x.tensor if isinstance(x, Value) else x for x in operands])
        return [self.cast(x, dtype) if isinstance(x, Value) else self.number(x, dtype) for x in operands]

    def binary(self, operation: str, a: Value | float, b: Value | float) -> Value:
        """An elementwise operation of two operands, broadcast as torch does."""
        return self.apply(operation, *self.together(a, b))

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The same elements in another shape, which is no operation: an instruction has the shapes of its inputs."""
        return x if x.shape == tuple(shape) else Value(x.tensor.reshape(tuple(shape)), x.number)

    def view(self, x: Value, of: Tensor) -> Value:
        """What `of` sees, which is a view of a contiguous tensor of the shape of `x`."""
        return self.strided(x, tuple(of.shape), of.stride(), int(of.storage_offset()))

    def strided(self, x: Value, size: Sequence[int], stride: Sequence[int], offset: int) -> Value:
        """A view of flat storage; one that sees all of it in order costs nothing."""
        if covers(x.tensor.numel(), size, stride, offset):
            return self.reshape(x, size)
        return self.apply("strided", x, attributes=[list(size), list(stride), offset])

    def permute(self, x: Value, order: Sequence[int]) -> Value:
        """The axes of `x` in another order."""
        return self.view(x, meta(x.shape).permute(tuple(order)))

    def expand(self, x: Value, shape: Sequence[int]) -> Value:
        """`x` broadcast to a shape."""
        return self.view(x, meta(x.shape).expand(tuple(shape)))


def meta(shape: Sequence[int]) -> Tensor:
    """A contiguous tensor without data, of which views can be made."""
    return torch.empty(tuple(shape), device="meta")


def covers(count: int, size: Sequence[int], stride: Sequence[int], offset: int) -> bool:
    """Whether a view sees all of a storage of `count` elements, in their order."""
    step, total = 1, 1
    for n, s in zip(reversed(size), reversed(stride), strict=True):
        if n != 1 and s != step:
            return False
        step, total = step * n, total * n
    return offset == 0 and total == count


def check_type(dtype: torch.dtype) -> None:
    """Raise UnsupportedError for a type that programs do not have."""
    if dtype not in TYPE_NAMES:
        raise UnsupportedError(f"computes with numbers of type {str(dtype).removeprefix('torch.')}")


def _result_type(operands: Sequence[Tensor | float]) -> torch.dtype:
    """The type of an elementwise operation: a tensor of axes weighs more than one without, and that than a number."""
    found, *others = [x for x in operands if isinstance(x, Tensor)]
    for other in others:
        axes = max(found.ndim, other.ndim)
        found = torch.empty((1,) * axes, dtype=torch.result_type(found, other))
    for number in operands:
        if not isinstance(number, Tensor):
            found = torch.empty((1,) * found.ndim, dtype=torch.result_type(found, number))
    return found.dtype
