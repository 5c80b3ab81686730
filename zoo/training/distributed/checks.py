"""What cannot be trained by several ranks as it is by one process: told before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.data.examples import Examples
from zoo.errors import UsageError
from zoo.options.training import AUTO, AUTOGRAD
from zoo.phrasing import option
from zoo.training.building import evaluating, seeded
from zoo.training.objective.loss import CrossEntropy, Loss

_ALONE = "train it without torchrun, or with one rank"
_SAME = 1e-4  # relative: of a mean over two examples, computed in two ways


def check_engine(name: str, count: int, otherwise: Callable[[str], object] | None) -> None:
    """Only autograd computes with several ranks.

    Args:
        name: of the engine, or `auto`.
        count: of ranks.
        otherwise: where the engine is only preferred, this is told that it is autograd.

    Raises:
        UsageError: another engine is demanded.
    """
    if name in (AUTO, AUTOGRAD):
        return
    problem = f"engine {name!r} trains in one process, and there are {count} ranks"
    if otherwise is None:
        raise UsageError(f"{problem}: {option('engine', AUTOGRAD)} trains with all of them")
    otherwise(f"{problem}; using {AUTOGRAD!r} instead")


def check_parallel(model: nn.Module, examples: Examples, loss: Loss, batch_size: int, count: int, title: str) -> None:
    """Refuse what would be another training than that of one process, or none.

    Args:
        model, examples, loss: what is trained, on what; on the device.
        batch_size: of all ranks together.
        count: of ranks.
        title: of the model, for messages.

    Raises:
        UsageError: it is; what to do is said.
    """
    if batch_size < count:
        raise UsageError(
            f"{option('batch_size', batch_size)} is fewer examples than there are ranks ({count}): give a larger one, "
            "or start fewer ranks"
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError(f"{title} is not trained in steps, so that ranks have nothing to share: {_ALONE}")
    if any(getattr(module, "sparse", False) is True for module in model.modules()):
        raise UsageError(f"{title} has sparse gradients, which ranks cannot sum here: {_ALONE}")
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        raise UsageError(
            f"{title} has batch norm, whose statistics are those of a whole batch, and a rank sees only its part: "
            f"{_ALONE}"
        )
    if (name := _of_its_batch(model, examples)) is not None:
        raise UsageError(
            f"{title} keeps {name!r} of the batches that it sees, and a rank sees only its part of each: {_ALONE}"
        )
    _check_loss(model, examples, loss)


def _of_its_batch(model: nn.Module, examples: Examples) -> str | None:
    """The first buffer that training computes from the data, as running statistics are; None if there is none.

    One that counts the steps, for instance, is the same on all ranks.
    """
    size = len(examples)
    few = sorted({0, size // 3, 2 * size // 3, size - 1})
    parts = torch.tensor(few[: len(few) // 2 or 1]), torch.tensor(few[len(few) // 2 :])
    found = [_buffers_after(model, examples, part) for part in parts]
    return next((name for name, tensor in found[0].items() if not _same(tensor, found[1].get(name))), None)


def _buffers_after(model: nn.Module, examples: Examples, indices: Tensor) -> dict[str, Tensor]:
    """The buffers after one forward pass of training; the model is left as it was."""
    x, _ = examples.gather(indices.to(examples.device))
    with torch.no_grad(), evaluating(model), seeded(0, examples.device):
        model.train()
        model(x)
        return {name: buffer.clone() for name, buffer in model.named_buffers() if buffer is not None}


def _same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and bool(torch.equal(one, other))


@torch.no_grad()
def _check_loss(model: nn.Module, examples: Examples, loss: Loss) -> None:
    """Refuse a loss whose mean is not its sum by the number of targets: it cannot be put together from parts."""
    if isinstance(loss, CrossEntropy):
        return
    x, y = examples.gather(torch.arange(min(3, len(examples)), device=examples.device))
    with evaluating(model), seeded(0, examples.device):
        output = model(x)
    with seeded(0, examples.device):
        mean = float(loss.mean(output, y, x))
    with seeded(0, examples.device):
        total, count = loss.total(output, y, x)
    if not math.isclose(mean, float(total / count), rel_tol=_SAME, abs_tol=1e-8) and math.isfinite(mean):
        raise UsageError(
            f"the mean of the loss {loss.name} is not its sum by the number of targets, so that ranks cannot put it "
            f"together: {_ALONE}"
        )
