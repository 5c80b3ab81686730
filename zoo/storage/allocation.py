"""A limit on the memory that a model may allocate while it is built from an untrusted config."""

from __future__ import annotations

import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import CheckpointError, ZooError
from zoo.plugin.calling import pass_on

_SIZED = {"aten::empty", "aten::zeros", "aten::ones", "aten::rand", "aten::randn"}  # arguments give the exact bytes


class AllocationLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch
    """A context in which an error is raised before all new tensors together take more than `limit_bytes`.

    A forged checkpoint may state any sizes of its model. The memory that an operation needs is found before it runs, by
    running it on torch's meta device, where tensors have no memory. Tensors count as long as they live.
    """

    stays_in_neutral_state = True  # see `zoo.ambient`

    def __init__(self, limit_bytes: int, error: str | ZooError, *, each: Callable[[], None] = lambda: None) -> None:
        """Limit what is allocated.

        Args:
            limit_bytes: for all new tensors together.
            error: what is raised; a CheckpointError of that message.
            each: is called before each operation, and may raise.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # torch
        self._limit = limit_bytes
        self._each = each
        self._error = CheckpointError(error) if isinstance(error, str) else error
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}  # by address; weak references keep it from being reused
        self._used = 0  # bytes

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Override torch's hook, because its wrapper imports torch's compiler, which takes a second."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        self._each()
        if not _may_grow(func):
            return func(*args, **kwargs)
        bound = _upper_bound_bytes(func, args, kwargs)
        if not (bound is not None and self._fits(bound)) and not self._fits(_needed_bytes(func, args, kwargs)):
            raise self._error
        inputs = {storage._cdata for storage in _storages((args, tuple(kwargs.values())))}
        result = func(*args, **kwargs)
        for storage in _storages(result):
            if storage._cdata in self._alive or storage._cdata not in inputs:  # allocated within the block
                self._count(storage)
        if not self._fits(0):
            raise self._error
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        reference, before = self._alive.get(storage._cdata) or (StorageWeakRef(storage), 0)  # type: ignore[no-untyped-call]  # torch
        self._alive[storage._cdata] = reference, storage.nbytes()
        self._used += storage.nbytes() - before

    def _fits(self, more: int) -> bool:
        if self._used + more > self._limit:
            self._forget_freed()
        return self._used + more <= self._limit

    def _forget_freed(self) -> None:
        """Forget storages that were freed, such as the intermediate results of `randn(n) * a * b`."""
        self._alive = {
            address: (reference, size)
            for address, (reference, size) in self._alive.items()
            if not reference.expired()  # type: ignore[no-untyped-call]  # torch
        }
        self._used = sum(size for _, size in self._alive.values())


@functools.cache
def _may_grow(func: Any) -> bool:
    """Whether an operation can allocate memory: views and in-place operations cannot, unless they resize."""
    schema = func._schema
    makes = any(returned.alias_info is None and "Tensor" in str(returned.type) for returned in schema.returns)
    return makes or "resize" in schema.name or any(argument.is_out for argument in schema.arguments)


def _upper_bound_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """An upper bound of the bytes that an operation allocates, if the sizes of its arguments give one.

    This is faster than the meta device, for which torch may import its compiler. The factor 2 is for results of a wider
    type: int64 or complex.
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
    """The bytes that an operation allocates for its results."""
    sized = func._schema.name in _SIZED and "out" not in kwargs
    if func.namespace == "aten" and not sized:  # operations of others may do anything, even on the meta device
        handled = sys.exc_info()[1]
        try:
            return _meta_bytes(func, args, kwargs)
        except Exception as error:  # of many kinds: it depends on values, sizes overflow, the meta device lacks it
            pass_on(error, handled)
            return _stated_bytes(func, args, kwargs)
    return _stated_bytes(func, args, kwargs)


def _meta_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The bytes that an operation allocates, found by running it on the meta device."""
    args, kwargs = _to_meta(args), {name: _to_meta(value) for name, value in kwargs.items()}
    for argument in func._schema.arguments:
        if argument.name == "device":
            kwargs["device"] = "meta"
        elif argument.name == "generator":
            kwargs["generator"] = None  # its state must not change
    before = {storage._cdata: storage.nbytes() for storage in _storages((args, tuple(kwargs.values())))}
    after = {storage._cdata: storage.nbytes() for storage in _storages(func(*args, **kwargs))}
    return sum(size - before.get(address, 0) for address, size in after.items())


def _to_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, list | tuple):
        return type(value)(map(_to_meta, value))
    return value


def _storages(value: Any) -> Iterator[torch.UntypedStorage]:
    """The storages of all tensors in arguments or results; sparse tensors have none."""
    return (tensor.untyped_storage() for tensor in _tensors(value) if tensor.layout == torch.strided)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _stated_bytes(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The bytes that an operation allocates by its arguments: the sizes, or the repetitions of `repeat` and `tile`.

    In other operations a large integer is a value (`masked_fill(mask, -10**9)`) or the size of a view.
    """
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    largest = max(map(_elements, args), default=0)
    if not tensors or "aten.new_" in str(func):
        return int(largest * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize)
    return largest * tensors[0].nbytes if "repeat" in str(func) or "tile" in str(func) else 0


def _elements(arg: object) -> int:
    """The number of elements of a size: a list of integers, as for `torch.randn`, or one integer, as for `arange`."""
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
