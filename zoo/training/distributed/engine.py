"""The training step by several ranks: torch's DistributedDataParallel around the model and its loss.

Each rank has a part of every batch. The loss of a batch is the sum over its targets, of all ranks, by their number: the
mean that one process would compute, and no mean of the ranks' means, which is another number where the parts differ in
their size or in how many targets they have to ignore.

Li and others, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training" (2020),
https://arxiv.org/abs/2006.15704

Axes: K steps of a block, B examples of this rank's part of a batch, then the axes of one example.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo import cuda
from zoo.engines import Optimizer, Stop
from zoo.training.autograd import PLAIN, Autograd, StepOptions
from zoo.training.distributed.group import Ranks
from zoo.training.objective.cross_entropy import IGNORED
from zoo.training.objective.loss import CROSS_ENTROPY, Loss

_ARGUMENTS = inspect.signature(DistributedDataParallel).parameters
_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _ARGUMENTS else "broadcast_buffers"  # the old name
_SYNC: Any = {_BUFFERS: False}  # they are equal on all ranks: see `checks`


class DataParallel(Autograd):
    """`autograd` on this rank's part of each batch, with the gradients and the losses of all ranks.

    The random numbers of a step, for dropout, are those of the seed, the step and the rank: each rank drops other
    units, and a run that was stopped draws them again. An optimizer that draws gets the same ones on all ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        options: StepOptions = PLAIN,
        loss: Loss = CROSS_ENTROPY,
        *,
        ranks: Ranks,
        seed: int,
        device: torch.device,
    ) -> None:
        """Take what to train, how, on what loss, and with whom. All ranks must make theirs."""
        super().__init__(model, optimizer, options, loss)
        ranks.open_gradients(device)
        self._ranks, self._seed, self._device = ranks, seed, device
        with ranks.collective():
            # With `find_unused_parameters`, a layer that a step leaves out is none to wait for, and the buckets keep
            # their first order: a run that is resumed sums in the order of one that was not.
            parallel = DistributedDataParallel(
                _Share(model, self.outputs, loss),
                device_ids=[cuda.index(device)] if cuda.holds(device) else None,
                process_group=ranks.gradients,
                **_SYNC,
                find_unused_parameters=True,
                gradient_as_bucket_view=True,
            )
        parallel.register_comm_hook(ranks.gradients, lambda group, bucket: _summed(group, bucket))  # not annotated
        self._loss: Any = _OfAllRanks(self, parallel)

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """As `Engine.run`, on this rank's parts. `stop` is not asked: all ranks end a block together."""
        self._loss.begin(x, y, self._ranks.steps_done())
        with self._ranks.collective():
            losses = super().run(x, y, lrs, _never)
            if not self._needs_closure and len(losses):
                self._ranks.sum(losses)
        return losses

    def outputs(self, x: Tensor) -> Any:
        """The model's outputs, as the step options ask for them."""
        return super()._forward()(x)

    def sizes(self, x: Tensor, y: Tensor) -> tuple[int, list[int]]:
        """How many examples a whole batch has; how many targets each of the block has that are not ignored.

        The targets, of floating-point numbers, are all counted.
        """
        kept = torch.zeros(1 + len(y), dtype=torch.int64, device=y.device)
        kept[0] = x.shape[1]
        kept[1:] = (y != IGNORED).flatten(1).sum(1)
        self._ranks.sum(kept)
        size, *targets = kept.tolist()
        return size, targets

    def value(self, share: Tensor) -> Tensor:
        """The loss of the batch, of which this rank has a share, for an optimizer that asks for it."""
        if not self._needs_closure:
            return share  # the sum is made once for the whole block
        whole = share.detach().clone()
        self._ranks.sum(whole)
        return _Valued.apply(share, whole)  # type: ignore[no-any-return, no-untyped-call]

    def draw(self, step: int, who: str) -> None:
        """From here on, the global generators draw the numbers of the seed, that step and whoever draws."""
        seed = int.from_bytes(hashlib.sha256(f"{self._seed} {step} {who}".encode()).digest()[:8]) >> 1
        torch.default_generator.manual_seed(seed)
        if cuda.holds(self._device):
            cuda.seed_generator(seed, self._device)

    @property
    def who(self) -> str:
        """This rank, as one that draws."""
        return f"rank {self._ranks.rank}"

    def _forward(self) -> Callable[[Tensor], Any]:
        return _itself  # the model is within the loss, so that torch sees all of a step's graph


class _OfAllRanks:
    """In place of the loss of a step: the share that this rank has in it."""

    def __init__(self, engine: DataParallel, parallel: DistributedDataParallel) -> None:
        self._engine, self._parallel = engine, parallel
        self._size, self._targets, self._inputs = 0, [0], torch.empty(0)
        self._first, self._k = 0, -1

    def begin(self, x: Tensor, y: Tensor, first: int) -> None:
        """A block begins, of which that step is the first."""
        self._size, self._targets = self._engine.sizes(x, y)
        self._first, self._k = first, -1

    def mean(self, x: Tensor, y: Tensor, inputs: Tensor) -> Tensor:
        """The share, of one step of the block; asked for again for the same step, it is that step's again."""
        if inputs is not self._inputs:
            self._inputs, self._k = inputs, self._k + 1
        step = self._first + self._k
        self._engine.draw(step, self._engine.who)
        share = self._engine.value(self._parallel(x, y, self._size, self._targets[self._k]))
        self._engine.draw(step, "update")
        return share


class _Share(nn.Module):
    """What this rank's examples add to the mean loss of a batch."""

    def __init__(self, model: nn.Module, outputs: Callable[[Tensor], Any], loss: Loss) -> None:
        super().__init__()
        self.model = model
        self._outputs, self._loss = outputs, loss

    def forward(self, x: Tensor, y: Tensor, size: int, targets: int) -> Tensor:
        """The sum over this part by the number of targets, or examples, of the whole batch.

        Args:
            x, y: this rank's part, shapes (B, ...).
            size: the number of examples of the whole batch.
            targets: the number of its targets that are not ignored.
        """
        total, count = self._loss.total(self._outputs(x), y, x)
        # What is counted is the targets that are not ignored, or so many numbers of each example.
        return total / (targets if isinstance(count, Tensor) else count * size / len(x))


class _Valued(torch.autograd.Function):
    """A share's gradient with the value of the whole."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, whole: Tensor) -> Tensor:
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


def _summed(group: Any, bucket: Any) -> Any:
    """The sum of a bucket of gradients over all ranks; torch's own divides it by their number."""
    future = dist.all_reduce(bucket.buffer(), group=group, async_op=True).get_future()
    return future.then(lambda done: done.value()[0])


def _itself(x: Tensor) -> Tensor:
    return x


def _never() -> bool:
    return False
