"""The dataset of anything that is not text: inputs and targets as tensors.

torch is imported only where tensors are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zoo.ambient import in_neutral_state
from zoo.data.examples import SplitName
from zoo.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_NUMBERS_AT_ONCE = 2**20  # that are checked for NaN


class TensorDataset:
    """Examples that are not text: inputs and targets of each split, as tensors (or arrays, or nested lists).

    Args:
        train, val, test: pairs (X, Y). X has shape (N, ...) and is the input of a model's `forward` for N examples. Y
            has shape (N,) or (N, T), with classes as integers from 0, or -1 for a target to ignore.

    Raises:
        DataError: a split is empty, its shapes or types do not fit together, or an input is NaN or infinite.
    """

    @in_neutral_state
    def __init__(self, train: tuple[Any, Any], val: tuple[Any, Any], test: tuple[Any, Any]) -> None:
        pairs: tuple[tuple[SplitName, tuple[Any, Any]], ...] = (("train", train), ("val", val), ("test", test))
        self.splits: dict[SplitName, tuple[Tensor, Tensor]] = {name: _tensor_pair(name, pair) for name, pair in pairs}
        shapes = {name: tuple(x.shape[1:]) for name, (x, _) in self.splits.items()}
        if len(set(shapes.values())) > 1:
            raise DataError(f"the splits have examples of different shapes: {shapes}")

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {tuple(x.shape)}" for name, (x, _) in self.splits.items())
        return f"<TensorDataset of {splits}; {self.num_classes:,} classes>"

    @cached_property
    def num_features(self) -> int:
        """The number of elements of one example."""
        return self.splits["train"][0][0].numel()

    @cached_property
    @in_neutral_state
    def num_classes(self) -> int:
        return 1 + max(int(y.max()) for _, y in self.splits.values())

    @cached_property
    @in_neutral_state
    def sha256(self) -> str:
        """Hex digest of the shapes, types and values of all splits."""
        import torch

        digest = hashlib.sha256()
        for name, pair in self.splits.items():
            for tensor in pair:
                digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def _tensor_pair(name: SplitName, pair: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    import torch

    try:
        x, y = (torch.as_tensor(part) for part in pair)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} split is not a pair (X, Y) of tensors: {error}") from error
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or len(x) == 0:
        raise DataError(
            f"the {name} split needs X of shape (N, ...) and Y of shape (N,) or (N, T), N > 0, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if y.dtype.is_floating_point or y.dtype.is_complex or y.dtype == torch.bool or int(y.min()) < -1:
        raise DataError(f"the targets of the {name} split must be integers from 0 (or -1: ignored)")
    if int(y.max()) < 0:
        raise DataError(f"all targets of the {name} split are ignored (-1)")
    x = _plain(x)
    _check_finite(name, x)
    return x, _plain(y)


def _check_finite(name: SplitName, x: Tensor) -> None:
    """Refuse inputs with NaN or infinity, which would come up as a loss that is NaN. One pass over x, in parts."""
    if not x.is_floating_point():
        return
    rows = max(1, _NUMBERS_AT_ONCE // x[0].numel()) if x[0].numel() else len(x)
    first, count = "", 0
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        part = part.float() if part.dtype.itemsize < 4 else part  # of which a sum may overflow, or does not exist
        if part.sum().isfinite():  # NaN and infinity stay in a sum, which takes a third of the time of looking at each
            continue
        wrong = ~part.isfinite()
        count += int(wrong.flatten(1).any(dim=1).sum())
        if not first and count:
            row, *place = wrong.nonzero()[0].tolist()
            number = float(part[row][tuple(place)])
            what = "NaN" if number != number else f"{'minus ' * (number < 0)}infinity"
            where = f"column {place[0]}" if len(place) == 1 else f"position {tuple(place)}"
            first = f"{what} in X, at row {start + row}, {where} (counted from 0)"
    if count:
        more = f", and such numbers in {count - 1:,} more row{'s' * (count > 2)}" if count > 1 else ""
        raise DataError(f"the {name} split has {first}{more}: leave these rows out, or put numbers in")


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU, without a gradient, and ordinary even if it was made in inference mode."""
    return (tensor.clone() if tensor.is_inference() else tensor).detach().cpu()
