"""The CUDA kernel for many nets: each is trained as if it were alone, to the bit. On the CPU, as in `cuda_on_cpu`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cuda_on_cpu import CudaOnCpu, needs_compiler
from torch import Tensor

import zoo
import zoo.testing
from zoo.data.examples import TensorExamples
from zoo.errors import ZooError
from zoo.options.schedule import Schedule
from zoo.training.loop import Training, train
from zoo.training.population.loop import Member, train_population
from zoo_lecture.fused import population
from zoo_lecture.fused_cuda import FusedCuda, FusedCudaPopulation
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD

V, T, E, H, B = 5, 4, 2, 7, 40  # of two rounds a batch; few numbers, because the CPU does one thread after another
NETS, STEPS = 4, 6


def never() -> bool:
    return False


def net(seed: int, **sizes: int) -> MLPChar:
    given = {"vocab_size": V, "context_length": T, "embedding_dim": E, "hidden_size": H, **sizes}
    return MLPChar(**given, generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]  # mypy mixes them up


def pair(seed: int, **sizes: int) -> tuple[MLPChar, SGD]:
    model = net(seed, **sizes)
    return model, SGD(model.parameters())


def batches(seed: int) -> tuple[Tensor, Tensor]:
    """Contexts (K, B, T) and targets (K, B)."""
    g = torch.Generator().manual_seed(seed)
    return torch.randint(V, (STEPS, B, T), generator=g), torch.randint(V, (STEPS, B), generator=g)


def rates(number: int) -> list[float]:
    return [0.3 / (1 + k + number) for k in range(STEPS)]


def alone(number: int) -> list[Tensor]:
    """The losses and the weights of one net, trained by the engine for one."""
    model, optimizer = pair(number)
    losses = FusedCuda(model, optimizer, B).run(*batches(number), rates(number), never)
    return [losses, *(p.detach() for p in model.parameters())]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in zip(one, other, strict=True))


@needs_compiler
@pytest.mark.parametrize("order", [0, 1, 7], ids=["first thread first", "last first", "random"])
def test_each_net_has_the_bits_that_it_has_alone(order: int, emulated: CudaOnCpu) -> None:
    emulated.order = order
    wanted = [alone(number) for number in range(NETS)]
    nets = [pair(number) for number in range(NETS)]
    places = [[p.data_ptr() for p in model.parameters()] for model, _ in nets]
    engine = FusedCudaPopulation(nets, B)
    x, y = (torch.stack(parts) for parts in zip(*map(batches, range(NETS)), strict=True))
    losses = engine.run(range(NETS), x, y, [rates(number) for number in range(NETS)], never)
    assert losses.shape == (NETS, STEPS)
    for number, (model, optimizer) in enumerate(nets):
        assert same([losses[number], *(p.detach() for p in model.parameters())], wanted[number])
        assert [p.data_ptr() for p in model.parameters()] == places[number]
        assert optimizer.param_groups[0]["lr"] == rates(number)[-1]


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_some_of_the_nets_go_on_in_any_order_and_the_others_stay() -> None:
    wanted = [alone(number) for number in range(NETS)]
    nets = [pair(number) for number in range(NETS)]
    engine = FusedCudaPopulation(nets, B)
    found: dict[int, list[Tensor]] = {number: [] for number in range(NETS)}
    for members, part in (([0, 1, 2, 3], slice(2)), ([3, 1], slice(2, 3)), ([1, 3], slice(3, STEPS)), ([3], slice(0))):
        x, y = (torch.stack(parts)[:, part] for parts in zip(*map(batches, members), strict=True))
        losses = engine.run(members, x, y, [rates(number)[part] for number in members], never)
        for number, of_net in zip(members, losses, strict=True):
            found[number].append(of_net)
    for number in (1, 3):
        assert same([torch.cat(found[number]), *(p.detach() for p in nets[number][0].parameters())], wanted[number])
    before = [p.detach().clone() for p in nets[0][0].parameters()]
    assert engine.run([0], x[:1], y[:1], [[]], never).shape == (1, 0)
    x, y = (part[None] for part in batches(0))
    assert engine.run([0], x, y, [rates(0)], lambda: True).shape == (1, 0)
    assert same(before, [p.detach() for p in nets[0][0].parameters()])


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_a_net_that_is_no_number_leaves_the_others_as_they_are() -> None:
    wanted = [alone(number) for number in range(NETS)]
    nets = [pair(number) for number in range(NETS)]
    with torch.no_grad():
        nets[1][0].W1[0, 0] = float("nan")
    x, y = (torch.stack(parts) for parts in zip(*map(batches, range(NETS)), strict=True))
    losses = FusedCudaPopulation(nets, B).run(range(NETS), x, y, [rates(n) for n in range(NETS)], never)
    assert losses[1].isnan().all()
    for number in (0, 2, 3):
        assert same([losses[number], *(p.detach() for p in nets[number][0].parameters())], wanted[number])


def training(seed: int, lr: float) -> Training:
    g = torch.Generator().manual_seed(0)
    data = TensorExamples(torch.randint(V, (50, T), generator=g), torch.randint(V, (50,), generator=g), torch.int64)
    model, optimizer = pair(seed)
    engine = FusedCuda(model, optimizer, B)
    generator = torch.Generator().manual_seed(seed)
    return Training(model, optimizer, data, B, lr, Schedule(cosine=True, warmup=2), generator, engine=engine)


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_a_population_ends_as_its_trainings_alone_also_where_one_diverges() -> None:
    def trainings() -> list[Training]:
        return [training(seed, lr) for seed, lr in enumerate([0.1, 1e30, 0.3, 0.2])]

    steps = [9, 9, 5, 9]
    ended: dict[int, ZooError | None] = {}
    together = trainings()
    engine = FusedCudaPopulation([(one.model, one.optimizer) for one in together], B)
    train_population(list(map(Member, together, steps)), engine, ended=ended.__setitem__)
    for number, one in enumerate(trainings()):
        error = None
        try:
            train(one, steps[number])
        except ZooError as raised:
            error = raised
        assert (str(ended[number]), type(ended[number])) == (str(error), type(error))
        assert (one.step, one.losses) == (together[number].step, together[number].losses)
        assert same(list(one.model.state_dict().values()), list(together[number].model.state_dict().values()))


def refusal(nets: list[Any], batch_size: int = B) -> str:
    with pytest.raises(zoo.EngineUnavailableError) as caught:
        FusedCudaPopulation(nets, batch_size)
    return str(caught.value)


@needs_compiler
@pytest.mark.usefixtures("emulated")
def test_nets_that_are_not_alike_and_batches_that_do_not_fit_are_refused() -> None:
    assert "not of the same sizes" in refusal([pair(1), pair(2, hidden_size=8)])
    other = net(2)
    assert "update" in refusal([pair(1), (other, torch.optim.SGD(other.parameters(), lr=0.1))])
    engine = FusedCudaPopulation([pair(1), pair(2)], B)
    x, y = (torch.stack(parts) for parts in zip(*map(batches, (1, 2)), strict=True))
    with pytest.raises(ValueError, match="1 x 6 learning rates are not batches"):
        engine.run([0], x, y, [rates(0)], never)


def test_on_a_cpu_each_core_trains_a_net_of_its_own() -> None:
    with pytest.raises(zoo.EngineUnavailableError, match="many nets at once on cuda, not on cpu"):
        population([pair(1)], B)
