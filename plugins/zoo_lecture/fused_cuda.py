"""The `fused` engine on CUDA: one launch of one Triton kernel for a block of steps, with the weights on the chip.

The lecture's net is so small that launching kernels takes longer than running them. This kernel runs on one
multiprocessor of the GPU and keeps the weights in its registers from the first step of a block to the last; only
batches, losses and the small embedding table go through memory. It is deterministic.

Axes: K steps, B examples, R rows per block of a batch, T characters of context, E embedding dimensions, H hidden units,
V characters.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import zoo
from zoo_lecture.manual import lecture_net
from zoo_lecture.mlp_char import MLPChar

_REGISTERS = 160 << 10  # bytes for weights and gradients; a multiprocessor has 256 KiB, the rest is for activations
_SHARED = 92 << 10  # bytes of shared memory for operands of matrix products; the smallest GPUs have 99 KiB
_MANY_ROWS, _FEW_ROWS = 32, 16  # rows per block; a product in Triton needs at least 16
_OLDEST = (8, 0)  # compute capability
_LARGEST_BATCH = 64  # above it, separate kernels on all multiprocessors are faster
_SMALL = 32 << 10  # bytes of registers up to which four warps are enough
_THREADS_PER_WARP = 32
_REGISTERS_PER_MULTIPROCESSOR = 1 << 16
_MAX_REGISTERS_PER_THREAD = 255


class _Sizes:
    """The sizes of a net, and the same rounded up to powers of two."""

    def __init__(self, net: MLPChar) -> None:
        V, E = net.C.shape
        T, H = net.context_length, len(net.b1)
        self.own = {"T": T, "E": E, "H": H, "V": V}
        self.padded = {"D2": _power(T * E), "E2": _power(E), "H2": _power(H), "V2": _power(V)}

    def registers(self) -> int:
        """Bytes of the weights and their gradients."""
        D, E, H, V = self.padded.values()
        return 2 * 4 * (V * E + D * H + H + H * V + V)

    def shared(self, rows: int) -> int:
        """Bytes of the operands in shared memory at the same time: W1, W2, and for each row X, h and dlogits."""
        D, _, H, V = self.padded.values()
        return 4 * (D * H + H * V + rows * (D + H + V))

    def rows(self, batch_size: int) -> int:
        """The number of rows per block."""
        return _MANY_ROWS if batch_size > _FEW_ROWS and self.shared(_MANY_ROWS) <= _SHARED else _FEW_ROWS


class FusedCuda:
    """The engine. The kernel is compiled in the first run with a net of these sizes; Triton caches it on disk."""

    def __init__(self, model: nn.Module, optimizer: object, batch_size: int) -> None:
        """Check that the kernel supports the model, which must be on its device.

        Raises:
            zoo.EngineUnavailableError: the kernel does not support the net, the optimizer or the device, triton is not
                installed, or the weights do not fit on the chip.
        """
        self._net = lecture_net(model, optimizer)
        reason = _device_reason(self._net.C.device) or _triton_reason()
        if reason is not None:
            raise zoo.EngineUnavailableError(reason)
        self._sizes = _Sizes(self._net)
        registers, shared = self._sizes.registers(), self._sizes.shared(_FEW_ROWS)
        if registers > _REGISTERS or shared > _SHARED:
            raise zoo.EngineUnavailableError(
                f"the net does not fit on the chip: with sizes rounded up to powers of two it needs {_kib(registers)} "
                f"of registers (at most {_kib(_REGISTERS)}) and {_kib(shared)} of shared memory (at most "
                f"{_kib(_SHARED)})"
            )
        if not all(p.is_contiguous() for p in self._net.parameters()):
            raise zoo.EngineUnavailableError("it needs contiguous weights")
        self._optimizer = optimizer
        # importing triton and loading the kernel takes a second, compiling it more; a step saves some 30 µs
        self.worth_from = 50_000 if batch_size <= _LARGEST_BATCH else sys.maxsize

    @torch.no_grad()
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Callable[[], bool]) -> Tensor:
        """Train on K batches; see `zoo.engines.Engine`. The weights change in place, without synchronization.

        Args:
            x: contexts, shape (K, B, T), int64; tokens from 0 to V - 1, which is not checked.
            y: targets, shape (K, B), int64; tokens as above.
            lrs: K learning rates.
            stop: called once at the beginning, because all K steps are one launch.

        Raises:
            ValueError: a shape or type is wrong.
        """
        K, B, T = x.shape
        T_own = self._sizes.own["T"]
        if T_own != T or y.shape != (K, B) or len(lrs) != K or {x.dtype, y.dtype} != {torch.int64}:
            raise ValueError(
                f"x {tuple(x.shape)} {x.dtype}, y {tuple(y.shape)} {y.dtype} and {len(lrs)} learning rates are not "
                f"batches of contexts of {T_own} characters, as int64"
            )
        if K == 0 or stop():
            return torch.empty(0, device=x.device)
        losses = torch.empty(K, device=x.device)
        with torch.cuda.device(
            x.device if x.is_cuda else -1
        ):  # triton launches on the current device; -1 changes nothing
            self._launch(x.contiguous(), y.contiguous(), _to(x.device, lrs), losses)
        for group in getattr(self._optimizer, "param_groups", ()):
            group["lr"] = lrs[-1]
        return losses

    def _launch(self, x: Tensor, y: Tensor, lrs: Tensor, losses: Tensor) -> None:
        """Launch the kernel on x (K, B, T), y (K, B), lrs (K,) and losses (K,)."""
        from zoo_lecture.fused_cuda_kernel import train

        K, B, T = x.shape
        constants = self._constants(B)
        dX = torch.empty((constants["R"], T * constants["E"]), device=x.device)
        net = self._net
        weights = [p.detach() for p in (net.C, net.W1, net.b1, net.W2, net.b2)]
        train[(1,)](x, y, lrs, losses, dX, K, *weights, **constants, **self._options())

    def _constants(self, batch_size: int) -> dict[str, int]:
        """The compile-time constants of the kernel."""
        return {"B": batch_size, "R": self._sizes.rows(batch_size), **self._sizes.own, **self._sizes.padded}

    def _options(self) -> dict[str, int | bool]:
        """The compiler options of the kernel."""
        warps = 8 if self._sizes.registers() > _SMALL else 4
        return {
            "num_warps": warps,
            "num_stages": 1,  # otherwise loads may be moved before the writes on which they depend
            # by default, the assembler uses 32 registers per thread and spills the weights to memory
            "maxnreg": min(_MAX_REGISTERS_PER_THREAD, _REGISTERS_PER_MULTIPROCESSOR // (_THREADS_PER_WARP * warps)),
            "enable_fp_fusion": True,  # triton 3.9 warns if it is not set
        }


def _power(size: int) -> int:
    """The smallest power of two that is at least the size and at least 16, the minimum of a product in Triton."""
    return max(16, 1 << (size - 1).bit_length())


def _kib(size: int) -> str:
    return f"{-(-size // 1024)} KiB"


def _to(device: torch.device, lrs: Sequence[float]) -> Tensor:
    """The learning rates, shape (K,), on the device; copied from pinned memory, without synchronization."""
    rates = torch.tensor(lrs, dtype=torch.float32)
    return rates.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rates


def _triton_reason() -> str | None:
    """Why triton cannot be used, or None; found without importing it, which is slow.

    triton compiles a few lines of C to launch its first kernel, so it needs a C compiler and Python's headers.
    """
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if os.environ.get("CC") is None and shutil.which("gcc") is None and shutil.which("clang") is None:
        return "triton needs a C compiler, and there is none"
    include = sysconfig.get_path("include", "posix_prefix" if os.name == "posix" else sysconfig.get_default_scheme())
    if not (Path(include) / "Python.h").is_file():
        return "triton needs the C headers of Python, and they are not installed"
    return None


def _device_reason(device: torch.device) -> str | None:
    """Why the kernel cannot run on this device, or None. Triton's interpreter runs it on any device."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if device.type != "cuda":
        return f"its kernel is for CUDA, and the weights are on {device}"
    if torch.version.hip is not None:
        return "its kernel is for GPUs of NVIDIA"
    capability = torch.cuda.get_device_capability(device)
    if capability < _OLDEST:
        return "its kernel needs compute capability {}.{}, and the GPU has {}.{}".format(*_OLDEST, *capability)
    return None
