"""The check that each engine of a model does what autograd does."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo import cuda
from zoo.ambient import in_neutral_state
from zoo.errors import EngineUnavailableError, UsageError
from zoo.options.training import AUTOGRAD
from zoo.runs.plan import make_plan
from zoo.testing.bench import Bench, Trained, load_registry, options_of
from zoo.testing.report import Report, Skip, total
from zoo.training.building import seeded
from zoo.training.device import choose_device
from zoo.training.engines import population_engine
from zoo.training.loop import never

_BLOCK = 130  # steps that an engine does in one go, and again in parts; more than two graphs of 64
_OF_LOSS, _OF_UPDATE = 1e-4, 1e-3  # how far an engine may be off, as a share
_ROUNDING = 1e-6  # of a weight; in an update that is small beside the weight it shows
_LEARNT = 0.001  # by how much autograd must lower the loss, as a share
_FIRST = 8  # batches whose loss that is
_NETS = 3  # of a population
_NOISE = 1e-5  # of the largest update: what rounding makes of a gradient that is 0 on paper


@in_neutral_state
def check_engines(
    name: str,
    *,
    dataset: str | Path | None = None,
    optimizer: str | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, object] | None = None,
    device: str = "cpu",
    steps: int = 200,
) -> Report:
    """Each engine of a model does the same steps as autograd, with no state but the model's and the optimizer's.

    Steps are compared one by one, each from the weights and the optimizer state that autograd has reached.
    Run side by side, two correct implementations drift apart by rounding. An engine's loss may be
    off by 0.01 % of autograd's, an update by 0.1 % of its norm. The learning rate differs at every step.

    What an engine does in one block it must also do, to the last bit, one step at a time, recreated midway from the
    saved state, and stopped between steps.

    Where the spec has an engine of that name for populations, several nets at once must each get the bits that the
    engine gives it alone, whatever the others are, and whichever of them take part in a block.

    An engine that does nothing differs from none where nothing is learnt: over these steps autograd must lower the loss
    of their first batches by 0.1 %.

    Args:
        name: the model's name.
        dataset, optimizer, batch_size, settings, device: of the training, as `zoo.run` takes them.
        steps: how many are compared.

    Returns:
        What was tried of each engine; those that cannot train this here are skipped. A test may ask that one was not:
        `assert "engine 'by-hand'" in report`.

    Raises:
        AssertionError: an engine does something else, or autograd itself learns nothing.
        UsageError: the options are wrong.
    """
    registry = load_registry()
    entry = registry.models.get(name)
    if not entry.spec.engines:
        return Report()
    options = options_of(
        name,
        dataset=dataset,
        optimizer=optimizer,
        batch_size=batch_size,
        settings=settings,
        device=device,
        steps=steps,
    )
    with cuda.current(choose_device(device)):
        bench = Bench(make_plan(registry, options))
        bench.new(AUTOGRAD)  # what is wrong with the options is said here
        return total(_check_engine(bench, engine) for engine in entry.spec.engines)


def _check_engine(bench: Bench, engine: str) -> Report:
    """What was tried of an engine; skipped where it cannot train this here."""
    who = f"engine {engine!r} of {bench.plan.model.spec.name!r}"
    try:
        bench.new(engine)
    except UsageError as error:
        return Report(skipped=(Skip(who, str(error)),))
    _check_learns(bench)
    _check_steps(bench, engine, who)
    _check_blocks(bench, engine, who)
    report = Report((f"{who}: each step is autograd's", f"{who}: a block is its steps, whatever comes between"))
    return total([report, *_check_population(bench, engine, who)])


def _check_learns(bench: Bench) -> None:
    """That autograd lowers the loss of the first batches; else an engine that does nothing would pass."""
    reference = bench.new(AUTOGRAD)
    before = _mean_loss(bench, reference)
    reference.run(0, bench.plan.steps)
    after = _mean_loss(bench, reference)
    plan = bench.plan
    assert after < before - _LEARNT * abs(before), (
        f"the reference learns nothing, so that engines of {plan.model.spec.name!r} cannot be told apart: the loss is "
        f"{before:.6g} before and {after:.6g} after {plan.steps} steps of {plan.optimizer.spec.name!r} at learning "
        f"rate {plan.lr:g}; give more steps, or settings, data or an optimizer with which autograd learns"
    )


@torch.no_grad()
def _mean_loss(bench: Bench, trained: Trained) -> float:
    """Over the first batches, in training mode, without a trace in the model."""
    state = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    with seeded(0, bench.device):  # the same dropout each time
        losses = [trained.loss.mean(trained.model(x), y, x) for x, y in zip(bench.x[:_FIRST], bench.y, strict=False)]
    trained.model.load_state_dict(state)
    return float(torch.stack(losses).double().mean())


def _check_steps(bench: Bench, engine: str, who: str) -> None:
    """Every step against autograd's, both from what autograd has come to."""
    reference, own = bench.new(AUTOGRAD), bench.new(engine)
    before = reference.numbers()
    for k in range(bench.plan.steps):
        own.take(reference)
        results = []
        for trained in (reference, own):
            with seeded(k, bench.device):  # both drop out the same
                results.append(trained.run(k, k + 1))
        [wanted], losses = results
        assert len(losses) == 1, f"{who} returns {len(losses)} losses of 1 step"
        off = abs(losses[0] - wanted)
        assert off <= _OF_LOSS * abs(wanted) + 10 * _ROUNDING, (
            f"{who} has the loss {losses[0]} at step {k}, autograd {wanted}"
        )
        after = reference.numbers()
        _check_update(f"{who} at step {k}", before, after, own.numbers())
        before = after


def _check_update(
    who: str,
    before: Mapping[tuple[str, ...], Tensor],
    after: Mapping[tuple[str, ...], Tensor],
    own: Mapping[tuple[str, ...], Tensor],
) -> None:
    """That `own` is `after`, but for rounding."""
    moved = {path: float((tensor - before.get(path, 0)).norm()) for path, tensor in after.items()}
    most: dict[str, float] = {}  # of all weights, and of everything of one name that the optimizer has of each
    for path, length in moved.items():
        kind = _kind(path)
        most[kind] = max(length, most.get(kind, 0.0))
    for path, tensor in after.items():
        key = ".".join(path)
        assert path in own, f"{who} leaves no {key!r}, as autograd does"
        off = float((own[path] - tensor).norm())
        allowed = _OF_UPDATE * moved[path] + _NOISE * most[_kind(path)] + _ROUNDING * float(tensor.norm())
        assert off <= allowed, (
            f"{who} changes {key!r} otherwise than autograd: by a vector of length {moved[path]:.3g}, off by {off:.3g}"
        )


def _kind(path: tuple[str, ...]) -> str:
    return path[0] if path[0] == "model" else path[-1]


def _check_blocks(bench: Bench, engine: str, who: str) -> None:
    """The same steps in one block, one by one and anew from the middle, stopped now and then, and from the start."""
    count = min(_BLOCK, bench.plan.steps)
    with seeded(0, bench.device):
        whole = bench.new(engine)
        losses = whole.run(0, count)
    assert len(losses) == count, f"{who} returns {len(losses)} losses of {count} steps"

    with seeded(0, bench.device):
        single, parts = bench.new(engine), []
        for k in range(count):
            if k == count // 2:
                first, single = single, bench.new(engine)
                single.take(first)
            parts += single.run(k, k + 1)
    _check_same(
        whole, losses, single, parts, f"{who} does not do in a block what it does step by step, made anew in between"
    )

    with seeded(0, bench.device):
        stopped, parts, asked = bench.new(engine), [], itertools.count(1)
        for _ in range(2 * count):
            if len(parts) < count:
                parts += stopped.run(len(parts), count, lambda: next(asked) % 3 == 0)
    _check_same(whole, losses, stopped, parts, f"{who} differs from an uninterrupted run after a stop")

    with seeded(0, bench.device):
        stopped.take(bench.new(AUTOGRAD))
        parts = stopped.run(0, count)
    _check_same(
        whole, losses, stopped, parts, f"{who} ignores the state that is loaded into the model and the optimizer"
    )


def _check_population(bench: Bench, engine: str, who: str) -> list[Report]:
    """Several nets at once, where the spec says how: each has the bits that the engine gives it alone."""
    if engine not in bench.plan.model.spec.populations:
        return []
    alone, together = _nets(bench, engine), _nets(bench, engine)
    nets, loss, size = [one.net for one in together], together[0].loss, bench.plan.batch_size
    try:
        population = population_engine(engine, bench.plan.model, nets, batch_size=size, loss=loss)
    except EngineUnavailableError as error:
        return [Report(skipped=(Skip(f"{who}, for populations", str(error)),))]
    count = max(1, min(_BLOCK, bench.plan.steps - _NETS) // 2)
    with torch.no_grad():
        next(together[1].model.parameters()).fill_(torch.nan)  # of which the others must not know
    for members, start in (([0, 1, 2], 0), ([2, 0], count)):
        taken = [slice(start + m, start + m + count) for m in members]
        x, y = (torch.stack([part[of_net] for of_net in taken]) for part in (bench.x, bench.y))
        losses = population.run(members, x, y, [bench.lrs[of_net] for of_net in taken], never).tolist()
        for m, of_net, found in zip(members, taken, losses, strict=True):
            if m != 1:
                said = f"{who} for populations does not train a net as it trains it alone"
                wanted = alone[m].run(of_net.start, of_net.stop)
                _check_same(alone[m], wanted, together[m], found, said)
    return [Report((f"{who}: in a population, a net has the bits that it has alone",))]


def _nets(bench: Bench, engine: str) -> list[Trained]:
    """Nets of different weights."""
    nets = [bench.new(engine) for _ in range(_NETS)]
    with torch.no_grad():
        for number, net in enumerate(nets):
            for p in net.model.parameters():
                p.mul_(1 + 0.1 * number)
    return nets


def _check_same(one: Trained, losses: list[float], two: Trained, others: list[float], message: str) -> None:
    assert losses == others, message
    first, second = one.numbers(), two.numbers()
    assert first.keys() == second.keys(), message
    assert all(torch.equal(tensor, second[path]) for path, tensor in first.items()), message
