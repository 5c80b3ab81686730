"""Compiling a CUDA kernel with NVRTC, which comes with torch, and launching it: no other compiler is needed.

The two libraries are called through ctypes, as torch itself does in a private function. NVRTC compiles to a binary for
one architecture; the driver loads it into torch's context and launches it on torch's current stream.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import weakref
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import cuda

_OPTIONS = ("--std=c++17", "--ftz=true")
_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_MOST_CHARACTERS = 300  # of a compiler's log in a message


class Kernel:
    """A compiled kernel on a device, with a fixed number of threads in a block and of bytes of shared memory."""

    def __init__(self, source: str, name: str, device: torch.device, *, threads: int, shared_bytes: int) -> None:
        """Compile and load it.

        Args:
            source: CUDA C++.
            name: of the kernel, which is `extern "C"`.
            device: of CUDA.
            threads: in a block.
            shared_bytes: of dynamic shared memory of a block.

        Raises:
            OSError: NVRTC or the driver cannot be found.
            RuntimeError: a call of one of them fails.
        """
        self._device, self._threads, self._shared_bytes = device, threads, shared_bytes
        binary = compiled(source, architecture(cuda.capability(device)))
        self._driver = driver_library()
        self._module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        with cuda.current(device):
            cuda.synchronize(device)  # which makes the device's context this thread's, as the driver's calls need it
            self._call("cuModuleLoadData", ctypes.byref(self._module), binary)
            unload = weakref.finalize(self, self._driver.cuModuleUnload, self._module)
            unload.atexit = False  # the process's end frees it, in whatever order
            self._call("cuModuleGetFunction", ctypes.byref(self._function), self._module, name.encode())
            self._call("cuFuncSetAttribute", self._function, _MAX_DYNAMIC_SHARED, ctypes.c_int(shared_bytes))

    def launch(self, blocks: int, arguments: Sequence[Tensor | int]) -> None:
        """Launch it on the current stream, without waiting for it.

        Args:
            blocks: of the grid.
            arguments: contiguous tensors on the device, for which the kernel gets pointers, and numbers for its `int`s.
        """
        values = [
            ctypes.c_void_p(argument.data_ptr()) if isinstance(argument, Tensor) else ctypes.c_int(argument)
            for argument in arguments
        ]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(cuda.stream_handle(self._device))
        size, one = ctypes.c_uint, ctypes.c_uint(1)
        grid, block = (size(blocks), one, one), (size(self._threads), one, one)
        with cuda.current(self._device):
            self._call(
                "cuLaunchKernel", self._function, *grid, *block, size(self._shared_bytes), stream, pointers, None
            )

    def _call(self, name: str, *arguments: object) -> None:
        result = getattr(self._driver, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(result, ctypes.byref(text))
            raise RuntimeError(f"CUDA error: {(text.value or b'unknown').decode()} ({name}, {result})")


def architecture(capability: tuple[int, int]) -> str:
    """What to compile for: `sm_90`. A card that NVRTC does not know runs what is for the first of its generation.

    Raises:
        OSError: NVRTC cannot be found.
    """
    library = nvrtc_library()
    count = ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    known = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(known)
    major, minor = capability
    return f"sm_{major}{minor if 10 * major + minor in known else 0}"


@lru_cache(maxsize=8)  # many runs of one process are of one net
def compiled(source: str, architecture: str) -> bytes:
    """The binary of a program for an architecture, such as `sm_90`.

    Raises:
        OSError: NVRTC cannot be found.
        RuntimeError: it cannot compile the program, or not for this architecture.
    """
    library = nvrtc_library()
    program = ctypes.c_void_p()

    def call(name: str, *arguments: object) -> None:
        result = getattr(library, name)(*arguments)
        if result:
            library.nvrtcGetErrorString.restype = ctypes.c_char_p
            text = library.nvrtcGetErrorString(result).decode()
            raise RuntimeError(f"{text} ({name}): {_log(library, program)}" if program else f"{text} ({name})")

    options = [option.encode() for option in (f"--gpu-architecture={architecture}", *_OPTIONS)]
    call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    try:
        call("nvrtcCompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*options))
        size = ctypes.c_size_t()
        call("nvrtcGetCUBINSize", program, ctypes.byref(size))
        binary = ctypes.create_string_buffer(size.value)
        call("nvrtcGetCUBIN", program, binary)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    return binary.raw


def _log(library: Any, program: ctypes.c_void_p) -> str:
    """What the compiler said, in one line."""
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(max(1, size.value))
    library.nvrtcGetProgramLog(program, log)
    return " ".join(log.value.decode(errors="replace").split())[:_MOST_CHARACTERS]


def nvrtc_library(version: str | None = torch.version.cuda) -> Any:
    """NVRTC of a version of CUDA, by default the one that torch was built for.

    It comes as a package beside torch, or in torch's own folder, or is installed with CUDA. It loads a second library
    by name, and does not look for that in its own folder; so that is loaded first.

    Raises:
        OSError: it cannot be found.
    """
    if version is None:
        raise OSError("this torch was built without CUDA, and so without NVRTC")
    major = version.partition(".")[0]
    if sys.platform == "win32":
        return _first(f"nvrtc64_{major}0_0.dll", f"nvrtc64_{major}2_0.dll")  # 120, 130, but 112
    for builtins in _beside_torch(
        f"libnvrtc-builtins.so.{major}*"
    ):  # NVRTC may be of a later minor version than torch's
        with contextlib.suppress(OSError):
            ctypes.CDLL(builtins)
    return _first(*_beside_torch(f"libnvrtc.so.{major}*"), f"libnvrtc.so.{major}", "libnvrtc.so")


def driver_library() -> Any:
    """The driver's library. Raises OSError if it cannot be found."""
    return _first("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def _beside_torch(name: str) -> list[str]:
    """Libraries in the packages of NVIDIA that are installed with torch, and in torch itself."""
    packages = Path(torch.__file__).parents[1]
    return [str(file) for folder in ("nvidia/*/lib", "torch/lib") for file in sorted(packages.glob(f"{folder}/{name}"))]


def _first(*names: str) -> Any:
    """The first of these libraries that can be loaded."""
    failed: OSError | None = None
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            failed = error
    raise failed or OSError("no library was named")
