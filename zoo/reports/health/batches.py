"""What the health of a run is measured on: a copy of its model, and batches as its training samples them.

Axes: K batches, B examples of a batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.ambient.draws import seeded_draws
from zoo.data.kinds import Dataset
from zoo.errors import DataError
from zoo.options.declaration import decided
from zoo.plugin.calling import maker
from zoo.reports.reported import ReportedRun
from zoo.storage import checkpoint
from zoo.storage.loading import Loaded, rebuild
from zoo.training.augmentation import Augmentation
from zoo.training.objective.loss import Loss

MOST_BATCHES = 32
_MOST_EXAMPLES = 8192
_MOST_INPUTS = 1 << 24  # numbers of the inputs of all batches
_MOST_WORK = 1 << 32  # examples times positions times parameters

_DROPOUTS = {
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
}

Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Measured:
    """What is measured: everything in it is this report's own, and may be changed.

    Attributes:
        run: the run.
        loaded: its model once more, from its file.
        dataset: its data.
        batches: of its training split, with augmentation: pairs of shapes (B, ...).
    """

    run: ReportedRun
    loaded: Loaded
    dataset: Dataset
    batches: Batches

    @classmethod
    def of(cls, run: ReportedRun) -> Measured:
        """Raises DataError: the data of the run is not there."""
        if run.dataset is None:
            raise DataError(run.no_data)
        loaded = rebuild(run.loaded.path, checkpoint.load(run.loaded.path), run.registry)
        return cls(run, loaded, run.dataset, _batches(run, run.dataset))

    @property
    def model(self) -> nn.Module:
        """The copy."""
        return self.loaded.model

    @cached_property
    def loss(self) -> Loss:
        """What the copy is trained on."""
        return self.loaded.objective(self.run.registry, self.dataset).loss

    @property
    def step(self) -> int:
        """How many steps the weights were trained for; of an old file that does not say it, those that were planned."""
        steps = self.loaded.step
        return steps if steps is not None else decided(self.loaded.checked.options.steps)


def _batches(run: ReportedRun, dataset: Dataset) -> Batches:
    """Batches of indices that the run's seed of reports samples, uniform and with replacement as those of training."""
    examples, size = run.examples["train"], decided(run.loaded.checked.options.batch_size)
    parameters = sum(p.numel() for p in run.loaded.model.parameters())
    each = max(1, examples.input_size)
    most = min(_MOST_EXAMPLES, _MOST_INPUTS // each, _MOST_WORK // max(1, parameters * each))
    size = min(size, max(2, most))
    shape = max(1, min(MOST_BATCHES, most // size)), size
    indices = torch.randint(0, len(examples), shape, generator=torch.Generator().manual_seed(run.seed))
    x, y = examples.gather(indices)  # (K, B, ...) each
    augment = getattr(dataset, "augment", None)
    if augment is not None:
        x, y = Augmentation(augment, f"augment of {maker(dataset)}", run.seed).block(x, y, 0)
    return list(zip(x.unbind(), y.unbind(), strict=True))


@contextlib.contextmanager
def training_without_dropout(model: nn.Module) -> Iterator[None]:
    """A model in training mode for a block, in which nothing is dropped: a unit that is dropped is not dead.

    Batch normalization uses the statistics of the batch, as in training. Random numbers are seeded.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.RNNBase) or "dropout" in type(module).__name__.lower():
            module.training = False
    with seeded_draws(0), _WithoutDropout():
        yield


class _WithoutDropout(TorchFunctionMode):
    """Calls of torch's functions drop nothing."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if "dropout_p" in kwargs:  # of attention
            kwargs["dropout_p"] = 0.0
        if getattr(func, "__name__", "").rstrip("_") in _DROPOUTS and args:
            return args[0].clone()  # in place or not: nothing is dropped
        return func(*args, **kwargs)
