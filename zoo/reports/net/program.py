"""A program: what a net computes of inputs of one shape, for `assets/net-program.js`, and for torch to verify.

A number says what an instruction is applied to: 0 is the input, n the result of the n-th instruction, and -1 - k the
constant k. Several programs of a net share their constants.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.reports.net.operations import TYPE_NAMES, compute
from zoo.reports.net.tracing import Instruction, Value


class GuardError(Exception):
    """The program does not compute what the net would for this input."""


@dataclass
class Constants:
    """The constants of programs: equal ones are kept once.

    Attributes:
        tensors: each constant.
        data: the bytes of each, with their type; constants of other shapes may share them.
    """

    tensors: list[Tensor] = field(default_factory=list)
    data: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _numbers: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)

    def add(self, x: Tensor) -> int:
        """The number of a constant: -1 for the first one."""
        content = (TYPE_NAMES[x.dtype], x.contiguous().numpy().tobytes())
        key = (self.data.setdefault(content, len(self.data)), tuple(x.shape))
        if key not in self._numbers:
            self._numbers[key] = -1 - len(self.tensors)
            self.tensors.append(x)
        return self._numbers[key]

    @property
    def size(self) -> int:
        """How many characters they are in a page."""
        return sum(-(-len(content) // 3) * 4 for _, content in self.data)

    def as_json(self) -> dict[str, Any]:
        """Bytes in base64 with their types, and of each constant the number of its bytes and its shape."""
        return {
            "data": [[name, base64.b64encode(content).decode()] for name, content in self.data],
            "constants": [[number, list(shape)] for number, shape in self._numbers],
        }


@dataclass(frozen=True)
class Step:
    """An instruction.

    Attributes:
        operation: of `zoo.reports.net.operations.OPERATIONS`.
        inputs: the numbers of its inputs, and the shapes as which it sees them.
        attributes: its other arguments: numbers, and lists of them.
        dtype, shape: of its result.
    """

    operation: str
    inputs: Sequence[tuple[int, tuple[int, ...]]]
    attributes: Sequence[Any]
    dtype: str
    shape: Sequence[int]


@dataclass(frozen=True)
class Program:
    """What a net computes of inputs of one shape.

    Attributes:
        shape, dtype: of the input.
        steps: the instructions, in their order.
        guards: numbers of results, and what each must be for the program to be valid.
        output: the number of the output, and its shape.
        constants: that it shares with other programs.
    """

    shape: tuple[int, ...]
    dtype: str
    steps: Sequence[Step]
    guards: Sequence[tuple[int, float]]
    output: tuple[int, tuple[int, ...]]
    constants: Constants

    def run(self, x: Tensor) -> Tensor:
        """The output for an input, computed by torch.

        Raises:
            GuardError: the net might compute something else.
        """
        made = [x.contiguous()]

        def get(number: int, shape: tuple[int, ...]) -> Tensor:
            found = made[number] if number >= 0 else self.constants.tensors[-1 - number]
            return found.reshape(shape)

        for step in self.steps:
            made.append(compute(step.operation, [get(*one) for one in step.inputs], step.attributes))
        for number, wanted in self.guards:
            if float(get(number, ())) != wanted:
                raise GuardError
        return get(*self.output)

    def as_json(self) -> dict[str, Any]:
        """It without its constants. An input has its shape where that is another than that of the result it is."""
        shapes = [self.shape, *(step.shape for step in self.steps)]

        def place(number: int, shape: tuple[int, ...]) -> Any:
            known = shapes[number] if number >= 0 else self.constants.tensors[-1 - number].shape
            return number if shape == tuple(known) else [number, list(shape)]

        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "steps": [
                [s.operation, [place(*one) for one in s.inputs], list(s.attributes), s.dtype, list(s.shape)]
                for s in self.steps
            ],
            "guards": [list(guard) for guard in self.guards],
            "output": place(*self.output),
        }


def assemble(
    instructions: Sequence[Instruction],
    guards: Sequence[tuple[Value, float]],
    output: Value,
    x: Tensor,
    constants: Constants,
) -> Program:
    """The program of those instructions that the output and the guards need."""
    needed = {value.number for value, _ in guards} | {output.number}
    for instruction in reversed(instructions):
        if instruction.result.number in needed:
            needed |= {value.number for value in instruction.inputs}
    numbers: dict[int, int] = {0: 0}

    def place(value: Value) -> tuple[int, tuple[int, ...]]:
        return constants.add(value.tensor) if value.number is None else numbers[value.number], value.shape

    steps = []
    for instruction in instructions:
        result = instruction.result
        if result.number is None or result.number not in needed:
            continue
        inputs = [place(value) for value in instruction.inputs]
        kind = TYPE_NAMES[result.dtype]
        steps.append(Step(instruction.operation, inputs, instruction.attributes, kind, result.shape))
        numbers[result.number] = len(steps)
    checked = [(place(value)[0], float(wanted)) for value, wanted in guards if value.number is not None]
    kind = TYPE_NAMES[x.dtype]
    return Program(tuple(x.shape), kind, steps, checked, place(output), constants)


def is_close(found: Tensor, wanted: Tensor) -> bool:
    """Whether outputs are the same but for the order of sums in float32."""
    scale = max(1.0, float(wanted.abs().amax())) if wanted.numel() else 1.0
    return found.shape == wanted.shape and bool(
        torch.allclose(found, wanted, rtol=0, atol=2e-5 * scale, equal_nan=True)
    )
