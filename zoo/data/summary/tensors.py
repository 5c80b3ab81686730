"""What is in a dataset of tensors: the numbers of `zoo data`.

Axes: N examples, F numbers of an example, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.ambient import in_neutral_state
from zoo.data.tensors import TensorDataset

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 20  # whose ranges are listed one by one
CLASSES = 10_000  # with more, they are not listed one by one
_NUMBERS_AT_ONCE = 1 << 20


@in_neutral_state
def summary(dataset: TensorDataset) -> dict[str, Any]:
    """All that `zoo data --json` says of tensors."""
    splits = dataset.splits
    train = splits["train"][0]
    columns = _columns(train)
    constant = [column["column"] for column in columns if column["min"] == column["max"]]
    sizes = {name: len(x) for name, (x, _) in splits.items()}
    return {
        "examples": {"total": sum(sizes.values()), **sizes},
        "inputs": {**_kind(train), **{name: _range(x) for name, (x, _) in splits.items()}},
        "targets": _kind(splits["train"][1]),
        "num_classes": dataset.num_classes,
        "classes": _classes(dataset) if dataset.num_classes <= CLASSES else [],
        "columns": columns if len(columns) <= COLUMNS else [],
        "constant_columns": constant,
    }


def _kind(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape[1:]), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _parts(tensor: Tensor) -> Any:
    """Rows of a tensor as (n, F) in float64, a bounded number at once."""
    import torch

    width = max(1, tensor[0].numel())
    for start in range(0, len(tensor), max(1, _NUMBERS_AT_ONCE // width)):
        part = tensor[start : start + max(1, _NUMBERS_AT_ONCE // width)]
        yield part.reshape(len(part), -1).to(torch.float64)


def _range(tensor: Tensor) -> dict[str, float]:
    if not tensor[0].numel():
        return {}
    low, high, total, count = float("inf"), float("-inf"), 0.0, 0
    for part in _parts(tensor):
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        total, count = total + float(part.sum()), count + part.numel()
    return {"min": low, "mean": total / count, "max": high}


def _columns(tensor: Tensor) -> list[dict[str, Any]]:
    """The range of each number of an example over the training split."""
    import torch

    width = tensor[0].numel()
    low = torch.full((width,), torch.inf, dtype=torch.float64)
    high, total = -low, torch.zeros(width, dtype=torch.float64)
    for part in _parts(tensor):
        low, high = torch.minimum(low, part.amin(0)), torch.maximum(high, part.amax(0))
        total += part.sum(0)
    mean = total / len(tensor)
    rows = zip(low.tolist(), mean.tolist(), high.tolist(), strict=True)
    return [{"column": i, "min": least, "mean": middle, "max": most} for i, (least, middle, most) in enumerate(rows)]


def _classes(dataset: TensorDataset) -> list[dict[str, Any]]:
    """The number of targets of each class by split; targets that are ignored count in none."""
    import torch

    def count(y: Tensor) -> list[int]:
        found: list[int] = torch.bincount(y[y >= 0].flatten().long(), minlength=dataset.num_classes).tolist()
        return found

    counts = {name: count(y) for name, (_, y) in dataset.splits.items()}
    return [{"class": i, **{name: of[i] for name, of in counts.items()}} for i in range(dataset.num_classes)]
