"""Records the operations of torch as a capture of a CUDA graph does, on tensors of the CPU, and does them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NOT_PERMITTED = "operation not permitted when stream is capturing"

# What waits for the device: it reads a value, or the size of its result depends on values.
_READS = {"_local_scalar_dense", "item", "equal", "is_nonzero", "nonzero", "masked_select", "_unique2", "unique_dim"}
_READS |= {"unique_consecutive", "bincount", "allclose", "is_pinned", "_pin_memory"}
# What waits before any operation is called, or copies from or to the CPU, in Python.
_CALLS = {"tolist", "numpy", "cpu", "item", "__array__", "__float__", "__int__", "__bool__", "__index__", "tensor"}
_CALLS |= {"as_tensor", "from_numpy", "pin_memory"}
# What gives memory and launches no kernel.
_ALLOCATES = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


_ERROR: type[RuntimeError] = getattr(torch, "AcceleratorError", RuntimeError)  # by the version of torch


def cuda_error(text: str) -> RuntimeError:
    """As torch raises it."""
    return _ERROR(f"CUDA error: {text}")


class Recording:
    """Operations in their order, with their very tensors.

    What is recorded is not done: memory that it has written to is put back at the end, and memory that it has allocated
    holds NaN, until the first replay.

    Attributes:
        nodes: the names of the operations that launch a kernel; views and allocations do not.
        invalid: an operation that cannot be captured was tried.
    """

    def __init__(self, is_captured: Callable[[], bool]) -> None:
        """Take a function that says whether an operation is captured now; otherwise it is simply done."""
        self.nodes: list[str] = []
        self.invalid = False
        self._is_captured = is_captured
        self._work: list[tuple[Any, Any, Any, dict[int, Tensor]]] = []  # the last: new tensors by place in the result
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._allocated: dict[int, torch.UntypedStorage] = {}
        self._modes: tuple[TorchFunctionMode, TorchDispatchMode] = (_Calls(self), _Operations(self))

    def begin(self) -> None:
        for mode in self._modes:
            mode.__enter__()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        for mode in self._modes[::-1]:
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        for storage, before in self._before.values():
            storage.copy_(before)
        for storage in self._allocated.values():
            storage.fill_(0xFF)  # type: ignore[attr-defined]  # NaN, or -1

    def replay(self) -> None:
        """Do the work in the same memory."""
        with torch.no_grad():
            for func, args, kwargs, fresh in self._work:
                made = _tensors(func(*args, **kwargs))
                for place, tensor in fresh.items():
                    tensor.copy_(made[place])

    def refuse(self, name: str) -> None:
        """An operation that waits for the device ends a capture."""
        if self._is_captured():
            self.invalid = True
            raise cuda_error(f"{NOT_PERMITTED} ({name})")

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Do an operation, and record it if it is captured."""
        name = func.overloadpacket.__name__
        if not self._is_captured():
            return func(*args, **kwargs)
        given = _tensors((args, kwargs))
        mask = name.startswith("index") and any(tensor.dtype in (torch.bool, torch.uint8) for tensor in given[1:])
        if name in _READS or mask:
            self.refuse(name)
        written = list(_written(func, args, kwargs))
        for tensor in written:
            self._keep(tensor.untyped_storage())
        result = func(*args, **kwargs)
        shared = {tensor.untyped_storage().data_ptr() for tensor in given}
        made = enumerate(_tensors(result))
        fresh = {place: tensor for place, tensor in made if tensor.untyped_storage().data_ptr() not in shared}
        for tensor in fresh.values():
            self._allocated[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        if (written or fresh) and name not in _ALLOCATES:
            self.nodes.append(name)
            self._work.append((func, args, kwargs, fresh))
        return result

    def _keep(self, storage: torch.UntypedStorage) -> None:
        """Remember what is in memory that was there before the capture."""
        place = storage.data_ptr()
        if place and place not in self._allocated and place not in self._before:
            self._before[place] = storage, storage.clone()  # type: ignore[no-untyped-call]


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors that an operation writes to, by its schema."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from _tensors(value)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recording: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recording = recording

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._recording.run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        to_cpu = name == "to" and "cpu" in (*args[1:2], kwargs.get("device"))
        if name in _CALLS or to_cpu:
            self._recording.refuse(name)
        return func(*args, **kwargs)
