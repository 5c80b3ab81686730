"""Recording what a net computes, as a program: every operation of torch is seen as it is called.

The code of the net runs once, for one input. What depends on the input becomes the program, and all else (weights,
masks, positions) is a constant of it. Views of tensors are not operations: a program has the storage of each tensor,
and reads it as the view does, so that a tensor changed in place is changed in all its views.

Where the code asks for a number that depends on the input, as an `if` does, the program has that number as a guard: for
an input with another one, it is not valid.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from zoo.reports.net.lowering import lower
from zoo.reports.net.program import Constants, Program, assemble
from zoo.reports.net.tracing import Tracer, UnsupportedError, Value, check_type, covers

_SHAPES = {  # they read the shape of a tensor, and not what is in it
    *("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"),
    *("new_empty_strided", "sym_size", "sym_stride", "sym_numel"),
}
_Layout: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], int]  # size, stride and offset of a view
_CLOSE = {"rtol": 1e-3, "atol": 1e-4}  # of an operation of a program to torch's


def record(model: nn.Module, x: Tensor, constants: Constants) -> Program:
    """What a net computes of inputs of the shape and type of `x`.

    Args:
        model: on the CPU, in evaluation mode.
        x: an input.
        constants: of this and other programs, to which those of this one are added.

    Raises:
        UnsupportedError: it computes what programs cannot, or returns no tensor.
        Exception: whatever the net raises.
    """
    x = x.clone(memory_format=torch.contiguous_format)
    recorder = _Recorder(x)
    with torch.no_grad(), _elementary(), _OneHot(), recorder:
        output = model(x)
    if not isinstance(output, Tensor):
        raise UnsupportedError("returns something else than one tensor")
    tracer = recorder.tracer
    return assemble(tracer.instructions, tracer.guards, recorder.read(output), x, constants)


@contextlib.contextmanager
def _elementary() -> Iterator[None]:
    """Within the block, torch computes recurrent layers and attention by its elementary operations."""
    fast, mkldnn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch._C._set_mkldnn_enabled(mkldnn)
        torch.backends.mha.set_fastpath_enabled(fast)


class _OneHot(TorchFunctionMode):
    """Within its block, one-hot codes come of a comparison: torch's function reads its input to check it."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is torch.nn.functional.one_hot:
            return _one_hot(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 0:
        raise UnsupportedError("finds out how many classes there are from its input")
    return (tensor[..., None] == torch.arange(num_classes)).long()


@dataclass
class _Storage:
    """The memory of tensors that depend on the input.

    Attributes:
        flat: what was in it, all of its elements in a row; None where the result of an operation is not recorded.
        tensor: one of them, which keeps it from being used for others.
        source: the operation.
        writes: what was written since, and through which view.
        views: what some views of `flat` see.
    """

    flat: Value | None
    tensor: Tensor
    source: str = ""
    writes: list[tuple[_Layout, Value]] = field(default_factory=list)
    views: dict[_Layout, Value] = field(default_factory=dict)

    def write(self, view: _Layout, value: Value) -> None:
        """Overwrite what a view sees."""
        assert self.flat is not None
        if covers(self.flat.tensor.numel(), *view):
            self.flat, self.writes, self.views = value, [], {}
        else:
            self.writes.append((view, value))

    def read(self, tracer: Tracer, view: _Layout) -> Value:
        """What a view sees. What was written elsewhere is left aside, so that gates cut from one tensor stay apart."""
        for written, value in reversed(self.writes):
            if written == view:
                return value
            if _overlap(written, view):
                self._settle(tracer)
                break
        if self.flat is None:
            raise UnsupportedError(f"uses all results of {self.source}")
        if view not in self.views:
            self.views[view] = tracer.strided(self.flat, *view)
        return self.views[view]

    def _settle(self, tracer: Tracer) -> None:
        """Make one value of what was there and what was written since."""
        flat = self.flat
        assert flat is not None
        for (size, stride, offset), value in self.writes:
            flat = tracer.apply("strided_write", flat, value, attributes=[list(size), list(stride), offset])
        self.flat, self.writes, self.views = flat, [], {}


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation within its block; see `record`."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracer = Tracer()
        check_type(x.dtype)
        self._storages = {_key(x): _Storage(Value(x.flatten(), 0), x)}
        self._constants: dict[object, tuple[Value, Tensor]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: that would import torch's compiler, which takes a second."""
        return False

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), operation._schema.name.removeprefix("aten::")
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if name in _SHAPES or not any(_key(x) in self._storages for x in given):
            out = operation(*args, **kwargs)
            if "empty" in name:  # no program depends on what was in the memory before
                tree_map(lambda x: x.zero_() if isinstance(x, Tensor) else x, out)
            return out
        if name == "_local_scalar_dense":
            value: float = operation(*args)
            self.tracer.guards.append((self.read(given[0]), value))
            return value
        written = _written(operation, args, kwargs)
        if written:
            return self._in_place(operation, name, written, args, kwargs)
        out = operation(*args, **kwargs)
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        if made and {*map(_key, made)} <= {*map(_key, given)}:
            return out  # views
        for x, value_of in zip(tree_leaves(out), self._lowered(name, args, kwargs), strict=True):
            if isinstance(x, Tensor):
                self._made(name, x, value_of)
        return out

    def _lowered(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Value | None]:
        has_complex = any(isinstance(x, Tensor) and x.is_complex() for x in tree_leaves((args, kwargs)))
        values = tree_map(lambda x: self.read(x) if isinstance(x, Tensor) else x, (list(args), dict(kwargs)))
        return lower(self.tracer, name + "_complex" * has_complex, *values)

    def _made(self, name: str, x: Tensor, value: Value | None) -> None:
        """Keep the result of an operation."""
        if value is None:
            self._storages[_key(x)] = _Storage(None, x, name)
            return
        _check(name, x, value)
        if value.number is None:
            return
        real = _real(x)
        count = _elements(real)
        if not covers(count, *_layout(real)):
            blank = Value(torch.zeros(count, dtype=real.dtype))
            size, stride, offset = _layout(real)
            value = self.tracer.apply("strided_write", blank, value, attributes=[list(size), list(stride), offset])
        self._storages[_key(x)] = _Storage(self.tracer.reshape(value, (count,)), x)

    def _in_place(
        self, operation: Any, name: str, written: Sequence[Tensor], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """An operation that changes tensors: its result is written into what is in their storage."""
        inputs = {key: value for key, value in kwargs.items() if not any(value is x for x in written)}
        values = self._lowered(name.removesuffix("_"), args, inputs)
        for x in written:
            self._adopt(x)
        out = operation(*args, **kwargs)
        for x, value in zip(written, values, strict=True):
            if value is None:
                raise UnsupportedError(f"computes {name}")
            value = self.tracer.cast(value, x.dtype)
            _check(name, x, value)
            self._storages[_key(x)].write(_layout(x), value)
        return out

    def _adopt(self, x: Tensor) -> None:
        """Follow the storage of a tensor that is about to be changed, which may have been a constant until now."""
        if x.is_complex():
            raise UnsupportedError("changes complex numbers in place")
        stored = self._storages.get(_key(x))
        if stored is None:
            check_type(x.dtype)
            self._storages[_key(x)] = _Storage(Value(torch.as_strided(x, (_elements(x),), (1,), 0).clone()), x)
        elif stored.flat is None:
            raise UnsupportedError(f"uses all results of {stored.source}")

    def read(self, x: Tensor) -> Value:
        """The value of a tensor, as a view of its storage; of a complex one, its real and imaginary parts."""
        if x.is_conj() or x.is_neg():
            raise UnsupportedError("computes conjugates of complex numbers")
        stored = self._storages.get(_key(x))
        if stored is None:
            return self._constant(x)
        x = _real(x)
        if stored.flat is not None and x.dtype != stored.flat.dtype:
            raise UnsupportedError("sees numbers of one type as those of another")
        return stored.read(self.tracer, _layout(x))

    def _constant(self, x: Tensor) -> Value:
        key = (_key(x), x._version, x.dtype, _layout(x))
        if key not in self._constants:
            real = _real(x).detach()
            check_type(real.dtype)
            kept = real.expand(real.shape)
            broadcast = [axis for axis, step in enumerate(real.stride()) if step == 0]
            for axis in broadcast:
                kept = kept.narrow(axis, 0, min(1, kept.shape[axis]))
            value = Value(kept.clone(memory_format=torch.contiguous_format))
            self._constants[key] = (self.tracer.expand(value, real.shape) if broadcast else value, x)
        return self._constants[key][0]


def _written(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an operation changes."""
    found = []
    for place, argument in enumerate(operation._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            found += [x for x in tree_leaves(value) if isinstance(x, Tensor)]
    return found


def _key(x: Tensor) -> int:
    key: int = x.untyped_storage()._cdata
    return key


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _elements(x: Tensor) -> int:
    """How many elements fit into the storage of a tensor."""
    return x.untyped_storage().nbytes() // x.element_size()


def _layout(x: Tensor) -> _Layout:
    return tuple(x.shape), x.stride(), int(x.storage_offset())


def _overlap(one: _Layout, other: _Layout) -> bool:
    """Whether two views may see the same elements."""
    (first, last), (start, end) = _reach(one), _reach(other)
    return first <= end and start <= last


def _reach(view: _Layout) -> tuple[int, int]:
    """The first and the last element that a view sees, whose strides torch never makes negative."""
    size, stride, offset = view
    return offset, offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))


def _check(name: str, x: Tensor, value: Value) -> None:
    """Raise UnsupportedError where a program would compute something else than torch."""
    real = _real(x)
    alike = real.shape == value.tensor.shape and real.dtype == value.dtype
    if not alike or not torch.allclose(real.double(), value.tensor.double(), **_CLOSE, equal_nan=True):
        raise UnsupportedError(f"computes {name} with arguments that are not known")
