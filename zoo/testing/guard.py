"""A mode of torch in which code may neither wait for the device of its tensors nor mix them with tensors of the CPU.

The device is `meta`: its tensors have shapes and no values, so that any machine can try what a GPU would be asked.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")

_READ = (
    "reads values of a tensor, for which a GPU is waited for in every step: "
    "compute with tensors, without .item(), and without an 'if' or a mask of tensors"
)
_TO_CPU = "copies a tensor to the CPU, for which a GPU is waited for in every step: leave it on the device of x"
_FROM_CPU = (
    "copies a tensor from the CPU in every step, for which a GPU is waited for: "
    "register it as a buffer, or make it by a function like torch.full with device=x.device"
)
_MIXED = (
    "combines a tensor of the CPU with tensors of the device, which fails on a GPU or waits for it: "
    "register it as a buffer, or make it with device=x.device"
)

_READERS = {  # those that have no tag of torch; of some, the kernel reads a value everywhere but on `meta`
    *("aten::_linalg_check_errors", "aten::_linalg_svd", "aten::_linalg_eigh", "aten::linalg_eig"),
    *("aten::linalg_pinv", "aten::linalg_matrix_exp", "aten::histc", "aten::masked_scatter_backward"),
}
_SHOWERS = (Tensor.__repr__, Tensor.__format__)  # of values: they show none on `meta`
_PRODUCTS = (torch.prod, Tensor.prod, torch.cumprod, Tensor.cumprod)  # whose gradient counts zeros, not so on `meta`
_INDEXERS = (Tensor.__getitem__, Tensor.__setitem__)
_TAKE_SCALARS = {  # besides operators by element and by lists: they take a scalar tensor of the CPU as a number
    *("aten::fill_", "aten::masked_fill", "aten::masked_fill_", "aten::index_put", "aten::index_put_"),
    *("aten::_index_put_impl_", "aten::where"),
}
_MAKERS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)  # of Python's numbers

_TORCH = f"{Path(torch.__file__).parent}{os.sep}"
_CORE = f"{Path(__file__).parent.parent}{os.sep}"
_TESTING = f"{Path(__file__).parent}{os.sep}"
_PYTHON = f"{sysconfig.get_path('stdlib')}{os.sep}"


class Guard:
    """A block in which each tensor of the device `meta` stands for one of a GPU; what is wrong is raised and kept.

    Attributes:
        faults: what was wrong and where, the first first; a model may have suppressed the exception.
        of_author: for each fault, whether the code of a plugin does it, and not torch by itself.
    """

    def __init__(self, who: str, when: str, *, first: bool = False) -> None:
        """Name whose code it is, `model 'bigram'`, and when it runs, `in training`.

        In a `first` block copies from the CPU are allowed: some code keeps them for all later steps.
        """
        self.faults: list[str] = []
        self.of_author: list[bool] = []
        self.who, self.when, self._first = who, when, first
        self._modes: tuple[Any, ...] = (_Operators(self), _Makers(self))

    def __enter__(self) -> Guard:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(kind, error, at)

    def found(self, what: str, operator: str) -> None:
        """Raise AssertionError about an operator, unless that is allowed here."""
        if what == _FROM_CPU and self._first:
            return
        where = authors_line(_frames())
        self.of_author.append(where is not None)
        at = where or "in torch itself"
        self.faults.append(f"{self.who} {what} ({operator}, {at}, {self.when})")
        raise AssertionError(self.faults[-1])


def authors_line(lines: Iterable[tuple[str, int, str]]) -> str | None:
    """The innermost line that is neither torch's nor zoo's, as `zoo_stars/parts.py:33 in forward`; None without one.

    Args:
        lines: file, line and function of each call, the innermost first, as far as the checks themselves.
    """
    for file, line, function in lines:
        if file.startswith(_TESTING):
            return None
        of_python = file.startswith((_PYTHON, "<")) and "site-packages" not in file
        if not (file.startswith((_TORCH, _CORE)) or of_python):
            return f"{Path(file).parent.name}/{Path(file).name}:{line} in {function}"
    return None


def lines_of(error: BaseException) -> Iterator[tuple[str, int, str]]:
    """File, line and function of each call that led to an exception, the innermost first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename != __file__:
            yield frame.filename, frame.lineno or 0, frame.name


def _frames() -> Iterator[tuple[str, int, str]]:
    """File, line and function of each call from outside this file on, the innermost first."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename != __file__:
            yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at every operator before it runs."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._guard = guard

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in _pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        away, here = [t for t in tensors if t.device == META], [t for t in tensors if t.device != META]
        name = func._schema.name
        if name in ("aten::_to_copy", "aten::copy_"):
            target = (
                args[0].device if name == "aten::copy_" else torch.device(kwargs.get("device") or tensors[0].device)
            )
            source = tensors[-1]
            if (source.device == META) != (target == META):
                self._guard.found(_FROM_CPU if target == META else _TO_CPU, name)
        elif away and _reads(func, args, kwargs):
            self._guard.found(_READ, name)
        elif away and here:
            takes_scalars = torch.Tag.pointwise in func.tags or name in _TAKE_SCALARS or "::_foreach_" in name
            if not takes_scalars or any(t.ndim for t in here):
                self._guard.found(_MIXED, name)
            args, kwargs = _pytree.tree_map(_moved, (args, kwargs))
        return func(*args, **kwargs)


class _Makers(TorchFunctionMode):
    """Looks at functions for what no operator on `meta` shows.

    They are those that make a tensor of Python's numbers, whose copy to the device torch shows no mode, and those that
    read values on a GPU alone.
    """

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        first = args[0] if args else (kwargs or {}).get("input")
        if isinstance(first, Tensor) and first.device == META:
            if func in _SHOWERS:
                self._guard.found(_READ, f"Tensor.{func.__name__}")
            if func in _PRODUCTS and first.requires_grad and torch.is_grad_enabled():
                self._guard.found(_READ, f"the gradient of torch.{func.__name__}")
            if func in _INDEXERS and _has_list(args[1]):
                self._guard.found(_FROM_CPU, "a list as an index")
        made = func(*args, **(kwargs or {}))
        if func in _MAKERS and made.device == META:
            given = args[1:] if func is Tensor.new_tensor else args
            data = given[0] if given else (kwargs or {}).get("data")
            if not isinstance(data, Tensor):
                self._guard.found(_FROM_CPU, f"torch.{func.__name__}")
        return made


def _reads(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the CPU must know values of an operator's tensors before it can go on, as torch's tags say."""
    name = func._schema.name
    if name == "aten::normal":  # torch looks whether a tensor of standard deviations is negative
        return isinstance(args[1] if len(args) > 1 else kwargs.get("std"), Tensor)
    if name == "aten::index":  # by a mask, whose elements are counted first
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    if name == "aten::index_put_":  # by a mask; a single value is filled in without counting
        masked = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        return masked and args[2].numel() != 1
    if name == "aten::repeat_interleave" and kwargs.get("output_size") is not None:
        return False
    return name in _READERS or bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags))


def _has_list(index: Any) -> bool:
    """Whether an index holds a list of Python's numbers, of which torch makes a tensor on the CPU first."""
    parts = index if isinstance(index, tuple) else (index,)
    lists = [part for part in parts if isinstance(part, list | tuple | range)]
    return any(all(isinstance(leaf, int) for leaf in _pytree.tree_leaves(list(part))) for part in lists)


def _moved(leaf: Any) -> Any:
    """A scalar tensor of the CPU as the device's operators take it."""
    return torch.empty_like(leaf, device=META) if isinstance(leaf, Tensor) and leaf.device != META else leaf
