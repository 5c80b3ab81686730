"""The `fused` engine on a CPU: weights in the layout of `cpu_kernel`, and its buffers."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import zoo
from zoo_lecture.manual import has_few_hidden_units, lecture_net
from zoo_lecture.mlp_char import MLPChar

Floats = npt.NDArray[np.float32]

_CACHE_LINE = 64  # bytes

# Measured in comparison with `manual` on one core of an AMD EPYC.
_COMPILING_S = 4.7  # in the first run on a machine
_SAVED_S = 26e-6  # per step
_SAVED_S_PER_UNIT = 9.5e-9  # per hidden unit and example, mostly in torch's tanh
_SAVED_S_PER_UNIT_OF_MANY = 4e-9  # the same where `manual` does not use torch's tanh


class FusedCPU:
    """The engine. numba and the kernel are imported by `start`; the compiled kernel is cached on disk."""

    def __init__(self, model: nn.Module, optimizer: object, batch_size: int) -> None:
        """Check that the engine is available.

        Raises:
            zoo.EngineUnavailableError: numba is not installed, the model is not the lecture's net, or the optimizer
                not its update.
        """
        self._net = lecture_net(model, optimizer)
        self._batch_size = batch_size
        if importlib.util.find_spec("numba") is None:
            raise zoo.EngineUnavailableError("it needs numba: pip install 'zoo-models[fast]'")
        self._started: tuple[ModuleType, _Buffers] | None = None

    @property
    def worth_from(self) -> int:
        """The number of steps that save the time of compiling: 54,000 at the lecture's sizes, fewer for larger nets."""
        sizes = self._batch_size, len(self._net.b1)
        per_unit = _SAVED_S_PER_UNIT if has_few_hidden_units(*sizes) else _SAVED_S_PER_UNIT_OF_MANY
        return round(_COMPILING_S / (_SAVED_S + per_unit * math.prod(sizes)))

    def start(self) -> tuple[ModuleType, _Buffers]:
        """Import numba and the kernel, compile it, or load it from the cache, and call it for no steps.

        Raises:
            zoo.EngineUnavailableError: numba cannot be used: for example, it does not support this NumPy, or has no
                folder for its cache.
        """
        try:
            from zoo_lecture import cpu_kernel
            from zoo_lecture.cpu_vectors import WIDTH

            started = cpu_kernel, _Buffers(self._net, self._batch_size, WIDTH)
            B, T = self._batch_size, self._net.context_length
            self._call(*started, np.zeros((0, B, T), np.int64), np.zeros((0, B), np.int64), [])
        except Exception as error:  # numba may raise anything
            raise zoo.EngineUnavailableError(f"numba cannot be used here: {error}") from error
        self._started = started
        return started

    @torch.no_grad()
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Callable[[], bool]) -> Tensor:
        """Train on K batches in one call; see `zoo.engines.Engine`.

        Args:
            x: shape (K, B, T).
            y: shape (K, B).
            lrs: K learning rates.
            stop: not called, because a block is short.
        """
        kernel, buffers = self._started or self.start()
        buffers.read(self._net)
        losses = self._call(kernel, buffers, x.numpy(), y.numpy(), lrs)
        buffers.write(self._net)
        return torch.from_numpy(losses)

    def _call(
        self, kernel: ModuleType, buffers: _Buffers, x: npt.NDArray[Any], y: npt.NDArray[Any], lrs: Sequence[float]
    ) -> Floats:
        scales = np.asarray(lrs, np.float64) / self._batch_size
        losses = np.empty(len(y), np.float32)
        parts = (buffers.weights, buffers.sums, buffers.work)
        sizes = (self._net.context_length, self._net.C.shape[1])
        kernel.train_steps(x, y, scales.astype(np.float32), losses, *parts, *sizes)
        return losses


class _Buffers:
    """The arguments `weights`, `sums` and `work` of `cpu_kernel.train_steps`."""

    def __init__(self, net: MLPChar, batch_size: int, width: int) -> None:
        V, E = net.C.shape
        D, H = net.W1.shape
        Dp, Ep, Vp, lanes = _padded(D + 1, width), _padded(E, width), _padded(V, width), 2 * width
        self.C, self.W1, self.W2 = _aligned(V * Ep), _aligned(H * Dp), _aligned((H + 1) * Vp)
        self.weights = (self.C, self.W1, self.W2)
        # the update of a batch that fits into one panel is added to the weights directly
        sums = (self.W1, self.W2) if batch_size <= lanes else (_aligned(len(w)) for w in self.weights[1:])
        self.sums = (_aligned(len(self.C)), *sums)
        hT = _aligned((H + 1) * lanes)
        hT[H * lanes :] = 1  # the hidden unit of b2
        inputs, sizes = lanes * Dp + width, (H * lanes, Vp * lanes, lanes * Vp, Dp * lanes)
        rest = (*sizes, inputs, 2 * lanes)
        self.work = (_aligned(inputs), _aligned(Dp * lanes), hT, *(_aligned(size) for size in rest))
        self._views = (self.C.reshape(V, Ep), self.W1.reshape(H, Dp), self.W2.reshape(H + 1, Vp))

    def read(self, net: MLPChar) -> None:
        """Copy the net's weights: W1 transposed, with b1 as an additional column; b2 as an additional row of W2."""
        (V, E), (D, H) = net.C.shape, net.W1.shape
        C, W1, W2 = self._views
        C[:, :E] = net.C.numpy()
        W1[:, :D], W1[:, D] = net.W1.numpy().T, net.b1.numpy()
        W2[:H, :V], W2[H, :V] = net.W2.numpy(), net.b2.numpy()

    def write(self, net: MLPChar) -> None:
        """Copy the weights to the net."""
        (V, E), (D, H) = net.C.shape, net.W1.shape
        C, W1, W2 = self._views
        net.C.numpy()[:] = C[:, :E]
        net.W1.numpy()[:], net.b1.numpy()[:] = W1[:, :D].T, W1[:, D]
        net.W2.numpy()[:], net.b2.numpy()[:] = W2[:H, :V], W2[H, :V]


def _padded(size: int, width: int) -> int:
    return -(-size // width) * width


def _aligned(size: int) -> Floats:
    """Zeros aligned to a cache line, so that no vector crosses one."""
    spare = _CACHE_LINE // 4
    floats = np.zeros(size + spare, np.float32)
    start = -floats.ctypes.data % _CACHE_LINE // 4
    return floats[start : start + size]
