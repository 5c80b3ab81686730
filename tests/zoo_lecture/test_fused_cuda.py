"""The Triton kernel of the lecture's net against autograd.

Without a GPU it runs in Triton's interpreter, which has to be turned on before triton is imported: in a process of its
own, of which this file is the program. What only a GPU can show is marked `cuda`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo_lecture.fused_cuda import FusedCuda
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD

# V, T, E, H, B: what is rounded up and what is not, batches of less than a block, one, and several
SIZES = [
    (27, 3, 10, 200, 32),
    (27, 3, 10, 64, 5),
    (5, 1, 3, 7, 1),
    (5, 4, 2, 7, 40),
    (40, 4, 5, 64, 32),
    (40, 1, 20, 7, 33),
    (16, 4, 4, 16, 16),
    (2, 1, 1, 1, 70),
]
LECTURE = SIZES[0]

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def batches(sizes: tuple[int, ...], steps: int) -> tuple[Tensor, Tensor]:
    """Contexts (K, B, T) and targets (K, B)."""
    V, T, _, _, B = sizes
    g = torch.Generator().manual_seed(steps)
    return torch.randint(V, (steps, B, T), generator=g), torch.randint(V, (steps, B), generator=g)


def new(sizes: tuple[int, ...], device: str = "cpu") -> tuple[MLPChar, FusedCuda]:
    """A net and its engine."""
    V, T, E, H, B = sizes
    net = MLPChar(V, T, E, H, torch.Generator().manual_seed(1)).to(device)
    return net, FusedCuda(net, SGD(net.parameters()), B)


def goes_on() -> bool:
    return False


def check_steps(sizes: tuple[int, ...], steps: int, lr: float, device: str = "cpu") -> None:
    """Each step's loss and update against autograd in float64, both from the weights that autograd had."""
    net, engine = new(sizes, device)
    x, y = (part.to(device) for part in batches(sizes, steps))
    for k in range(steps):
        reference = deepcopy(net).double()
        before = [p.detach().clone() for p in reference.parameters()]
        loss = F.cross_entropy(reference(x[k]), y[k])
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        at = [p.data_ptr() for p in net.parameters()]
        (fused,) = engine.run(x[k : k + 1], y[k : k + 1], [lr], goes_on)
        assert [p.data_ptr() for p in net.parameters()] == at
        assert (fused.device, fused.dtype) == (x.device, torch.float32)
        torch.testing.assert_close(fused.double(), loss.detach(), rtol=1e-5, atol=1e-6, msg=f"loss of step {k}")
        with torch.no_grad():
            for (name, p), q, old in zip(net.named_parameters(), reference.parameters(), before, strict=True):
                assert q.grad is not None
                # the weights themselves are rounded to 24 bits, which the small differences between them show
                atol = 2e-7 * float(old.abs().max() + lr) + 1e-6 * lr
                torch.testing.assert_close(p.double() - old, -lr * q.grad, rtol=1e-5, atol=atol, msg=name)
                p.copy_(old - lr * q.grad)


def check_one_launch(sizes: tuple[int, ...], steps: int, device: str = "cpu") -> None:
    """K steps in one launch are K launches of one step, to the last bit; and the same again is the same."""
    x, y = (part.to(device) for part in batches(sizes, steps))
    lrs = [0.3 / (1 + k % 7) for k in range(steps)]
    results = []
    for length in (steps, steps, 1):
        net, engine = new(sizes, device)
        parts = range(0, steps, length)
        losses = [engine.run(x[i : i + length], y[i : i + length], lrs[i : i + length], goes_on) for i in parts]
        results.append([torch.cat(losses), *net.parameters()])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert results[0][0].shape == (steps,)


def check_not_a_number(sizes: tuple[int, ...], device: str = "cpu") -> None:
    """A weight that is no number, or a rate that is far too high, gives losses that are none."""
    x, y = (part.to(device) for part in batches(sizes, 4))
    for name in ("W1", "b1", "W2", "b2"):
        net, engine = new(sizes, device)
        with torch.no_grad():
            net.get_parameter(name).view(-1)[0] = float("nan")
        assert engine.run(x, y, [0.1] * 4, goes_on).isnan().all(), name
    net, engine = new(sizes, device)
    assert not engine.run(x, y, [1e38] * 4, goes_on)[-1].isfinite()


def check_run(sizes: tuple[int, ...]) -> None:
    """The rest of what an engine promises."""
    x, y = batches(sizes, 2)
    net, engine = new(sizes)
    before = deepcopy(net.state_dict())
    assert engine.run(x, y, [0.1, 0.2], lambda: True).shape == (0,)
    assert all(torch.equal(before[name], p) for name, p in net.state_dict().items())
    with pytest.raises(ValueError, match="not batches"):
        engine.run(x[:, :, 1:], y, [0.1, 0.2], goes_on)
    with pytest.raises(ValueError, match="not batches"):
        engine.run(x, y.int(), [0.1, 0.2], goes_on)
    every_other = engine.run(x.repeat_interleave(2, 0)[::2], y.T.contiguous().T, [0.1, 0.2], goes_on)
    net, engine = new(sizes)
    assert torch.equal(engine.run(x, y, [0.1, 0.2], goes_on), every_other)


def interpret() -> None:
    """All checks in the interpreter, as JSON: what is wrong with each, or nothing."""
    torch.set_num_threads(1)
    checks: dict[str, Callable[[], None]] = {
        "nan": partial(check_not_a_number, SIZES[1]),
        "run": partial(check_run, SIZES[1]),
        **{f"steps {sizes}": partial(check_steps, sizes, 3, 1.0) for sizes in SIZES},
        **{f"launch {sizes}": partial(check_one_launch, sizes, 5) for sizes in SIZES},
    }
    wrong = {}
    for name, check in checks.items():
        try:
            check()
            wrong[name] = ""
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(wrong))


@pytest.fixture(scope="module")
def interpreted() -> dict[str, str]:
    """What `interpret` found."""
    env = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-P", __file__], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@needs_triton
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_each_step_is_autograds(interpreted: dict[str, str], sizes: tuple[int, ...]) -> None:
    assert interpreted[f"steps {sizes}"] == ""


@needs_triton
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_many_steps_in_one_launch_are_many_launches(interpreted: dict[str, str], sizes: tuple[int, ...]) -> None:
    assert interpreted[f"launch {sizes}"] == ""


@needs_triton
@pytest.mark.parametrize("what", ["nan", "run"])
def test_what_else_an_engine_promises(interpreted: dict[str, str], what: str) -> None:
    assert interpreted[what] == ""


COMPILE = """
import sys, zoo, torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from zoo_lecture.fused_cuda import FusedCuda
from zoo_lecture.fused_cuda_kernel import train
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD
import zoo_lecture.fused_cuda as module
module._device_reason = lambda device: None
net = MLPChar()
engine = FusedCuda(net, SGD(net.parameters()), 32)
constants = engine._constants(32)
types = {name: "*i64" if name in ("x", "y") else "*fp32" for name in train.arg_names}
types |= {"K": "i32"} | {name: "constexpr" for name in constants}
kernel = compile(
    ASTSource(train, signature=types, constexprs=constants),
    target=GPUTarget("cuda", 86, 32),
    options=engine._options(),
)
print(len(kernel.asm["cubin"]) > 0, kernel.metadata.shared, "--", kernel.asm["ptx"].count(".maxnreg"))
"""


@needs_triton
def test_the_lectures_kernel_compiles_for_a_gpu_and_fits_the_smallest(tmp_path: Path) -> None:
    """Triton includes NVIDIA's assembler, so this needs no GPU."""
    env = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    env.pop("TRITON_INTERPRET", None)
    program = tmp_path / "program.py"
    program.write_text(COMPILE)
    command = [sys.executable, "-P", "-W", "error", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    compiled, shared, _, limits = done.stdout.split()
    assert compiled == "True"
    assert int(shared) <= 99 * 1024
    assert limits == "1"


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is not looked at, and triton is there."""
    monkeypatch.setattr("zoo_lecture.fused_cuda._device_reason", lambda device: None)
    monkeypatch.setattr("zoo_lecture.fused_cuda._triton_reason", lambda: None)


def lecture_net(**sizes: int) -> MLPChar:
    return MLPChar(**{"generator": torch.Generator(), **sizes})  # type: ignore[arg-type]  # mypy mixes the two up


def refusal(model: nn.Module, optimizer: object, batch_size: int = 32) -> str:
    with pytest.raises(zoo.EngineUnavailableError) as caught:
        FusedCuda(model, optimizer, batch_size)
    return str(caught.value)


class Mine(MLPChar):
    """No longer the net that the kernel knows."""


@pytest.mark.usefixtures("anywhere")
def test_another_net_or_update_is_refused() -> None:
    net, other = lecture_net(), Mine(generator=torch.Generator())
    assert "not Mine" in refusal(other, SGD(other.parameters()))
    assert "update" in refusal(net, torch.optim.SGD(net.parameters(), lr=0.1))
    assert "all parameters" in refusal(net, SGD([net.C]))
    assert "float32" in refusal(net.double(), SGD(net.parameters()))


@pytest.mark.usefixtures("anywhere")
def test_weights_that_are_not_contiguous_are_refused() -> None:
    net = lecture_net()
    net.W1.data = net.W1.data.T.contiguous().T
    assert "contiguous" in refusal(net, SGD(net.parameters()))


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("sizes", "fits"), [
    ({}, True), ({"hidden_size": 256}, True), ({"hidden_size": 300}, False), ({"vocab_size": 1000}, False),
    ({"embedding_dim": 30}, False), ({"vocab_size": 300, "hidden_size": 10, "embedding_dim": 60}, False),
])  # fmt: skip
def test_a_net_that_does_not_fit_on_the_chip_is_refused(sizes: dict[str, int], fits: bool) -> None:
    net = lecture_net(**sizes)
    if fits:
        FusedCuda(net, SGD(net.parameters()), 32)
    else:
        reason = refusal(net, SGD(net.parameters()))
        assert reason.startswith("the net does not fit on the chip")
        assert "at most 160 KiB" in reason
        assert "at most 92 KiB" in reason


def test_the_cpu_is_refused() -> None:
    net = lecture_net()
    assert refusal(net, SGD(net.parameters())) == "its kernel is for CUDA, and the weights are on cpu"


def test_an_old_gpu_and_one_of_another_maker_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo_lecture.fused_cuda import _device_reason

    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    old = _device_reason(torch.device("cuda:0"))
    assert old == "its kernel needs compute capability 8.0, and the GPU has 7.5"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert _device_reason(torch.device("cuda:0")) is None
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert _device_reason(torch.device("cuda:0")) == "its kernel is for GPUs of NVIDIA"


def test_a_missing_triton_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_lecture.fused_cuda._device_reason", lambda device: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    net = lecture_net()
    assert refusal(net, SGD(net.parameters())) == "triton is not installed"


def test_triton_requirements_are_checked_before_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("zoo_lecture.fused_cuda._device_reason", lambda device: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sysconfig, "get_path", lambda name, scheme: str(tmp_path))
    net = lecture_net()
    assert refusal(net, SGD(net.parameters())) == "triton needs a C compiler, and there is none"
    monkeypatch.setenv("CC", "cc")
    assert refusal(net, SGD(net.parameters())) == "triton needs the C headers of Python, and they are not installed"
    (tmp_path / "Python.h").touch()
    FusedCuda(net, SGD(net.parameters()), 32)


@pytest.mark.usefixtures("anywhere")
def test_it_is_worth_starting_for_long_runs_of_small_batches() -> None:
    net = lecture_net()
    few, many = (FusedCuda(net, SGD(net.parameters()), size).worth_from for size in (32, 1024))
    assert 1000 < few < 200_000 < many


@pytest.mark.cuda
@needs_cuda
@needs_triton
@pytest.mark.parametrize(("sizes", "lr"), [(LECTURE, 0.1), (SIZES[3], 0.1), (SIZES[5], 0.1)], ids=str)
def test_each_step_is_autograds_on_cuda(sizes: tuple[int, ...], lr: float) -> None:
    check_steps(sizes, 200, lr, "cuda")


@pytest.mark.cuda
@needs_cuda
@needs_triton
@pytest.mark.parametrize("sizes", [LECTURE, SIZES[3]], ids=str)
def test_many_steps_in_one_launch_are_many_launches_on_cuda(sizes: tuple[int, ...]) -> None:
    check_one_launch(sizes, 200, "cuda")
    check_not_a_number(sizes, "cuda")


if __name__ == "__main__":
    interpret()
