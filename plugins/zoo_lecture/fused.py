"""The `fused` engine: one compiled kernel for a block of steps, by numba on a CPU and by NVRTC on CUDA."""

from __future__ import annotations

from torch import nn

import zoo
from zoo import cuda
from zoo.engines import Engine


def fused(model: nn.Module, optimizer: object, batch_size: int) -> Engine:
    """The engine for the model's device.

    Raises:
        zoo.EngineUnavailableError: there is no kernel for the device or for this net, or its compiler is not installed.
    """
    device = next(model.parameters()).device
    if cuda.holds(device):
        from zoo_lecture.fused_cuda import FusedCuda

        return FusedCuda(model, optimizer, batch_size)
    if device.type == "cpu":
        from zoo_lecture.fused_cpu import FusedCPU

        return FusedCPU(model, optimizer, batch_size)
    raise zoo.EngineUnavailableError(f"it has kernels for cpu and cuda, not for {device.type}")
