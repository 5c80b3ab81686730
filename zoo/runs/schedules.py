"""The learning-rate schedule of a run; those that are functions, of the user or of a model's plugin.

A checkpoint names the function that a run was trained with, and never causes it to be imported: it is imported where
the user gives its name, or where the installed model itself names it in its spec or in the preset of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from zoo.errors import CheckpointError, PluginError, UsageError
from zoo.numbers import show_value
from zoo.options.declaration import NOT_GIVEN, decided
from zoo.options.run import RunOptions
from zoo.options.schedule import Factor, Schedule
from zoo.options.values import is_number, is_object_path, plain
from zoo.phrasing import option
from zoo.plugin.calling import described, plugin_call, plugin_errors
from zoo.plugin.entry_points import import_object
from zoo.plugin.registry import Entry
from zoo.plugin.settings import REQUIRED, Signature
from zoo.plugin.specs import ModelSpec, Preset

_INPUTS = ("step", "steps")


def schedule_over(given: RunOptions, preset: Preset, spec: ModelSpec, steps: int | None) -> Schedule:
    """The model's schedule, changed by what a preset and the user say, over the steps of the run.

    Raises:
        UsageError: it depends on the number of steps, and there is none; or it does not, and one is given for it.
    """
    found, other = (_over(given, preset, spec, number) for number in (1000, 2000))
    depends = found != other
    if given.schedule_steps is not None and not depends:
        name = found.as_options()["schedule"]
        raise UsageError(
            f"{option('schedule_steps', given.schedule_steps)}: the schedule {name!r} is the same for any number of "
            f"steps; leave it out, or give {option('schedule', 'cosine')}"
        )
    over = given.schedule_steps or steps
    if over is not None:
        return _over(given, preset, spec, over)
    if depends:
        raise without_steps(found)
    return found


def _over(given: RunOptions, preset: Preset, spec: ModelSpec, steps: int) -> Schedule:
    schedule = Schedule()
    for record in (spec, preset, given):
        if isinstance(record.schedule, Schedule):
            schedule = record.schedule
        elif isinstance(record.schedule, str):
            schedule = schedule.named(record.schedule, steps)
        elif callable(record.schedule):
            schedule = replace(schedule.named("constant", steps), function=record.schedule)
        if record.warmup is not NOT_GIVEN:
            schedule = replace(schedule, warmup=record.warmup)
    return schedule.over(steps)


def function_of(schedule: Schedule, given: RunOptions, model: Entry[ModelSpec]) -> Factor | None:
    """That of a schedule over the steps of a run; None where it is none. Raises as `given_function`, `own_function`."""
    if schedule.function is None:
        return None
    steps = decided(schedule.ends)
    return given_function(schedule, steps) if given.schedule is not NOT_GIVEN else own_function(schedule, steps, model)


def without_steps(schedule: Schedule) -> UsageError:
    """The error for a schedule that depends on the number of steps, in a run that has none."""
    name = schedule.as_options()["schedule"]
    return UsageError(
        f"the schedule {name!r} depends on the number of steps, which {option('seconds')} leaves open: "
        f"give {option('steps')}, too, as the most, or {option('schedule', 'constant')}"
    )


def given_function(schedule: Schedule, steps: int) -> Factor:
    """The function that the user names by `--schedule package.module:function`.

    Raises:
        UsageError: it cannot be imported, or has other arguments than `step` and `steps`.
        PluginError: it fails, or returns no factor.
    """
    path = str(schedule.function)
    try:
        with plugin_call(option("schedule", path), "cannot be imported"):
            function = import_object(path)
    except PluginError as error:
        cause = error.__cause__
        told = described(cause) if cause is not None else str(error)
        raise UsageError(f"{option('schedule', path)} cannot be imported: {told}") from error
    try:
        return _tried(function, f"schedule {path!r}", schedule, steps)
    except _WrongArgumentsError as error:
        raise UsageError(str(error)) from error


def own_function(schedule: Schedule, steps: int, model: Entry[ModelSpec]) -> Factor:
    """The function that a model's spec or preset names.

    Raises:
        PluginError: it cannot be imported, has wrong arguments, fails, or returns no factor.
    """
    assert schedule.function is not None
    return _tried(model.load(schedule.function), f"schedule {schedule.path!r} of {model.who}", schedule, steps)


def resumed_function(options: RunOptions, given: str | None, model: Entry[ModelSpec]) -> Factor | None:
    """The function of a run that is resumed; None where its schedule is none.

    Args:
        options: as the run's config records them, with what the user changes.
        given: what the user gives by `--schedule`.
        model: as it is installed now.

    Raises:
        CheckpointError: only the checkpoint names the function.
        ZooError: as `given_function` and `own_function`.
    """
    schedule = options.schedule
    if not isinstance(schedule, Schedule) or schedule.path is None:
        return None
    steps = options.steps or schedule.ends or 1
    if given == schedule.path:
        return given_function(schedule, steps)
    for own in _schedules_of(model.spec, options.preset):
        if own.path == schedule.path:
            return own_function(Schedule(function=own.function, ends=schedule.ends), steps, model)
    raise CheckpointError(
        f"the run has the schedule {schedule.path!r}, which is not imported because a checkpoint names it: "
        f"give it with {option('schedule', schedule.path)} if you trust it"
    )


def _schedules_of(spec: ModelSpec, preset: str | None) -> Iterator[Schedule]:
    for record in (spec.presets.get(preset or ""), spec):
        own = None if record is None else record.schedule
        if isinstance(own, Schedule):
            yield own
        elif callable(own) or is_object_path(own):
            yield Schedule(function=own)


class _WrongArgumentsError(PluginError):
    """The function cannot be called with a step."""


def _tried(function: Callable[..., Any], who: str, schedule: Schedule, steps: int) -> Factor:
    """The function, asked for the arguments that it has and checked, and tried for the first and the last step."""
    if not callable(function):
        raise _WrongArgumentsError(f"{who} is not a function")
    signature = Signature(function, _INPUTS)
    wrong = [name for name, setting in signature.settings.items() if setting.default is REQUIRED]
    if "step" not in signature.inputs or wrong:
        has = f"has the argument {wrong[0]!r}" if wrong else "has no argument 'step'"
        raise _WrongArgumentsError(f"{who} {has}: it is called as function(step, steps), where 'steps' may be left out")

    def factor(step: int, steps: int) -> float:
        given = {"step": step, "steps": steps}
        with plugin_errors(who, f"fails for step {step}"):
            value = plain(function(**{name: given[name] for name in signature.inputs}))
        if not is_number(value) or not 0 <= value < float("inf"):
            raise PluginError(
                f"{who} returns {show_value(value)} for step {step}: it must return the factor of the peak learning "
                "rate, a finite number of 0 or above"
            )
        return float(value)

    ends = schedule.ends or steps
    with plugin_call(who, "fails"):
        first, _, again = factor(0, ends), factor(max(0, steps - 1), ends), factor(0, ends)
    if first != again:
        raise PluginError(
            f"{who} returns {show_value(first)} for step 0, and then {show_value(again)}: it must depend on the step "
            "alone, or no run could be resumed"
        )
    return factor
