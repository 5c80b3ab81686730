"""A fake of `torch.cuda` for machines without a GPU: code that thinks it is on CUDA runs on tensors of the CPU.

It is put in place of `zoo.cuda.api` by the fixture `fake_cuda` of `conftest.py`. All tensors of the CPU are taken to be
on one of its devices, `tensors_on`, and the device `cpu` stands for that one. Every call is logged, with the device and
the stream that were current.

A graph is captured in earnest: what runs on the capturing stream is recorded and not done, and a replay does it in the
same memory (see `recording.py`). Any call can be made to fail.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, NamedTuple

import pytest
import torch
from recording import NOT_PERMITTED, Recording, cuda_error
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import zoo.cuda

Device = torch.device | str | int | None

INVALIDATED = "operation failed due to a previous error during capture"


class Call(NamedTuple):
    """One call: its name, the current device and its current stream, and what was given."""

    name: str
    device: int
    stream: int
    given: object = None


@dataclass
class _Failure:
    nth: int | None
    error: Exception
    calls: int = 0


def out_of_memory() -> Exception:
    """As torch raises it where its allocator has no more."""
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 1 GiB")


class FakeCuda:
    """What `zoo.cuda.api` is replaced by.

    Attributes:
        log: every call.
        tensors_on: the device that tensors of the CPU are taken to be on.
        graphs: all that were captured, the first first.
        memory: free and total bytes of each device.
        in_use: whether CUDA is in use in this process; `init` makes it so.
    """

    OutOfMemoryError = torch.OutOfMemoryError

    def __init__(self, devices: int = 1, tensors_on: int = 0, capability: tuple[int, int] = (9, 0)) -> None:
        self.log: list[Call] = []
        self.tensors_on = tensors_on
        self.graphs: list[FakeGraph] = []
        self.memory = [70 << 30, 80 << 30]
        self.in_use = True
        self.capturing: FakeGraph | None = None
        self.replaying = False
        self._count, self._capability = devices, capability
        self._failures: dict[str, _Failure] = {}
        self._numbers = itertools.count(1)  # of streams; 0 is the default stream of each device
        self._device = 0
        self._streams = [FakeStream(self, number, 0) for number in range(devices)]  # the current ones
        self._generators = [torch.tensor([0, 0]) for _ in range(devices)]  # seed and offset
        self.default_generators = tuple(FakeGenerator(self._generators, n) for n in range(devices))

    def fail(self, name: str, error: Exception | None = None, *, nth: int | None = None) -> None:
        """Let the nth call of that name from now on fail; every one by default."""
        self._failures[name] = _Failure(nth, error or cuda_error("unspecified launch failure"))

    def mend(self) -> None:
        """Let nothing fail any more."""
        self._failures.clear()

    def names(self, *wanted: str) -> list[str]:
        """The names of all calls, or of those calls only, in order."""
        return [call.name for call in self.log if not wanted or call.name in wanted]

    def record(self, name: str, given: object = None, *, in_capture: bool = True) -> None:
        """Log a call, and let it fail if it is to."""
        self.log.append(Call(name, self._device, self._streams[self._device].stream_id, given))
        if self.capturing is not None and not in_capture:
            self.capturing.recording.invalid = True
            raise cuda_error(NOT_PERMITTED)
        failure = self._failures.get(name)
        if failure is not None:
            failure.calls += 1
            if failure.nth in (None, failure.calls):
                raise failure.error

    # Devices

    def number(self, device: Device = None) -> int:
        """The number of a device; `cpu` is the one that tensors are on."""
        if isinstance(device, int):
            return device
        if device is None:
            return self._device
        device = torch.device(device)
        if device.type == "cpu":
            return self.tensors_on
        assert device.type == "cuda", f"not a device of CUDA: {device}"
        return self._device if device.index is None else device.index

    def is_available(self) -> bool:
        return self._count > 0

    def init(self) -> None:
        self.record("init")
        self.in_use = True

    def is_initialized(self) -> bool:
        return self.in_use

    def device_count(self) -> int:
        return self._count

    def current_device(self) -> int:
        return self._device

    def set_device(self, device: Device) -> None:
        number = self.number(device)
        assert number < self._count, "invalid device ordinal"
        self.record("set_device", number)
        self._device = number

    @contextlib.contextmanager
    def device(self, device: Device) -> Iterator[None]:
        before, number = self._device, self.number(device)
        assert number < self._count, "invalid device ordinal"
        self.record("device", number)
        self._device = number
        try:
            yield
        finally:
            self._device = before

    def get_device_name(self, device: Device = None) -> str:
        return f"Fake H100 {self.number(device)}"

    def get_device_capability(self, device: Device = None) -> tuple[int, int]:
        self.number(device)
        return self._capability

    def get_arch_list(self) -> list[str]:
        return ["sm_80", "sm_90", "sm_100", "sm_120"]

    def get_device_properties(self, device: Device = None) -> Any:
        major, minor = self._capability
        return SimpleNamespace(
            name=self.get_device_name(device), major=major, minor=minor, total_memory=self.memory[1],
            multi_processor_count=132, shared_memory_per_block=48 << 10, shared_memory_per_block_optin=227 << 10,
        )  # fmt: skip

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return including_emulation or self._capability >= (8, 0)

    def mem_get_info(self, device: Device = None) -> tuple[int, int]:
        assert isinstance(device, int) or torch.device(device or "cuda").index is not None, "torch 2.4 wants an index"
        self.record("mem_get_info", self.number(device))
        return self.memory[0], self.memory[1]

    def memory_allocated(self, device: Device = None) -> int:
        return self.memory[1] - self.memory[0] + 0 * self.number(device)

    max_memory_allocated = memory_allocated

    def reset_peak_memory_stats(self, device: Device = None) -> None:
        self.record("reset_peak_memory_stats", self.number(device))

    def empty_cache(self) -> None:
        self.record("empty_cache")

    def synchronize(self, device: Device = None) -> None:
        self.record("synchronize", self.number(device), in_capture=False)

    # Random number generators: 16 bytes of state each, the seed and an offset

    def manual_seed(self, seed: int) -> None:
        self.record("manual_seed", seed)
        self._generators[self._device] = torch.tensor([seed, 0])

    def get_rng_state(self, device: Device = "cuda") -> Tensor:
        number = self.number(device)
        self.record("get_rng_state", number, in_capture=False)
        return self._generators[number].view(torch.uint8).clone()

    def set_rng_state(self, state: Tensor, device: Device = "cuda") -> None:
        number = self.number(device)
        self.record("set_rng_state", number, in_capture=False)
        self._generators[number] = state.clone().view(torch.int64)

    def draw(self, numbers: int) -> None:
        """As dropout does: it moves on the generator of the device that tensors are on."""
        self._generators[self.tensors_on][1] += numbers

    # Streams

    def Stream(self, device: Device = None, priority: int = 0) -> FakeStream:
        number = self.number(device)
        self.record("Stream", number)
        return FakeStream(self, number, next(self._numbers))

    def current_stream(self, device: Device = None) -> FakeStream:
        return self._streams[self.number(device)]

    def default_stream(self, device: Device = None) -> FakeStream:
        return FakeStream(self, self.number(device), 0)

    @contextlib.contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        """Make a stream current, and its device."""
        enter, leave = self._stream_switch(stream)
        enter()
        try:
            yield
        finally:
            leave()

    def _stream_switch(self, stream: FakeStream) -> tuple[Callable[[], None], Callable[[], None]]:
        before = self._device, self._streams[stream.number]

        def enter() -> None:
            self.record("stream", stream.stream_id)
            self._device, self._streams[stream.number] = stream.number, stream

        def leave() -> None:
            self._device, self._streams[stream.number] = before

        return enter, leave

    # Graphs

    def CUDAGraph(self) -> FakeGraph:
        self.record("CUDAGraph")
        return FakeGraph(self)

    def graph(self, graph: FakeGraph, *, stream: FakeStream | None = None) -> _Capturing:
        return _Capturing(self, graph, stream or self._stream_of_all_captures())

    def _stream_of_all_captures(self) -> FakeStream:
        """torch makes one where none is given: of whatever device is current at that moment, and for good."""
        if not hasattr(self, "_capture_stream"):
            self._capture_stream = self.Stream()
        return self._capture_stream

    def is_current_stream_capturing(self) -> bool:
        return self.capturing is not None and self.capturing.stream is self._streams[self._device]

    # Memory of the CPU

    def pinned(self, tensor: Tensor) -> Tensor:
        """`Tensor.pin_memory`, which a build without CUDA lacks: a copy, so that it is no longer the same memory."""
        self.record("pin_memory", tuple(tensor.shape), in_capture=False)
        return tensor.clone()


class FakeGenerator:
    """The global generator of a device, by which zoo seeds it and puts it back; this is not logged."""

    def __init__(self, states: list[Tensor], number: int) -> None:
        self._states, self._number = states, number
        self.device = torch.device("cuda", number)

    def get_state(self) -> Tensor:
        return self._states[self._number].view(torch.uint8).clone()

    def set_state(self, state: Tensor) -> None:
        self._states[self._number] = state.clone().view(torch.int64)

    def manual_seed(self, seed: int) -> None:
        self._states[self._number] = torch.tensor([seed, 0])


class FakeStream:
    """A stream of a device; number 0 is the default stream."""

    def __init__(self, cuda: FakeCuda, number: int, stream_id: int) -> None:
        self._cuda, self.number, self.stream_id = cuda, number, stream_id
        self.device, self.cuda_stream = torch.device("cuda", number), stream_id

    def wait_stream(self, other: FakeStream) -> None:
        self._cuda.record("wait_stream", (self.stream_id, other.stream_id))

    def synchronize(self) -> None:
        self._cuda.record("synchronize", self.number, in_capture=False)


class FakeGraph:
    """A graph; `nodes` are the operations that it was captured with, which a replay does."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.replays = 0
        self.stream: FakeStream | None = None
        self._captured = False

    @property
    def nodes(self) -> list[str]:
        return self.recording.nodes

    def capture_begin(self) -> None:
        cuda = self._cuda
        cuda.record("capture_begin")
        stream = cuda.current_stream()
        assert stream.stream_id, "CUDA graphs must be captured on a non-default stream"
        assert cuda.capturing is None, "a capture is under way"
        cuda.capturing, self.stream = self, stream
        self.recording = Recording(lambda: cuda.current_stream(cuda.tensors_on) is stream)
        self.recording.begin()

    def capture_end(self) -> None:
        cuda = self._cuda
        cuda.capturing = None
        self.recording.end()
        cuda.record("capture_end", len(self.nodes))
        assert cuda.current_stream() is self.stream, "Capture must end on the same stream it began on."
        if self.recording.invalid:
            raise cuda_error(INVALIDATED)
        if not self.nodes:
            warnings.warn("The CUDA Graph is empty. This usually means that the graph was attempted to be captured on "
                          "wrong device or stream.", stacklevel=2)  # fmt: skip
        cuda.graphs.append(self)
        self._captured = True

    def replay(self) -> None:
        self._cuda.record("replay", self)
        assert self._captured, "Called CUDAGraph::replay without a preceding successful capture."
        self.replays += 1
        self._cuda.replaying = True
        try:
            self.recording.replay()
        finally:
            self._cuda.replaying = False

    def reset(self) -> None:
        self._cuda.record("reset")
        self._captured = False


class _Capturing:
    """`torch.cuda.graph`, with its fault: where the capture's end fails, the capturing stream stays current."""

    def __init__(self, cuda: FakeCuda, graph: FakeGraph, stream: FakeStream) -> None:
        self._cuda, self._graph, self._stream = cuda, graph, stream

    def __enter__(self) -> None:
        self._cuda.synchronize()
        self._cuda.empty_cache()
        enter, self._leave = self._cuda._stream_switch(self._stream)
        enter()
        self._graph.capture_begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._graph.capture_end()
        self._leave()


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch
    """Logs every operation outside of replays, as `aten.mm.out`."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self._cuda.replaying:
            self._cuda.record(str(func))
        return func(*args, **kwargs or {})


def watched(cuda: FakeCuda) -> contextlib.AbstractContextManager[object]:
    """A context in which the operations of torch are logged, too; they take twice as long."""
    return _Watch(cuda)


def put_in_place(monkeypatch: pytest.MonkeyPatch, devices: int = 1, tensors_on: int = 0, **kwargs: Any) -> FakeCuda:
    """Put a fake in place of all that zoo asks of CUDA, until the end of the test."""
    fake = FakeCuda(devices, tensors_on, **kwargs)
    monkeypatch.setattr(zoo.cuda, "api", fake)
    monkeypatch.setattr(zoo.cuda, "holds", lambda device: device.type in ("cuda", "cpu"))
    monkeypatch.setattr(zoo.cuda, "built_for", lambda: "13.0")
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, device=None: fake.pinned(tensor))
    return fake
