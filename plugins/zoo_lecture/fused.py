"""The `fused` engine: one compiled kernel for a block of steps, by numba on a CPU and by NVRTC on CUDA."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

import zoo
from zoo import cuda
from zoo.engines import Engine, PopulationEngine


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


def population(nets: Sequence[tuple[nn.Module, object]], batch_size: int) -> PopulationEngine:
    """The engine for many nets on the models' device.

    Raises:
        zoo.EngineUnavailableError: there is none for the device; on a CPU, each core trains a net of its own.
    """
    device = next(nets[0][0].parameters()).device
    if not cuda.holds(device):
        raise zoo.EngineUnavailableError(f"it trains many nets at once on cuda, not on {device.type}")
    from zoo_lecture.fused_cuda import FusedCudaPopulation

    return FusedCudaPopulation(nets, batch_size)
