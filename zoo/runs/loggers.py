"""Loggers: objects of plugins that are told of a run as it goes on, and can neither change it nor end it.

Each call is made between blocks of steps, with torch in the neutral state. What it changes of torch's state, of the
global random number generators or of the model is undone, so that a run has the same bytes with a logger and without.
A logger that fails costs one warning.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.ambient import unchanged
from zoo.ambient.draws import seeded_draws
from zoo.errors import UnknownNameError, UsageError, ZooError, suggest
from zoo.phrasing import option
from zoo.plugin.calling import changes_text, described, pass_on
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import Signature, resolve_settings, signature_of
from zoo.plugin.specs import LoggerSpec

if TYPE_CHECKING:
    from torch import nn

    from zoo.storage.folder import AnyFolder
    from zoo.training.evaluation import Evaluation
    from zoo.training.loop import Training

Warn = Callable[[str], None]


class Logger:
    """What a logger is told. It has those of these methods that it uses, and need not derive from this class."""

    def start(self, config: dict[str, Any]) -> None:
        """The first step is next, or that from which the run is resumed; `config` is as in `config.json`."""

    def steps(self, step: int, losses: list[float], lr: float) -> None:
        """A block of steps has ended.

        Args:
            step: how many steps are done in all.
            losses: of the last `len(losses)` steps, each computed before the step's update; the first of them is in
                row `step - len(losses)` of `losses.csv`.
            lr: the learning rate of the last of them.
        """

    def evaluated(
        self, step: int, losses: dict[str, float], metrics: dict[str, dict[str, float]], model: nn.Module
    ) -> None:
        """The weights after `step` steps were evaluated.

        Args:
            step: how many steps had made these weights.
            losses: by split: of `val` during training; at the end of all splits, for the weights that are kept.
            metrics: by split and name, `{"val": {"accuracy": 0.5}}`; one may be NaN or infinite.
            model: with these weights, in evaluation mode. What is changed of it is undone.
        """

    def finish(self, metrics: dict[str, Any], model: nn.Module) -> None:
        """The run is done, and all its files are written; `metrics` are as in `metrics.json`."""

    def close(self) -> None:
        """Nothing more will be told. Called after `finish`, and where a run is interrupted or fails."""


class PlannedLogger(NamedTuple):
    """A logger of a run, and its settings, complete and typed."""

    entry: Entry[LoggerSpec]
    settings: dict[str, Any]


def plan_loggers(
    registry: Registry, names: str | Sequence[str] | None, settings: Mapping[str, object]
) -> tuple[PlannedLogger, ...]:
    """Find the loggers of a run. Each takes those of the settings that it has.

    Raises:
        UsageError: an unknown name, one that is given twice, a setting that none of them has, or a wrong value.
        PluginError: a logger cannot be imported.
    """
    entries = [registry.loggers.get(name) for name in ([names] if isinstance(names, str) else names or ())]
    for entry in entries:
        if entries.count(entry) > 1:
            raise UsageError(f"{option('log')} names {entry.spec.name!r} twice")
    if settings and not entries:
        raise UsageError(
            f"'logger.{next(iter(settings))}' is a setting of a logger: name one with {option('log')}, too"
        )
    known = {entry.full_name: signature_of(entry).settings for entry in entries}
    for key in settings:
        if len(entries) > 1 and not any(key in own for own in known.values()):
            near = suggest(key, sorted({name for own in known.values() for name in own}), prefix="logger.")
            raise UnknownNameError(f"no logger of this run has a setting 'logger.{key}'; {near}")
    planned = []
    for entry in entries:
        own = {key: value for key, value in settings.items() if len(entries) == 1 or key in known[entry.full_name]}
        planned.append(PlannedLogger(entry, resolve_settings(entry, own)))
    return tuple(planned)


def needing_a_folder(planned: Sequence[PlannedLogger]) -> str | None:
    """The first logger that asks for the run folder."""
    for entry, _ in planned:
        if "run_dir" in signature_of(entry).inputs:
            return entry.spec.name
    return None


class Loggers:
    """The loggers of a run. A context manager, which closes them."""

    def __init__(
        self,
        planned: Sequence[PlannedLogger],
        warn: Warn,
        *,
        run_dir: Path | None,
        resumed_at: int = 0,
        embedding: str | None = None,
    ) -> None:
        """Make the loggers. One that cannot be made costs a warning; see `zoo.plugin.specs.LoggerSpec` for arguments.

        Raises:
            ZooError: a logger refuses a setting, by a ValueError, or says with an error of zoo what it lacks.
        """
        self._warn = warn
        self._told = resumed_at  # of so many steps
        self._warned_of_changes: set[str] = set()
        self._loggers: dict[str, Any] = {}  # by who they are, in messages
        inputs = {"run_dir": run_dir, "resumed_at": resumed_at, "embedding": embedding}
        for entry, settings in planned:
            self._loggers[entry.who] = entry
            factory = entry.factory()
            asked = Signature(factory, entry.spec.inputs).inputs
            arguments = {**settings, **{name: inputs[name] for name in asked}}
            with self._guard(entry.who, "when it was made", refuses=entry.title):
                self._loggers[entry.who] = factory(**arguments)

    def __enter__(self) -> Loggers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, config: Mapping[str, Any]) -> None:
        self._tell("start", lambda: (copy.deepcopy(dict(config)),))

    def report(self, training: Training) -> None:
        """Tell of the steps since the last time, and of an evaluation after the last of them."""
        first, step = self._told, training.step
        self._told = step
        if self._loggers and step > first:
            lr = training.schedule.lr(training.lr, step - 1)
            self._tell("steps", lambda: (step, training.losses[first:step], lr))
        validation = training.validation
        if self._loggers and validation is not None and validation.steps[-1:] == [step]:
            from zoo.training.evaluation import Evaluation

            found = Evaluation(validation.losses[-1], validation.metrics)
            self.evaluated(step, {"val": found}, training.model)

    def evaluated(self, step: int, found: Mapping[Any, Evaluation], model: nn.Module) -> None:
        """Tell of the losses and the metrics of some splits."""

        def told() -> tuple[Any, ...]:
            losses = {split: one.loss for split, one in found.items()}
            return step, losses, {split: dict(one.metrics) for split, one in found.items()}, model

        self._tell("evaluated", told, model)

    def finish(self, metrics: Mapping[str, Any], model: nn.Module) -> None:
        self._tell("finish", lambda: (copy.deepcopy(dict(metrics)), model), model)

    def close(self) -> None:
        """Close those that are left; once."""
        self._tell("close", tuple)
        self._loggers.clear()

    def _tell(self, method: str, arguments: Callable[[], tuple[Any, ...]], model: nn.Module | None = None) -> None:
        for who, logger in list(self._loggers.items()):
            with self._guard(who, f"in its method '{method}'"):
                function = getattr(logger, method, None)
                if function is not None:
                    with contextlib.nullcontext() if model is None else _as_it_was(model):
                        function(*arguments())

    @contextlib.contextmanager
    def _guard(self, who: str, where: str, *, refuses: str | None = None) -> Iterator[None]:
        """Call code of a logger. If it fails, it is told nothing more, and the run goes on.

        Args:
            who, where: for the warning.
            refuses: who refuses a setting where the code raises a ValueError.
        """
        handled = sys.exc_info()[1]
        changed: list[str] = []
        try:
            with unchanged() as changed, seeded_draws(0):
                yield
        except BaseException as error:  # a plugin may raise anything
            pass_on(error, handled)
            self._loggers.pop(who, None)
            if refuses is not None and isinstance(error, ZooError):
                raise
            if refuses is not None and isinstance(error, ValueError):
                raise UsageError(f"{refuses}: {error}") from error
            self._warn(f"{who} failed {where}, and is told nothing more: {described(error)}")
        if changed and who not in self._warned_of_changes:
            self._warned_of_changes.add(who)
            self._warn(f"{who} {changes_text(changed)}")


def loggers_of(
    planned: Sequence[PlannedLogger], embedding: str | None, folder: AnyFolder, warn: Warn, resumed_at: int = 0
) -> Loggers:
    """The loggers of a run. Where one refuses a setting, nothing is left of a new run."""
    try:
        return Loggers(planned, warn, run_dir=folder.path, resumed_at=resumed_at, embedding=embedding)
    except BaseException:
        if not folder.holds_earlier_work:
            folder.empty()
        raise


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """A block in which a model is in evaluation mode; its tensors, modules and modes are then put back."""
    import torch

    modules = list(model.modules())
    modes = [module.training for module in modules]
    tables: list[dict[str, Any]] = [t for m in modules for t in (m._parameters, m._buffers, m._modules)]
    held = [dict(table) for table in tables]
    tensors = {id(value): value for before in held for value in before.values() if isinstance(value, torch.Tensor)}
    kept = [(t, t.data, t.data.clone(), t.requires_grad, t.grad) for t in tensors.values()]
    for tensor in tensors.values():
        tensor.grad = None
    model.eval()
    try:
        yield
    finally:
        for table, before in zip(tables, held, strict=True):
            table.clear()
            table.update(before)
        for tensor, data, values, requires_grad, grad in kept:
            tensor.data = data
            if not torch.equal(data, values):
                data.copy_(values)
            tensor.requires_grad_(requires_grad)
            tensor.grad = grad
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
