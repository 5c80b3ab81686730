"""What the loss and the metrics of a model must do, tried with what it returns for some examples.

Axes: B examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo.ambient import in_neutral_state
from zoo.runs.plan import make_plan
from zoo.testing.bench import load_registry, options_of
from zoo.testing.comparing import rows, same, tensors_of
from zoo.testing.models.forward import Tried
from zoo.testing.report import Report, Rule, try_rules
from zoo.training.building import evaluating, seeded
from zoo.training.objective.loss import Loss
from zoo.training.objective.metrics import Metrics
from zoo.training.objective.objective import Objective
from zoo.training.objective.outputs import mapped

_OFF = 1e-4  # how far sums in float32 in another order may be off, as a share of the larger one


@in_neutral_state
def check_loss(name: str, *, dataset: str | Path | None = None, settings: Mapping[str, object] | None = None) -> Report:
    """The loss that a model is trained on does what zoo relies on.

    Its mean is that of its numbers for each target or example; each of these is of its example alone, without
    broadcasting; its gradient reaches the model's output, and is finite; it changes nothing in place.

    Args:
        name: the model whose spec, or whose dataset's spec, names the loss.
        dataset, settings: of the training, as `zoo.run` takes them.

    Raises:
        AssertionError: what is wrong.
    """
    return _try(name, LOSS, dataset, settings)


@in_neutral_state
def check_metrics(
    name: str, *, dataset: str | Path | None = None, settings: Mapping[str, object] | None = None
) -> Report:
    """The metrics of a model give the same over all examples at once and over batches of any size, each time anew.

    Args:
        name: the model whose spec, or whose dataset's spec, names the metrics.
        dataset, settings: of the training, as `zoo.run` takes them.

    Raises:
        AssertionError: what is wrong.
    """
    return _try(name, METRICS, dataset, settings)


def _try(
    name: str, rules: Mapping[str, Rule[Tried]], dataset: str | Path | None, settings: Mapping[str, object] | None
) -> Report:
    plan = make_plan(load_registry(), options_of(name, steps=1, dataset=dataset, settings=settings))
    tried = Tried(f"model {name!r}", plan)
    return try_rules(tried.who, rules, tried)


class _Judged:
    """What a model returns in evaluation, and what it is judged by."""

    def __init__(self, tried: Tried) -> None:
        model = tried.model()
        self.x, self.y = tried.batch
        objective: Objective = tried.bench.objective(model)
        self.loss: Loss = objective.loss
        self.metrics: Metrics = objective.metrics
        with torch.no_grad(), evaluating(model), seeded(0, self.x.device):
            self.output = model(self.x.clone())
        self.whose = f"{tried.who} has the loss {self.loss.name!r}, which"

    def total(self, start: int = 0, end: int | None = None) -> tuple[float, int]:
        """The sum over some of the examples, and the number of their targets."""
        with seeded(0, self.x.device):
            total, count = self.loss.total(*self.part(start, end))
        return float(total.detach()), int(count)

    def part(self, start: int, end: int | None) -> tuple[object, Tensor, Tensor]:
        """Output, targets and inputs of some of the examples."""
        n = len(self.x)
        output = mapped(lambda part: part[start:end] if rows(part, n) else part, self.output)
        return output, self.y[start:end], self.x[start:end]


def _is_close(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= _OFF * max(abs(one), abs(other)) or (one != one and other != other)


def _mean_is_of_its_numbers(tried: Tried) -> None:
    judged = _Judged(tried)
    total, count = judged.total()
    with seeded(0, judged.x.device):
        mean = float(judged.loss.mean(judged.output, judged.y, judged.x).detach())
    assert count > 0, f"{judged.whose} counts no targets in {len(judged.x)} examples"
    assert _is_close(mean, total / count), (
        f"{judged.whose} is {mean:.6g} with the reduction 'mean', and {total / count:.6g} as the mean of its "
        f"{count} numbers with 'none': it would be trained on another loss than it is evaluated by"
    )


def _of_each_example(tried: Tried) -> None:
    judged, n = _Judged(tried), len(tried.batch[0])
    total, count = judged.total()
    parts = [judged.total(k, k + 1) for k in range(n)]
    summed, counted = sum(part for part, _ in parts), sum(one for _, one in parts)
    agree = counted == count and _is_close(total, summed)
    assert agree, (
        f"{judged.whose} is {total:.6g} over {n} examples at once, of {count} targets, and {summed:.6g} over one after "
        f"the other, of {counted}: its number for an example depends on the others; reduce no axis but those of one "
        "example, and compare tensors of the same shape, which broadcast nothing"
    )


def _changes_nothing(tried: Tried) -> None:
    judged = _Judged(tried)
    before = [tensor.clone() for tensor in tensors_of((judged.output, judged.y, judged.x))]
    judged.total()
    judged.loss.mean(judged.output, judged.y, judged.x)
    after = tensors_of((judged.output, judged.y, judged.x))
    assert all(map(same, before, after)), f"{judged.whose} changes the output, the targets or the inputs in place"


def _has_a_gradient(tried: Tried) -> None:
    judged = _Judged(tried)
    output = mapped(lambda part: part.detach().requires_grad_() if part.is_floating_point() else part, judged.output)
    wanted = [tensor for tensor in tensors_of(output) if tensor.requires_grad]
    loss = judged.loss.mean(output, judged.y, judged.x)
    assert loss.requires_grad, f"{judged.whose} has no gradient for the output: it is detached, or made of numbers"
    for gradient in torch.autograd.grad(loss, wanted, allow_unused=True):
        finite = gradient is None or bool(gradient.isfinite().all())
        assert finite, (
            f"{judged.whose} has a gradient that is NaN or infinite where its value is {float(loss.detach()):.6g}"
        )


def _batches_are_all_at_once(tried: Tried) -> None:
    judged, n = _Judged(tried), len(tried.batch[0])
    most = max(1, n - 3)
    whole, again, cut = (_computed(judged, size) for size in (n, n, most))
    for name, value in whole.items():
        who = f"{tried.who} has the metric {name!r}, which"
        assert _is_close(value, again[name]), (
            f"{who} is {value:.6g}, and made anew {again[name]:.6g}: it keeps something"
        )
        assert _is_close(value, cut[name]), (
            f"{who} is {value:.6g} over {n} examples at once, and {cut[name]:.6g} over a batch of {most} and the "
            "rest: add up sums and counts, and divide in 'compute'"
        )


def _computed(judged: _Judged, size: int) -> dict[str, float]:
    """The metrics, from batches of that size."""
    metrics = judged.metrics.start(judged.x.device)
    for start in range(0, len(judged.x), size):
        output, y, _ = judged.part(start, start + size)
        before = [tensor.clone() for tensor in tensors_of((output, y))]
        metrics.update(output, y)
        same_now = all(map(same, before, tensors_of((output, y))))
        assert same_now, f"a metric of {', '.join(metrics.names())} changes the output or the targets in place"
    return metrics.values(0.0)


LOSS: dict[str, Rule[Tried]] = {
    "its loss changes nothing in place": _changes_nothing,
    "its loss is the mean of its numbers": _mean_is_of_its_numbers,
    "its loss takes each example alone": _of_each_example,
    "its loss has a finite gradient": _has_a_gradient,
}
METRICS: dict[str, Rule[Tried]] = {"its metrics take batches of any size": _batches_are_all_at_once}
