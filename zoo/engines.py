"""What an engine is: an implementation of the training step. A plugin may bring faster ones for its own models.

`autograd` (`zoo.training.autograd`) works for every model and is the reference. The loop around an engine,
`zoo.training.loop`, is the same for all; they see the same batches, and are tested against the reference by
`zoo.testing.check_engines`. An engine may also train many nets at once: a population, by `PopulationEngine`.

Axes: M nets, K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Stop = Callable[[], bool]


class Optimizer(Protocol):
    """What is asked of an optimizer: the part of `torch.optim.Optimizer` that training uses."""

    param_groups: list[dict[str, Any]]

    def step(self, *args: Any, **kwargs: Any) -> Any: ...  # with a closure where it has such a required argument
    def zero_grad(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class Loss(Protocol):
    """What an engine may ask for by the name `loss`: what the model is trained on.

    Attributes:
        name: as people know it: `cross_entropy`, `mse_loss`.
        is_cross_entropy: whether it is the mean cross-entropy of whole numbers, the loss of an engine that asks for
            none.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_cross_entropy(self) -> bool: ...

    def mean(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        """The mean over a batch, a scalar with a gradient.

        Args:
            output: what the model returned for `x`.
            target: the targets, shape (B, ...); `x` itself where the data has none.
            x: the inputs, shape (B, ...).
        """


class Engine(Protocol):
    """Does the steps of a block. Between two calls the model and the optimizer hold everything there is to know.

    A method `start()`, where there is one, is called once when the engine has been chosen, and may still raise
    `EngineUnavailableError`: what takes time to import belongs there, and what can only be known by trying, such as
    the launch of a kernel. The model must then be as it was.
    """

    @property
    def worth_from(self) -> int:
        """How many steps a run must have for `auto` to choose this engine; a plain attribute will do.

        With fewer, starting it costs more time than it saves.
        """

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """Train on K batches, one after the other.

        Args:
            x: inputs, shape (K, B, ...), on the device.
            y: targets, shape (K, B, ...), on the device; the inputs where the data has none.
            lrs: the learning rate of each step.
            stop: may be asked between steps; where it is true, the rest of the block is left out.

        Returns:
            The loss of each step done, shape (K,) or shorter, on the device. Nothing has to wait for the device.
        """


class PopulationEngine(Protocol):
    """Does the steps of a block for M nets of the same sizes at once, each on its own batches and learning rates.

    Between two calls the models and the optimizers hold everything there is to know, as with an `Engine`, and a net is
    trained as if it were alone: whatever becomes of the others, NaN included, changes nothing in it.

    A method `start()` may be there, as in an `Engine`.
    """

    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        """Train some of the nets, or all, each on K batches, one after the other.

        Args:
            members: which nets take part, as numbers from 0 in the order that the engine was made of; M of them.
            x: inputs, shape (M, K, B, ...), on the device.
            y: targets, shape (M, K, B, ...), on the device; the inputs where the data has none.
            lrs: the learning rate of each net at each step, (M, K).
            stop: may be asked between steps; where it is true, the rest of the block is left out, for all.

        Returns:
            The loss of each net at each step done, shape (M, K) or (M, fewer), on the device.
        """
