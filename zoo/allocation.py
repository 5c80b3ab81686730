"""A limit on what a model may allocate while it is built from a config that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import CheckpointError


class AllocationLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch
    """Within the block, tensors of more than `limit_bytes` in all raise CheckpointError instead of being made.

    A checkpoint states its model's sizes, and a false one may state any. Sizes are looked at before an operation runs,
    and what it made is added up after.
    """

    def __init__(self, limit_bytes: int, message: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch
        self._left = limit_bytes
        self._message = message

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if _stated_bytes(func, args, kwargs or {}) > self._left:
            raise CheckpointError(self._message)
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not any(result is arg for arg in args):
            self._left -= result.untyped_storage().nbytes() if result._base is None else 0
        if self._left < 0:
            raise CheckpointError(self._message)
        return result


def _stated_bytes(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many bytes an operation says it will make: a factory by its sizes, `repeat` by how often.

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
