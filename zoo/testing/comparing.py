"""Comparing what models, losses and runs give, to the last bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, NaN included; of two objects that cannot be compared, true."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        if one.layout != torch.strided or other.layout != torch.strided:
            return bool(torch.equal(one.to_dense(), other.to_dense()))
        return bool(torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num()))
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool | int | float | str | type(None)):
        return bool(one == other or (one != one and other != other))
    return True


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first name under which two mappings have something else; None where they are the same."""
    missing = [name for name in (*one, *other) if (name in one) != (name in other)]
    return next(iter(missing), None) or next((name for name in one if not same(one[name], other[name])), None)


def tensors_of(output: Any) -> list[Tensor]:
    """The tensors of what a model returns: a tensor, or a tuple, list or mapping of these."""
    if isinstance(output, Tensor):
        return [output]
    parts: Iterable[Any] = ()
    if isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, tuple | list):
        parts = output
    return [tensor for part in parts for tensor in tensors_of(part)]


def rows(part: Tensor, count: int) -> bool:
    """Whether a tensor has a row for each of so many examples."""
    return part.ndim > 0 and len(part) == count
