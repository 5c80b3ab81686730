"""Which device and how many CPU threads a run uses, with the presence and absence of CUDA made up."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo
from torch import nn

import zoo
import zoo.testing
from zoo import DeviceError, cuda
from zoo.data.examples import TensorExamples
from zoo.options.run import RunOptions
from zoo.runs import prepare
from zoo.runs.observer import Observer
from zoo.storage import state as states
from zoo.testing import bench
from zoo.training import evaluation, loop, trained
from zoo.training.device import (
    choose_device,
    choose_threads,
    describe_device,
    deterministic_sums,
    fewer_threads,
    suitable_device,
    synchronize,
)

Fake = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """`fake(devices=2)`: a machine with two CUDA devices. `fake(build=None)`: a wheel of torch without CUDA."""

    def install(*, devices: int = 0, build: str | None = "12.8", mps: bool = False) -> None:
        monkeypatch.setattr(torch.version, "cuda", build)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(cuda, "try_out", lambda device: None if devices else fail(NO_DRIVER))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    install()
    return install


NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"


def fail(text: str) -> None:
    raise RuntimeError(text)


def test_the_cpu_is_always_there(fake: Fake) -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_is_cuda_where_there_is_any(fake: Fake) -> None:
    fake(devices=1)
    assert choose_device("auto").type == "cuda"


def test_auto_is_the_cpu_where_there_is_no_cuda(fake: Fake) -> None:
    fake(devices=0)
    assert choose_device("auto") == torch.device("cpu")


def test_auto_is_the_default(fake: Fake) -> None:
    assert choose_device() == choose_device("auto")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_a_cuda_device_that_is_there_is_given(fake: Fake, name: str) -> None:
    fake(devices=2)
    assert choose_device(name) == torch.device(name)


@pytest.mark.usefixtures("typed")  # a message as at the command line
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_wheel_without_cuda_is_told_apart(fake: Fake, name: str) -> None:
    fake(build=None)
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"device {name!r} is not available: torch {torch.__version__} was built without CUDA; "
        "install a CUDA build of torch, or use --device cpu"
    )


@pytest.mark.usefixtures("typed")  # a message as at the command line
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_machine_without_a_driver_is_told_apart(fake: Fake, name: str) -> None:
    fake(devices=0)
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"device {name!r} is not available: no CUDA device or driver was found; see nvidia-smi, or use --device cpu"
    )


@pytest.mark.parametrize("name", ["cuda:2", "cuda:3", "cuda:99"])
def test_an_index_out_of_range_is_refused_with_those_there_are(fake: Fake, name: str) -> None:
    fake(devices=2)
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == f"device {name!r} is not available: there are 2 CUDA devices, cuda:0 to cuda:1"


@pytest.mark.parametrize(
    "name",
    ["gpu", "", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda0", "cuda:0 ", " cuda", "cuda\n", "meta", "auto:0"],
    ids=repr,
)
def test_any_other_name_is_refused_with_the_known_ones(fake: Fake, name: str) -> None:
    fake(devices=2)
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == f"no device {name!r}: there are auto, cpu, cuda, cuda:N and mps"


@pytest.mark.parametrize("name", ["cuda:00", "cuda:01", "cuda:\N{ARABIC-INDIC DIGIT ZERO}"], ids=ascii)
def test_an_index_that_torch_cannot_read_is_refused_too(fake: Fake, name: str) -> None:
    fake(devices=2)
    with pytest.raises(DeviceError):
        choose_device(name)


def test_a_mac_without_its_gpu_is_told_so(fake: Fake) -> None:
    with pytest.raises(DeviceError, match="device 'mps' is not available: it needs macOS on Apple silicon"):
        choose_device("mps")


def test_mps_is_given_where_it_is_there(fake: Fake) -> None:
    fake(mps=True)
    assert choose_device("mps").type == "mps"


def test_there_is_no_silent_fall_back_to_the_cpu(fake: Fake) -> None:
    with pytest.raises(DeviceError):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("device", "text"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:3", "cuda:3"), ("mps", "mps")]
)
def test_results_name_the_device_with_its_number(fake: Fake, device: str, text: str) -> None:
    fake(devices=4)
    assert describe_device(torch.device(device)) == text


def test_a_clock_waits_for_the_cuda_device_that_works(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    synchronize(torch.device("cuda:1"))
    assert waited == [torch.device("cuda:1")]


def test_a_clock_need_not_wait_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    synchronize(torch.device("cpu"))
    assert waited == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0", "cuda:1"])
def test_a_real_cuda_device_holds_tensors(name: str) -> None:
    if name == "cuda:1" and torch.cuda.device_count() < 2:
        pytest.skip("needs a second CUDA device")
    device = choose_device(name)
    tensor = torch.ones(1, device=device)
    assert describe_device(tensor.device) == (name if ":" in name else "cuda:0")


# A device that is there, and does not work

CARD = "NVIDIA GeForce GTX 1080 (compute capability 6.1)"
VERSION = torch.__version__
BROKEN: dict[str, tuple[Exception, dict[str, str], str]] = {  # what torch raises, the environment, what is said
    "no kernels": (
        RuntimeError("CUDA error: no kernel image is available for execution on the device\nSearch for ..."),
        {},
        f"torch {VERSION} has no kernels for {CARD}, only for sm_75, sm_80; install another torch",
    ),
    "no function": (
        RuntimeError("CUDA error: invalid device function"),
        {},
        f"torch {VERSION} has no kernels for {CARD}, only for sm_75, sm_80; install another torch",
    ),
    "no memory": (
        RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        {},
        f"other programs have taken all memory of {CARD}; nvidia-smi shows them",
    ),
    "old driver": (
        RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"
        ),
        {},
        f"its driver is too old for the CUDA 12.8 of torch {VERSION}; install a newer driver",
    ),
    "hidden": (
        RuntimeError("No CUDA GPUs are available"),
        {"CUDA_VISIBLE_DEVICES": ""},
        "CUDA_VISIBLE_DEVICES='' hides every CUDA device; unset it",
    ),
    "hidden, of AMD": (
        RuntimeError("No HIP GPUs are available"),
        {"HIP_VISIBLE_DEVICES": "9"},
        "HIP_VISIBLE_DEVICES=9 hides every CUDA device; unset it",
    ),
    "none": (RuntimeError("No CUDA GPUs are available"), {}, "no CUDA device or driver was found; see nvidia-smi"),
    "no driver": (
        RuntimeError(NO_DRIVER),
        {"CUDA_VISIBLE_DEVICES": "0"},
        "no CUDA device or driver was found; see nvidia-smi",
    ),
    "none of AMD": (
        RuntimeError("No HIP GPUs are available"),
        {"ROCM": "6.4"},
        "no CUDA device of AMD or driver was found; see rocm-smi",
    ),
    "anything": (
        AssertionError("the card is on fire.\nCall somebody"),
        {},
        "AssertionError: the card is on fire; see nvidia-smi",
    ),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two cards, which torch cannot use; what is to be said."""
    error, environ, said = BROKEN[request.param]
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def try_out(device: torch.device) -> None:
        raise error

    fake(devices=2)
    monkeypatch.setattr(torch.version, "hip", environ.get("ROCM"))
    monkeypatch.setattr(cuda, "try_out", try_out)
    monkeypatch.setattr(cuda, "name", lambda _: "NVIDIA GeForce GTX 1080")
    monkeypatch.setattr(cuda, "capability", lambda _: (6, 1))
    monkeypatch.setattr(cuda, "architectures", lambda: ["sm_75", "sm_80"])
    return said


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_card_that_does_not_work_is_refused_with_the_reason(broken: str, name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == f'device {name!r} is not available: {broken}, or use device="cpu"'


def test_auto_takes_no_card_that_does_not_work_and_says_why(broken: str) -> None:
    with pytest.warns(UserWarning, match="auto takes the CPU") as caught:
        assert choose_device("auto") == torch.device("cpu")
    [warning] = caught
    assert str(warning.message) == f"auto takes the CPU: device 'cuda' is not available: {broken}"


def test_a_card_is_tried_out_as_the_current_device_and_waited_for(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[object] = []

    @contextlib.contextmanager
    def current(device: torch.device) -> Iterator[None]:
        did.append(device)
        yield
        did.append("left")

    monkeypatch.undo()
    monkeypatch.setattr(cuda, "api", type("Api", (), {"init": lambda: did.append("init")}))
    monkeypatch.setattr(cuda, "current", current)
    monkeypatch.setattr(cuda, "synchronize", lambda _: did.append("waited"))
    monkeypatch.setattr(torch, "zeros", lambda n, device: torch.ones(n))
    cuda.try_out(torch.device("cuda:1"))
    assert did == ["init", torch.device("cuda:1"), "left", "waited"]


def test_a_driver_that_is_too_old_is_one_line_of_warning_under_auto(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_available() -> bool:
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old (found ...", stacklevel=1)
        return False

    monkeypatch.setattr(cuda, "is_available", is_available)
    with pytest.warns(
        UserWarning, match="^auto takes the CPU: its driver is too old for the CUDA 12.8 of torch"
    ) as all_:
        assert choose_device() == torch.device("cpu")
    assert len(all_) == 1


# `auto` by the size of the run


@pytest.mark.usefixtures("typed")  # a message as at the command line
@pytest.mark.parametrize(
    ("parameters", "batch_size", "positions", "device"),
    [
        (6_000, 32, 1, "cpu"),  # the lecture's net
        (16_384, 64, 16, "cuda"),  # the transformer
        (62_499, 32, 1, "cpu"),
        (62_500, 32, 1, "cuda"),
        (125_000, 1, 16, "cuda"),
    ],
)
def test_auto_takes_the_cpu_for_a_small_run_and_says_so(
    fake: Fake, parameters: int, batch_size: int, positions: int, device: str
) -> None:
    fake(devices=1)
    model = nn.Linear(parameters, 1, bias=False, device="meta")
    y = torch.zeros((2, positions) if positions > 1 else 2, dtype=torch.uint8)
    said: list[str] = []
    options = RunOptions("x", batch_size=batch_size)
    assert suitable_device(options, model, TensorExamples(y, y, torch.int64), said.append).type == device
    assert len(said) == (device == "cpu")
    if said:
        assert said[0].startswith("auto takes the CPU: a step of this run is so small that a GPU is hardly faster")
        assert said[0].endswith(
            f"{parameters * batch_size * positions:,} multiplications); --device cuda takes the GPU"
        )


def test_a_small_run_is_on_the_cpu_where_there_is_a_card_and_its_evaluation_too(
    fake: Fake, words_file: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(devices=1)
    monkeypatch.setattr(cuda, "try_out", lambda _: fail("the card is not touched for it"))
    outcome = zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 2, "--no-plots", "--out", "run", "--json")
    assert outcome.result["device"] == "cpu"
    assert outcome.err.startswith("zoo: warning: auto takes the CPU: a step of this run is so small")
    assert outcome.err.count("\n") == 1
    evaluated = zoo_here("eval", "run", "--json")
    assert (evaluated.result["device"], evaluated.err) == ("cpu", "")
    with pytest.raises(DeviceError, match="the card is not touched"):
        zoo.run("mlp-char", dataset=words_file, steps=2, device="cuda", plots=False)


def test_an_evaluation_says_why_auto_does_not_take_a_card_that_is_there(
    fake: Fake, words_file: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 2, "--no-plots", "--out", "run")
    fake(devices=1)
    monkeypatch.setattr(cuda, "try_out", lambda _: fail("CUDA error: no such luck"))
    monkeypatch.setattr("zoo.training.device.fits_cpu", lambda *_: False)
    evaluated = zoo_here("eval", "run", "--json")
    assert evaluated.result["device"] == "cpu"
    assert evaluated.err.startswith(
        "zoo: warning: auto takes the CPU: device 'cuda' is not available: RuntimeError: CUDA"
    )
    assert evaluated.err.count("\n") == 1


# The current device


def test_all_that_computes_for_a_run_does_it_on_its_device_as_the_current_one(
    words_file: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    current: list[torch.device] = []
    seen: dict[str, set[str]] = {}

    @contextlib.contextmanager
    def make_current(device: torch.device) -> Iterator[None]:
        current.append(device)
        yield
        current.pop()

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            seen.setdefault(name, set()).add(current[-1].type if current else "the caller's")
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    monkeypatch.setattr(cuda, "current", make_current)
    for module, name in (
        (prepare, "check_forward"),
        (prepare, "fit_model"),
        (prepare, "build_optimizer"),
        (prepare, "choose_engine"),
        (loop, "_train_block"),
        (loop, "_Snapshot"),
        (evaluation, "evaluate"),
        (states, "pack"),
        (states.TrainingState, "restore"),
        (states.TrainingState, "restore_global_generators"),
        (bench.Bench, "__init__"),
        (bench.Trained, "run"),
    ):
        watch(module, name)
    options: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False}
    zoo.run("ngram", **options)
    path = zoo.run("mlp-char", steps=3, validate_every=2, **options).path
    zoo.resume(path, steps=5, plots=False)
    assert zoo_here("eval", path).code == 0
    zoo.testing.check_engines("mlp-char", dataset=words_file, steps=1)
    assert seen == {
        name: {"cpu"}
        for name in (
            *(
                "check_forward",
                "fit_model",
                "build_optimizer",
                "choose_engine",
                "_train_block",
                "_Snapshot",
                "evaluate",
            ),
            *("pack", "restore", "restore_global_generators", "__init__", "run"),
        )
    }


# Sums in one order


@pytest.fixture
def torchs_settings() -> Iterator[Callable[[], tuple[int, bool]]]:
    """What torch is set to, which is put back afterwards."""

    def settings() -> tuple[int, bool]:
        return torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]

    before, _ = settings()
    yield settings
    torch.set_deterministic_debug_mode(before)


def test_sums_have_one_order_on_a_cpu_and_torch_is_left_as_it_was(
    torchs_settings: Callable[[], tuple[int, bool]],
) -> None:
    before = torchs_settings()
    within = []
    with contextlib.suppress(KeyError), deterministic_sums(torch.device("cpu")):
        within.append(torchs_settings())
        raise KeyError
    assert within == [(1, False)]
    assert torchs_settings() == before == (0, True)


@pytest.mark.parametrize(("device", "mode"), [("cpu", 1), ("cpu", 2), ("cuda", 0), ("mps", 0)])
def test_torch_is_left_alone_where_its_user_has_set_it_or_the_device_is_another(
    torchs_settings: Callable[[], tuple[int, bool]], device: str, mode: int
) -> None:
    torch.set_deterministic_debug_mode(mode)
    with deterministic_sums(torch.device(device)):
        assert torchs_settings() == (mode, True)
    assert torchs_settings() == (mode, True)


def threads_for(parameters: int, batch_size: int, positions: int = 1, **options: Any) -> int:
    model = nn.Linear(parameters, 1, bias=False, device="meta")
    y = torch.zeros((2, positions) if positions > 1 else 2, dtype=torch.uint8)
    return choose_threads(RunOptions("x", batch_size=batch_size, **options), model, TensorExamples(y, y, torch.int64))


@pytest.mark.parametrize(
    ("parameters", "batch_size", "positions", "expected"),
    [
        (6_000, 32, 1, 1),  # the lecture's net
        (16_384, 64, 16, 1),  # the transformer
        (60_000, 1_024, 1, 2),  # a hidden layer of 2,000 units
        (60_000, 64, 16, 2),
        (120_000, 1_024, 1, 4),
        (1_000_000, 1_024, 1, 4),
    ],
)
def test_threads_are_chosen_by_the_size_of_the_work(
    monkeypatch: pytest.MonkeyPatch, parameters: int, batch_size: int, positions: int, expected: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert threads_for(parameters, batch_size, positions) == expected


def test_no_more_threads_are_chosen_than_torch_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert threads_for(1 << 20, 1 << 12) == 2
    assert threads_for(8, 1, threads=7) == 7  # somebody asked for them


def test_a_recurrent_net_uses_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    model = nn.LSTM(64, 1024, device="meta")
    y = torch.zeros((2, 64), dtype=torch.uint8)
    assert choose_threads(RunOptions("x", batch_size=4096), model, TensorExamples(y, y, torch.int64)) == 1


@pytest.mark.parametrize("asked", [None, 1, 2])
def test_a_run_records_its_threads_and_leaves_the_callers(
    words_file: Path, asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    of_observer: list[int] = []
    sample = loop._sample

    def look(training: loop.Training, count: int) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return sample(training, count)

    class Look(Observer):
        def progress(self, step: int, steps: int, loss: float) -> None:
            of_observer.append(torch.get_num_threads())

    monkeypatch.setattr(loop, "_sample", look)
    options: dict[str, Any] = {"device": "cpu", "steps": 3, "plots": False, "observer": Look()}
    run = zoo.run("mlp-char", dataset=words_file, threads=asked, **options)
    assert torch.get_num_threads() == before
    assert set(seen) == {asked or 1}
    assert set(of_observer) == {before}
    assert run.config["training"]["threads"] == run.metrics["threads"] == (asked or 1)


def test_a_failed_run_leaves_the_callers_threads_too(words_file: Path) -> None:
    before = torch.get_num_threads()
    with pytest.raises(zoo.DivergedError):
        zoo.run("mlp-char", dataset=words_file, device="cpu", steps=50, lr=1e38, threads=before + 1, plots=False)
    assert torch.get_num_threads() == before


def test_a_resumed_run_uses_the_runs_own_threads_or_says_so(words_file: Path) -> None:
    options: dict[str, Any] = {"device": "cpu", "plots": False}
    path = zoo.run("mlp-char", dataset=words_file, steps=3, threads=2, **options).path
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zoo.resume(path, steps=5, plots=False).metrics["threads"] == 2
    with pytest.warns(UserWarning, match="training.threads: 2 then, 1 now"):
        assert zoo.resume(path, steps=6, threads=1, plots=False).metrics["threads"] == 1


@pytest.mark.parametrize("callers", [1, 2, 3])
def test_every_way_to_compute_with_a_run_uses_its_own_threads(
    callers: int, words_file: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    """Whatever torch is set to around the call: 1, 2 or 3 threads of the caller, and 2 of the run."""
    seen: dict[str, set[int]] = {}

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            seen.setdefault(name, set()).add(torch.get_num_threads())
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    watch(loop, "_train_block")
    watch(evaluation, "evaluate")
    watch(trained, "sample")
    before = torch.get_num_threads()
    torch.set_num_threads(callers)
    try:
        path = zoo.run(
            "mlp-char", dataset=words_file, device="cpu", steps=3, threads=2, validate_every=2, plots=False
        ).path
        zoo.resume(path, steps=5, plots=False)
        assert zoo_here("resume", path, "--steps", 7, "--no-plots").code == 0
        assert zoo_here("eval", path).code == 0
        assert zoo_here("sample", path).code == 0
        zoo.load(path).sample(3)
        assert torch.get_num_threads() == callers
    finally:
        torch.set_num_threads(before)
    assert seen == {"_train_block": {2}, "evaluate": {2}, "sample": {2}}


def test_eval_gives_the_losses_that_the_run_has_recorded_to_the_last_digit(words_file: Path, zoo_here: Zoo) -> None:
    for count in (1, 2, 3):
        run = zoo.run("gru", dataset=words_file, device="cpu", steps=2, batch_size=300, threads=count, plots=False)
        assert zoo_here("eval", run.path, "--json").result["losses"] == run.losses


@pytest.mark.parametrize(
    ("environ", "count", "told"),
    [
        ({}, 8, None),
        ({"OMP_THREAD_LIMIT": "8"}, 8, None),
        ({"OMP_THREAD_LIMIT": "4"}, 8, "OMP_THREAD_LIMIT=4"),
        ({"OMP_THREAD_LIMIT": "x"}, 8, None),
        ({"OMP_DYNAMIC": "TRUE"}, 2, "OMP_DYNAMIC=true"),
        ({"OMP_DYNAMIC": "TRUE"}, 1, None),
        ({"OMP_DYNAMIC": "false"}, 2, None),
    ],
)
def test_what_lets_openmp_use_fewer_threads_is_told(environ: dict[str, str], count: int, told: str | None) -> None:
    assert (fewer_threads(count, environ) or "").partition(" ")[0] == (told or "")


def test_a_run_tells_that_it_has_fewer_threads(
    words_file: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    outcome = zoo_here("run", "mlp-char", "--dataset", words_file, "--threads", 2, "--steps", 2, "--no-plots")
    assert "zoo: warning: OMP_THREAD_LIMIT=1 allows fewer threads than the 2 of this run" in outcome.err
