"""The `fused` engine: a whole block of steps in one compiled kernel, by numba on a CPU and by Triton on CUDA."""

from __future__ import annotations

from torch import nn

import zoo
from zoo.engines import Engine


def fused(model: nn.Module, optimizer: object, batch_size: int) -> Engine:
    """The kernel for the device that the model is on.

    Raises:
        zoo.EngineUnavailableError: there is none, or what compiles it is not installed, or it does not fit this net.
    """
    device = next(model.parameters()).device.type
    if device == "cpu":
        from zoo_lecture.fused_cpu import FusedCPU

        return FusedCPU(model, optimizer, batch_size)
    if device == "cuda":
        from zoo_lecture.fused_cuda import FusedCuda

        return FusedCuda(model, optimizer, batch_size)
    raise zoo.EngineUnavailableError(f"it has kernels for cpu and cuda, not for {device}")
