"""What is in a dataset of tensors: the numbers of `zoo data`.

Of a split outside memory only the examples are counted that its digest covers too, evenly spaced.

Axes: N examples, F numbers of an example, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    examples = {name: dataset.example(name) for name in dataset.splits}
    sizes = dataset.counts
    train = examples["train"]
    features = dataset.provides.get("features")
    size = train.x[0].numel()
    columns = _columns(train.x, features if isinstance(features, list) and len(features) == size else range(size))
    targets: dict[str, Any] = {"kind": dataset.targets}
    if train.y is not None and train.y is not train.x:
        targets |= _kind(train.y)
    if dataset.targets == "numbers":
        targets |= {name: _range(found.y) for name, found in examples.items() if found.y is not None}
    return {
        "examples": {"total": sum(sizes.values()), **sizes},
        "read": {name: len(found.x) for name, found in examples.items()},
        "inputs": {**_kind(train.x), **{name: _range(found.x) for name, found in examples.items()}},
        "targets": targets,
        "provides": dataset.provides,
        "classes": _classes(dataset) if dataset.targets == "classes" else None,
        "columns": columns if len(columns) <= COLUMNS else [],
        "constant_columns": [column["column"] for column in columns if column["min"] == column["max"]],
    }


def _kind(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape[1:]), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    """Rows of a tensor as (n, F) in float64, a bounded number at once."""
    import torch

    rows = max(1, _NUMBERS_AT_ONCE // max(1, tensor[0].numel()))
    for start in range(0, len(tensor), rows):
        part = tensor[start : start + rows]
        yield part.reshape(len(part), -1).to(torch.float64)


def _range(tensor: Tensor) -> dict[str, float]:
    """The smallest number, the mean and the largest; nothing where an example has no numbers."""
    if not tensor[0].numel():
        return {}
    low, high, total = float("inf"), float("-inf"), 0.0
    for part in _parts(tensor):
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        total += float(part.sum())
    return {"min": low, "mean": total / tensor.numel(), "max": high}


def _columns(tensor: Tensor, names: Sequence[object]) -> list[dict[str, Any]]:
    """The range of each number of an example over the training split; of a table under its feature's name."""
    import torch

    low = torch.full((tensor[0].numel(),), torch.inf, dtype=torch.float64)
    high, total = -low, torch.zeros_like(low)
    for part in _parts(tensor):
        low, high = torch.minimum(low, part.amin(0)), torch.maximum(high, part.amax(0))
        total += part.sum(0)
    mean = total / len(tensor)
    rows = zip(names, low.tolist(), mean.tolist(), high.tolist(), strict=True)
    return [{"column": name, "min": least, "mean": middle, "max": most} for name, least, middle, most in rows]


def _classes(dataset: TensorDataset) -> list[dict[str, Any]]:
    """The number of targets of each class by split; targets that are ignored (-1) count in none."""
    import torch

    counts = {}
    for name in dataset.splits:
        y = dataset.example(name).y
        assert y is not None  # the targets are classes
        found, number = torch.unique(y[y >= 0].long(), return_counts=True)
        counts[name] = dict(zip(found.tolist(), number.tolist(), strict=True))
    names = dataset.classes
    present = set().union(*counts.values()) | set(range(len(names or ())))
    return [
        {"class": names[i] if names else i, **{name: of.get(i, 0) for name, of in counts.items()}}
        for i in sorted(present)[:CLASSES]
    ]
