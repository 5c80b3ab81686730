"""The fake of CUDA behaves as CUDA does, where tests rely on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fake_cuda import FakeCuda, out_of_memory, watched
from torch import Tensor

from zoo import cuda

Fake = Callable[..., FakeCuda]
ON = torch.device("cpu")  # where tensors are


def doubling() -> tuple[Tensor, Callable[[], None]]:
    """A tensor, and work that doubles it and adds one, with a temporary tensor and a view."""
    x = torch.arange(4.0)

    def work() -> None:
        y = x * 2
        y.view(2, 2)[0].add_(1)
        torch.add(y, 0, out=x)

    return x, work


def test_a_capture_records_work_and_does_not_do_it(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    x, work = doubling()
    graph, stream = fake.CUDAGraph(), fake.Stream()
    with fake.graph(graph, stream=stream):
        work()
    assert graph.nodes == ["mul", "add_", "add"]
    assert x.tolist() == [0, 1, 2, 3]
    graph.replay()
    assert x.tolist() == [1, 3, 4, 6]
    x.fill_(1)
    graph.replay()
    assert x.tolist() == [3, 3, 2, 2]
    assert (graph.replays, fake.graphs) == (2, [graph])


def test_what_a_capture_allocates_is_nan_until_the_first_replay(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    x = torch.ones(3)
    graph = fake.CUDAGraph()
    with fake.graph(graph, stream=fake.Stream()):
        y = x + 1
    assert y.isnan().all()
    graph.replay()
    assert y.tolist() == [2, 2, 2]


@pytest.mark.parametrize("foreach", [False, True])
def test_a_capture_records_what_autograd_does(fake_cuda: Fake, foreach: bool) -> None:
    fake = fake_cuda()
    with torch.random.fork_rng(devices=[]):
        net = torch.nn.Linear(3, 2)
        x = torch.randn(5, 3)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, foreach=foreach)

    def step() -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    before = torch.nn.utils.parameters_to_vector(net.parameters()).detach().clone()
    step()
    wanted = torch.nn.utils.parameters_to_vector(net.parameters()).detach().clone()
    torch.nn.utils.vector_to_parameters(before.clone(), net.parameters())
    graph = fake.CUDAGraph()
    with fake.graph(graph, stream=fake.Stream()):
        step()
    assert torch.equal(torch.nn.utils.parameters_to_vector(net.parameters()), before)
    graph.replay()
    assert torch.equal(torch.nn.utils.parameters_to_vector(net.parameters()), wanted)


READS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x[0]),
    "if": lambda x: bool(x[0]),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "cpu": lambda x: x.cpu(),
    "to the CPU": lambda x: x.to("cpu"),
    "nonzero": lambda x: x.nonzero(),
    "a mask": lambda x: x[x > 0],
    "equal": lambda x: torch.equal(x, x),
    "unique": lambda x: torch.unique(x),
    "from the CPU": lambda x: torch.tensor([1.0]),
    "pinned memory": lambda x: cuda.copied(x, ON),
    "synchronize": lambda x: cuda.synchronize(ON),
    "the generator's state": lambda x: cuda.generator_state(ON),
}


@pytest.mark.parametrize("what", READS)
def test_what_waits_for_the_device_ends_a_capture(fake_cuda: Fake, what: str) -> None:
    fake = fake_cuda()
    x = torch.ones(3)
    graph = fake.CUDAGraph()

    def capture() -> None:
        with fake.graph(graph, stream=fake.Stream()):
            x.add_(1)
            READS[what](x)

    with pytest.raises(RuntimeError, match="CUDA error: operation failed due to a previous error") as caught:
        capture()
    assert "operation not permitted when stream is capturing" in str(caught.value.__context__)
    assert x.tolist() == [1, 1, 1]
    with pytest.raises(AssertionError, match="without a preceding successful capture"):
        graph.replay()
    READS[what](x)  # outside of a capture it may wait


def test_a_capture_on_another_device_is_empty(fake_cuda: Fake) -> None:
    fake = fake_cuda(devices=2, tensors_on=1)
    x, work = doubling()
    graph = fake.CUDAGraph()
    with pytest.warns(UserWarning, match="The CUDA Graph is empty"), fake.graph(graph):
        work()
    assert (graph.nodes, x.tolist()) == ([], [1, 3, 4, 6])  # it was done, and at once
    graph.replay()
    assert x.tolist() == [1, 3, 4, 6]


@pytest.mark.parametrize("tensors_on", [0, 1])
def test_a_graph_of_zoo_is_captured_on_the_device_of_its_tensors(fake_cuda: Fake, tensors_on: int) -> None:
    fake = fake_cuda(devices=2, tensors_on=tensors_on)
    x, work = doubling()
    graph = cuda.Graph(work, ON)
    assert x.tolist() == [1, 3, 4, 6]  # by the warm-up
    graph.replay()
    assert x.tolist() == [3, 7, 8, 12]
    [begin] = [call for call in fake.log if call.name == "capture_begin"]
    assert begin.device == tensors_on
    assert begin.stream != 0
    assert {call.device for call in fake.log if call.name in ("CUDAGraph", "replay")} == {tensors_on}
    assert fake.current_device() == 0


@pytest.mark.parametrize("at", ["Stream", "CUDAGraph", "capture_begin", "capture_end"])
def test_a_capture_that_fails_leaves_device_and_stream_as_they_were(fake_cuda: Fake, at: str) -> None:
    fake = fake_cuda(devices=2, tensors_on=1)
    streams = [fake.current_stream(number) for number in range(2)]
    x, work = doubling()
    fake.fail(at, out_of_memory())
    with pytest.raises(RuntimeError, match="out of memory"):
        cuda.Graph(work, ON)
    assert [fake.current_stream(number) for number in range(2)] == streams
    assert fake.current_device() == 0
    assert fake.capturing is None
    assert x.tolist() in ([0, 1, 2, 3], [1, 3, 4, 6])


def test_a_call_fails_when_it_is_told_to(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    _, work = doubling()
    graph = cuda.Graph(work, ON)
    fake.fail("replay", nth=2)
    graph.replay()
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        graph.replay()
    graph.replay()
    fake.mend()


def test_each_device_has_its_generator(fake_cuda: Fake) -> None:
    fake_cuda(devices=2)
    one, two = torch.device("cuda:0"), torch.device("cuda:1")
    cuda.seed_generator(7, two)
    state = cuda.generator_state(two)
    assert not torch.equal(state, cuda.generator_state(one))
    cuda.set_generator_state(state, one)
    assert torch.equal(state, cuda.generator_state(one))


def test_what_is_copied_to_the_device_is_other_memory(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    x = torch.ones(2)
    copy = cuda.copied(x, ON)
    x.zero_()
    assert copy.tolist() == [1, 1]
    assert fake.names("pin_memory") == ["pin_memory"]


def test_operations_are_logged_where_that_is_asked(fake_cuda: Fake) -> None:
    fake = fake_cuda()
    with watched(fake):
        torch.ones(2).add_(1)
    assert fake.names() == ["aten.ones.default", "aten.add_.Tensor"]
