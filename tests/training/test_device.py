"""Which device a run uses, with the presence and absence of CUDA made up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch

from zoo import DeviceError
from zoo.training.device import choose_device, describe_device, deterministic_sums, synchronize

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
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    install()
    return install


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


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_wheel_without_cuda_is_told_apart(fake: Fake, name: str) -> None:
    fake(build=None)
    with pytest.raises(DeviceError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"device {name!r} is not available: torch {torch.__version__} was built without CUDA; "
        "install a CUDA build of torch, or use --device cpu"
    )


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
@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_real_cuda_device_holds_tensors(name: str) -> None:
    device = choose_device(name)
    assert torch.ones(1, device=device).device.type == "cuda"


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
