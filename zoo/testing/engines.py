"""The check that each engine of a model does what autograd does."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo import cuda
from zoo.ambient import in_neutral_state
from zoo.errors import UsageError
from zoo.options.run import RunOptions
from zoo.options.training import AUTOGRAD
from zoo.runs.plan import make_plan
from zoo.testing.bench import Bench, Trained, load_registry
from zoo.training.building import seeded
from zoo.training.device import choose_device

_BLOCK = 130  # steps that an engine does in one go, and again in parts; more than two graphs of 64
_OF_LOSS, _OF_UPDATE = 1e-4, 1e-3  # how far an engine may be off, as a share
_ROUNDING = 1e-6  # of a weight; in an update that is small beside the weight it shows
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
) -> list[str]:
    """Each engine of a model does the same steps as autograd, with no state but the model's and the optimizer's.

    Steps are compared one by one, each from the weights and the optimizer state that autograd has reached.
    Run side by side, two correct implementations drift apart by rounding. An engine's loss may be
    off by 0.01 % of autograd's, an update by 0.1 % of its norm. The learning rate differs at every step.

    What an engine does in one block it must also do, to the last bit, one step at a time, recreated midway from the
    saved state, and stopped between steps.

    Args:
        name: the model's name.
        dataset, optimizer, batch_size, settings, device: of the training, as `zoo.run` takes them.
        steps: how many are compared.

    Returns:
        The engines that were checked: those that can train this here. A test may ask that one is among them.
    """
    registry = load_registry()
    entry = registry.models.get(name)
    if not entry.spec.engines:
        return []
    options = RunOptions(
        name,
        dataset=dataset,
        optimizer=optimizer,
        device=device,
        engine=AUTOGRAD,
        steps=steps,
        batch_size=batch_size,
        settings=settings,
    )
    with cuda.current(choose_device(device)):
        bench = Bench(make_plan(registry, options))
        bench.new(AUTOGRAD)  # what is wrong with the options is said here
        checked = []
        for engine in entry.spec.engines:
            try:
                bench.new(engine)
            except UsageError:  # it cannot train this here
                continue
            _check_steps(bench, engine)
            _check_blocks(bench, engine)
            checked.append(engine)
        return checked


def _check_steps(bench: Bench, engine: str) -> None:
    """Every step against autograd's, both from what autograd has come to."""
    who = f"engine {engine!r} of {bench.plan.model.spec.name!r}"
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


def _check_blocks(bench: Bench, engine: str) -> None:
    """The same steps in one block, one by one and anew from the middle, stopped now and then, and from the start."""
    who = f"engine {engine!r} of {bench.plan.model.spec.name!r}"
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


def _check_same(one: Trained, losses: list[float], two: Trained, others: list[float], message: str) -> None:
    assert losses == others, message
    first, second = one.numbers(), two.numbers()
    assert first.keys() == second.keys(), message
    assert all(torch.equal(tensor, second[path]) for path, tensor in first.items()), message
