"""The CUDA kernel of the lecture's net against autograd in float64, on the CPU; what needs a GPU is marked `cuda`."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from cuda_on_cpu import CudaOnCpu, barriers, needs_compiler, on_cpu
from fake_cuda import FakeCuda
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo_lecture import fused_cuda, nvrtc
from zoo_lecture.fused_cuda import FusedCuda, Sizes
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD

# V, T, E, H, B: what fills its tiles and what does not; batches of less than a round, one, and several; nets at a limit
SIZES = [
    (27, 3, 10, 200, 32),
    (27, 3, 10, 64, 5),
    (5, 1, 3, 7, 1),
    (5, 4, 2, 7, 40),
    (40, 4, 5, 64, 32),
    (40, 1, 20, 7, 33),
    (16, 4, 4, 16, 16),
    (2, 1, 1, 1, 70),
    (33, 8, 10, 80, 31),
    (127, 2, 40, 60, 64),
    (31, 31, 1, 256, 96),
]
LECTURE = SIZES[0]
SMALL = SIZES[3]
_HAS_CUDA = torch.cuda.is_available()

needs_cuda = pytest.mark.skipif(not _HAS_CUDA, reason="needs a CUDA device")


def batches(sizes: tuple[int, ...], steps: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Contexts (K, B, T) and targets (K, B)."""
    V, T, _, _, B = sizes
    g = torch.Generator().manual_seed(steps + seed)
    return torch.randint(V, (steps, B, T), generator=g), torch.randint(V, (steps, B), generator=g)


def new(sizes: tuple[int, ...], device: str = "cpu", seed: int = 1) -> tuple[MLPChar, FusedCuda]:
    """A net and its engine."""
    V, T, E, H, B = sizes
    net = MLPChar(V, T, E, H, torch.Generator().manual_seed(seed)).to(device)
    return net, FusedCuda(net, SGD(net.parameters()), B)


def goes_on() -> bool:
    return False


def check_steps(sizes: tuple[int, ...], steps: int, lr: float, device: str = "cpu", seed: int = 0) -> None:
    """Each step's loss and update against autograd in float64, both from the weights that autograd had."""
    net, engine = new(sizes, device, seed + 1)
    x, y = (part.to(device) for part in batches(sizes, steps, seed))
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


def trained(sizes: tuple[int, ...], steps: int, length: int, device: str = "cpu") -> list[Tensor]:
    """The losses of so many steps, in launches of `length` steps, and the weights after them."""
    x, y = (part.to(device) for part in batches(sizes, steps))
    lrs = [0.3 / (1 + k % 7) for k in range(steps)]
    net, engine = new(sizes, device)
    parts = range(0, steps, length)
    losses = [engine.run(x[i : i + length], y[i : i + length], lrs[i : i + length], goes_on) for i in parts]
    return [torch.cat(losses), *(p.detach() for p in net.parameters())]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in zip(one, other, strict=True))


def check_one_launch(sizes: tuple[int, ...], steps: int, device: str = "cpu") -> None:
    """K steps in one launch are K launches of one step, to the last bit; and the same again is the same."""
    whole = trained(sizes, steps, steps, device)
    assert same(whole, trained(sizes, steps, steps, device))
    assert same(whole, trained(sizes, steps, 1, device))
    assert whole[0].shape == (steps,)


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


@needs_compiler
@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_each_step_is_autograds(sizes: tuple[int, ...], seed: int) -> None:
    check_steps(sizes, 3, 1.0, seed=seed)


@needs_compiler
@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_many_steps_in_one_launch_are_many_launches(sizes: tuple[int, ...]) -> None:
    check_one_launch(sizes, 3)


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_what_is_no_number_stays_none() -> None:
    check_not_a_number(SMALL)


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_an_embedding_that_is_no_number_harms_only_batches_with_it() -> None:
    """Also where a batch does not fill its rows."""
    for sizes in (SIZES[2], SMALL):
        net, engine = new(sizes)
        with torch.no_grad():
            net.C[0] = float("nan")
        x, y = (tokens.clamp(min=1) for tokens in batches(sizes, 3))
        assert engine.run(x, y, [0.1] * 3, goes_on).isfinite().all()
        assert all(p.isfinite().all() for p in (net.C[1:], net.W1, net.b1, net.W2, net.b2))


@needs_compiler
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_order_in_which_threads_run_does_not_matter(sizes: tuple[int, ...], emulated: CudaOnCpu) -> None:
    first = trained(sizes, 2, 2)
    for emulated.order in (1, 2, 3):
        assert same(first, trained(sizes, 2, 2))


RACED = (20, 4, 2, 7, 40)  # a batch of two rounds, and more characters than warps


def races(sizes: tuple[int, ...], steps: int, emulated: CudaOnCpu) -> int:
    """How often two threads access one number of shared memory, one of them to write, without a barrier between."""
    V, T, E, H, B = sizes
    emulated.races = True
    counted = emulated.driver(Sizes(B, T, E, H, V)).zoo_races
    counted()
    _, engine = new(sizes)
    x, y = batches(sizes, steps)
    engine._trial = lambda kernel: None  # type: ignore[method-assign]
    engine.run(x, y, [0.1] * steps, goes_on)
    found: int = counted()
    return found


@needs_compiler
@pytest.mark.parametrize("sizes", [RACED, (27, 3, 10, 200, 33)], ids=str)
def test_no_thread_reads_what_another_may_not_have_written(sizes: tuple[int, ...], emulated: CudaOnCpu) -> None:
    assert races(sizes, 2, emulated) == 0


@needs_compiler
@pytest.mark.parametrize("line", barriers())
def test_a_barrier_that_is_left_out_is_a_race(line: int, emulated: CudaOnCpu) -> None:
    emulated.left_out = line
    assert races(RACED, 1, emulated) > 0, Sizes(1, 1, 1, 1, 1).source().splitlines()[line - 1]


@needs_compiler
def test_many_nets_in_one_launch_are_each_its_own(emulated: CudaOnCpu) -> None:
    """Each block of the grid trains a net on its own batches, with its own rates."""
    V, T, E, H, B = SMALL
    sizes, steps = Sizes(B, T, E, H, V), 2
    alone, stacked = [], []
    for seed in range(3):
        net, engine = new(SMALL, seed=seed)
        x, y = batches(SMALL, steps, seed)
        lrs = [0.1 * (seed + 1), 0.2]
        stacked.append([x, y, torch.tensor(lrs), torch.empty(steps), *(p.detach().clone() for p in net.parameters())])
        alone.append([engine.run(x, y, lrs, goes_on), *(p.detach() for p in net.parameters())])
    kernel = engine.start()
    parts = [torch.stack(part) for part in zip(*stacked, strict=True)]
    kernel.launch(3, [*parts, steps])
    for n in range(3):
        assert same(alone[n], [part[n] for part in parts[3:]])
    assert sizes.shared_bytes > 0


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_what_else_an_engine_promises() -> None:
    x, y = batches(SMALL, 2)
    net, engine = new(SMALL)
    before = deepcopy(net.state_dict())
    assert engine.run(x, y, [0.1, 0.2], lambda: True).shape == (0,)
    assert engine.run(x[:0], y[:0], [], goes_on).shape == (0,)
    assert all(torch.equal(before[name], p) for name, p in net.state_dict().items())
    with pytest.raises(ValueError, match="not batches"):
        engine.run(x[:, :, 1:], y, [0.1, 0.2], goes_on)
    with pytest.raises(ValueError, match="not batches"):
        engine.run(x, y.int(), [0.1, 0.2], goes_on)
    with pytest.raises(ValueError, match="not batches"):
        engine.run(x[:, 1:], y[:, 1:], [0.1, 0.2], goes_on)  # a kernel is for one size of batch
    with pytest.raises(ValueError, match="x is on meta, y on cpu, and the weights on cpu"):
        engine.run(x.to("meta"), y, [0.1, 0.2], lambda: True)
    every_other = engine.run(x.repeat_interleave(2, 0)[::2], y.T.contiguous().T, [0.1, 0.2], goes_on)
    net, engine = new(SMALL)
    assert torch.equal(engine.run(x, y, [0.1, 0.2], goes_on), every_other)


# What a kernel may get wrong, as the sources that are changed to show it.
FAULTS = {
    "the rate's sign": ("old.x - lr * d[0]", "old.x + lr * d[0]"),
    "a bias that is not trained": ("if (last) m.b2[v] -= lr * sum;", ""),
    "a derivative": ("(1.0f - h.x * h.x)", "(1.0f - h.x)"),
    "a row too few": ("for (int r = 0; r < R; r++)", "for (int r = 0; r < R - 1; r++)"),
    "a mean over the rows of a round": ("/ B;\n    if (v < V)", "/ R;\n    if (v < V)"),
    "the batch before": ("last ? k + 1 : k, last", "k, last"),
    "half a percent too much": (
        "] -= lr * sum;\n      if (B > R) m.dC",
        "] -= lr * 1.005f * sum;\n      if (B > R) m.dC",
    ),
    "weights that are not written": ("  write_weights(m, C", "  if (K > 9) write_weights(m, C"),
    "weights that are written twice": ("if (K == 0) return;", "if (K == 0) C[0] = 0.0f;\n  if (K == 0) return;"),
}


@needs_compiler
@pytest.mark.parametrize("fault", FAULTS)
def test_a_kernel_that_computes_something_else_is_refused_when_it_starts(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right, wrong = FAULTS[fault]
    source = Sizes.source

    def changed(sizes: Sizes) -> str:
        assert right in source(sizes)
        return source(sizes).replace(right, wrong)

    monkeypatch.setattr(Sizes, "source", changed)
    on_cpu(monkeypatch, tmp_path)
    _, engine = new((5, 4, 2, 7, 35))
    for _ in range(2):  # it stays refused
        with pytest.raises(zoo.EngineUnavailableError, match="computes something else than torch here"):
            engine.start()
    assert engine._kernel is None


@needs_compiler
@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (2, 3, 1, 256, 1), SMALL], ids=str)
def test_a_right_kernel_is_accepted_whatever_the_sizes_and_the_callers_precision(sizes: tuple[int, ...]) -> None:
    """Losses may be 0, or as small as what rounding the logits makes of them."""
    _, engine = new(sizes)
    x, y = batches(sizes, 1)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            engine.start()
        assert engine.run(x, y, [0.1], goes_on).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


@needs_compiler
def test_what_is_loaded_on_the_device_goes_with_the_engine(emulated: CudaOnCpu) -> None:
    V, T, E, H, B = SMALL
    loaded = emulated.driver(Sizes(B, T, E, H, V)).zoo_loaded
    before = loaded()
    _, engine = new(SMALL)
    engine.start()
    assert loaded() == before + 1
    del engine
    assert loaded() == before


@needs_compiler
def test_a_context_is_this_threads_before_the_driver_is_called(
    emulated: CudaOnCpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new thread has none until torch does something on the device, for which being its current one is not enough."""
    V, T, E, H, B = SMALL
    sizes = Sizes(B, T, E, H, V)
    loaded = emulated.driver(sizes).zoo_loaded
    before = loaded()
    seen: list[int] = []
    monkeypatch.setattr("zoo.cuda.synchronize", lambda device: seen.append(loaded()))
    new(SMALL)[1].start()
    assert seen == [before]


DRIVER = ["cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute", "cuLaunchKernel"]


@needs_compiler
@pytest.mark.parametrize("fails", [*DRIVER, "finding a library"])
def test_whatever_fails_at_the_start_is_a_reason_to_step_aside(
    fails: str, emulated: CudaOnCpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, engine = new(SMALL)
    if fails in DRIVER:
        driver = emulated.driver

        def failing(sizes: Sizes) -> Any:
            library = driver(sizes)
            setattr(library, fails, lambda *arguments: 719)
            return library

        monkeypatch.setattr(emulated, "driver", failing)
        reason = f"RuntimeError: CUDA error: unspecified launch failure ({fails}, 719)"
    else:

        def missing(*_: object) -> Any:
            raise OSError("there is none")

        monkeypatch.setattr(nvrtc, "compiled", missing)
        reason = "OSError: there is none"
    with pytest.raises(zoo.EngineUnavailableError, match=re.escape(f"its kernel cannot be used here: {reason}")):
        engine.start()


def nvrtc_here() -> Any:
    """NVRTC of the package that the tests install, whatever torch was built for."""
    return nvrtc.nvrtc_library("13")


def _has_nvrtc() -> bool:
    try:
        nvrtc_here()
    except OSError:
        return False
    return True


needs_nvrtc = pytest.mark.skipif(not _has_nvrtc(), reason="NVRTC is not installed")


@needs_nvrtc
@pytest.mark.parametrize("sizes", [LECTURE, (27, 3, 10, 200, 64)], ids=str)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_the_kernel_fits_every_gpu_and_hardly_spills(
    architecture: str, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NVIDIA's assembler says, which needs no GPU."""
    V, T, E, H, B = sizes
    logs: list[str] = []
    monkeypatch.setattr(nvrtc, "_OPTIONS", (*nvrtc._OPTIONS, "--ptxas-options=-v"))
    library = nvrtc_here()
    destroy = library.nvrtcDestroyProgram

    def kept(program: Any) -> int:
        logs.append(nvrtc._log(library, program._obj))
        result: int = destroy(program)
        return result

    library.nvrtcDestroyProgram = kept
    monkeypatch.setattr(nvrtc, "nvrtc_library", lambda: library)
    monkeypatch.setattr(nvrtc, "_MOST_CHARACTERS", 10_000)
    binary = nvrtc.compiled(Sizes(B, T, E, H, V).source(), architecture)
    assert binary.startswith(b"\177ELF")
    (log,) = logs
    frame = [int(size) for size in re.findall(r"(\d+) bytes stack frame", log)]
    assert frame[0] <= (0 if B <= 32 else 64)  # a batch of several rounds holds one more tile
    assert int(re.findall(r"Used (\d+) registers", log)[0]) <= 255
    assert Sizes(B, T, E, H, V).shared_bytes <= 99 << 10


@needs_nvrtc
def test_a_card_that_nvrtc_does_not_know_gets_what_its_generation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    library = nvrtc_here()
    monkeypatch.setattr(nvrtc, "nvrtc_library", lambda: library)
    assert [nvrtc.architecture(c) for c in [(8, 6), (9, 0), (12, 9)]] == ["sm_86", "sm_90", "sm_120"]


@needs_nvrtc
def test_what_nvrtc_loads_by_name_is_loaded_before_it_whatever_its_minor_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("ctypes.CDLL", lambda name: loaded.append(Path(name).name))
    nvrtc.nvrtc_library("13.99")
    assert [re.sub(r"\.so.*", "", name) for name in loaded] == ["libnvrtc-builtins", "libnvrtc"]


@needs_nvrtc
def test_what_the_compiler_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    library = nvrtc_here()
    monkeypatch.setattr(nvrtc, "nvrtc_library", lambda: library)
    with pytest.raises(RuntimeError, match=r"NVRTC_ERROR_COMPILATION .*: .*expected"):
        nvrtc.compiled("this is no program", "sm_90")
    with pytest.raises(RuntimeError, match=r"NVRTC_ERROR_INVALID_OPTION .*--gpu-architecture"):
        nvrtc.compiled("", "sm_1")


def test_libraries_that_are_not_there_are_named() -> None:
    if not _HAS_CUDA:
        with pytest.raises(OSError, match=r"libcuda|nvcuda"):
            nvrtc.driver_library()
        with pytest.raises(OSError, match="built without CUDA"):
            nvrtc.nvrtc_library()


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is not looked at."""
    monkeypatch.setattr("zoo_lecture.fused_cuda._device_reason", lambda device: None)
    monkeypatch.setattr("zoo.cuda.shared_memory", lambda device: 99 << 10)


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
@pytest.mark.parametrize(("sizes", "problem"), [
    ({}, None), ({"vocab_size": 32}, None), ({"hidden_size": 64, "context_length": 8}, None),
    ({"hidden_size": 257}, "132 tiles of 8 by 8 weights, of at most 128"),
    ({"vocab_size": 1000}, "3125 tiles"),
    ({"embedding_dim": 30}, "300 tiles"),
    ({"context_length": 129, "embedding_dim": 1, "hidden_size": 8}, "129 inputs, of at most 128"),
    ({"hidden_size": 256}, "110 KiB of shared memory, of 99 KiB"),
])  # fmt: skip
def test_a_net_that_does_not_fit_on_the_chip_is_refused(sizes: dict[str, int], problem: str | None) -> None:
    net = lecture_net(**sizes)
    if problem is None:
        FusedCuda(net, SGD(net.parameters()), 32)
    else:
        reason = refusal(net, SGD(net.parameters()))
        assert reason.startswith("the net does not fit on the chip")
        assert problem in reason


def test_the_cpu_is_refused() -> None:
    net = lecture_net()
    assert refusal(net, SGD(net.parameters())) == "its kernel is for CUDA, and the weights are on cpu"


def test_a_gpu_of_another_maker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert fused_cuda._device_reason(torch.device("cuda:0")) == "its kernel is for GPUs of NVIDIA"
    monkeypatch.setattr(torch.version, "hip", None)
    assert fused_cuda._device_reason(torch.device("cuda:0")) is None


@pytest.mark.usefixtures("anywhere")
def test_it_is_worth_starting_for_long_runs_of_small_batches() -> None:
    net = lecture_net()
    few, many = (FusedCuda(net, SGD(net.parameters()), size).worth_from for size in (32, 1024))
    assert 1000 < few < 200_000 < many


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_a_run_by_the_kernel_is_recorded_and_resumed_as_one_on_cuda(
    fake_cuda: Callable[..., FakeCuda], words_file: Path
) -> None:
    """From `zoo.run` down to the driver's calls: only the card is missing."""
    fake = fake_cuda(devices=2, tensors_on=1)
    settings = {"model.hidden_size": 16, "model.embedding_dim": 4}
    options: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False, "settings": settings}
    whole = zoo.run("mlp-char", steps=12, engine="fused", out="whole", **options)
    assert (whole.metrics["engine"], whole.metrics["device"]) == ("fused", "cuda:1")
    assert whole.config["versions"]["gpu"] == fake.get_device_name(1)
    assert not fake.graphs
    zoo.run("mlp-char", steps=5, engine="fused", out="parts", **options)
    resumed = zoo.resume("parts", steps=12, device="cpu", plots=False)
    assert resumed.metrics["engine"] == "fused"
    for name in ("model.safetensors", "losses.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    other = zoo.run("mlp-char", steps=12, engine="autograd", **options)
    assert torch.allclose(torch.tensor(whole.step_losses), torch.tensor(other.step_losses), rtol=1e-4)


ON_CUDA: list[Callable[[], None]] = [
    lambda: check_steps(LECTURE, 200, 0.1, "cuda"),
    lambda: check_steps(SIZES[3], 200, 0.1, "cuda"),
    lambda: check_steps(SIZES[5], 200, 0.1, "cuda"),
    lambda: check_one_launch(LECTURE, 200, "cuda"),
    lambda: check_one_launch(SIZES[3], 200, "cuda"),
    lambda: check_not_a_number(LECTURE, "cuda"),
]


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("check", ON_CUDA)
def test_the_same_on_cuda(check: Callable[[], None]) -> None:
    check()
