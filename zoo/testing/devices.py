"""The check that a model trains on a device other than the CPU, and that no step waits for that device."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.ambient import in_neutral_state
from zoo.engines import Optimizer
from zoo.errors import PluginError, ZooError
from zoo.options.training import AUTOGRAD
from zoo.plugin.calling import is_of_plugin
from zoo.runs.plan import RunPlan, make_plan
from zoo.testing.bench import Bench, Trained, load_registry, options_of
from zoo.testing.guard import META, Guard, authors_line, lines_of
from zoo.testing.report import Report, SkippedError, try_rules
from zoo.text import first_line
from zoo.training.autograd import StepOptions

_STEPS = 2
WAITS = "no step of it waits for a GPU or leaves a tensor on the CPU"


class _CannotTellError(Exception):
    """Why a model cannot be tried on `meta`."""


@in_neutral_state
def check_device(
    name: str,
    *,
    dataset: str | Path | None = None,
    optimizer: str | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, object] | None = None,
    clip_norm: float | None = None,
    engine: str = AUTOGRAD,
) -> Report:
    """A model trains, is evaluated and is resumed on another device than the CPU, and no step waits for that device.

    It is tried without a GPU, on torch's device `meta`, whose tensors have shapes and no values. Some steps are done in
    float32, an evaluation, and some steps from a state that was saved on the CPU. In these the model, the optimizer and
    the engine must not read a value of a tensor (`.item()`, an `if` or a mask of tensors), combine tensors of the
    device with others of the CPU, or copy to the device what they could keep there.

    Args:
        name: the model's name.
        dataset, optimizer, batch_size, settings, clip_norm: of the training, as `zoo.run` takes them.
        engine: implementation of the training step. One that reads memory itself, past torch's operators, must refuse
            the device `meta`.

    Returns:
        What was tried. It is skipped where it cannot be told: torch or the model lacks something for `meta`, which is
        named with its line, or torch's own code waits, an optimizer's for instance, which the model cannot help.

    Raises:
        AssertionError: what is wrong, with the operator and the line of the model's code.
        UsageError: the options are wrong, or the engine cannot train this on `meta`.
    """
    more: dict[str, Any] = {} if clip_norm is None else {"clip_norm": clip_norm}
    options = options_of(
        name, dataset=dataset, optimizer=optimizer, batch_size=batch_size, settings=settings, steps=_STEPS, **more
    )

    def rule(bench: Bench) -> None:
        try:
            _check(bench, engine, StepOptions(bench.plan.options.clip_norm))
        except _CannotTellError as error:
            raise SkippedError(str(error)) from error

    plan = make_plan(load_registry(), options)
    try:
        bench = Bench(plan)
    except PluginError as error:
        if error.__cause__ is None:
            raise
        raise _fails_on_the_cpu(plan, error.__cause__) from error
    return try_rules(f"model {name!r}", {WAITS: rule}, bench)


def _who(plan: RunPlan) -> str:
    return f"model {plan.model.spec.name!r} with optimizer {plan.optimizer.spec.name!r}"


def _fails_on_the_cpu(plan: RunPlan, error: BaseException) -> AssertionError:
    at = authors_line(lines_of(error)) or "in torch itself"
    return AssertionError(f"{_who(plan)} fails on the CPU: {first_line(error)} ({at})")


def _check(bench: Bench, engine: str, options: StepOptions) -> None:
    plan = bench.plan
    who = _who(plan)
    saved = bench.new(AUTOGRAD, options)
    try:
        saved.run(0, 1)
    except BaseException as error:
        if not is_of_plugin(error):
            raise
        raise _fails_on_the_cpu(plan, error) from error
    bench = bench.on(META)

    with _before_steps(who):
        trained = bench.new(engine, options)
    _check_steps(who, "in training", trained)
    trained.model.eval()
    evaluate = torch.no_grad()(partial(trained.model, bench.x[0]))
    for first in (True, False):
        _check_block(evaluate, Guard(who, "in evaluation", first=first))

    with _before_steps(who):
        resumed = bench.new(engine, options)
        resumed.model.load_state_dict({key: tensor.to(META) for key, tensor in saved.model.state_dict().items()})
        resumed.optimizer.load_state_dict(saved.optimizer.state_dict())
    _check_state(who, resumed.optimizer, trained.optimizer)
    _check_steps(who, "in a resumed training", resumed)


def _check_state(who: str, loaded: Optimizer, fresh: Optimizer) -> None:
    """That a state which was loaded is on the devices where an optimizer makes it."""
    own, wanted = (dict(_devices(optimizer.state_dict())) for optimizer in (loaded, fresh))
    for key, device in wanted.items():
        if own.get(key, device) != device:
            fault = (
                f"{who} has {key!r} of the optimizer's state on {own[key].type} after a resume, "
                f"and on {device.type} without one"
            )
            if type(loaded).load_state_dict.__module__.startswith("torch."):
                raise _CannotTellError(f"{fault} (in torch itself)")
            raise AssertionError(fault)


@contextlib.contextmanager
def _before_steps(who: str) -> Iterator[None]:
    """Say that nothing can be told where torch cannot make the model or the optimizer on `meta`, or load a state."""
    try:
        yield
    except (NotImplementedError, RuntimeError, PluginError) as error:
        raise _CannotTellError(f"{who} cannot be checked without a GPU: {first_line(error)}") from error


def _check_steps(who: str, when: str, trained: Trained) -> None:
    """A first step, and more in a block, whose losses stay on the device."""
    for first, (start, end) in ((True, (0, 1)), (False, (1, _STEPS))):
        losses = _check_block(partial(trained.block, start, end), Guard(who, when, first=first))
        assert losses.device == META, f"{who} has its losses on {losses.device.type} {when}, and not on the device"


def _check_block(work: Callable[[], Tensor], guard: Guard) -> Tensor:
    """Do some work under a guard.

    Raises:
        AssertionError: the work is not done on the device alone.
        _CannotTellError: torch cannot do it without values, or the fault is torch's own.
    """
    who, when = guard.who, guard.when
    try:
        with guard:
            done = work()
    except ZooError:
        raise
    except BaseException as error:
        if not is_of_plugin(error):
            raise
        if not guard.faults:
            at = authors_line(lines_of(error)) or "in torch itself"
            if isinstance(error, NotImplementedError) or _refuses_meta(error):
                raise _CannotTellError(
                    f"{who} cannot be checked without a GPU: {first_line(error)} ({at}, {when})"
                ) from error
            raise AssertionError(
                f"{who} fails on another device than the CPU: {first_line(error)} ({at}, {when})"
            ) from error
        cause: BaseException | None = error
    else:
        cause = None
    if guard.faults:
        if not guard.of_author[0]:
            raise _CannotTellError(guard.faults[0]) from cause
        raise AssertionError(guard.faults[0]) from cause
    return done


def _refuses_meta(error: BaseException) -> bool:
    """Whether an exception is about `meta` itself, which a GPU would not raise: not about tensors of two devices.

    Such as that of `torch.autocast(x.device.type)`. One that names CUDA says for which devices something is.
    """
    text = str(error).lower()
    return re.search(r"\bmeta\b", text) is not None and ("cuda" in text or not re.search("cpu|numpy", text))


def _devices(tree: object, path: str = "") -> Iterator[tuple[str, torch.device]]:
    if isinstance(tree, Tensor):
        yield path, tree.device
    elif isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from _devices(part, f"{path}.{key}".lstrip("."))
