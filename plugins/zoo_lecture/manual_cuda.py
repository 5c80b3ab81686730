"""The `manual` engine on CUDA: graphs of many steps, each of which is captured once and replayed with one launch.

A launch for each kernel of a step would take longer than the kernels. Therefore a step here has as few as it can, and
differs from that of the CPU: backpropagation is linear, so the negative learning rate multiplies the gradient of the
loss, and each product adds to the weights what is otherwise a gradient to be stored, scaled and added.

Axes: K steps, B examples, T characters of context, E embedding dimensions, H hidden units, V characters.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

import zoo
from zoo import cuda
from zoo.errors import out_of_memory
from zoo.plugin.calling import is_of_plugin
from zoo.text import first_line, message
from zoo_lecture.manual import Buffers, chunk_of_steps, nll_loss, tanh_backward
from zoo_lecture.mlp_char import MLPChar

_STEPS_PER_GRAPH = 64
_UNTOUCHED = -1.0  # no loss


class GraphedSteps:
    """Steps by graphs, and what is left of a block one by one, with the same kernels."""

    def __init__(self, net: MLPChar, batch_size: int) -> None:
        """Take the net, on a device of CUDA. Nothing is allocated before `start`, or before the first block."""
        self._net, self._batch_size = net, batch_size
        self._step: _Step | None = None
        self._graph: _Graph | None = None
        self._by_graph = True

    @torch.no_grad()
    def start(self) -> None:
        """Allocate the buffers, and try a graph of one step. The net's weights are left alone.

        Raises:
            zoo.EngineUnavailableError: anything fails.
        """
        try:
            with cuda.current(self._net.C.device):
                _Graph(self._buffers(), 1)
        except Exception as error:  # of torch, of the driver, or of the compilers that they call
            self._step = None  # for its memory
            if not (is_of_plugin(error) or out_of_memory(error)):
                raise
            raise zoo.EngineUnavailableError(f"no CUDA graph can be used here: {first_line(error)}") from error

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float]) -> Tensor:
        """Train on K batches.

        Args:
            x: contexts, shape (K, B, T).
            y: targets, shape (K, B).
            lrs: K learning rates.

        Returns:
            The losses, shape (K,).
        """
        with cuda.current(x.device):
            step = self._buffers()
            step.read(self._net)
            rates = cuda.copied(torch.tensor(lrs), x.device).neg_()
            losses = torch.empty(len(y), device=x.device)
            done = 0
            while len(y) - done >= _STEPS_PER_GRAPH and (graph := self._captured(step)) is not None:
                part = slice(done, done + _STEPS_PER_GRAPH)
                losses[part] = graph.replay(x[part], y[part], rates[part])
                done += _STEPS_PER_GRAPH
            chunk = chunk_of_steps(*step.logits.shape)
            for start in range(done, len(y), chunk):
                part = slice(start, start + chunk)
                step.run(x[part], y[part], rates[part], losses[part])
            step.write(self._net)
            return losses

    def _buffers(self) -> _Step:
        if self._step is None:
            self._step = _Step(self._net, self._batch_size)
        return self._step

    def _captured(self, step: _Step) -> _Graph | None:
        """The graph of many steps; None where it cannot be captured, which is tried once."""
        if self._graph is None and self._by_graph:
            try:
                self._graph = _Graph(step, _STEPS_PER_GRAPH)
            except RuntimeError as error:  # such as memory that runs out; what lasts is raised by the next step again
                self._by_graph = False
                why = f"a CUDA graph of {_STEPS_PER_GRAPH} steps cannot be captured: {first_line(error)}"
                warnings.warn(message(f"{why}; training step by step, which is slower"), stacklevel=2)
        return self._graph


class _Step(Buffers):
    """One training step on CUDA, of 16 calls of torch: with the gradients of the CPU's step it would be 20."""

    def __init__(self, net: MLPChar, batch_size: int) -> None:
        super().__init__(net, batch_size)
        self.ones = torch.ones(batch_size, device=net.C.device)
        self.dlogitsT, self.dhT = self.dlogits.t(), self.dh.t()

    def run(self, x: Tensor, y: Tensor, rates: Tensor, losses: Tensor) -> None:
        """Train on K batches.

        Args:
            x: contexts, shape (K, B, T).
            y: targets, shape (K, B).
            rates: the negative learning rates, shape (K,).
            losses: output: the losses, shape (K,).
        """
        dlogprobs = self.loss_gradient(y).mul_(rates.view(-1, 1, 1))  # (K, B, V)
        for one in zip(x.flatten(1).unbind(), y.unbind(), dlogprobs.unbind(), losses.unbind(), strict=True):
            self(*one)

    def __call__(self, x: Tensor, y: Tensor, dlogprobs: Tensor, loss: Tensor) -> None:
        """Train on one batch.

        Args:
            x: contexts, shape (B * T).
            y: targets, shape (B).
            dlogprobs: the gradient of the loss with respect to the log-probabilities, times the negative learning
                rate, shape (B, V).
            loss: output: the loss, shape ().
        """
        # forward pass
        torch.index_select(self.C, 0, x, out=self.emb)  # (B * T, E)
        torch.addmm(self.b1, self.flat_emb, self.W1, out=self.h).tanh_()  # (B, H)
        torch.addmm(self.b2, self.h, self.W2, out=self.logits)  # (B, V)
        torch._log_softmax(self.logits, 1, False, out=self.logprobs)  # (B, V)
        nll_loss(self.logprobs, y, None, 1, -100, out=loss)  # ()

        # backward pass and update, in this order because a weight may change only after its last use
        torch._log_softmax_backward_data(dlogprobs, self.logprobs, 1, torch.float32, out=self.dlogits)  # (B, V)
        torch.mm(self.dlogits, self.W2T, out=self.dh)  # (B, H)
        self.W2.addmm_(self.hT, self.dlogits)  # (H, V)
        self.b2.addmv_(self.dlogitsT, self.ones)  # (V)
        tanh_backward(self.dh, self.h, grad_input=self.dh)  # (B, H)
        torch.mm(self.dh, self.W1T, out=self.demb)  # (B, T * E)
        self.W1.addmm_(self.embT, self.dh)  # (T * E, H)
        self.b1.addmv_(self.dhT, self.ones)  # (H)
        # `index_add_` would be one kernel, but is not deterministic on CUDA
        self.C.add_(torch.ops.aten.embedding_dense_backward(self.demb_rows, x, len(self.C), -1, False))  # (V, E)


class _Graph:
    """K steps as one CUDA graph. It reads batches and rates from its own buffers, which are filled before each replay.

    It is tried once when it is made. The weights are then put back, also where it fails.
    """

    def __init__(self, step: _Step, steps: int) -> None:
        """Capture it, and replay it once.

        Raises:
            RuntimeError: it cannot be captured, or does not train.
        """
        device = step.weights.device
        B, T = len(step.logits), step.demb.shape[1] // step.emb.shape[1]
        self._step = step
        self._x = torch.zeros((steps, B, T), dtype=torch.int64, device=device)
        self._y = torch.zeros((steps, B), dtype=torch.int64, device=device)
        self._rates = torch.zeros(steps, device=device)
        self._losses = torch.zeros(steps, device=device)
        before = step.weights.clone()
        try:
            self._graph = cuda.Graph(self._run, device)
            self._losses.fill_(_UNTOUCHED)
            self._graph.replay()
            trained = (self._losses != _UNTOUCHED).all().item()  # waits: what fails on the device fails here
        finally:
            step.weights.copy_(before)
        if not trained:
            raise RuntimeError("the captured graph is empty")

    def replay(self, x: Tensor, y: Tensor, rates: Tensor) -> Tensor:
        """Train on K batches.

        Args:
            x: contexts, shape (K, B, T).
            y: targets, shape (K, B).
            rates: negative learning rates, shape (K,).

        Returns:
            The losses, shape (K,), valid until the next call.
        """
        self._x.copy_(x)
        self._y.copy_(y)
        self._rates.copy_(rates)
        self._graph.replay()
        return self._losses

    def _run(self) -> None:
        self._step.run(self._x, self._y, self._rates, self._losses)
