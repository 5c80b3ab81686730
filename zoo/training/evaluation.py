"""The loss over a whole split.

Axes: N examples, T characters of a context, M different contexts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.data.datasets import Examples, SplitName
from zoo.training.loss import IGNORED, cross_entropy

_MOST_NUMBERS = 1 << 20  # of the inputs of one batch
_MOST_WORK = 1 << 27  # examples times parameters: a model that is large inside gets fewer examples at a time
_COUNTABLE = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}  # what has a largest number
_WORTH_COUNTING = 1 << 10  # with fewer examples, looking for equal ones takes longer than it saves
_MOST_PLACES = 1 << 22  # of a table with a place for everything that could be counted
_CHUNK = 1 << 20  # examples counted in one go, which bounds the memory


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples) -> float:
    """Mean cross-entropy in nats over every target of `examples` that is not ignored.

    Contexts of text are served once each, however often they occur: a model in evaluation mode has the same logits for
    the same context. The model is on the device of the examples; the mode of each of its parts is left as it was.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    counted = count_contexts(examples)
    loss = _evaluate_all(model, examples) if counted is None else _evaluate_counted(model, counted)
    for module, training in modes:  # one by one: a part may have been frozen in evaluation mode
        module.training = training
    return loss


def evaluate_splits(model: nn.Module, splits: Mapping[SplitName, Examples]) -> dict[str, float]:
    """`evaluate` for each split."""
    return {name: evaluate(model, examples) for name, examples in splits.items()}


@dataclass(frozen=True)
class CountedContexts:
    """How often each target follows each context.

    Attributes:
        contexts: the different contexts, shape (M, T), sorted, of the type that the model is served.
        context: for every different pair of context and target the context's row, rising, shape (P,).
        target: its target, shape (P,).
        count: how often it occurs, shape (P,).
    """

    contexts: Tensor
    context: Tensor
    target: Tensor
    count: Tensor


def count_contexts(examples: Examples) -> CountedContexts | None:
    """Count the pairs of context and target of a split, or None where that is not worth it or cannot be done.

    Each pair is made one number, its characters the digits; few possible numbers are counted in a table with a place
    for each, others by sorting.
    """
    x, y = examples.x, examples.y
    if x.ndim != 2 or y.ndim != 1 or not {x.dtype, y.dtype} <= _COUNTABLE:
        return None
    if len(y) < _WORTH_COUNTING or x.device.type == "mps":
        return None
    base = 1 + int(torch.maximum(x.max(), y.max()))
    length = x.shape[1]
    if min(int(x.min()), int(y.min())) < 0 or base ** (length + 1) > 1 << 62:
        return None
    places = base ** (length + 1)
    numbers, counts = _count_in_table(x, y, base, places) if places <= _MOST_PLACES else _count_sorted(x, y, base)
    contexts, context = torch.unique_consecutive(numbers // base, return_inverse=True)  # (M,), (P,)
    powers = base ** torch.arange(length - 1, -1, -1, device=x.device)  # (T)
    served = (contexts[:, None] // powers % base).to(examples.x_dtype)
    return CountedContexts(served, context, numbers % base, counts)


def _numbers(x: Tensor, y: Tensor, base: int) -> Tensor:
    """One number for each pair, shape (N,), that orders pairs by context first."""
    number = x[:, 0].to(torch.int64, copy=True)  # what follows is done in place
    for t in range(1, x.shape[1]):
        number.mul_(base).add_(x[:, t])
    return number.mul_(base).add_(y)


def _count_in_table(x: Tensor, y: Tensor, base: int, places: int) -> tuple[Tensor, Tensor]:
    table = torch.zeros(places, dtype=torch.int64, device=x.device)
    for start in range(0, len(y), _CHUNK):
        part = slice(start, start + _CHUNK)
        table += torch.bincount(_numbers(x[part], y[part], base), minlength=places)
    numbers = table.nonzero().flatten()  # (P,)
    return numbers, table[numbers]


def _count_sorted(x: Tensor, y: Tensor, base: int) -> tuple[Tensor, Tensor]:
    numbers = torch.empty(0, dtype=torch.int64, device=x.device)
    counts = numbers
    for start in range(0, len(y), _CHUNK):
        part = slice(start, start + _CHUNK)
        found, times = torch.unique(_numbers(x[part], y[part], base), return_counts=True)
        numbers, place = torch.unique(torch.cat([numbers, found]), return_inverse=True)
        counts = torch.zeros_like(numbers).index_add_(0, place, torch.cat([counts, times]))
    return numbers, counts


def _evaluate_counted(model: nn.Module, counted: CountedContexts) -> float:
    """The mean over all examples, from the logits of the different contexts."""
    size = _batch_size(model, counted.contexts)
    total = torch.zeros((), dtype=torch.float64, device=counted.count.device)
    starts = torch.arange(0, len(counted.contexts) + size, size, device=total.device)
    bounds = torch.searchsorted(counted.context, starts).tolist()  # the pairs of each batch of contexts
    for batch, (first, last) in enumerate(itertools.pairwise(bounds)):
        start = batch * size
        logits = model(counted.contexts[start : start + size])  # (M', V)
        logprobs = logits.log_softmax(1)
        chosen = logprobs[counted.context[first:last] - start, counted.target[first:last]]  # (P',)
        total -= (chosen.double() * counted.count[first:last]).sum()
    return float(total / counted.count.sum())


def _evaluate_all(model: nn.Module, examples: Examples) -> float:
    """The mean over all examples, each served to the model."""
    device = examples.y.device
    total = torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu")
    count = torch.zeros((), dtype=torch.int64, device=total.device)
    for x, y in examples.in_order(_batch_size(model, examples.x)):
        total += cross_entropy(model(x), y, "sum").to(total.device, torch.float64)
        count += (y != IGNORED).sum().to(count.device)
    return float(total / count)


def _batch_size(model: nn.Module, x: Tensor) -> int:
    parameters = sum(p.numel() for p in model.parameters())
    by_work = _MOST_WORK // max(1, parameters)
    by_inputs = _MOST_NUMBERS // max(1, x[0].numel())
    return max(1, min(1 << 14, by_work, by_inputs))
