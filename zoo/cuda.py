"""Everything that zoo asks of CUDA: which devices there are, and its streams, graphs, generators and pinned memory.

All of it goes through `api`, which is `torch.cuda`. So a test on a machine without a GPU can put a fake in its place,
and see each call and their order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

api: Any = torch.cuda


def holds(device: torch.device) -> bool:
    """Whether it is a device of CUDA (or of ROCm, which torch calls CUDA too)."""
    return device.type == "cuda"


def is_available() -> bool:
    """Whether there is a device and a driver, and this torch was built for them."""
    return bool(api.is_available())


def built_for() -> str | None:
    """The version of CUDA or ROCm that this torch was built for; None if it was built without."""
    return torch.version.cuda or torch.version.hip


def platform() -> str:
    """What this torch was built for, for a message: `CUDA 13.0`, `ROCm 6.4`, `no CUDA`."""
    if torch.version.hip is not None:
        return f"ROCm {torch.version.hip}"
    return f"CUDA {torch.version.cuda}" if torch.version.cuda is not None else "no CUDA"


def count() -> int:
    """The number of devices."""
    return int(api.device_count())


def is_initialized() -> bool:
    """Whether CUDA is in use in this process; before that there are no generators."""
    return bool(api.is_initialized())


def default_generators() -> tuple[torch.Generator, ...]:
    """The global generator of each device; none before CUDA is in use."""
    return tuple(api.default_generators) if is_initialized() else ()


def current_index() -> int | None:
    """The number of this thread's current device; None before CUDA is in use."""
    return int(api.current_device()) if is_initialized() else None


def set_current(number: int) -> None:
    """Make a device this thread's current one."""
    api.set_device(number)


def index(device: torch.device) -> int:
    """The device's number; `cuda` alone is the current device."""
    return int(api.current_device()) if device.index is None else device.index


def name(device: torch.device) -> str:
    """The card's name: `NVIDIA H100 80GB HBM3`."""
    return str(api.get_device_name(device))


def capability(device: torch.device) -> tuple[int, int]:
    """Its compute capability: (9, 0)."""
    major, minor = api.get_device_capability(device)
    return major, minor


def architectures() -> list[str]:
    """What this torch has kernels for: `sm_80`, `sm_90`; of ROCm `gfx942`."""
    return list(api.get_arch_list())


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether it does so natively: NVIDIA's cards from Ampere on, and all of AMD's that torch works on."""
    return torch.version.hip is not None or capability(device)[0] >= 8


def try_out(device: torch.device) -> None:
    """Make a tensor on the device, compute with it, and wait for the result: only that shows that the device works.

    Raises:
        Exception: it does not work; of many kinds.
    """
    api.init()  # whose message says why there is no device, where torch only says that there is none
    with current(device):
        torch.zeros(1, device=device).add_(1)
    synchronize(device)


def shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that one block may ask for."""
    properties = api.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", 48 << 10))


def memory(device: torch.device) -> tuple[int, int]:
    """Bytes of its memory that are free, and all of them."""
    free, total = api.mem_get_info(index(device))  # torch 2.4 refuses `cuda` alone
    return int(free), int(total)


@contextlib.contextmanager
def current(device: torch.device) -> Iterator[None]:
    """Make it the current device for a block: streams, captures, pinned memory and kernels' launches are of that one.

    Any other device changes nothing.
    """
    if not holds(device):
        yield
        return
    with api.device(device):
        yield


def stream_handle(device: torch.device) -> int:
    """The driver's handle of torch's current stream on that device."""
    return int(api.current_stream(device).cuda_stream)


def synchronize(device: torch.device) -> None:
    """Wait until the device is done."""
    api.synchronize(device)


def copied(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on that device; to CUDA from pinned memory, without waiting for the device."""
    return tensor.pin_memory().to(device, non_blocking=True) if holds(device) else tensor.to(device)


def seed_generator(seed: int, device: torch.device) -> None:
    """Seed the device's global generator, which dropout and the like use."""
    with api.device(device):
        api.manual_seed(seed)


def generator_state(device: torch.device) -> Tensor:
    """The state of the device's global generator, a tensor of the CPU."""
    state: Tensor = api.get_rng_state(device)
    return state


def set_generator_state(state: Tensor, device: torch.device) -> None:
    """Set the state of the device's global generator."""
    api.set_rng_state(state, device)


@lru_cache
def _side_stream(of: Any, number: int) -> Any:
    """The stream of a device for all captures: cuBLAS keeps a workspace for each stream, 32 MiB on Hopper, for good."""
    return of.Stream(number)


class Graph:
    """Work of the device that is captured once and replayed with one launch.

    The work must always use the same tensors, and never wait for the device.
    """

    def __init__(self, work: Callable[[], object], device: torch.device) -> None:
        """Do the work once, so that kernels and workspaces are there, and then capture it, which does not do it.

        Raises:
            RuntimeError: the work cannot be captured. Device and stream are then current as before.
        """
        with api.device(device):  # or a capture would be on a stream of another device, and get nothing
            stream = _side_stream(api, index(device))
            stream.wait_stream(api.current_stream(device))
            try:
                with api.stream(stream):
                    work()
            finally:  # also where it fails: the caller may put back what the work has changed
                api.current_stream(device).wait_stream(stream)
            self._graph = api.CUDAGraph()
            with api.stream(stream), api.graph(self._graph, stream=stream):  # torch leaves the stream if the end fails
                work()
        self._device = device

    def replay(self) -> None:
        """Do the work once more."""
        with api.device(self._device):
            self._graph.replay()
