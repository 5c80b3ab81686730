"""The mean loss and the metrics on all examples of a split.

Axes: N examples, T characters of a context, M unique contexts, P unique pairs of context and target.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo import stages
from zoo.data.examples import Examples, SplitName, TensorExamples
from zoo.plugin.calling import maker, plugin_errors
from zoo.training.building import evaluating
from zoo.training.objective.cross_entropy import full_precision
from zoo.training.objective.metrics import Metrics
from zoo.training.objective.objective import PLAIN, Objective

_MAX_INPUTS = 1 << 20  # elements of the inputs of one batch
_MAX_WORK = 1 << 27  # examples times parameters: a large model gets smaller batches
_INTEGERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_MIN_EXAMPLES = 1 << 10  # with fewer examples, finding equal contexts takes longer than it saves
_MAX_TABLE = 1 << 22  # entries of a table of counts
_CHUNK = 1 << 20  # examples counted at once, which bounds the memory
_MAX_KEPT = 1 << 26  # bytes of a split's counts that are kept: of several million examples

EVALUATING = "Evaluating"  # the stage

_COUNTED: dict[int, tuple[weakref.ref[Examples], CountedContexts | None]] = {}


class Evaluation(NamedTuple):
    """The mean loss over a split, and its metrics by name. Both may be NaN or infinite."""

    loss: float
    metrics: dict[str, float]


@torch.no_grad()
def evaluate(
    model: nn.Module, examples: Examples, objective: Objective = PLAIN, advance: stages.Advance = stages.advance
) -> Evaluation:
    """The mean loss and the metrics over all targets of `examples` that are not ignored.

    For cross-entropy the model runs once for each unique context of text, because in evaluation mode equal contexts
    give equal logits. The model must be on the device of the examples. It is left as it was. `advance` is told after
    each batch how many examples are done, of how many.
    """
    counted = _counts_of(examples) if objective.needs_only_counts else None
    metrics = objective.metrics.start(examples.device)
    with plugin_errors(maker(model), "cannot be evaluated"), evaluating(model):
        if counted is None:
            loss = _evaluate_all(model, examples, objective, metrics, advance)
        else:
            loss = _evaluate_counted(model, counted, advance)
        return Evaluation(loss, metrics.values(loss))


def evaluate_splits(
    model: nn.Module, splits: Mapping[SplitName, Examples], objective: Objective = PLAIN
) -> dict[SplitName, Evaluation]:
    """`evaluate` for each split."""
    found, before, total = {}, 0, sum(map(_rows_of, splits.values()))
    with stages.within(EVALUATING):
        for name, examples in splits.items():
            size = _rows_of(examples)

            def advance(done: int, of: int, *, before: int = before, size: int = size) -> None:
                stages.advance(before + size * done // max(of, 1), total)

            found[name] = evaluate(model, examples, objective, advance)
            before += size
    return found


def metrics_of(evaluations: Mapping[SplitName, Evaluation]) -> dict[str, dict[str, float | None]]:
    """The metrics of each split as JSON has them: None where one is NaN or infinite."""
    return {
        split: {name: value if math.isfinite(value) else None for name, value in evaluation.metrics.items()}
        for split, evaluation in evaluations.items()
    }


@dataclass(frozen=True)
class CountedContexts:
    """How often each target follows each context.

    Attributes:
        contexts: the unique contexts, sorted, in the type of the split, shape (M, T).
        context: for each unique pair of context and target the row of its context, ascending, shape (P,).
        target: its target, shape (P,).
        count: how often it occurs, shape (P,).
        x_dtype: the model's input type.
    """

    contexts: Tensor
    context: Tensor
    target: Tensor
    count: Tensor
    x_dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """The memory of all of it."""
        return sum(tensor.nbytes for tensor in (self.contexts, self.context, self.target, self.count))


def _counts_of(examples: Examples) -> CountedContexts | None:
    """`count_contexts`, once for each split as long as it lives: one that is validated on is evaluated many times.

    Large counts are not kept, and made anew each time.
    """
    known = _COUNTED.get(id(examples))
    if known is not None and known[0]() is examples:
        return known[1]
    counted = count_contexts(examples)
    if counted is None or counted.nbytes <= _MAX_KEPT:
        key = id(examples)
        _COUNTED[key] = weakref.ref(examples, lambda _: _COUNTED.pop(key, None)), counted
    return counted


def count_contexts(examples: Examples) -> CountedContexts | None:
    """Count the pairs of context and target of a split; None if that is impossible or saves no time.

    Each pair is encoded as one integer with its characters as digits. Integers of a small range are counted in a table,
    others by sorting.
    """
    if not isinstance(examples, TensorExamples):
        return None
    x, y = examples.x, examples.y
    if x.ndim != 2 or y.ndim != 1 or not {x.dtype, y.dtype} <= _INTEGERS:
        return None
    if len(y) < _MIN_EXAMPLES or x.device.type == "mps":
        return None
    base = 1 + int(torch.maximum(x.max(), y.max()))
    length = x.shape[1]
    if min(int(x.min()), int(y.min())) < 0 or base ** (length + 1) > 1 << 62:
        return None
    size = base ** (length + 1)
    keys, counts = _count_in_table(x, y, base, size) if size <= _MAX_TABLE else _count_by_sorting(x, y, base)
    contexts, context = torch.unique_consecutive(keys // base, return_inverse=True)  # (M,), (P,)
    powers = base ** torch.arange(length - 1, -1, -1, device=x.device)  # (T)
    inputs = (contexts[:, None] // powers % base).to(x.dtype)
    return CountedContexts(inputs, context, keys % base, counts, examples.x_dtype)


def _keys(x: Tensor, y: Tensor, base: int) -> Tensor:
    """One integer for each pair, shape (N,), that sorts pairs by context first."""
    keys = x[:, 0].to(torch.int64, copy=True)  # a copy, because it is changed in place
    for t in range(1, x.shape[1]):
        keys.mul_(base).add_(x[:, t])
    return keys.mul_(base).add_(y)


def _count_in_table(x: Tensor, y: Tensor, base: int, size: int) -> tuple[Tensor, Tensor]:
    """Unique keys (P,) and their counts (P,)."""
    table = torch.zeros(size, dtype=torch.int64, device=x.device)
    for start in range(0, len(y), _CHUNK):
        part = slice(start, start + _CHUNK)
        table += torch.bincount(_keys(x[part], y[part], base), minlength=size)
    keys = table.nonzero().flatten()  # (P,)
    return keys, table[keys]


def _count_by_sorting(x: Tensor, y: Tensor, base: int) -> tuple[Tensor, Tensor]:
    """As `_count_in_table`."""
    keys = torch.empty(0, dtype=torch.int64, device=x.device)
    counts = keys
    for start in range(0, len(y), _CHUNK):
        part = slice(start, start + _CHUNK)
        new_keys, new_counts = torch.unique(_keys(x[part], y[part], base), return_counts=True)
        keys, index = torch.unique(torch.cat([keys, new_keys]), return_inverse=True)
        counts = torch.zeros_like(keys).index_add_(0, index, torch.cat([counts, new_counts]))
    return keys, counts


def _evaluate_counted(model: nn.Module, counted: CountedContexts, advance: stages.Advance) -> float:
    """The mean loss over all examples, from the logits of the unique contexts."""
    size = batch_size_of(model, counted.contexts.shape[1])
    total = torch.zeros((), dtype=torch.float64, device=counted.count.device)
    starts = torch.arange(0, len(counted.contexts) + size, size, device=total.device)
    bounds = torch.searchsorted(counted.context, starts).tolist()  # of the pairs of each batch of contexts
    for batch, (first, last) in enumerate(itertools.pairwise(bounds)):
        start = batch * size
        inputs = counted.contexts[start : start + size].to(counted.x_dtype, copy=True)  # its own: a model may change it
        logits = model(inputs)  # (M', V)
        logprobs = full_precision(logits).log_softmax(1)
        chosen = logprobs[counted.context[first:last] - start, counted.target[first:last]]  # (P',)
        total -= (chosen.double() * counted.count[first:last]).sum()
        advance(min(start + size, len(counted.contexts)), len(counted.contexts))
    return float(total / counted.count.sum())


def _evaluate_all(
    model: nn.Module, examples: Examples, objective: Objective, metrics: Metrics, advance: stages.Advance
) -> float:
    """The mean loss over all examples, from the output for each; the metrics are updated."""
    device = examples.device
    total = torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu")
    count = torch.zeros((), dtype=torch.int64, device=total.device)
    done, size = 0, _rows_of(examples)
    for x, y in examples.in_order(batch_size_of(model, examples.input_size)):
        output = model(x)
        part, targets = objective.loss.total(output, y, x)
        total += part.to(total.device, torch.float64)
        count += targets.to(count.device) if isinstance(targets, Tensor) else targets
        metrics.update(output, y)
        done += len(x)
        advance(done, size)
    return float(total / count)


def _rows_of(examples: Examples) -> int:
    """How many examples an evaluation takes: of running text fewer than there are, as none overlap."""
    rows: int = getattr(examples, "rows", len(examples))
    return rows


def batch_size_of(model: nn.Module, input_size: int) -> int:
    """How many examples, with inputs of so many numbers, are evaluated at once."""
    parameters = sum(p.numel() for p in model.parameters())
    by_work = _MAX_WORK // max(1, parameters)
    by_inputs = _MAX_INPUTS // max(1, input_size)
    return max(1, min(1 << 14, by_work, by_inputs))
