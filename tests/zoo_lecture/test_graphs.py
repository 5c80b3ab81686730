"""The engine `manual` on CUDA, by graphs, through a fake of CUDA on tensors of the CPU: see `fake_cuda.py`.

Under the fake the same kernels run by graph and step by step, so that both must have the same bits.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import FakeCuda, out_of_memory, watched
from torch import Tensor

import zoo
from zoo import cuda
from zoo.plugin.registry import Entry, Plugin
from zoo.testing import check_engines
from zoo.training.autograd import Autograd
from zoo.training.engines import choose_engine
from zoo_lecture import manual, manual_cuda
from zoo_lecture.manual import Manual
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD

Fake = Callable[..., FakeCuda]

V, T, E, H, B = 11, 3, 4, 16, 8
PLACES = (
    "device",
    "Stream",
    "wait_stream",
    "stream",
    "CUDAGraph",
    "synchronize",
    "capture_begin",
    "capture_end",
    "replay",
)
CALLS_A_STEP = 16
PER_GRAPH = manual_cuda._STEPS_PER_GRAPH


def net_and_optimizer() -> tuple[MLPChar, SGD]:
    net = MLPChar(V, T, E, H, torch.Generator().manual_seed(1), scaled_init=True)
    return net, SGD(net.parameters())


def started() -> tuple[MLPChar, Manual]:
    """On what it takes for CUDA, and started."""
    net, optimizer = net_and_optimizer()
    engine = Manual(net, optimizer, B)
    engine.start()
    return net, engine


Batches = tuple[Tensor, Tensor, list[float]]


def batches(steps: int, start: int = 0) -> Batches:
    """Contexts (K, B, T), targets (K, B) and falling rates of the steps from `start`."""
    g = torch.Generator().manual_seed(2)
    x, y = torch.randint(V, (300, B, T), generator=g), torch.randint(V, (300, B), generator=g)
    return x[start:steps], y[start:steps], [0.5 * 0.99**k for k in range(start, steps)]


def goes_on() -> bool:
    return False


def trained(net: MLPChar, engine: Any, steps: int, block: int | None = None) -> list[Tensor]:
    """Losses and weights after so many steps, in blocks of a length."""
    parts = [(start, min(start + block, steps)) for start in range(0, steps, block)] if block else [(0, steps)]
    losses = [torch.empty(0)]
    losses += [engine.run(*batches(end, start), goes_on) for start, end in parts]
    return [torch.cat(losses), *(p.detach().clone() for p in net.parameters())]


def one_by_one(steps: int) -> list[Tensor]:
    """In blocks of one step, which no graph does."""
    return trained(*started(), steps, 1)


def same(ones: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(bits(a), bits(b)) for a, b in zip(ones, others, strict=True))


def bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(torch.int32).clone()


def check_graphs(fake_cuda: Fake, steps: int, **where: int) -> FakeCuda:
    """A block by graphs has the bits of single steps and the numbers of autograd, with so many replays."""
    fake = fake_cuda(**where)
    expected = one_by_one(steps)
    net, optimizer = net_and_optimizer()
    reference = trained(net, Autograd(net, optimizer), steps, 50)
    net, engine = started()
    fake.graphs.clear()
    found = trained(net, engine, steps)
    assert len(found[0]) == steps
    assert same(found, expected)
    for one, other in zip(found, reference, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert [graph.replays for graph in fake.graphs] == ([1 + steps // PER_GRAPH] if steps >= PER_GRAPH else [])
    return fake


@pytest.mark.parametrize("steps", [0, 1, 63, 64, 65, 128, 200])
def test_graphs_do_what_single_steps_do(fake_cuda: Fake, steps: int) -> None:
    check_graphs(fake_cuda, steps)


@pytest.mark.parametrize("block", [64, 100, 130])
def test_blocks_share_one_graph(fake_cuda: Fake, block: int) -> None:
    fake = fake_cuda()
    expected = one_by_one(260)
    net, engine = started()
    fake.graphs.clear()
    assert same(trained(net, engine, 260, block), expected)
    [graph] = fake.graphs
    assert graph.replays == 1 + sum(len(range(start, min(start + block, 260))) // 64 for start in range(0, 260, block))


def test_a_long_block_without_a_graph_is_prepared_in_parts(fake_cuda: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda()
    expected = trained(*started(), 50)
    monkeypatch.setattr("zoo_lecture.manual._MAX_ELEMENTS", 7 * B * V)
    assert same(trained(*started(), 50), expected)


def test_graphs_are_tested_against_autograd_as_any_engine(
    fake_cuda: Fake, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fake_cuda()
    monkeypatch.setattr("zoo.testing.engines._BLOCK", 130)  # of two graphs
    assert "manual" in check_engines("mlp-char", dataset=words_file, device="cpu", steps=130)
    assert 3 in [graph.replays for graph in fake.graphs]


def test_a_step_has_so_many_calls(fake_cuda: Fake) -> None:
    """Each is a launch of one kernel or two on CUDA. Besides, a graph prepares the gradients of its losses."""
    fake = fake_cuda()
    trained(*started(), PER_GRAPH)
    one, many = (len(graph.nodes) for graph in fake.graphs)
    assert many - one == (PER_GRAPH - 1) * CALLS_A_STEP
    assert one - CALLS_A_STEP == 3


# The device


@pytest.mark.parametrize(("devices", "tensors_on"), [(1, 0), (2, 0), (2, 1), (3, 1)])
def test_all_is_done_on_the_nets_device(fake_cuda: Fake, devices: int, tensors_on: int) -> None:
    fake = check_graphs(fake_cuda, 70, devices=devices, tensors_on=tensors_on)
    of_device = ("Stream", "CUDAGraph", "capture_begin", "capture_end", "replay", "pin_memory", "wait_stream")
    assert {call.device for call in fake.log if call.name in of_device} == {tensors_on}
    assert {call.name for call in fake.log} >= set(of_device)
    assert all(call.stream for call in fake.log if call.name in ("capture_begin", "capture_end"))
    assert fake.current_device() == 0
    assert [fake.current_stream(number).stream_id for number in range(devices)] == [0] * devices


# Order


@pytest.mark.parametrize("devices", [1, 2])
def test_all_captures_of_a_device_share_a_stream(fake_cuda: Fake, devices: int) -> None:
    """For each stream cuBLAS keeps a workspace as long as the process lives."""
    fake = fake_cuda(devices=devices)
    for tensors_on in [*range(devices)] * 2:
        fake.tensors_on = tensors_on
        trained(*started(), 130)
    assert len({graph.stream for graph in fake.graphs}) == devices
    assert len(fake.graphs) == 4 * devices


def test_the_order_of_calls(fake_cuda: Fake) -> None:
    """The capturing stream waits for the work before it, and is waited for; then the graph is tried."""
    fake = fake_cuda()
    net, engine = started()
    order = ["Stream", "wait_stream", "wait_stream", "CUDAGraph", "capture_begin", "capture_end", "replay"]
    assert fake.names(*order, "pin_memory") == order
    begun, waited = (call for call in fake.log if call.name == "wait_stream")
    assert begun.given == (1, 0)
    assert waited.given == (0, 1)
    assert {call.stream for call in fake.log if call.name == "replay"} == {0}
    fake.log.clear()
    trained(net, engine, 130)
    assert fake.names(*order, "pin_memory") == ["pin_memory", *order[1:], "replay", "replay"]


def test_the_buffers_are_filled_before_each_replay(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    net, engine = started()
    trained(net, engine, 64)
    fake.log.clear()
    with watched(fake):
        trained(net, engine, 128)
    names = fake.names("aten.copy_.default", "replay")
    first, second = (place for place, name in enumerate(names) if name == "replay")
    assert names[first - 3 : first] == ["aten.copy_.default"] * 3
    assert names[first + 1 : second] == ["aten.copy_.default"] * 4  # of the losses before, and the three


def test_nothing_in_a_block_reads_a_value(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    net, engine = started()
    trained(net, engine, 64)
    fake.log.clear()
    block = batches(130)
    with watched(fake):
        engine.run(*block, goes_on)
    assert not [name for name in fake.names() if "_local_scalar_dense" in name or name == "synchronize"]
    assert fake.names("replay") == ["replay"] * 2


# What fails


def chosen(name: str) -> tuple[str, MLPChar]:
    net, optimizer = net_and_optimizer()
    spec = zoo.ModelSpec("mlp-char", MLPChar, engines={"manual": "zoo_lecture.manual:Manual"})
    entry = Entry(spec, Plugin("lecture", "zoo-models", "1.0"))
    return choose_engine(name, entry, net, optimizer, batch_size=B, steps=1000)[0], net


@pytest.mark.parametrize(
    "error", [out_of_memory(), RuntimeError("CUDA error: no kernel image\nCompile with"), OSError(5, "no")]
)
@pytest.mark.parametrize("place", PLACES)
def test_where_no_graph_can_be_had_the_engine_is_unavailable(fake_cuda: Fake, place: str, error: Exception) -> None:
    fake = fake_cuda(devices=2, tensors_on=1)
    fake.fail(place, error)
    net, optimizer = net_and_optimizer()
    before = [bits(p) for p in net.parameters()]
    engine = Manual(net, optimizer, B)
    with pytest.raises(zoo.EngineUnavailableError) as caught:
        engine.start()
    first, *rest = str(error).splitlines()
    assert str(caught.value) == f"no CUDA graph can be used here: {type(error).__name__}: {first}"
    assert not rest or rest[0] not in str(caught.value)
    name, other = chosen("auto")
    assert name == "autograd"
    with pytest.raises(zoo.UsageError, match=r"^engine 'manual' cannot train this: no CUDA graph .*; engine=.auto"):
        chosen("manual")
    for one in (net, other):
        assert all(torch.equal(bits(p), q) for p, q in zip(one.parameters(), before, strict=True))
    fake.mend()
    assert chosen("auto")[0] == "manual"


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_step_that_fails_makes_the_engine_unavailable(
    fake_cuda: Fake, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is before the capture and the second within it; there is no third in a graph of one step."""
    fake_cuda()
    failing_step(monkeypatch, nth)
    assert chosen("auto")[0] == ("manual" if nth == 3 else "autograd")


def failing_step(monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """Memory runs out in the middle of the nth step from now on."""
    calls, real = itertools.count(1), manual.tanh_backward

    def tanh_backward(*args: Tensor, **kwargs: Tensor) -> None:
        if next(calls) == nth:
            raise out_of_memory()
        real(*args, **kwargs)

    monkeypatch.setattr("zoo_lecture.manual_cuda.tanh_backward", tanh_backward)


@pytest.mark.parametrize("place", PLACES[2:])  # the stream is there already
def test_where_the_long_graph_cannot_be_captured_steps_go_on_one_by_one(fake_cuda: Fake, place: str) -> None:
    fake = fake_cuda()
    expected = one_by_one(200)
    net, engine = started()
    fake.graphs.clear()
    fake.fail(place, out_of_memory())
    with pytest.warns(
        UserWarning, match="a CUDA graph of 64 steps cannot be captured: OutOfMemoryError: CUDA out of .*"
    ):
        first = trained(net, engine, 100)
    fake.mend()
    losses = torch.cat([first[0], engine.run(*batches(200, 100), goes_on)])  # it is not tried again, and not warned of
    assert same([losses, *net.parameters()], expected)
    assert [graph.replays for graph in fake.graphs] in ([], [0])


@pytest.mark.parametrize("nth", [1, 40, 64, 65, 100, 128])
def test_a_capture_that_fails_on_its_way_trains_nothing_twice(
    fake_cuda: Fake, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the 64th step it fails before the capture, where the steps are done, and then within it."""
    fake = fake_cuda()
    expected = one_by_one(130)
    net, engine = started()
    fake.log.clear()
    failing_step(monkeypatch, nth)
    with pytest.warns(UserWarning, match="cannot be captured: OutOfMemoryError"):
        assert same(trained(net, engine, 130), expected)
    assert fake.names("wait_stream") == ["wait_stream"] * 2  # or the weights would be put back under running kernels
    assert fake.current_stream().stream_id == 0


@pytest.mark.parametrize("place", ["replay", "pin_memory"])
def test_what_fails_in_training_leaves_the_net_as_it_was(fake_cuda: Fake, place: str) -> None:
    fake = fake_cuda()
    net, engine = started()
    trained(net, engine, 64)
    before = [bits(p) for p in net.parameters()]
    fake.fail(place, nth=2 if place == "replay" else 1)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        trained(net, engine, 200)
    assert all(torch.equal(bits(p), q) for p, q in zip(net.parameters(), before, strict=True))


def check_weights_are_put_back(fake_cuda: Fake) -> None:
    """Also infinite ones, which make all others NaN though the rates of the trial are 0."""
    fake_cuda()
    net, engine = started()
    assert engine._on_cuda is not None
    step = engine._on_cuda._buffers()
    with torch.no_grad():
        net.C.fill_(float("inf"))
        step.read(net)
        before = bits(step.weights)
        sys.modules["zoo_lecture.manual_cuda"]._Graph(step, 2)
    assert torch.equal(bits(step.weights), before)


def test_the_trial_of_a_graph_puts_all_weights_back(fake_cuda: Fake) -> None:
    check_weights_are_put_back(fake_cuda)


# In a run


@pytest.mark.parametrize("tensors_on", [0, 1])
def test_a_resumed_run_by_graphs_has_the_bytes_of_an_uninterrupted_one(
    fake_cuda: Fake, words_file: Path, tensors_on: int
) -> None:
    fake = fake_cuda(devices=2, tensors_on=tensors_on)
    options: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False}
    whole = zoo.run("mlp-char", steps=300, out="whole", **options)
    assert whole.metrics["engine"] == "manual"
    assert sum(graph.replays for graph in fake.graphs) > 3
    zoo.run("mlp-char", steps=150, out="parts", **options)
    resumed = zoo.resume("parts", steps=300, device="cpu", plots=False)
    for name in ("model.safetensors", "losses.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_a_run_where_no_graph_can_be_had_takes_autograd(fake_cuda: Fake, words_file: Path) -> None:
    fake_cuda().fail("capture_begin", out_of_memory())
    run = zoo.run("mlp-char", steps=20, dataset=words_file, device="cpu", plots=False)
    assert run.metrics["engine"] == "autograd"


# Deliberate faults, each of which a check above must see


def everything(fake_cuda: Fake) -> None:
    check_graphs(fake_cuda, 130)
    check_weights_are_put_back(fake_cuda)


FAULTS = {  # a line of manual_cuda.py, and what it is replaced by
    "a value is read in the loop": ("self(*one)\n", "self(*one), one[-1].item()\n"),
    "a graph is replayed once too often": (
        "        self._graph.replay()\n        return self._losses",
        "        self._graph.replay()\n        self._graph.replay()\n        return self._losses",
    ),
    "a graph is never replayed": ("        self._graph.replay()\n        return", "        return"),
    "contexts are not filled in": ("        self._x.copy_(x)\n", ""),
    "targets are not filled in": ("        self._y.copy_(y)\n", ""),
    "rates are not filled in": ("        self._rates.copy_(rates)\n", ""),
    "buffers are filled too late": (
        "        self._rates.copy_(rates)\n        self._graph.replay()\n",
        "        self._graph.replay()\n        self._rates.copy_(rates)\n",
    ),
    "weights are not put back": ("            step.weights.copy_(before)\n", "            pass\n"),
    "the tail is left out": ("for start in range(done, len(y), chunk):", "for start in range(0):"),
    "the tail has the first batches": ("step.run(x[part], y[part],", "step.run(x[: len(x[part])], y[part],"),
    "steps of a graph are done again": ("range(done, len(y), chunk)", "range(0, len(y), chunk)"),
    "the weights are not read": ("            step.read(self._net)\n", ""),
    "the weights are not written": ("            step.write(self._net)\n", ""),
    "the gradient goes up": (".neg_()", ""),
    "a weight changes before its last use": (
        "        torch.mm(self.dh, self.W1T, out=self.demb)  # (B, T * E)\n"
        "        self.W1.addmm_(self.embT, self.dh)  # (T * E, H)\n",
        "        self.W1.addmm_(self.embT, self.dh)\n        torch.mm(self.dh, self.W1T, out=self.demb)\n",
    ),
    "a bias is not trained": ("        self.b1.addmv_(self.dhT, self.ones)  # (H)\n", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_engine_is_seen(
    fake_cuda: Fake, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = FAULTS[fault]
    source = Path(manual_cuda.__file__).read_text()
    assert source.count(right) == 1, "the fault no longer fits the code"
    path = tmp_path / "faulty.py"
    path.write_text(source.replace(right, wrong))
    spec = importlib.util.spec_from_file_location("zoo_lecture.manual_cuda", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "zoo_lecture.manual_cuda", module)
    with pytest.raises((AssertionError, zoo.ZooError)):
        everything(fake_cuda)


class _OfTheCurrentDevice:
    """A graph without a thought for the device of its tensors."""

    def __init__(self, work: Callable[[], object], device: torch.device) -> None:
        work()
        self._graph = cuda.api.CUDAGraph()
        with cuda.api.graph(self._graph):
            work()

    def replay(self) -> None:
        self._graph.replay()


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
def test_a_capture_on_another_devices_stream_is_seen(fake_cuda: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tests of all devices but the first, and by the engine itself."""
    monkeypatch.setattr(cuda, "Graph", _OfTheCurrentDevice)
    monkeypatch.setattr(cuda, "current", lambda _: pytest.MonkeyPatch.context())  # any context that does nothing
    check_graphs(fake_cuda, 70, devices=2, tensors_on=0)
    fake_cuda(devices=2, tensors_on=1)
    with pytest.raises(zoo.EngineUnavailableError, match="RuntimeError: the captured graph is empty"):
        started()
