"""The three forms in which a split of a `TensorDataset` may be given: tensors, memory-mapped arrays, or an object.

torch is imported only where tensors are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from zoo.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

SAMPLED = 1024  # examples of a split outside memory that its digest covers
_NUMBERS_AT_ONCE = 2**20  # that are checked for NaN


class Split(Protocol):
    """A split that need not fit into memory."""

    def __len__(self) -> int: ...
    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        """Inputs (n, ...) and targets (n, ...), or None, of the examples at `indices` (n,), a tensor of the CPU."""


class Pair(NamedTuple):
    """A split in memory: inputs of shape (N, ...), and targets; both are one tensor where there are no targets."""

    x: Tensor
    y: Tensor

    def __repr__(self) -> str:
        return f"<Pair x {tuple(self.x.shape)}, y {tuple(self.y.shape)}>"


class Mapped:
    """A split of which an array is memory-mapped: only the rows that are asked for are read."""

    def __init__(self, x: Any, y: Any) -> None:
        self._x, self._y = x, y

    def __repr__(self) -> str:
        return f"<Mapped x {self._x.shape}, y {None if self._y is None else self._y.shape}>"

    def __len__(self) -> int:
        return len(self._x)

    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        """The rows at `indices`, read in the order in which they lie on the disk."""
        import numpy as np

        rows, back = np.unique(indices.numpy(), return_inverse=True)
        return self._x[rows][back], None if self._y is None else self._y[rows][back]


class Sampled(NamedTuple):
    """Some examples of a split outside memory, evenly spaced: what is checked of it, and what its digest covers."""

    x: Tensor
    y: Tensor | None

    def __repr__(self) -> str:
        return f"<Sampled x {tuple(self.x.shape)}, y {None if self.y is None else tuple(self.y.shape)}>"


def read_split(name: SplitName, given: Any) -> Pair | Split:
    """A split as a person gives it.

    Raises:
        DataError: it has none of the forms, is empty, or its shapes, types or values do not fit.
    """
    if callable(getattr(given, "gather", None)) and hasattr(given, "__len__") and not hasattr(given, "dtype"):
        if not len(given):
            raise DataError(f"the {name} split is empty")
        split: Split = given
        return split
    x, y = (given, None) if _is_array(given) else _two(name, given)
    if is_mapped(x) or is_mapped(y):
        shapes = tuple(getattr(x, "shape", ())), tuple(getattr(y, "shape", shape_of_none(x)))
        _check_shapes(name, *shapes)
        return Mapped(x, y)
    pair = _tensor_pair(name, x, y)
    check_finite(name, "X", pair.x)
    if pair.y is not pair.x:
        check_targets(name, pair.y)
    return pair


def _is_array(given: Any) -> bool:
    """Whether it is one tensor or array, or what can be made one, as a data frame can."""
    return hasattr(given, "dtype") or hasattr(given, "__array__")


def shape_of_none(x: Any) -> tuple[int, ...]:
    """The shape that targets have where there are none: those of the inputs."""
    return tuple(getattr(x, "shape", ()))


def is_mapped(array: Any) -> bool:
    """Whether a NumPy array lies in a memory-mapped file."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array is not None


def sample(name: SplitName, split: Split) -> Sampled:
    """Some of its examples.

    Raises:
        DataError: what `gather` returns is no pair, or has other shapes or types than inputs and targets have.
    """
    import torch

    n = len(split)
    step = max(1, -(-n // SAMPLED))
    x, y = checked(name, split, torch.arange(0, n, step))
    check_finite(name, "X", x, sampled=step)
    if y is not None:
        check_targets(name, y, sampled=step)
    return Sampled(x, y)


def checked(name: str, split: Split, indices: Tensor) -> tuple[Tensor, Tensor | None]:
    """What a split gathers, as tensors of the CPU.

    Raises:
        DataError: it is no pair of inputs and targets of so many examples.
    """
    try:
        x, y = split.gather(indices)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} split: 'gather' does not return a pair (x, y): {error}") from error
    x, y = as_tensor(name, x), None if y is None else as_tensor(name, y, "Y")
    for what, tensor in (("inputs", x), ("targets", y)):
        if tensor is not None and (not tensor.ndim or len(tensor) != len(indices)):
            shape = tuple(tensor.shape)
            raise DataError(f"the {name} split: 'gather' gave {what} of shape {shape} for {len(indices):,} indices")
    return x, y


def add_to_digest(digest: Any, name: SplitName, split: Pair | Split, sampled: Sampled | None) -> None:
    """Add the shapes, types and values of a split to a digest; of one outside memory, some examples and its length."""
    import torch

    tensors: tuple[Tensor | None, ...] = tuple(split) if isinstance(split, Pair) else tuple(sampled or ())
    if isinstance(split, Pair) and split.x is split.y:
        tensors = (split.x,)
    for tensor in tensors:
        if tensor is None:
            continue
        shape = [len(split), *tensor.shape[1:]] if sampled is not None else list(tensor.shape)
        digest.update(json.dumps([name, str(tensor.dtype), shape]).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def as_tensor(name: str, part: Any, what: str = "X") -> Tensor:
    """A tensor of the CPU, without a gradient.

    Args:
        name: of the split.
        part: a tensor, an array, what can be made one (as a data frame can), or lists of these or of numbers.
        what: which part of the split it is, for messages.

    Raises:
        DataError: it cannot be one.
    """
    import torch

    try:
        tensor = _joined(part)
        tensor = torch.as_tensor(tensor if isinstance(tensor, torch.Tensor) else _as_torch_has_it(tensor))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} of the {name} split is no tensor: {error}") from error
    if tensor.dtype.is_complex:
        raise DataError(f"the {name} split has complex numbers: give real and imaginary parts as two features")
    if tensor.layout != torch.strided:
        raise DataError(f"{what} of the {name} split is sparse: give a dense tensor, as .to_dense() makes it")
    tensor = (tensor.clone() if tensor.is_inference() else tensor).detach().cpu()
    kind = str(tensor.dtype).removeprefix("torch.")
    return tensor.to(getattr(torch, _WIDER[kind])) if kind in _WIDER else tensor


def _joined(part: Any) -> Any:
    """One tensor or array of a list of them, and an array of what can be made one."""
    import numpy as np
    import torch

    first = part[0] if isinstance(part, list | tuple) and part else None
    if isinstance(first, torch.Tensor):
        return torch.stack(list(part))
    if isinstance(first, np.ndarray | np.generic | str) or (
        hasattr(part, "__array__") and not isinstance(part, torch.Tensor)
    ):
        return np.asarray(part) if not np.ma.isMaskedArray(part) else part
    return part


def _as_torch_has_it(array: Any) -> Any:
    """An array in the byte order, the strides and a type that torch takes; what is no array as it is."""
    import numpy as np

    if not isinstance(array, np.ndarray):
        return array
    if np.ma.is_masked(array):
        raise ValueError("it has masked numbers: fill them, or leave these examples out")
    if array.dtype.kind in "USO":
        values = "text" if array.dtype.kind in "US" else "Python objects"
        raise ValueError(
            f"it has {values}: give numbers (whole numbers from 0 for classes, with their names in classes=)"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.name in _WIDER:
        array = array.astype(_WIDER[array.dtype.name])
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = np.array(array, order="C")
    return np.asarray(array)


_WIDER = {"uint16": "int32", "uint32": "int64", "uint64": "int64"}  # torch can do little with these


def _two(name: SplitName, given: Any) -> tuple[Any, Any]:
    try:
        if isinstance(given, str | Mapping):  # whose two letters or keys are no arrays
            raise TypeError
        x, y = given
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the {name} split is not a pair (X, Y) of tensors, nor X alone, nor an object with len and "
            f"gather(indices), but {_described(given)}"
        ) from error
    return x, y


def _described(given: object) -> str:
    """What a person gave, in few words."""
    kind = type(given).__name__
    return f"a {kind} of {len(given)}" if isinstance(given, list | tuple) else "None" if given is None else f"a {kind}"


def _tensor_pair(name: SplitName, x: Any, y: Any) -> Pair:
    import torch

    x = as_tensor(name, x)
    y = x if y is None else as_tensor(name, y, "Y")
    _check_shapes(name, tuple(x.shape), tuple(y.shape))
    return Pair(x, y.long() if y.dtype == torch.bool else y)


def _check_shapes(name: SplitName, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    if len(x) < 2 or not y or x[0] != y[0] or x[0] == 0:
        raise DataError(f"the {name} split needs X of shape (N, ...) and Y of as many examples, N > 0, got {x} and {y}")


def check_targets(name: SplitName, y: Tensor, sampled: int = 1) -> None:
    """Refuse targets that nothing can be trained on: negative classes, all ignored, NaN."""
    if y.is_floating_point():
        check_finite(name, "Y", y, sampled=sampled)
        return
    if int(y.min()) < -1:
        raise DataError(f"the targets of the {name} split must be integers from 0 (or -1: ignored)")
    if int(y.max()) < 0:
        raise DataError(f"all targets of the {name} split are ignored (-1)")


def check_finite(name: SplitName, part: str, x: Tensor, sampled: int = 1) -> None:
    """Refuse NaN and infinity, which would come up as a loss that is NaN. One pass over x, in parts.

    Args:
        name: the split.
        part: `X` or `Y`.
        x: the numbers, shape (N, ...).
        sampled: the distance between two rows, where x has some of them.
    """
    if not x.is_floating_point():
        return
    each = x[0].numel()
    rows = max(1, _NUMBERS_AT_ONCE // each) if each else len(x)
    first, count = "", 0
    for start in range(0, len(x), rows):
        piece = x[start : start + rows]
        piece = piece.float() if piece.dtype.itemsize < 4 else piece  # of which a sum may overflow, or does not exist
        if piece.sum().isfinite():  # NaN and infinity stay in a sum, which takes a third of the time of looking at each
            continue
        wrong = ~piece.isfinite()
        count += int(wrong.reshape(len(piece), -1).any(dim=1).sum())
        if not first and count:
            row, *place = wrong.nonzero()[0].tolist()
            number = float(piece[row][tuple(place)])
            what = "NaN" if number != number else f"{'minus ' * (number < 0)}infinity"
            where = "" if not place else f", column {place[0]}" if len(place) == 1 else f", position {tuple(place)}"
            first = f"{what} in {part}, at row {(start + row) * sampled}{where} (counted from 0)"
    if count:
        more = f", and such numbers in {count - 1:,} more row{'s' * (count > 2)}" if count > 1 else ""
        raise DataError(f"the {name} split has {first}{more}: leave these rows out, or put numbers in")
