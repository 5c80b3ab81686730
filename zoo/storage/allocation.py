"""A limit on what a model may allocate while it is built from a config that nobody vouches for."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import CheckpointError

_SIZED = {"aten::empty", "aten::zeros", "aten::ones", "aten::rand", "aten::randn"}  # their sizes and type say it all


class AllocationLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch
    """Within the block, tensors that would take more than `limit_bytes` together raise CheckpointError instead.

    A checkpoint states its model's sizes, and a false one may state any. What an operation will make is found before it
    runs, by running it on tensors without memory (torch's meta device); what it made counts for as long as it lives.
    """

    def __init__(self, limit_bytes: int, message: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch
        self._limit = limit_bytes
        self._message = message
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}  # by address, which a weak reference keeps taken
        self._used = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch's own hook: the wrapper that it stands for imports all of torch's compiler, which takes a second."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if not _may_grow(func):
            return func(*args, **kwargs)
        most = _most_bytes(func, args, kwargs)
        if not (most is not None and self._fits(most)) and not self._fits(_needed_bytes(func, args, kwargs)):
            raise CheckpointError(self._message)
        given = {storage._cdata for storage in _storages((args, tuple(kwargs.values())))}
        result = func(*args, **kwargs)
        for storage in _storages(result):
            if storage._cdata in self._alive or storage._cdata not in given:  # else it was there before the block
                self._count(storage)
        if not self._fits(0):
            raise CheckpointError(self._message)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        reference, before = self._alive.get(storage._cdata) or (StorageWeakRef(storage), 0)  # type: ignore[no-untyped-call]  # torch
        self._alive[storage._cdata] = reference, storage.nbytes()
        self._used += storage.nbytes() - before

    def _fits(self, more: int) -> bool:
        if self._used + more > self._limit:
            self._forget_the_dead()
        return self._used + more <= self._limit

    def _forget_the_dead(self) -> None:
        """Looked for only when the limit seems reached: `randn(n) * a * b` leaves two on the way to the third."""
        self._alive = {
            address: (reference, size)
            for address, (reference, size) in self._alive.items()
            if not reference.expired()  # type: ignore[no-untyped-call]  # torch
        }
        self._used = sum(size for _, size in self._alive.values())


@functools.cache
def _may_grow(func: Any) -> bool:
    """Whether an operation can take memory: views do not, nor does what is done in place, unless it changes sizes."""
    schema = func._schema
    makes = any(returned.alias_info is None and "Tensor" in str(returned.type) for returned in schema.returns)
    return makes or "resize" in schema.name or any(argument.is_out for argument in schema.arguments)


def _most_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """The most that an operation can make, where sizes alone tell: to try it is slower, and torch may import its
    compiler for that. Twice as much as they say, for whole or complex numbers may come of it.
    """
    tensors = list(_tensors((args, tuple(kwargs.values()))))
    itemsize = max([torch.get_default_dtype().itemsize, *(tensor.dtype.itemsize for tensor in tensors)])
    if torch.Tag.pointwise in func.tags:
        shapes = (reversed(tensor.shape) for tensor in tensors)
        return 2 * itemsize * math.prod(max(sizes) for sizes in itertools.zip_longest(*shapes, fillvalue=1))
    if not tensors and any(argument.name == "size" for argument in func._schema.arguments):
        return 2 * _stated_bytes(func, args, kwargs)
    return None


def _needed_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How much more memory an operation will hold once it is done."""
    sized = func._schema.name in _SIZED and "out" not in kwargs
    if func.namespace == "aten" and not sized:  # others than aten's may do anything, also on tensors without memory
        try:
            return _tried_bytes(func, args, kwargs)
        except Exception:  # its result depends on values, or sizes overflow, or torch cannot try it: said in many ways
            return _stated_bytes(func, args, kwargs)
    return _stated_bytes(func, args, kwargs)


def _tried_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How much an operation makes when it is run on tensors that have sizes and no memory."""
    args, kwargs = _without_memory(args), {name: _without_memory(value) for name, value in kwargs.items()}
    for argument in func._schema.arguments:
        if argument.name == "device":
            kwargs["device"] = "meta"
        elif argument.name == "generator":
            kwargs["generator"] = None  # nothing is drawn, and its state stays
    before = {storage._cdata: storage.nbytes() for storage in _storages((args, tuple(kwargs.values())))}
    after = {storage._cdata: storage.nbytes() for storage in _storages(func(*args, **kwargs))}
    return sum(size - before.get(address, 0) for address, size in after.items())


def _without_memory(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, list | tuple):
        return type(value)(map(_without_memory, value))
    return value


def _storages(value: Any) -> Iterator[torch.UntypedStorage]:
    """The memory of all tensors in arguments or results; a sparse one has none of its own."""
    return (tensor.untyped_storage() for tensor in _tensors(value) if tensor.layout == torch.strided)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _stated_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many bytes an operation that cannot be tried says it will make: by its sizes, `repeat` by how often.

    In others a large number is a value (`masked_fill(mask, -10**9)`), or a view's size, and makes nothing.
    """
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    most = max(map(_elements, args), default=0)
    if not tensors or "aten.new_" in str(func):
        return int(most * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize)
    return most * tensors[0].nbytes if "repeat" in str(func) or "tile" in str(func) else 0


def _elements(arg: object) -> int:
    """How many elements a size asks for: a list of whole numbers, as `torch.randn` takes, or one, as `arange` does."""
    if isinstance(arg, bool):
        return 0
    if isinstance(arg, int):
        return abs(arg)
    if isinstance(arg, list | tuple) and arg and all(isinstance(size, int) for size in arg):
        product = 1
        for size in arg:
            product *= max(size, 1)
        return product
    return 0
