"""The engine of a run by several ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zoo.options.declaration import decided
from zoo.runs.plan import RunPlan
from zoo.training.autograd import StepOptions
from zoo.training.distributed.checks import check_engine, check_parallel
from zoo.training.distributed.engine import DataParallel
from zoo.training.distributed.group import Ranks

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zoo.data.examples import Examples
    from zoo.engines import Optimizer
    from zoo.training.objective.loss import Loss


def engine_of_ranks(
    plan: RunPlan,
    model: nn.Module,
    optimizer: Optimizer,
    examples: Examples,
    loss: Loss,
    device: torch.device,
    otherwise: Callable[[str], object] | None,
    ranks: Ranks,
) -> DataParallel:
    """What trains a model with all ranks, each of which must call it.

    Raises:
        UsageError: they would train otherwise than one process; see `zoo.training.distributed.checks`.
    """
    check_engine(decided(plan.options.engine), ranks.count, otherwise)
    check_parallel(model, examples, loss, plan.batch_size, ranks.count, plan.model.title)
    options, seed = StepOptions.of(plan.options), plan.options.seed
    return DataParallel(model, optimizer, options, loss, ranks=ranks, seed=seed, device=device)
