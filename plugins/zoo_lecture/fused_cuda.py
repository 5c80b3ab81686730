"""The `fused` engine on CUDA: one launch of one kernel for a block of steps, with the weights on the chip.

A population of nets is the same launch with a block of threads for each net, so that each multiprocessor trains one; of
more nets than there are multiprocessors, the GPU begins one when another is done.

The lecture's net is so small that launching kernels takes longer than running them. This kernel, `fused_cuda.cu`, runs
on one multiprocessor of the GPU and keeps the weights in its shared memory from the first step of a block to the last;
only batches and losses go through the GPU's memory. It is deterministic. NVRTC, which comes with torch, compiles it.

Axes: M nets, K steps, B examples of a batch, T characters of context, E embedding dimensions, D = T * E inputs, H
hidden units, V characters.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo import cuda
from zoo.errors import out_of_memory
from zoo.plugin.calling import is_of_plugin
from zoo.text import first_line
from zoo_lecture.manual import lecture_net
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.nvrtc import Kernel

_SOURCE = Path(__file__).with_name("fused_cuda.cu")
_THREADS = 256
_ROWS = 32  # of a batch at once
_TILES = _THREADS // 2  # half of the threads hold the gradient of W1, half that of W2: a tile of 8 by 8 each
_MOST_INPUTS = 128  # a row of X's gradient is in the registers; with 900, a thread spills 2 KB and compiling takes 27 s
_LARGEST_BATCH = 64  # above it, separate kernels on all multiprocessors should be faster; not measured
_WORTH_FROM = 50_000  # steps; compiling takes a second, a step should save some 25 µs; not measured

_TRIAL_STEPS, _TRIAL_LR = 2, 0.1
# how far a trial may be off, as shares of the loss, of an update, of the largest update, and of the weights
_OF_LOSS, _OF_UPDATE, _NOISE, _ROUNDING = 1e-4, 1e-3, 1e-5, 1e-6
_LOSS_ROUNDING = 1e-5  # of logits of some units, which a loss near 0 does not have


@dataclass(frozen=True)
class Sizes:
    """The sizes that the kernel is compiled for; where it keeps what is written in `fused_cuda.cu`."""

    B: int
    T: int
    E: int
    H: int
    V: int

    @property
    def most_tiles(self) -> int:
        """Tiles of 8 by 8 numbers of the largest of dh, dW1 and dW2."""
        return _tiles(self.H) * max(_ROWS // 8, _tiles(self.T * self.E + 1), _tiles(self.V))

    @property
    def shared_bytes(self) -> int:
        """Bytes of shared memory."""
        D, units = self.T * self.E, 8 * _tiles(self.H)
        inputs, characters = _odd_quadruples(D + 1), _odd_quadruples(self.V)
        weights = units * (inputs + characters)
        rows = _ROWS * (units + 8 * (units % 16 == 0) + inputs + characters)
        small = 2 * characters + _THREADS // 32 * (D + 1) + 2 * self.V * self.E
        tokens = 2 * _ROWS * (self.T + 1)
        return 4 * (weights + rows + small + tokens + 32)

    def source(self) -> str:
        """The kernel's program."""
        constants = {**vars(self), "SHARED_BYTES": self.shared_bytes}
        declared = "".join(f"constexpr int {name} = {value};\n" for name, value in constants.items())
        return declared + _SOURCE.read_text(encoding="utf-8")


class FusedCuda:
    """The engine. The kernel is compiled for these sizes when the engine starts, which takes a second."""

    def __init__(self, model: nn.Module, optimizer: object, batch_size: int) -> None:
        """Check that the kernel supports the model, which must be on its device.

        Raises:
            zoo.EngineUnavailableError: the kernel does not support the net, the optimizer or the device, or it does
                not fit on the chip.
        """
        self._net = lecture_net(model, optimizer)
        V, E = self._net.C.shape
        self._sizes = Sizes(batch_size, self._net.context_length, E, len(self._net.b1), V)
        reason = _device_reason(self._net.C.device) or _size_reason(self._sizes, self._net.C.device)
        if reason is not None:
            raise zoo.EngineUnavailableError(reason)
        if not all(p.is_contiguous() for p in self._net.parameters()):
            raise zoo.EngineUnavailableError("it needs contiguous weights")
        self._optimizer = optimizer
        self._kernel: Kernel | None = None
        self.worth_from = _WORTH_FROM if batch_size <= _LARGEST_BATCH else sys.maxsize

    def start(self) -> Kernel:
        """Compile the kernel, and try it on another net of the same sizes.

        Raises:
            zoo.EngineUnavailableError: it cannot be compiled or launched here, or computes something else than torch.
        """
        device, sizes = self._net.C.device, self._sizes
        try:
            kernel = Kernel(sizes.source(), "train", device, threads=_THREADS, shared_bytes=sizes.shared_bytes)
            wrong = self._trial(kernel)
        except Exception as error:  # the libraries, the driver and torch may raise anything
            if not (is_of_plugin(error) or out_of_memory(error)):
                raise
            raise zoo.EngineUnavailableError(f"its kernel cannot be used here: {first_line(error)}") from error
        if wrong is not None:
            raise zoo.EngineUnavailableError(f"its kernel computes something else than torch here: {wrong}")
        self._kernel = kernel
        return kernel

    @torch.no_grad()
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Callable[[], bool]) -> Tensor:
        """Train on K batches; see `zoo.engines.Engine`. The weights change in place, without synchronization.

        Args:
            x: contexts, shape (K, B, T), int64; tokens from 0 to V - 1, which is not checked.
            y: targets, shape (K, B), int64; tokens as above.
            lrs: K learning rates.
            stop: called once at the beginning, because all K steps are one launch.

        Raises:
            ValueError: a shape, type or device is wrong.
        """
        self._check(x, y, (len(lrs),))
        if not lrs or stop():
            return torch.empty(0, device=x.device)
        losses = _launch(self._kernel or self.start(), [self._net], x[None], y[None], [lrs])[0]
        self._set_lr(lrs)
        return losses

    def _check(self, x: Tensor, y: Tensor, shape: tuple[int, ...]) -> None:
        """Refuse what are no batches, one for each learning rate, which have a certain shape."""
        sizes, device = self._sizes, self._net.C.device
        if {x.device, y.device} != {device}:  # the kernel would read another's memory
            raise ValueError(f"x is on {x.device}, y on {y.device}, and the weights on {device}")
        fits = x.shape == (*shape, sizes.B, sizes.T) and y.shape == (*shape, sizes.B)
        if not fits or {x.dtype, y.dtype} != {torch.int64}:
            raise ValueError(
                f"x {tuple(x.shape)} {x.dtype}, y {tuple(y.shape)} {y.dtype} and {' x '.join(map(str, shape))} "
                f"learning rates are not batches of {sizes.B} contexts of {sizes.T} characters, as int64"
            )

    def _set_lr(self, lrs: Sequence[float]) -> None:
        for group in getattr(self._optimizer, "param_groups", ()):
            group["lr"] = lrs[-1]

    def _trial(self, kernel: Kernel) -> str | None:
        """Train a new net for a few steps by the kernel and by torch; what differs, if anything does.

        torch computes in float64 on the CPU, so that no setting of the caller's, such as TF32 or autocast, changes it.
        """
        sizes, device = self._sizes, self._net.C.device
        own, before, reference = _trial_net(sizes).to(device), _trial_net(sizes), _trial_net(sizes).double()
        K, B, T = _TRIAL_STEPS, sizes.B, sizes.T
        g = torch.Generator().manual_seed(1)
        shapes = (K, B, T), (K, B)
        x, y = (torch.randint(sizes.V, shape, generator=g) for shape in shapes)
        own_x, own_y = cuda.copied(x, device), cuda.copied(y, device)
        _launch(kernel, [own], own_x[None, :0], own_y[None, :0], [[]])  # no step
        if any(not torch.equal(p.cpu(), q) for p, q in zip(own.parameters(), before.parameters(), strict=True)):
            return "a launch of no steps changes the weights"
        losses = _launch(kernel, [own], own_x[None], own_y[None], [[_TRIAL_LR] * K])[0].double().cpu()
        wanted = torch.stack([_torch_step(reference, x[k], y[k]) for k in range(K)])
        if not torch.allclose(losses, wanted, rtol=_OF_LOSS, atol=_LOSS_ROUNDING):
            return f"losses of {losses.tolist()}, and not of {wanted.tolist()}"
        return _difference(own.cpu(), reference, before)


class FusedCudaPopulation:
    """The engine for many nets, each of which gets the bits that `FusedCuda` gives it alone."""

    def __init__(self, nets: Sequence[tuple[nn.Module, object]], batch_size: int) -> None:
        """Check that the kernel supports each net with its optimizer, and that their sizes are the same.

        Raises:
            zoo.EngineUnavailableError: as `FusedCuda`, or the sizes differ.
        """
        self._engines = [FusedCuda(model, optimizer, batch_size) for model, optimizer in nets]
        if len({(engine._sizes, engine._net.C.device) for engine in self._engines}) > 1:
            raise zoo.EngineUnavailableError("the nets are not of the same sizes, or not on one device")
        self._kernel: Kernel | None = None

    def start(self) -> Kernel:
        """As `FusedCuda.start`, once for all nets."""
        self._kernel = self._engines[0].start()
        return self._kernel

    @torch.no_grad()
    def run(
        self,
        members: Sequence[int],
        x: Tensor,
        y: Tensor,
        lrs: Sequence[Sequence[float]],
        stop: Callable[[], bool],
    ) -> Tensor:
        """Train nets on K batches each; see `zoo.engines.PopulationEngine`.

        Args:
            members: the numbers of M nets.
            x: contexts, shape (M, K, B, T), int64; tokens from 0 to V - 1, which is not checked.
            y: targets, shape (M, K, B), int64; tokens as above.
            lrs: learning rates, (M, K).
            stop: called once at the beginning, because all steps of all nets are one launch.

        Raises:
            ValueError: a shape, type or device is wrong.
        """
        engines = [self._engines[number] for number in members]
        engines[0]._check(x, y, (len(members), len(lrs[0])))
        if not lrs[0] or stop():
            return torch.empty((len(members), 0), device=x.device)
        losses = _launch(self._kernel or self.start(), [engine._net for engine in engines], x, y, lrs)
        for engine, of_net in zip(engines, lrs, strict=True):
            engine._set_lr(of_net)
        return losses


def _difference(own: MLPChar, reference: MLPChar, before: MLPChar) -> str | None:
    """Which update of a net is not that of another, in float64, but for rounding, if there is one."""
    changed = zip(reference.parameters(), before.parameters(), strict=True)
    updates = [(q - old).detach().norm() for q, old in changed]
    noise = _NOISE * torch.stack(updates).max()  # an update may be 0 on paper
    for (name, p), q, update in zip(own.named_parameters(), reference.parameters(), updates, strict=True):
        off = (p - q).detach().norm()
        if not off <= _OF_UPDATE * update + noise + _ROUNDING * q.detach().norm():
            return f"its update of {name} is off by {float(off / update):.2g} of it"
    return None


def _launch(kernel: Kernel, nets: Sequence[MLPChar], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]]) -> Tensor:
    """Train nets on batches x (M, K, B, T) and y (M, K, B), a block of threads each; the losses (M, K)."""
    rates = cuda.copied(torch.tensor(lrs, dtype=torch.float32), x.device)
    losses = torch.empty_like(rates)
    weights = [[p.detach() for p in (net.C, net.W1, net.b1, net.W2, net.b2)] for net in nets]
    stacked = weights[0] if len(nets) == 1 else [torch.stack(of_nets) for of_nets in zip(*weights, strict=True)]
    kernel.launch(len(nets), [x.contiguous(), y.contiguous(), rates, losses, *stacked, rates.shape[1]])
    if len(nets) > 1:
        for of_nets, trained in zip(zip(*weights, strict=True), stacked, strict=True):
            torch._foreach_copy_(list(of_nets), list(trained.unbind()))
    return losses


def _trial_net(sizes: Sizes) -> MLPChar:
    """A net of float32 with logits of about 1, so that no update is lost among the roundings of the weights."""
    net = MLPChar(sizes.V, sizes.T, sizes.E, sizes.H, torch.Generator().manual_seed(1), scaled_init=True).float()
    with torch.no_grad():
        net.W2.mul_(100 / sizes.H**0.5)
    return net


def _torch_step(net: MLPChar, x: Tensor, y: Tensor) -> Tensor:
    """One step of a net by autograd; its loss."""
    parameters = list(net.parameters())
    with torch.enable_grad():
        loss = F.cross_entropy(net(x), y)
        gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for p, gradient in zip(parameters, gradients, strict=True):
            p.sub_(gradient, alpha=_TRIAL_LR)
    return loss.detach()


def _tiles(size: int) -> int:
    return -(-size // 8)


def _odd_quadruples(size: int) -> int:
    return 4 * (-(-size // 4) | 1)


def _size_reason(sizes: Sizes, device: torch.device) -> str | None:
    """Why the kernel cannot hold a net of these sizes, or None."""
    inputs = sizes.T * sizes.E
    if inputs > _MOST_INPUTS:
        return f"the net does not fit on the chip: it has {inputs} inputs, of at most {_MOST_INPUTS}"
    if sizes.most_tiles > _TILES:
        return (
            f"the net does not fit on the chip: it has {sizes.most_tiles} tiles of 8 by 8 weights, of at most {_TILES}"
        )
    needed, there = sizes.shared_bytes, cuda.shared_memory(device)
    if needed > there:
        kib = f"{-(-needed // 1024)} KiB of shared memory, of {there // 1024} KiB"
        return f"the net does not fit on the chip: it needs {kib}"
    return None


def _device_reason(device: torch.device) -> str | None:
    """Why the kernel cannot run on this device, or None."""
    if not cuda.holds(device):
        return f"its kernel is for CUDA, and the weights are on {device}"
    if torch.version.hip is not None:
        return "its kernel is for GPUs of NVIDIA"
    return None
