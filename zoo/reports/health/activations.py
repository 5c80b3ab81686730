"""The outputs of a net's activation functions: how many are saturated, and which units are dead.

Modules and functions are both seen, because torch's own functions are watched: `nn.Tanh()`, `torch.tanh(x)`, `x.tanh()`
and `F.relu(x)`.

Axes: N examples (of a model of sequences, all their positions), U units.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.plugin.calling import maker, plugin_errors
from zoo.reports.health.batches import Batches, training_without_dropout
from zoo.training.objective.cross_entropy import IGNORED

SATURATED = 0.97  # |tanh| above it, as in the lecture's part 3: its slope is below 0.06
BINS = 40
_MOST_KEPT = 1 << 18  # outputs of a layer for its histogram
_FLAT = 0.01  # |gelu| or |silu| of what is far below 0


@dataclass(frozen=True)
class Function:
    """An activation function.

    Attributes:
        name: as torch calls it.
        flat: which outputs are where it has next to no slope, so that next to no gradient passes; None: nowhere.
        flat_text: the same in words.
        low, high: the range of its outputs, where it has one.
    """

    name: str
    flat: Callable[[Tensor], Tensor] | None = None
    flat_text: str = ""
    low: float | None = None
    high: float | None = None


def _near_one(y: Tensor) -> Tensor:
    return y.abs() > SATURATED


def _functions() -> dict[str, Function]:
    tanh = f"|{{}}| > {SATURATED}"
    low = (1 - SATURATED) / 2
    found = [Function(name, _near_one, tanh.format("tanh"), -1, 1) for name in ("tanh", "rnn_tanh")]
    found += [Function(name, _near_one, tanh.format("state"), -1, 1) for name in ("lstm", "gru")]
    found += [Function("sigmoid", lambda y: (2 * y - 1).abs() > SATURATED, f"within {low:.3f} of 0 or 1", 0, 1)]
    found += [Function(name, lambda y: y == 0, "0") for name in ("relu", "rnn_relu")]
    below = f"within {_FLAT} below 0"
    found += [Function(name, lambda y: (y <= 0) & (y > -_FLAT), below) for name in ("gelu", "silu")]
    others = ("relu6", "leaky_relu", "elu", "selu", "celu", "softplus", "mish", "hardtanh", "hardswish", "softsign")
    return {function.name: function for function in (*found, *map(Function, others))}


FUNCTIONS = _functions()


@dataclass(frozen=True)
class Layer:
    """The outputs of one activation function at one place of a net, over all examples.

    Attributes:
        place: the module in which it is called: `forward` for the net itself; where that is not enough, what was
            called before it.
        function: which one.
        units: U.
        examples: N.
        flat: the share of all outputs where the function has next to no slope; None where that is not known of it.
        unit_flat: the same for each unit, shape (U,), float64.
        mean, std: of all outputs.
        counts: of a histogram of `BINS` bins.
        edges: the lowest and the highest end of its bins.
    """

    place: str
    function: Function
    units: int
    examples: int
    flat: float | None
    unit_flat: Tensor | None
    mean: float
    std: float
    counts: list[int]
    edges: tuple[float, float]

    @property
    def dead(self) -> int | None:
        """How many units have next to no slope for every example, so that they do not learn."""
        return None if self.unit_flat is None else int((self.unit_flat == 1).sum())

    def mostly_flat(self, share: float) -> int:
        """How many units have next to no slope for more than that share of the examples."""
        return 0 if self.unit_flat is None else int((self.unit_flat > share).sum())


@torch.no_grad()
def activations(model: nn.Module, batches: Batches) -> list[Layer]:
    """The outputs of a model's activation functions for the examples of some batches, in the order of the calls.

    Nothing is dropped; batch normalization uses the statistics of each batch.

    Args:
        model: the caller's own copy, which it changes: its mode and its buffers.
        batches: inputs (B, ...) and targets.

    Raises:
        PluginError: the model fails.
    """
    recorder = _Recorder()
    with plugin_errors(maker(model), "fails on its data"), _watching(model, recorder), training_without_dropout(model):
        for x, y in batches:
            recorder.targets = y
            with recorder:
                model(x.clone())
    return recorder.layers()


@dataclass
class _Collected:
    """Sums over the outputs at one place."""

    function: Function
    path: str
    after: str
    count: int = 0
    flat: Tensor | int = 0
    total: float = 0.0
    squares: float = 0.0
    kept: list[Tensor] = field(default_factory=list)

    def add(self, outputs: Tensor) -> None:
        """Outputs (N, U)."""
        exact = outputs.double()
        self.count += len(outputs)
        self.total += float(exact.sum())
        self.squares += float(exact.square().sum())
        if self.function.flat is not None:
            self.flat = self.flat + self.function.flat(outputs).sum(0)
        left = _MOST_KEPT - sum(map(len, self.kept))
        values = outputs.flatten()
        self.kept.append(values[:: max(1, -(-len(values) // max(1, left)))].clone() if left > 0 else values[:0])

    def layer(self, place: str, units: int) -> Layer:
        n = self.count * units
        mean = self.total / n
        variance = max(0.0, self.squares / n - mean**2) * n / max(1, n - 1)
        unit_flat = self.flat.double() / self.count if isinstance(self.flat, Tensor) else None
        values = torch.cat(self.kept).float()
        low, high = self.function.low, self.function.high
        edges = (float(values.min()), float(values.max())) if low is None or high is None else (low, high)
        edges = edges if edges[0] < edges[1] else (edges[0] - 0.5, edges[0] + 0.5)
        counts = torch.histc(values, BINS, *edges).long().tolist()
        flat = None if unit_flat is None else float(unit_flat.mean())
        return Layer(place, self.function, units, self.count, flat, unit_flat, mean, variance**0.5, counts, edges)


class _Recorder(TorchFunctionMode):
    """Watches torch's functions. A place is a line of code of a module, and what that module called before it."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: Tensor | None = None
        self.path = [""]  # of the modules that are running
        self.before = [""]  # what each of them called last
        self._collected: dict[tuple[object, ...], _Collected] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        function = FUNCTIONS.get(getattr(func, "__name__", "").rstrip("_"))
        output = result[0] if isinstance(result, tuple) and result else result
        if function is not None and isinstance(output, Tensor) and output.ndim >= 2 and output.is_floating_point():
            self._record(function, output.detach())
        return result

    def layers(self) -> list[Layer]:
        """What was recorded, with a place for each that no other one has, where there is one."""
        found = list(self._collected.items())
        names = [one.path or "forward" for _, one in found]
        alike = [(name, one.function) for name, (_, one) in zip(names, found, strict=True)]
        places = [
            f"{name}, after {one.after}" if alike.count((name, one.function)) > 1 and one.after else name
            for name, (_, one) in zip(names, found, strict=True)
        ]
        return [one.layer(place, int(key[-1])) for place, (key, one) in zip(places, found, strict=True)]  # type: ignore[call-overload]

    def _record(self, function: Function, output: Tensor) -> None:
        outputs = self._by_unit(output)
        if not outputs.numel():
            return
        key = (self.path[-1], self.before[-1], function.name, _place_of_call(), outputs.shape[1])
        if key not in self._collected:
            self._collected[key] = _Collected(function, self.path[-1], self.before[-1])
        self._collected[key].add(outputs)

    def _by_unit(self, output: Tensor) -> Tensor:
        """Outputs (N, U): units are on the last axis, of pictures on the second one; without padding."""
        if output.ndim > 3:
            return output.movedim(1, -1).flatten(0, -2)
        y = self.targets
        if y is not None and output.ndim == 3 and y.shape == output.shape[:2] and not y.is_floating_point():
            return output[y != IGNORED]
        return output.flatten(0, -2)


@contextmanager
def _watching(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Tell a recorder which of the modules is running."""
    hooks = []

    def enter(name: str) -> Callable[..., None]:
        def entered(*_: object) -> None:
            recorder.path.append(name)
            recorder.before.append("")

        return entered

    def leave(name: str) -> Callable[..., None]:
        def left(*_: object) -> None:
            recorder.path.pop()
            recorder.before.pop()
            recorder.before[-1] = name

        return left

    for name, module in model.named_modules():
        if name:
            hooks += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave(name))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


_OF_TORCH = str(Path(torch.__file__).parent)


def _place_of_call() -> tuple[str, int, int]:
    """The file, line and instruction that called a function of torch, outside of torch and of this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename == __file__ or frame.f_code.co_filename.startswith(_OF_TORCH)
    ):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, frame.f_lasti
