"""The lecture's net with manual backpropagation, in preallocated buffers, without autograd. On CUDA: `manual_cuda.py`.

After Andrej Karpathy, "Building makemore Part 4: Becoming a Backprop Ninja", https://www.youtube.com/watch?v=q8SA3rM6ckI

On the CPU, all values are bit-identical to autograd's: the same kernels of torch get the same operands in the same
order, without the graph, new tensors and most of the overhead. The exception is a batch with so many hidden units that
torch's tanh takes half as long as the matrix products: there a formula is used that takes a seventh of the time, with
an error of one rounding of 1.0.

Axes: K steps, B examples, T characters of context, E embedding dimensions, H hidden units, V characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import zoo
from zoo import cuda
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD

if TYPE_CHECKING:
    from zoo_lecture.manual_cuda import GraphedSteps

_MAX_ELEMENTS = 1 << 20  # of the loss gradients of one chunk of steps
_CACHE_LINE = 16  # float32 numbers
_MANY_HIDDEN_UNITS = 1 << 16  # of all examples of a batch


def lecture_net(model: nn.Module, optimizer: object) -> MLPChar:
    """The model, after checking that it is the lecture's net with the lecture's update.

    Raises:
        zoo.EngineUnavailableError: it is another model or optimizer, or not of float32 throughout.
    """
    if type(model) is not MLPChar:
        raise zoo.EngineUnavailableError(f"it supports MLPChar, not {type(model).__name__}")
    if type(optimizer) is not SGD:
        raise zoo.EngineUnavailableError(f"it supports the update of zoo-models/sgd, not of {type(optimizer).__name__}")
    parameters = list(model.parameters())
    updated = [p for group in optimizer.param_groups for p in group["params"]]
    all_updated = {id(p) for p in updated} == {id(p) for p in parameters} and all(p.requires_grad for p in parameters)
    if len(optimizer.param_groups) != 1 or not all_updated:
        raise zoo.EngineUnavailableError("it updates all parameters, with one learning rate")
    if any(p.dtype != torch.float32 for p in parameters):
        raise zoo.EngineUnavailableError("it computes in float32")
    return model


def has_few_hidden_units(batch_size: int, hidden_size: int) -> bool:
    """Whether `manual` uses torch's tanh, as autograd does. It takes 3.5 of the 13 ns per hidden unit and example."""
    return batch_size * hidden_size < _MANY_HIDDEN_UNITS


def chunk_of_steps(batch_size: int, vocab_size: int) -> int:
    """For how many steps the loss gradients are computed at a time."""
    return max(1, _MAX_ELEMENTS // (batch_size * vocab_size))


class Manual:
    """The engine: on the CPU it calls torch's kernels one by one, on CUDA it replays graphs of many steps."""

    worth_from = 0

    def __init__(self, model: nn.Module, optimizer: object, batch_size: int) -> None:
        """Allocate the buffers; those on CUDA are allocated by `start`.

        Raises:
            zoo.EngineUnavailableError: the model is not the lecture's net, or the optimizer not its update, or the
                device is neither the CPU nor one of CUDA.
        """
        self._net = net = lecture_net(model, optimizer)
        self._on_cuda: GraphedSteps | None = None
        if cuda.holds(net.C.device):
            from zoo_lecture.manual_cuda import GraphedSteps

            self._on_cuda = GraphedSteps(net, batch_size)
        elif net.C.device.type != "cpu":
            raise zoo.EngineUnavailableError(f"it has steps for cpu and cuda, not for {net.C.device.type}")
        else:
            few = has_few_hidden_units(batch_size, len(net.b1))
            self._step = _Step(net, batch_size) if few else _LargeStep(net, batch_size)

    def start(self) -> None:
        """On CUDA: allocate the buffers, and try whether a graph of one step can be captured and replayed.

        Raises:
            zoo.EngineUnavailableError: it cannot, or memory runs out.
        """
        if self._on_cuda is not None:
            self._on_cuda.start()

    @torch.no_grad()
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Callable[[], bool]) -> Tensor:
        """Train on K batches; see `zoo.engines.Engine`.

        Args:
            x: shape (K, B, T).
            y: shape (K, B).
            lrs: K learning rates.
            stop: called before every step on the CPU; not called on CUDA.
        """
        if self._on_cuda is not None:
            return self._on_cuda.run(x, y, lrs)
        self._step.read(self._net)
        losses = torch.empty(len(y))
        done = 0
        for k, (x_step, y_step, gradient) in enumerate(self._steps(x, y)):
            if stop():
                break
            self._step(x_step, y_step, gradient, -lrs[k], losses[k])
            done += 1
        self._step.write(self._net)
        return losses[:done]

    def _steps(self, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Contexts (B * T), targets (B) and dlogprobs (B, V) of each step, computed in chunks of steps."""
        chunk = chunk_of_steps(*self._step.logits.shape)
        for start in range(0, len(y), chunk):
            targets = y[start : start + chunk]  # (chunk, B)
            contexts = x[start : start + chunk].flatten(1)  # (chunk, B * T)
            gradients = self._step.loss_gradient(targets)  # (chunk, B, V)
            yield from zip(contexts.unbind(), targets.unbind(), gradients.unbind(), strict=True)


class Buffers:
    """The weights of the net in one tensor, and the tensors of a step of B examples that are allocated once."""

    _by_columns = False  # whether W2 is stored column by column

    def __init__(self, net: MLPChar, batch_size: int) -> None:
        V, E = net.C.shape
        H = len(net.b1)
        B, T = batch_size, net.context_length
        device = net.C.device
        self.shapes = [torch.Size((V, H)) if self._by_columns and p is net.W2 else p.shape for p in net.parameters()]
        self.weights, (self.C, self.W1, self.b1, self.W2, self.b2) = _flat(self.shapes, device)
        if self._by_columns:
            self.W2 = self.W2.t()  # (H, V)
        self.emb = torch.empty((B * T, E), device=device)
        self.h, self.dh = torch.empty((B, H), device=device), torch.empty((B, H), device=device)
        self.logits, self.logprobs, self.dlogits = (torch.empty((B, V), device=device) for _ in range(3))
        self.demb = torch.empty((B, T * E), device=device)
        self.flat_emb, self.demb_rows = self.emb.view(B, T * E), self.demb.view(B * T, E)
        self.embT, self.W1T, self.hT, self.W2T = self.flat_emb.t(), self.W1.t(), self.h.t(), self.W2.t()

    def loss_gradient(self, y: Tensor) -> Tensor:
        """dlogprobs of the mean negative log-likelihood: shape (K, B, V) for targets (K, B)."""
        K, B = y.shape
        gradient = torch.zeros((K, B, len(self.b2)), device=y.device)
        return gradient.scatter_(2, y.unsqueeze(2), -1 / B)

    def read(self, net: MLPChar) -> None:
        """Copy the net's weights to the buffers."""
        for own, parameter in zip((self.C, self.W1, self.b1, self.W2, self.b2), net.parameters(), strict=True):
            own.copy_(parameter)

    def write(self, net: MLPChar) -> None:
        """Copy the weights to the net."""
        for own, parameter in zip((self.C, self.W1, self.b1, self.W2, self.b2), net.parameters(), strict=True):
            parameter.copy_(own)


class _Step(Buffers):
    """One training step on the CPU."""

    def __init__(self, net: MLPChar, batch_size: int) -> None:
        super().__init__(net, batch_size)
        self.gradients, (self.dC, self.dW1, self.db1, self.dW2, self.db2) = _flat(self.shapes, self.weights.device)
        if self._by_columns:
            self.dW2 = self.dW2.t()  # (H, V)
        self.one = torch.ones(())

    def __call__(self, x: Tensor, y: Tensor, dlogprobs: Tensor, minus_lr: float, loss: Tensor) -> None:
        """Train on one batch.

        Args:
            x: contexts, shape (B * T).
            y: targets, shape (B).
            dlogprobs: the gradient of the loss with respect to the log-probabilities, shape (B, V).
            minus_lr: the negative learning rate.
            loss: output: the loss, shape ().
        """
        # forward pass
        torch.index_select(self.C, 0, x, out=self.emb)  # (B * T, E)
        self._activate()  # (B, H)
        torch.mm(self.h, self.W2, out=self.logits).add_(self.b2)  # (B, V)
        torch._log_softmax(self.logits, 1, False, out=self.logprobs)  # (B, V)
        nll_loss(self.logprobs, y, None, 1, -100, out=loss)  # ()

        # backward pass
        torch._log_softmax_backward_data(dlogprobs, self.logprobs, 1, torch.float32, out=self.dlogits)  # (B, V)
        torch.sum(self.dlogits, 0, out=self.db2)  # (V)
        torch.mm(self.hT, self.dlogits, out=self.dW2)  # (H, V)
        torch.mm(self.dlogits, self.W2T, out=self.dh)  # (B, H)
        tanh_backward(self.dh, self.h, grad_input=self.dh)  # (B, H)
        torch.sum(self.dh, 0, out=self.db1)  # (H)
        torch.mm(self.embT, self.dh, out=self.dW1)  # (T * E, H)
        torch.mm(self.dh, self.W1T, out=self.demb)  # (B, T * E)
        self.dC.zero_().index_add_(0, x, self.demb_rows)  # (V, E), in the order of autograd's kernel

        # update, with two roundings as in `p += -lr * p.grad`; `add_(alpha=...)` has one: see `zoo_lecture.sgd`
        self.weights.addcmul_(self.gradients, self.one, value=minus_lr)

    def _activate(self) -> None:
        torch.mm(self.flat_emb, self.W1, out=self.h).add_(self.b1).tanh_()


class _LargeStep(_Step):
    """One step with many hidden units: faster, but not bit-identical to autograd."""

    _by_columns = True  # halves the time of the product for W2's gradient

    def __init__(self, net: MLPChar, batch_size: int) -> None:
        super().__init__(net, batch_size)
        self.minus_one = torch.tensor(-1.0)

    def _activate(self) -> None:
        """tanh(a) = 2 sigmoid(2a) - 1; both factors 2 are arguments of calls that are needed anyway."""
        torch.addmm(self.b1, self.flat_emb, self.W1, beta=2, alpha=2, out=self.h).sigmoid_()
        torch.add(self.minus_one, self.h, alpha=2, out=self.h)


nll_loss = torch._C._nn.nll_loss  # type: ignore[attr-defined]  # missing in torch's type hints
tanh_backward = torch.ops.aten.tanh_backward.grad_input


def _flat(shapes: Sequence[torch.Size], device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """One tensor, and views of it with the given shapes, so that one call can process all of them.

    Each view is aligned to a cache line, as a separate tensor is, because the summation order of a matrix product may
    depend on the alignment. The padding between them stays 0.
    """
    lengths = [-(-shape.numel() // _CACHE_LINE) * _CACHE_LINE for shape in shapes]
    flat = torch.zeros(sum(lengths), device=device)
    parts = torch.split(flat, lengths)
    return flat, [part[: shape.numel()].view(shape) for part, shape in zip(parts, shapes, strict=True)]
