"""Augmentation: training batches that a dataset changes, with random numbers of the seed and the step alone.

So a run that was stopped, and one in blocks of other lengths, see the same batches.

Axes: K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.ambient.draws import seeded_draws
from zoo.data.tensors import Augment
from zoo.errors import PluginError
from zoo.plugin.calling import plugin_errors


@dataclass(frozen=True)
class Augmentation:
    """What a dataset does to each training batch.

    Attributes:
        function: `augment(x, y, generator)`.
        who: whose it is, for messages.
        seed: of the run's batches.
    """

    function: Augment
    who: str
    seed: int

    def block(self, x: Tensor, y: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """The batches of the steps from `first` on, shapes (K, B, ...), each changed by the function.

        Raises:
            PluginError: it fails, or does not return as many inputs as targets.
        """
        batches = [self.batch(*batch, first + k) for k, batch in enumerate(zip(x.unbind(), y.unbind(), strict=True))]
        with plugin_errors(self.who, "does not return batches of one shape"):
            return torch.stack([one for one, _ in batches]), torch.stack([one for _, one in batches])

    def batch(self, x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """One batch, of that step."""
        seed = int.from_bytes(hashlib.sha256(f"{self.seed} {step}".encode()).digest()[:8]) >> 1
        with plugin_errors(self.who, "fails"), seeded_draws(seed):
            changed = self.function(x, y, torch.Generator().manual_seed(seed))
        if not (
            isinstance(changed, tuple | list) and len(changed) == 2 and all(isinstance(p, Tensor) for p in changed)
        ):
            raise PluginError(f"{self.who} does not return a pair (x, y) of tensors")
        if len(changed[0]) != len(changed[1]):
            raise PluginError(f"{self.who} returns {len(changed[0])} inputs and {len(changed[1])} targets")
        return self._as_before(changed[0], x), changed[1]

    def _as_before(self, changed: Tensor, x: Tensor) -> Tensor:
        """Inputs in the type of floating-point numbers that the model asked for, whatever they were computed in."""
        return changed.to(x.dtype) if x.is_floating_point() and changed.is_floating_point() else changed
