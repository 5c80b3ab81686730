"""The kernel of `zoo_lecture.fused_cuda` on the CPU: its own source, compiled for this machine by a C++ compiler.

`cuda_on_cpu.cpp` says what that shows.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zoo_lecture import fused_cuda, nvrtc
from zoo_lecture.fused_cuda import Sizes

_PROGRAM = Path(__file__).with_suffix(".cpp")
COMPILER = shutil.which("g++") or shutil.which("c++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@dataclass
class CudaOnCpu:
    """A driver whose device is this machine.

    Attributes:
        folder: where libraries are built, one for each sizes of a net.
        order: which thread runs next: 0 the first that can, 1 the last, else the seed of a random choice.
        left_out: the line of the kernel's source whose barrier does nothing; 0 for none.
        races: whether the library counts races, which `zoo_races` tells; it is then some three times slower.
    """

    folder: Path
    order: int = 0
    left_out: int = 0
    races: bool = False

    def driver(self, sizes: Sizes) -> Any:
        """The driver's library for a net of these sizes."""
        assert COMPILER is not None
        library = self.folder / ("_".join(map(str, vars(sizes).values())) + ".races" * self.races + ".so")
        if not library.exists():
            source, compiled = library.with_suffix(".cu"), str(library.with_suffix(".o"))
            source.write_text(sizes.source(), encoding="utf-8")
            options = [
                "-std=c++17",
                "-O1",
                "-fPIC",
                "-U_FORTIFY_SOURCE",
                "-Wno-unknown-pragmas",
                f'-DSOURCE="{source}"',
            ]
            if self.races:
                options += ["-DRACES", "-fsanitize=thread", "-Wno-tsan"]  # linked without it: its functions are ours
            for arguments in (
                [*options, "-c", str(_PROGRAM), "-o", compiled],
                ["-shared", compiled, "-o", str(library)],
            ):
                subprocess.run([COMPILER, *arguments], check=True, capture_output=True, text=True)
        loaded = ctypes.CDLL(str(library))
        loaded.zoo_set(self.order, self.left_out)
        return loaded


def on_cpu(monkeypatch: pytest.MonkeyPatch, folder: Path) -> CudaOnCpu:
    """Let `FusedCuda` take nets on the CPU, and launch its kernel here. NVRTC is not called."""
    emulated = CudaOnCpu(folder)
    start = fused_cuda.FusedCuda.start

    def started(engine: fused_cuda.FusedCuda) -> Any:
        sizes = engine._sizes
        monkeypatch.setattr(nvrtc, "driver_library", lambda: emulated.driver(sizes))
        return start(engine)

    monkeypatch.setattr(fused_cuda.FusedCuda, "start", started)
    monkeypatch.setattr(fused_cuda, "_device_reason", lambda device: None)
    monkeypatch.setattr(nvrtc, "architecture", lambda capability: "sm_90")
    monkeypatch.setattr(nvrtc, "compiled", lambda source, architecture: b"\177ELF")
    monkeypatch.setattr("zoo.cuda.capability", lambda device: (9, 0))
    monkeypatch.setattr("zoo.cuda.shared_memory", lambda device: 227 << 10)
    monkeypatch.setattr("zoo.cuda.stream_handle", lambda device: 0)
    monkeypatch.setattr("zoo.cuda.synchronize", lambda device: None)
    return emulated


@pytest.fixture(scope="session")
def kernel_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the kernel is compiled, for nets of each sizes once."""
    return tmp_path_factory.mktemp("libraries")


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch, kernel_libraries: Path) -> CudaOnCpu:
    """The kernel on the CPU."""
    return on_cpu(monkeypatch, kernel_libraries)


def barriers() -> list[int]:
    """The lines of the source, as it is compiled for any sizes, at which threads wait for each other."""
    lines = Sizes(1, 1, 1, 1, 1).source().splitlines()
    return [number for number, line in enumerate(lines, 1) if "__syncthreads()" in line or "__syncwarp()" in line]
