"""How large the next update of each parameter would be: a step of the run's own optimizer, taken on a copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.engines import Optimizer
from zoo.errors import ZooError
from zoo.files import kind_of
from zoo.options.declaration import decided
from zoo.options.schedule import Schedule
from zoo.plugin.calling import step_errors
from zoo.plugin.optimizer_state import flattened, load_exactly, unflatten_state
from zoo.plugin.recorded import find_recorded
from zoo.plugin.settings import resolve_settings
from zoo.reports.health.batches import Measured, training_without_dropout
from zoo.runs.schedules import resumed_function
from zoo.storage import state as states
from zoo.storage.config import RunConfig, differences
from zoo.storage.folder import STATE_FILE
from zoo.training.autograd import Autograd, StepOptions, needs_closure
from zoo.training.building import build_optimizer, seeded
from zoo.training.loop import Training, never


@dataclass(frozen=True)
class Parameter:
    """A parameter; NaN where there is no such number.

    Attributes:
        name, shape: of the parameter.
        std: of its values.
        gradient: standard deviation of its gradient, the mean over the batches.
        peak_update: standard deviation of its update by one step at the peak learning rate, the mean over the batches.
        update: the same at the learning rate of the last step.
    """

    name: str
    shape: tuple[int, ...]
    std: float
    gradient: float
    peak_update: float
    update: float

    @property
    def gradient_ratio(self) -> float:
        """The gradient in relation to the values: grad / data in the lecture."""
        return _ratio(self.gradient, self.std)

    @property
    def update_ratio(self) -> float:
        """The logarithm, to base 10, of the update in relation to the values."""
        return _logarithm(_ratio(self.update, self.std))

    @property
    def peak_ratio(self) -> float:
        """The same at the peak learning rate; about -3 in the lecture."""
        return _logarithm(_ratio(self.peak_update, self.std))

    @property
    def has_no_gradient(self) -> bool:
        """Whether it has none, or one of zeros only, in every batch."""
        return self.gradient == 0


@dataclass(frozen=True)
class Steps:
    """What one step would do, from each of the batches.

    Attributes:
        parameters: those that are trained.
        lr: the learning rate of the last step.
        peak: that of the run.
        how: how the updates were computed, in a sentence.
    """

    parameters: Sequence[Parameter]
    lr: float
    peak: float
    how: str


def measure_steps(measured: Measured) -> Steps | None:
    """The gradients and the updates of one step from each batch, always from the run's own weights.

    The steps are the run's own, with its gradient clipping and its precision; only dropout is off. They are taken at
    the peak learning rate: that of the last step of a schedule may be too small for the digits of a weight.

    Returns:
        None where nothing of the model is trained by gradients.

    Raises:
        PluginError: the model or its optimizer fails.
    """
    model = measured.model
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        return None
    peak = float(decided(measured.loaded.checked.options.lr))
    optimizer, lr, how = _optimizer(measured, peak)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors, tree = flattened(optimizer)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    options = replace(StepOptions.of(measured.loaded.checked.options), compiled=False)
    engine = Autograd(model, optimizer, options, measured.loss)
    gradients: dict[str, list[Tensor]] = {name: [] for name in named}
    updates: dict[str, list[Tensor]] = {name: [] for name in named}
    with training_without_dropout(model), seeded(0), torch.enable_grad():
        for x, y in measured.batches:
            with step_errors(engine, optimizer, model):
                engine.run(x.clone()[None], y[None], [peak], never)
            with torch.no_grad():
                for name, p in named.items():
                    gradients[name].append(_std(torch.zeros_like(p) if p.grad is None else p.grad))
                    updates[name].append(_std(p - weights[name]))
                    p.grad = None
            model.load_state_dict(weights)
            load_exactly(optimizer, unflatten_state(tree, {name: one.clone() for name, one in tensors.items()}))
    parameters = []
    for name, p in named.items():
        update = _mean(updates[name])
        sizes = float(_std(p)), _mean(gradients[name]), update, update * lr / peak
        parameters.append(Parameter(name, tuple(p.shape), *sizes))
    return Steps(parameters, lr, peak, how)


def _std(values: Tensor) -> Tensor:
    """The standard deviation, as `Tensor.std` has it; of one number, NaN."""
    values = (values.to_dense() if values.layout != torch.strided else values).detach().double()
    return values.std() if values.numel() > 1 else torch.tensor(math.nan)


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.stack(list(values)).mean())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _logarithm(ratio: float) -> float:
    return math.log10(ratio) if ratio > 0 else math.nan


def _last_lr(measured: Measured) -> float | None:
    """The learning rate of the last step; None where a function decides it that only the checkpoint names."""
    options = measured.loaded.checked.options
    schedule = options.schedule
    assert isinstance(schedule, Schedule)
    try:
        function = resumed_function(options, None, measured.loaded.entry)
    except ZooError:
        return None
    schedule = replace(schedule, function=function) if function is not None else schedule
    return schedule.lr(float(decided(options.lr)), max(0, measured.step - 1))


def _optimizer(measured: Measured, peak: float) -> tuple[Optimizer, float, str]:
    """The run's optimizer with its recorded state, or else one whose update is the gradient times the rate.

    With it the learning rate of the last step, and what is done, in a sentence.
    """
    name, lr = measured.loaded.checked.optimizer.rpartition("/")[2], _last_lr(measured)
    why = f"there is no {STATE_FILE} beside the weights"
    if kind_of(measured.run.folder / STATE_FILE) != "nothing":
        try:
            optimizer, step = _recorded(measured, peak)
        except ZooError as error:
            why = str(error)
        else:
            rate = lr if lr is not None else float(optimizer.param_groups[0]["lr"])
            of = "" if step == measured.step else f" of step {step:,}, while the weights are of {measured.step:,}"
            return optimizer, rate, f"Updates are those of one step of {name} with its recorded state{of}."
    stand_in = torch.optim.SGD([p for p in measured.model.parameters() if p.requires_grad], lr=peak)
    how = f"Updates are the gradient times the learning rate, and not those of {name}: {why}."
    return stand_in, peak if lr is None else lr, how


def _recorded(measured: Measured, peak: float) -> tuple[Optimizer, int]:
    """The run's optimizer with its recorded state, and the step of that. Its rates are those of its last step.

    Raises:
        ZooError: the state is no state for these weights, or a step needs more than gradients.
    """
    checked, model = measured.loaded.checked, measured.model
    path = measured.run.folder / STATE_FILE
    state = states.load(path)
    if differences(RunConfig.read(state.config, path).raw, checked.raw):
        raise ZooError(f"{STATE_FILE} is of another run")
    entry = find_recorded(measured.run.registry, measured.run.registry.optimizers, checked.recorded("optimizer"), path)
    settings = resolve_settings(entry, checked.optimizer_settings)
    optimizer = build_optimizer(entry, model, peak, settings)
    if needs_closure(optimizer):
        raise ZooError("it asks for the loss itself, several times a step")
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    training = Training(
        model=model,
        optimizer=optimizer,
        examples=measured.run.examples["train"],
        batch_size=decided(checked.options.batch_size),
        lr=peak,
        schedule=Schedule(),
        generator=torch.Generator(),
        loss=measured.loss,
        new_optimizer=lambda other: build_optimizer(entry, other, peak, settings),
    )
    state.restore(training)
    model.load_state_dict(weights)
    return optimizer, state.step
