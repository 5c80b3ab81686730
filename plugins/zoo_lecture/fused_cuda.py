"""The `fused` engine on CUDA: a whole block of steps in one launch of one Triton kernel, the weights kept on the chip.

The lecture's net is so small that launching kernels takes longer than what they do. Here one of the GPU's
multiprocessors does everything: the weights stay in its registers from the first step of a block to the last, and only
batches, losses and the small table of embeddings go through memory. The same run gives the same bits.

Axes: K steps, B examples, R rows done at once, T characters of context, E embedding dimensions, H hidden units, V
characters.
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

_REGISTERS = 160 << 10  # bytes for weights and gradients, of the 256 KiB of a multiprocessor; the rest is to work with
_SHARED = 92 << 10  # bytes of shared memory for the large factors of products, of the 99 KiB of the smallest GPUs
_MANY_ROWS, _FEW_ROWS = 32, 16  # done at once; a product takes no fewer than 16
_OLDEST = (8, 0)  # compute capability
_LARGEST_BATCH = 64  # above it, the whole GPU is faster with one kernel after the other than one multiprocessor
_SMALL = 32 << 10  # bytes of registers up to which four warps are enough
_THREADS_OF_WARP = 32
_REGISTER_NUMBERS = 1 << 16  # registers of a multiprocessor
_MOST_REGISTERS = 255  # of a thread


class _Sizes:
    """The sizes of a net, and what they are rounded up to."""

    def __init__(self, net: MLPChar) -> None:
        V, E = net.C.shape
        T, H = net.context_length, len(net.b1)
        self.own = {"T": T, "E": E, "H": H, "V": V}
        self.padded = {"D2": _power(T * E), "E2": _power(E), "H2": _power(H), "V2": _power(V)}

    def registers(self) -> int:
        """Bytes of the weights and of as many gradients."""
        D, E, H, V = self.padded.values()
        return 2 * 4 * (V * E + D * H + H + H * V + V)

    def shared(self, rows: int) -> int:
        """Bytes of the factors that are there at the same time: W1, W2, and for each row X, h and dlogits."""
        D, _, H, V = self.padded.values()
        return 4 * (D * H + H * V + rows * (D + H + V))

    def rows(self, batch_size: int) -> int:
        """How many examples are done at once."""
        return _MANY_ROWS if batch_size > _FEW_ROWS and self.shared(_MANY_ROWS) <= _SHARED else _FEW_ROWS


class FusedCuda:
    """The engine. The first run of a net of new sizes compiles the kernel; Triton keeps it in its cache on disk."""

    def __init__(self, model: nn.Module, optimizer: object, batch_size: int) -> None:
        """Take a model whose weights are on their device.

        Raises:
            zoo.EngineUnavailableError: this net, this update or this device is not what the kernel is for, triton is
                not installed, or the weights do not fit on the chip.
        """
        self._net = lecture_net(model, optimizer)
        reason = _device_reason(self._net.C.device) or _triton_reason()
        if reason is not None:
            raise zoo.EngineUnavailableError(reason)
        self._sizes = _Sizes(self._net)
        registers, shared = self._sizes.registers(), self._sizes.shared(_FEW_ROWS)
        if registers > _REGISTERS or shared > _SHARED:
            raise zoo.EngineUnavailableError(
                f"the net does not fit on the chip: rounded up to powers of two it takes {_kib(registers)} of "
                f"registers, of {_kib(_REGISTERS)}, and {_kib(shared)} of shared memory, of {_kib(_SHARED)}"
            )
        if not all(p.is_contiguous() for p in self._net.parameters()):
            raise zoo.EngineUnavailableError("it needs each weight in one piece of memory")
        self._optimizer = optimizer
        # to import triton and load the kernel takes a second, to compile it some more, and a step saves some 30 µs
        self.worth_from = 50_000 if batch_size <= _LARGEST_BATCH else sys.maxsize

    @torch.no_grad()
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Callable[[], bool]) -> Tensor:
        """Train on K batches; see `zoo.engines.Engine`. The weights change in place, and nothing waits.

        Args:
            x: contexts, shape (K, B, T), int64; characters from 0 to V - 1, which is not checked.
            y: targets, shape (K, B), int64; the same.
            lrs: K learning rates.
            stop: asked once, at the beginning: all K steps are one launch.

        Raises:
            ValueError: a shape or type is not as above.
        """
        K, B, T = x.shape
        T_own = self._sizes.own["T"]
        if T_own != T or y.shape != (K, B) or len(lrs) != K or {x.dtype, y.dtype} != {torch.int64}:
            raise ValueError(
                f"x {tuple(x.shape)} {x.dtype}, y {tuple(y.shape)} {y.dtype} and {len(lrs)} learning rates are no "
                f"batches of contexts of {T_own} characters, as int64"
            )
        if K == 0 or stop():
            return torch.empty(0, device=x.device)
        losses = torch.empty(K, device=x.device)
        with torch.cuda.device(x.device if x.is_cuda else -1):  # where triton starts kernels; -1 changes nothing
            self._launch(x.contiguous(), y.contiguous(), _to(x.device, lrs), losses)
        for group in getattr(self._optimizer, "param_groups", ()):
            group["lr"] = lrs[-1]
        return losses

    def _launch(self, x: Tensor, y: Tensor, lrs: Tensor, losses: Tensor) -> None:
        """Start the kernel on (K, B, T), (K, B), (K) and (K)."""
        from zoo_lecture.fused_cuda_kernel import train

        K, B, T = x.shape
        constants = self._constants(B)
        dX = torch.empty((constants["R"], T * constants["E"]), device=x.device)
        net = self._net
        weights = [p.detach() for p in (net.C, net.W1, net.b1, net.W2, net.b2)]
        train[(1,)](x, y, lrs, losses, dX, K, *weights, **constants, **self._options())

    def _constants(self, batch_size: int) -> dict[str, int]:
        """What the kernel is compiled for."""
        return {"B": batch_size, "R": self._sizes.rows(batch_size), **self._sizes.own, **self._sizes.padded}

    def _options(self) -> dict[str, int | bool]:
        """How it is compiled."""
        warps = 8 if self._sizes.registers() > _SMALL else 4
        return {
            "num_warps": warps,
            "num_stages": 1,  # else loads may be moved before the writes of the step that they depend on
            # unless told, the assembler takes 32 registers for each thread and puts the weights into memory
            "maxnreg": min(_MOST_REGISTERS, _REGISTER_NUMBERS // (_THREADS_OF_WARP * warps)),
            "enable_fp_fusion": True,  # triton 3.9 warns where it is left open
        }


def _power(size: int) -> int:
    """The power of two that is at least the size, and at least 16, as a product needs."""
    return max(16, 1 << (size - 1).bit_length())


def _kib(size: int) -> str:
    return f"{-(-size // 1024)} KiB"


def _to(device: torch.device, lrs: Sequence[float]) -> Tensor:
    """The learning rates, shape (K,), on the device; from pinned memory, so that nothing waits for the copy."""
    rates = torch.tensor(lrs, dtype=torch.float32)
    return rates.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rates


def _triton_reason() -> str | None:
    """Why triton cannot be used, found without importing it, which takes a while.

    To start its first kernel it compiles a few lines of C; that they cannot be is better known before the run.
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
    """Why the kernel cannot be run on this device. Triton's interpreter runs it anywhere."""
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
